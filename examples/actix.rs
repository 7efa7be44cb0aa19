//! A server with actix-web, without the library's service: its extractor calls `Authority::open`
//! and `Opened::verify`.
//!
//! `cargo run --example actix --features actix` serves on 127.0.0.1:8080, or on the address given
//! after `--`. With `-- story` it sends itself requests, prints each response, and exits non-zero
//! if a response is not the expected one.

use std::{collections::HashMap, env, error::Error, fmt, panic, pin::Pin, sync::Mutex, thread};

use actix_web::{
    App, FromRequest, HttpRequest, HttpResponse, HttpServer, ResponseError, dev::Payload,
    http::StatusCode, http::header, test, test::TestRequest, web, web::Data, web::Json,
};
use relatch::{
    AccessToken, Authority, Binding, MasterKey, User, Verified, VerifyError,
    password::PasswordHasher, service::ServiceError, user::Counter,
};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

type Result<T = HttpResponse, E = Refusal> = std::result::Result<T, E>;

#[derive(Clone)]
struct Account {
    id: String,
    password_hash: String,
    token_version: Counter,
}

impl User for Account {
    fn id(&self) -> &str {
        &self.id
    }
    fn binding(&self) -> Binding<'_> {
        Binding::password_hash(&self.password_hash).version(self.token_version)
    }
}

struct Site {
    authority: Authority,
    hasher: PasswordHasher,
    /// Stands in for your database. It is in memory, and it fails when its lock is poisoned.
    accounts: Mutex<HashMap<String, Account>>,
}

impl Site {
    async fn find(&self, id: &str) -> Result<Option<Account>> {
        Ok(self.accounts.lock().map_err(unavailable)?.get(id).cloned())
    }

    async fn bump_version(&self, id: &str) -> Result<()> {
        let mut accounts = self.accounts.lock().map_err(unavailable)?;
        if let Some(Account { token_version, .. }) = accounts.get_mut(id) {
            let next = token_version.next(OffsetDateTime::now_utc());
            *token_version = next.ok_or_else(|| unavailable("no counter is left"))?;
        }
        Ok(())
    }
}

