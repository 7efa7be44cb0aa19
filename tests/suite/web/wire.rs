//! Requests over a real connection.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tokio::{net::TcpListener, task::spawn_blocking};

use super::{ALICE, World};

async fn serve(world: &World) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = world.app.clone();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// The response, read until the server closes the connection.
async fn exchange(address: SocketAddr, request: String) -> String {
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    spawn_blocking(exchange).await.unwrap()
}

#[tokio::test]
async fn the_target_of_a_request_tells_its_host() {
    let world = World::cookies();
    let address = serve(&world).await;
    let tokens = world.start(ALICE).await;
    let asked = async |target: &str, host: &str| {
        let cookie = tokens.access().expose();
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nCookie: __Host-access={cookie}\r\n\
             Origin: https://app.example.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        exchange(address, request).await[9..12].parse::<u16>().unwrap()
    };
    assert_eq!(asked("/me", "app.example.com").await, 200);
    assert_eq!(asked("/me", "evil.com").await, 403);
    // RFC 9112 §3.2.2: a host in the target takes precedence.
    assert_eq!(asked("http://app.example.com/me", "evil.com").await, 200);
    assert_eq!(asked("http://evil.com/me", "app.example.com").await, 403);
}

#[tokio::test]
async fn headers_that_come_twice_come_twice() {
    let world = World::cookies();
    let address = serve(&world).await;
    let tokens = world.start(ALICE).await;
    let text = tokens.access().expose();
    let asked = async |headers: &str| {
        let request = format!("GET /me HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        exchange(address, request).await[9..12].parse::<u16>().unwrap()
    };
    let (bearer, cookie) =
        (format!("Authorization: Bearer {text}\r\n"), format!("Cookie: __Host-access={text}\r\n"));
    assert_eq!(asked(&bearer).await, 200);
    assert_eq!(asked(&cookie).await, 200);
    assert_eq!(asked(&format!("AUTHORIZATION:\t bearer {text} \t\r\n")).await, 200);
    for two in [[&bearer, &bearer], [&cookie, &cookie], [&bearer, &cookie]] {
        assert_eq!(asked(&two.map(String::as_str).concat()).await, 400);
    }
}

#[tokio::test]
async fn a_connection_that_is_open_is_closed_with_its_session() {
    let world = World::bearer();
    let address = serve(&world).await;
    let tokens = world.start(ALICE).await;
    let text = tokens.access().expose();
    let request = format!(
        "GET /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {text}\r\n\r\n"
    );
    let (hears, heard) = tokio::sync::oneshot::channel();
    let open = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut piece) = (String::new(), [0; 1024]);
        while !answer.contains("data: 1\n\n") {
            let bytes = stream.read(&mut piece).unwrap();
            assert!(bytes > 0, "{answer}");
            answer.push_str(str::from_utf8(&piece[..bytes]).unwrap());
        }
        hears.send(()).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    heard.await.unwrap();
    world.web.service().log_out_everywhere(ALICE).await.unwrap();
    let answer = open.await.unwrap();
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "the stream is brought to its end: {answer}");
}
