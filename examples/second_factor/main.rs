//! A web site with second factors: a password, then a code of an authenticator app (TOTP, RFC 6238),
//! a passkey (WebAuthn) or a recovery code. It uses `totp-rs`, `webauthn-rs` and an embedded SQLite
//! file.
//!
//! `cargo run -p relatch-examples --example second_factor --features second-factor` serves it at
//! `http://localhost:3000`. Environment variables:
//!
//! - `PORT`: the port on 127.0.0.1; 3000 by default.
//! - `SITE_DATABASE`: the database file. By default the site makes a temporary one and deletes it
//!   at the end.
//!
//! Passkeys belong to the host `localhost`: open the site by that name, and not by `127.0.0.1`.

mod ceremonies;
mod error_pages;
mod factors;
mod pages;
mod routes;
mod totp;

use std::{
    env,
    error::Error,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use axum::extract::ConnectInfo;
use relatch::{
    Authority, MasterKey,
    axum::{ClientAddress, Cookies},
    service::Service,
    store::{SqliteStore, UsersTable},
};
use serde::Deserialize;
use tokio::{net::TcpListener, signal};
use webauthn_rs::{
    Webauthn, WebauthnBuilder,
    prelude::{PasskeyAuthentication, Url},
};

use self::{ceremonies::Ceremonies, factors::FactorStore, routes::enrol::Enrolment};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The columns of a user's row that the pages use.
#[derive(Clone, Deserialize)]
struct Profile {
    login: String,
}

type Web = relatch::axum::Web<Profile>;

/// State of the handlers, besides the `Web`.
#[derive(Clone)]
struct Site(Arc<Parts>);

struct Parts {
    users: SqliteStore<Profile>,
    factors: FactorStore,
    webauthn: Webauthn,
    enrolments: Ceremonies<Enrolment>,
    passkey_logins: Ceremonies<PasskeyAuthentication>,
}

impl std::ops::Deref for Site {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

#[tokio::main]
async fn main() -> Result {
    tracing_subscriber::fmt().with_target(false).with_writer(std::io::stderr).init();
    match env::var_os("SITE_DATABASE").map(PathBuf::from) {
        Some(file) => serve(&file).await,
        None => {
            let folder = env::temp_dir().join(format!("relatch-second-factor-{}", process::id()));
            fs::create_dir(&folder)?;
            let outcome = serve(&folder.join("site.sqlite")).await;
            fs::remove_dir_all(&folder)?;
            outcome
        }
    }
}

async fn serve(database: &Path) -> Result {
    let port = env::var("PORT").map_or(Ok(3000), |text| text.parse())?;
    let url = format!("http://localhost:{port}");
    let users = SqliteStore::open(database, UsersTable::ready().fields(["login"])).await?;
    users.migrate().await?;
    let factors = FactorStore::open(users.clone()).await?;

    // In production, keep the key outside the database and load it with `MasterKey::from_env`.
    let authority = Authority::builder(MasterKey::generate("demo")?, &url, &url).build()?;
    let web = Web::builder(Service::new(authority, users.clone()))
        .cookies(Cookies::new().danger_plain_localhost())
        .client_address(ClientAddress::from_extension(|peer: &ConnectInfo<SocketAddr>| peer.ip()))
        .build()?;

    let site = Site(Arc::new(Parts {
        users,
        factors,
        webauthn: WebauthnBuilder::new("localhost", &Url::parse(&url)?)?.rp_name(NAME).build()?,
        enrolments: Ceremonies::default(),
        passkey_logins: Ceremonies::default(),
    }));
    let app = routes::routes(site, &web).into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on {url}");
    let interrupted = async {
        // Without a signal handler there is no graceful shutdown; the process can still be killed.
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(interrupted).await?)
}

/// The name of the site in authenticator apps and in the browser's passkey dialogues.
const NAME: &str = "relatch demo";