/// The authenticated sender of a request. A handler with this argument rejects all other requests.
struct Caller(Verified<Account>);

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let site = request.app_data::<Data<Site>>().cloned();
        let token = bearer(request);
        Box::pin(async move {
            let site = site.ok_or_else(|| unavailable("`Data<Site>` is not `app_data`"))?;
            let token =
                token.ok_or_else(|| unauthorized("Bearer", "no token, or more than one"))?;
            let opened = site.authority.open(&token).map_err(VerifyError::from)?;
            let account = site.find(opened.user_id()).await?;
            Ok(Self(opened.verify(account)?))
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
}

async fn login(site: Data<Site>, Json(login): Json<Login>) -> Result {
    let account = site.find(&login.name).await?;
    // On a blocking thread, because hashing is slow. It takes as long for an unknown name.
    let issue = move || {
        let hash = account.as_ref().map(|account| account.password_hash.as_str());
        let matched = site.hasher.verify(&login.password, hash).map_err(unavailable)?;
        let wrong = || unauthorized("Bearer", "wrong name or password");
        // Issue for the record whose password was verified; never read it again.
        let account = matched.and(account).ok_or_else(wrong)?;
        site.authority.issue_for_user(&account).map_err(unavailable)
    };
    let token = web::block(issue).await.map_err(unavailable)??;
    let body = json!({ "access_token": token.expose(), "token_type": "Bearer" });
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

async fn me(Caller(verified): Caller) -> String {
    format!("You are {}.\n", verified.user().id)
}

async fn log_out_everywhere(site: Data<Site>, Caller(verified): Caller) -> Result {
    site.bump_version(&verified.user().id).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/login", web::post().to(login))
        .route("/me", web::get().to(me))
        .route("/logout-everywhere", web::post().to(log_out_everywhere));
}

/// A refusal: the status and one header for the client, and the cause, which only the log shows.
#[derive(Debug)]
struct Refusal(StatusCode, (header::HeaderName, &'static str), String);

const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;

fn unauthorized(challenge: &'static str, why: impl fmt::Display) -> Refusal {
    Refusal(StatusCode::UNAUTHORIZED, (header::WWW_AUTHENTICATE, challenge), why.to_string())
}

/// A failure of the server. It says nothing about the token, so the client keeps it.
fn unavailable(why: impl fmt::Display) -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, (header::RETRY_AFTER, "5"), why.to_string())
}

impl From<VerifyError> for Refusal {
    fn from(error: VerifyError) -> Self {
        // The library's one mapping of errors to HTTP.
        let error = ServiceError::from(error);
        let status = StatusCode::from_u16(error.status());
        let (header, why) = match error.reason() {
            Some(reason) => ((header::WWW_AUTHENTICATE, INVALID_TOKEN), reason.to_string()),
            None => ((header::CACHE_CONTROL, "no-store"), error.to_string()),
        };
        Self(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), header, why)
    }
}

impl ResponseError for Refusal {
    fn error_response(&self) -> HttpResponse {
        eprintln!("{self}: {}", self.2);
        HttpResponse::build(self.0).insert_header(self.1.clone()).body(self.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // For this run only. In production, keep the key outside the database: `MasterKey::from_env`.
    let key = MasterKey::generate("2026-11")?;
    let authority = Authority::new(key, "https://login.example.com", "https://api.example.com")?;
    let hasher = PasswordHasher::new();
    let (id, password_hash) = ("alice".to_owned(), hasher.hash("correct horse battery")?);
    let alice = Account { id: id.clone(), password_hash, token_version: Counter::INITIAL };
    let accounts = Mutex::new(HashMap::from([(id, alice)]));
    let site = Data::new(Site { authority, hasher, accounts });
    match env::args().nth(1).as_deref() {
        Some("story") => story(site).await,
        address => serve(site, address.unwrap_or("127.0.0.1:8080")).await,
    }
}

async fn serve(site: Data<Site>, address: &str) -> Result<(), Box<dyn Error>> {
    let server = HttpServer::new(move || App::new().app_data(site.clone()).configure(routes))
        .worker_max_blocking_threads(2) // hashing a password takes 19 MiB
        .bind(address)?;
    let login = r#"{"name":"alice","password":"correct horse battery"}"#;
    println!("token=$(curl -s {address}/login --json '{login}' | cut -d'\"' -f4)");
    for route in ["/me", "/logout-everywhere -X POST", "/me"] {
        println!("curl -i {address}{route} -H \"Authorization: Bearer $token\"");
    }
    Ok(server.run().await?)
}

async fn story(site: Data<Site>) -> Result<(), Box<dyn Error>> {
    let app = test::init_service(App::new().app_data(site.clone()).configure(routes)).await;
    let step = async |what: &str, request: TestRequest, expected: &str| {
        let response = test::call_service(&app, request.to_request()).await;
        let shown = [header::WWW_AUTHENTICATE, header::RETRY_AFTER, header::CACHE_CONTROL];
        let shown = shown.iter().find_map(|name| response.headers().get(name)?.to_str().ok());
        let seen = [response.status().as_str(), shown.unwrap_or("-")].join(" ");
        assert_eq!(seen, expected, "{what}");
        println!("  ✓ {what}: {seen}");
        test::read_body(response).await
    };
    let login = |name: &str, password: &str| {
        TestRequest::post().uri("/login").set_json(json!({ "name": name, "password": password }))
    };
    step("a wrong password", login("alice", "wrong"), "401 Bearer").await;
    step("an unknown name", login("bob", "correct horse battery"), "401 Bearer").await;
    let body = step("alice logs in", login("alice", "correct horse battery"), "200 no-store").await;
    let body: Value = serde_json::from_slice(&body)?;
    let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap_or_default());
    let with_token = |request: TestRequest| request.append_header(("Authorization", &*bearer));
    let me = || with_token(TestRequest::get().uri("/me"));
    step("her token", me(), "200 -").await;
    step("her token, twice", with_token(me()), "401 Bearer").await;

    // Unwinds while it holds the lock, which poisons it.
    let fail = || panic::resume_unwind(Box::new(site.accounts.lock().is_ok()));
    thread::scope(|scope| scope.spawn(fail).join()).ok();
    step("her token, while the database fails", me(), "503 5").await;
    site.accounts.clear_poison();

    let everywhere = with_token(TestRequest::post().uri("/logout-everywhere"));
    step("she logs out everywhere", everywhere, "204 -").await;
    step("her token", me(), &["401", INVALID_TOKEN].join(" ")).await;
    println!("\nAll responses are as expected.");
    Ok(())
}
