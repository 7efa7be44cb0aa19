//! One small answer behind three routes: without authentication, with relatch's, and with a plain
//! `jsonwebtoken::decode`, which revokes nothing.
//!
//! `benches/web/web.py` starts it and puts load on it. It writes the tokens for the routes, one per
//! line, into the folder of its argument, and then prints its address.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

#[allow(dead_code, reason = "here a wrong token is no panic")]
#[path = "../shared/plain.rs"]
mod plain;

use std::{env, fs, path::PathBuf, sync::Arc};

use axum::{
    Json, Router,
    extract::{FromRef, FromRequestParts},
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
    routing::get,
};
use relatch::{
    BindingMode, User,
    axum::{Authenticated, ClientAddress, Web},
    service::{CachePolicy, Service},
    sessions::SessionInfo,
    store::{MemoryStore, NewUser, StoredUser},
};
use relatch_benches::{Claims, authority, user_id};
use serde::Serialize;
use time::Duration;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use crate::plain::{Plain, PlainJwt};

/// The users, whose tokens come in turn.
const USERS: usize = 10_000;

fn main() {
    // By name: another package of the build may enable the other provider too.
    jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default().unwrap();
    let folder = PathBuf::from(env::args_os().nth(1).expect("a folder for the tokens"));
    runtime().block_on(serve(folder));
}

/// A runtime with one thread per processor that the process may use.
fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

async fn serve(folder: PathBuf) {
    let (web, tokens) = log_in().await;
    fs::write(folder.join("relatch"), tokens.join("\n")).unwrap();
    let plain = PlainJwt::new();
    let tokens: Vec<_> = (0..USERS).map(|user| plain.encode(&Plain::of(user))).collect();
    fs::write(folder.join("plain"), tokens.join("\n")).unwrap();

    let app = Router::new()
        .route("/open", get(open))
        .route("/me", get(me))
        .route("/decode", get(decode))
        .layer(web.layer())
        .with_state(Arc::new(plain));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!("listening on {}", listener.local_addr().unwrap());
    axum::serve(listener, app).await.unwrap();
}

/// The answer of each route.
#[derive(Serialize)]
struct Answer {
    role: String,
}

async fn open() -> Json<Answer> {
    Json(Answer { role: Claims::of(0).role })
}

async fn me(Authenticated(session): Authenticated<(), Claims>) -> Json<Answer> {
    let (_, claims, _) = session.into_parts();
    Json(Answer { role: claims.role })
}

async fn decode(Decoded(claims): Decoded) -> Json<Answer> {
    Json(Answer { role: claims.role })
}

/// The extractor of an application with plain tokens.
struct Decoded(Plain);

impl<S> FromRequestParts<S> for Decoded
where
    S: Sync,
    Arc<PlainJwt>: FromRef<S>,
{
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|text| text.strip_prefix("Bearer "));
        let PlainJwt { decoding, validation, .. } = &*Arc::<PlainJwt>::from_ref(state);
        match jsonwebtoken::decode(token.unwrap_or_default(), decoding, validation) {
            Ok(decoded) => Ok(Self(decoded.claims)),
            Err(_) => Err(StatusCode::UNAUTHORIZED),
        }
    }
}

/// A service whose cache has every user's record, and the users' tokens.
async fn log_in() -> (Web<(), Claims>, Vec<String>) {
    let store = MemoryStore::new();
    // Twice the users, so it is never full.
    let policy = CachePolicy::new(Duration::HOUR, 2 * USERS).unwrap();
    let service = Service::builder(authority(BindingMode::Key), store.clone())
        .claims(claims)
        .cache(policy)
        .build();
    let mut tokens = Vec::with_capacity(USERS);
    for user in 0..USERS {
        let id = user_id(user);
        assert!(store.insert(NewUser::without_password(&id, &id).unwrap(), ()));
        let (access, _) =
            service.start_session(&id, "Firefox on Linux").await.unwrap().into_parts();
        drop(service.authenticate(&access).await.unwrap());
        tokens.push(access.expose().to_owned());
    }
    let address = ClientAddress::forwarded_for(1);
    (Web::builder(service).client_address(address).build().unwrap(), tokens)
}

/// The claims of a plain token of the user.
fn claims(user: &StoredUser, _: Option<&SessionInfo>) -> Claims {
    Claims::of(usize::from_str_radix(&user.id()[..8], 16).unwrap())
}
