//! The new application: the old one, on relatch. Until the end of the switch it keeps the old code.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use relatch::{
    AccessToken, Authority, ConfigError, Context, MasterKey, RefreshToken, SessionTokens,
    User as _,
    authority::Adoption,
    axum::{Authenticated, Refusal, Web},
    password::{Bcrypt, PasswordError, PasswordHasher},
    service::{Client, Service, ServiceError},
    store::{PostgresStore, SqliteStore, UsersTable},
};
use time::OffsetDateTime;

use crate::{
    Failure,
    instance::{Config, Mode},
    plain::{self, Plain},
    requests::{Login, NewPassword, Refresh, bearer},
};

/// The master key of the tests.
const KEY: &str = "c3dpdGNoaW5nIHN3aXRjaGluZyBzd2l0Y2hpbmc0ODY";

pub fn accounts() -> UsersTable {
    UsersTable::named("accounts").login("email")
}

/// The path of the file in SQLite's URL.
pub fn sqlite_file(url: &str) -> &str {
    let path = url.strip_prefix("sqlite://").unwrap_or(url);
    path.split('?').next().unwrap_or(path)
}

/// Accepts the plain tokens of users whose version is `NULL`.
fn adopting(
    key: MasterKey,
    old_secret: &[u8],
    until: OffsetDateTime,
) -> Result<Authority, ConfigError> {
    let adoption = Adoption::hs256(old_secret, 0, until);
    Authority::builder(key, "https://login.example.com", "https://api.example.com")
        .adopt(adoption)
        .build()
}

/// Reads the old hashes too, and replaces each at its user's next login.
fn hasher() -> Result<PasswordHasher, PasswordError> {
    Ok(PasswordHasher::new().also_verifies(Bcrypt::new(plain::COST)?))
}

/// Exchanges an old refresh token, once, for a session.
async fn exchange(
    service: &Service,
    old: &Plain,
    account: &str,
    refresh_token: &str,
    client: Client,
) -> Result<Option<SessionTokens>, Refused> {
    let tokens = service.adopt_session(account, 0, client).await?;
    if old.delete(refresh_token).await? {
        return Ok(Some(tokens));
    }
    // Another request has exchanged it.
    service.revoke(tokens.refresh().expose(), Context::new()).await?;
    Ok(None)
}

struct New {
    web: Web,
    /// The old code. After the switch, only its insertion of an account is left.
    old: Plain,
    mode: Mode,
}

type App = State<Arc<New>>;

pub async fn router(config: &Config) -> Result<Router, Failure> {
    let key = MasterKey::from_base64("2026-11", KEY)?;
    let authority = match config.adopt_until {
        Some(until) => {
            let until = OffsetDateTime::from_unix_timestamp(until)?;
            adopting(key, config.secret.as_bytes(), until)?
        }
        None => Authority::new(key, "https://login.example.com", "https://api.example.com")?,
    };
    let service = match config.url.starts_with("sqlite:") {
        true => {
            let file = sqlite_file(&config.url);
            Service::builder(authority, SqliteStore::open(file, accounts()).await?)
        }
        false => {
            Service::builder(authority, PostgresStore::connect(&config.url, accounts()).await?)
        }
    };
    let service = service.hasher(hasher()?).build();
    // Never `migrate` at the start of an instance, while old ones run.
    drop(service.check().await?.into_result()?);
    let web = Web::builder(service).build()?;
    let layer = web.layer();
    let app = Arc::new(New { web, old: Plain::open(config).await?, mode: config.mode });
    Ok(Router::new()
        .route("/signup", post(sign_up))
        .route("/login", post(log_in))
        .route("/refresh", post(refresh))
        .route("/me", get(async |Authenticated(me): Authenticated| me.user().id().to_owned()))
        .route("/password", post(change_password))
        .route("/logout", post(log_out))
        .with_state(app)
        .layer(layer))
}

impl New {
    /// The old code, if it still issues this account's tokens: relatch has not changed the account's row.
    /// `column` is `id` or `email`.
    async fn old_for(&self, column: &'static str, value: &str) -> Result<Option<&Plain>, Failure> {
        let is_old = self.mode == Mode::NewIssuingPlain;
        match is_old && !self.old.is_relatchs(column, value).await? {
            true => Ok(Some(&self.old)),
            false => Ok(None),
        }
    }

