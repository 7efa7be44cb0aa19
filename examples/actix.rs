//! A server with actix-web, over the library's service: a login whose attempts are limited, an extractor
//! for authenticated requests, refresh, and logout everywhere.
//!
//! `cargo run --example actix --features actix` serves on 127.0.0.1:8080, or on the address given
//! after `--`. With `-- story` it sends itself requests, prints each response, and exits non-zero
//! if a response is not the expected one.

use std::{env, error::Error, fmt, pin::Pin};

use actix_web::{
    App, FromRequest, HttpRequest, HttpResponse, HttpServer, ResponseError,
    dev::Payload,
    http::{StatusCode, header},
    test::{self, TestRequest},
    web::{self, Data, Json},
};
use relatch::{
    AccessToken, Authority, MasterKey, RefreshToken, SessionTokens, User, Verified,
    password::PasswordHasher,
    service::{Client, Service, ServiceError},
    store::{MemoryStore, NewUser, StoredUser},
    throttle::DeviceToken,
};
use serde::Deserialize;
use serde_json::{Value, json};

type Result<T = HttpResponse, E = Refusal> = std::result::Result<T, E>;

/// The authenticated sender of a request. A handler with this argument rejects all other requests.
struct Caller(Verified<StoredUser>);

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let service = request.app_data::<Data<Service>>().cloned();
        let token = bearer(request);
        Box::pin(async move {
            let service = service.ok_or(Refusal::Setup("`Data<Service>` is not `app_data`"))?;
            let token = token.ok_or(Refusal::NoToken)?;
            Ok(Self(service.authenticate(&token).await?))
        })
    }
}

/// The bearer token of the request. Two `Authorization` headers are refused as ambiguous.
fn bearer(request: &HttpRequest) -> Option<AccessToken> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| AccessToken::new(token))
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
    /// What the last login on this device has returned.
    device_token: Option<String>,
}

/// The service limits the attempts: by name, by user, by address, and for a known device by device.
async fn login(service: Data<Service>, request: HttpRequest, Json(login): Json<Login>) -> Result {
    let mut client = Client::new("a client of the example");
    // Behind a proxy this is the proxy's address: then take the one that the proxy sets.
    if let Some(peer) = request.peer_addr() {
        client = client.address(peer.ip());
    }
    let sent = login.device_token.map(DeviceToken::new);
    if let Some(token) = &sent {
        client = client.device(token.clone());
    }
    let tokens = service.login(&login.name, &login.password, client).await?;
    let device = service.device_token(&tokens, sent.as_ref())?;
    granted(&tokens, Some(&device))
}

#[derive(Deserialize)]
struct Refresh {
    refresh_token: String,
}

async fn refresh(service: Data<Service>, Json(refresh): Json<Refresh>) -> Result {
    granted(&service.refresh(RefreshToken::new(refresh.refresh_token)).await?, None)
}

