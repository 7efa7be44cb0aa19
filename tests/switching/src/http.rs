//! An HTTP client of one request per connection.

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Failure, failure};

pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// A text in the body's JSON.
    pub fn text(&self, name: &str) -> Result<String, Failure> {
        let json: Value = serde_json::from_str(&self.body)?;
        Ok(json[name].as_str().ok_or_else(|| failure("a token is missing"))?.to_owned())
    }
}

pub async fn get(port: u16, path: &str, token: &str) -> Result<Answer, Failure> {
    send(port, "GET", path, Some(token), "").await
}

pub async fn post(
    port: u16,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> Result<Answer, Failure> {
    send(port, "POST", path, token, &body.to_string()).await
}

async fn send(
    port: u16,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Result<Answer, Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let authorization = match token {
        Some(token) => format!("Authorization: Bearer {token}\r\n"),
        None => String::new(),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| failure("no answer"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| failure("no status"))?;
    Ok(Answer { status, body: body.to_owned() })
}