    fn granted(&self, request: &Parts, tokens: SessionTokens) -> Result<Response, Refused> {
        Ok(self.web.grant(request, tokens)?.into_response())
    }
}

async fn sign_up(
    State(app): App,
    request: Parts,
    Json(new): Json<Login>,
) -> Result<Response, Refused> {
    let service = app.web.service();
    let old = app.old_for("email", &new.email).await?;
    let hash = match old {
        Some(_) => plain::hash(&new.password).await?,
        None => service.hash_password(&new.password).await?,
    };
    // Its version is NULL until the migration is complete; then the database sets it.
    let Some(id) = app.old.insert(&new.email, &hash).await? else {
        return Ok(StatusCode::CONFLICT.into_response());
    };
    match old {
        Some(old) => Ok(Json(old.issue(&id).await?).into_response()),
        None => app.granted(&request, service.start_session(&id, app.web.client(&request)).await?),
    }
}

async fn log_in(
    State(app): App,
    request: Parts,
    Json(login): Json<Login>,
) -> Result<Response, Refused> {
    let Login { email, password } = login;
    if let Some(old) = app.old_for("email", &email).await? {
        return Ok(match old.log_in(&email, &password).await? {
            Some(id) => Json(old.issue(&id).await?).into_response(),
            None => StatusCode::UNAUTHORIZED.into_response(),
        });
    }
    let client = app.web.client(&request);
    app.granted(&request, app.web.service().login(&email, &password, client).await?)
}

async fn refresh(
    State(app): App,
    request: Parts,
    Json(Refresh { refresh_token }): Json<Refresh>,
) -> Result<Response, Refused> {
    let service = app.web.service();
    let account = match app.mode {
        Mode::Switched => None,
        _ => app.old.owner(&refresh_token).await?,
    };
    let Some(account) = account else {
        let tokens = service.refresh(RefreshToken::new(refresh_token)).await?;
        return app.granted(&request, tokens);
    };
    if let Some(old) = app.old_for("id", &account).await? {
        return Ok(match old.rotate(&refresh_token).await? {
            Some(tokens) => Json(tokens).into_response(),
            None => StatusCode::UNAUTHORIZED.into_response(),
        });
    }
    match exchange(service, &app.old, &account, &refresh_token, app.web.client(&request)).await? {
        Some(tokens) => app.granted(&request, tokens),
        None => Ok(StatusCode::UNAUTHORIZED.into_response()),
    }
}

async fn change_password(
    State(app): App,
    Authenticated(me): Authenticated,
    request: Parts,
    Json(change): Json<NewPassword>,
) -> Result<Response, Refused> {
    let NewPassword { password, new_password } = change;
    if let Some(old) = app.old_for("id", me.user().id()).await? {
        return Ok(match old.change_password(me.user().id(), &password, &new_password).await? {
            Some(tokens) => Json(tokens).into_response(),
            None => StatusCode::FORBIDDEN.into_response(),
        });
    }
    // A plain token is exchanged for a session here.
    let token = AccessToken::new(bearer(&request.headers).unwrap_or_default());
    let service = app.web.service();
    app.granted(&request, service.change_password(&token, &password, &new_password).await?)
}

async fn log_out(
    State(app): App,
    Authenticated(me): Authenticated,
    request: Parts,
    Json(Refresh { refresh_token }): Json<Refresh>,
) -> Result<Response, Refused> {
    match app.old_for("id", me.user().id()).await? {
        Some(old) => {
            old.delete(&refresh_token).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        // A plain token is logged out everywhere.
        None => Ok(app.web.log_out(&request).await?.into_response()),
    }
}

/// A response instead of what was asked for.
pub struct Refused(Box<Response>);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(refusal.into_response()))
    }
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        if error.status() >= 500 {
            eprintln!("new: {error:?}");
        }
        Refusal::from(error).into()
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(Box::new(failure.into_response()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}