fn granted(tokens: &SessionTokens, device: Option<&DeviceToken>) -> Result {
    let mut body = json!({
        "access_token": tokens.access().expose(),
        "refresh_token": tokens.refresh().expose(),
        "token_type": "Bearer",
    });
    if let Some(device) = device {
        body["device_token"] = device.expose().into();
    }
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

async fn me(Caller(verified): Caller) -> String {
    format!("You are {}.\n", verified.user().id())
}

async fn log_out_everywhere(service: Data<Service>, Caller(verified): Caller) -> Result {
    service.log_out_everywhere(verified.user().id()).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/login", web::post().to(login))
        .route("/refresh", web::post().to(refresh))
        .route("/me", web::get().to(me))
        .route("/logout-everywhere", web::post().to(log_out_everywhere));
}

/// Why a request was refused. The client gets a status and one header; the log gets the cause.
#[derive(Debug)]
enum Refusal {
    /// There is no bearer token, or more than one.
    NoToken,
    Setup(&'static str),
    Service(ServiceError),
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl Refusal {
    /// The challenge of a 401 (RFC 6750 §3), the time to wait, or nothing but that no cache keeps it.
    fn header(&self) -> (header::HeaderName, String) {
        match self {
            Self::NoToken | Self::Service(ServiceError::LoginRefused(_)) => {
                (header::WWW_AUTHENTICATE, "Bearer".to_owned())
            }
            Self::Service(ServiceError::Rejected(_)) => {
                (header::WWW_AUTHENTICATE, INVALID_TOKEN.to_owned())
            }
            Self::Service(ServiceError::TooManyAttempts { retry_after }) => {
                (header::RETRY_AFTER, (retry_after.whole_seconds() + 1).to_string())
            }
            // It says nothing about the token, so the client keeps it.
            Self::Service(error) if error.is_unavailable() => (header::RETRY_AFTER, "5".to_owned()),
            Self::Setup(_) | Self::Service(_) => (header::CACHE_CONTROL, "no-store".to_owned()),
        }
    }
}

const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        let status = match self {
            Self::NoToken => 401,
            Self::Setup(_) => 500,
            // The library's one mapping of errors to HTTP.
            Self::Service(error) => error.status(),
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::NoToken => {}
            Self::Setup(what) => eprintln!("{what}"),
            Self::Service(error) => eprintln!("{error:?}"),
        }
        let status = self.status_code();
        HttpResponse::build(status).insert_header(self.header()).body(status.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status_code().fmt(f)
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // For this run only. In production, keep the key outside the database: `MasterKey::from_env`.
    let key = MasterKey::generate("2026-11")?;
    let authority = Authority::new(key, "https://login.example.com", "https://api.example.com")?;
    // Stands in for your database: `SqliteStore`, `PostgresStore` or your own `UserStore`.
    let users = MemoryStore::new();
    let hash = PasswordHasher::new().hash("correct horse battery")?;
    users.insert(NewUser::with_password_hash("1", "alice", hash), ());
    let service = Service::new(authority, users.clone());
    match env::args().nth(1).as_deref() {
        Some("story") => story(service, users).await,
        address => serve(service, address.unwrap_or("127.0.0.1:8080")).await,
    }
}

async fn serve(service: Service, address: &str) -> Result<(), Box<dyn Error>> {
    let service = Data::new(service);
    let server = HttpServer::new(move || App::new().app_data(service.clone()).configure(routes))
        .bind(address)?;
    let login = r#"{"name":"alice","password":"correct horse battery"}"#;
    println!("token=$(curl -s {address}/login --json '{login}' | jq -r .access_token)");
    for route in ["/me", "/logout-everywhere -X POST", "/me"] {
        println!("curl -i {address}{route} -H \"Authorization: Bearer $token\"");
    }
    Ok(server.run().await?)
}

async fn story(service: Service, users: MemoryStore) -> Result<(), Box<dyn Error>> {
    let app = App::new().app_data(Data::new(service)).configure(routes);
    let app = test::init_service(app).await;
    let step = async |what: &str, request: TestRequest, expected: &str| {
        let request = request.peer_addr(([192, 0, 2, 1], 50_000).into());
        let response = test::call_service(&app, request.to_request()).await;
        let shown = [header::WWW_AUTHENTICATE, header::RETRY_AFTER, header::CACHE_CONTROL];
        let shown = shown.iter().find_map(|name| response.headers().get(name)?.to_str().ok());
        let seen = [response.status().as_str(), shown.unwrap_or("-")].join(" ");
        // The time to wait depends on the clock.
        assert!(
            seen == expected || expected == "429" && seen.starts_with("429 "),
            "{what}: {seen}"
        );
        println!("  ✓ {what}: {seen}");
        serde_json::from_slice(&test::read_body(response).await).unwrap_or(Value::Null)
    };
    let post = |path: &str, body: Value| TestRequest::post().uri(path).set_json(body);
    let login = |name: &str, password: &str, device: Option<&str>| {
        post("/login", json!({ "name": name, "password": password, "device_token": device }))
    };
    let right = "correct horse battery";
    step("a wrong password", login("alice", "wrong", None), "401 Bearer").await;
    step("an unknown name", login("bob", right, None), "401 Bearer").await;
    let body = step("alice logs in", login("alice", right, None), "200 no-store").await;
    let text = |body: &Value, name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (device, next) = (text(&body, "device_token"), text(&body, "refresh_token"));
    let bearer = |body: &Value| ("Authorization", format!("Bearer {}", text(body, "access_token")));
    let me = |body: &Value| TestRequest::get().uri("/me").append_header(bearer(body));
    step("her token", me(&body), "200 -").await;
    step("her token, twice", me(&body).append_header(bearer(&body)), "401 Bearer").await;
    let refresh = post("/refresh", json!({ "refresh_token": next }));
    let body = step("her client refreshes", refresh, "200 no-store").await;

    users.set_reachable(false);
    step("her token, while the database fails", me(&body), "503 5").await;
    users.set_reachable(true);

    // The limits of a name: 10 attempts at once.
    for _ in 0..8 {
        step("somebody guesses", login("alice", "a wrong password", None), "401 Bearer").await;
    }
    step("somebody guesses on", login("alice", right, None), "429").await;
    step("alice, on her device", login("alice", right, Some(&device)), "200 no-store").await;

    let everywhere = TestRequest::post().uri("/logout-everywhere").append_header(bearer(&body));
    step("she logs out everywhere", everywhere, "204 -").await;
    step("her token", me(&body), &["401", INVALID_TOKEN].join(" ")).await;
    println!("\nAll responses are as expected.");
    Ok(())
}
