//! The instances of the applications, each a process.

use std::{env, process::Stdio};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, stdin},
    net::TcpListener,
    process::{Child, Command},
};

use crate::{Failure, failure, new, old};

/// What an instance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// The old application.
    Old,
    /// The new one. The old code still issues the tokens, which the old application reads.
    NewIssuingPlain,
    /// The new one, which issues relatch's tokens, and exchanges the old ones.
    New,
    /// The new one without old refresh tokens: their table is gone.
    Switched,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Config {
    pub mode: Mode,
    /// Of the database, as `sqlx` takes it.
    pub url: String,
    /// That of the old application's tokens.
    pub secret: String,
    /// The lifetime of its access tokens.
    pub access_seconds: i64,
    /// The deadline of the adoption, in seconds since 1970; `None` without an adoption.
    pub adopt_until: Option<i64>,
}

/// A running instance. It ends when this is dropped, or with the driver.
pub struct Instance {
    pub mode: Mode,
    pub port: u16,
    _process: Child,
}

impl Instance {
    pub async fn start(config: &Config) -> Result<Self, Failure> {
        let mut process = Command::new(env::current_exe()?)
            .args(["instance", &serde_json::to_string(config)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or_else(|| failure("no output"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let port = line.trim().parse();
        let port = port.map_err(|_| failure(&format!("{:?} did not start", config.mode)))?;
        Ok(Self { mode: config.mode, port, _process: process })
    }
}

/// Serves until the driver ends.
pub async fn serve(config: &str) -> Result<(), Failure> {
    let config: Config = serde_json::from_str(config)?;
    let router = match config.mode {
        Mode::Old => old::router(&config).await?,
        _ => new::router(&config).await?,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let ended = async {
        let _ended = stdin().read(&mut [0]).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(ended).await?;
    Ok(())
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("instance: {self:?}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}
