//! A site with accounts: signing up, logging in, "your devices", a new password, a forgotten one,
//! and pages that notice when they are logged out. All of it takes the library's public API alone,
//! on an embedded SQLite file.
//!
//! `cargo run --example site` serves it at `http://localhost:3000`. By the environment:
//!
//! - `PORT`: another port of 127.0.0.1.
//! - `PUBLIC_URL`: what browsers reach it by. With `https://` it is behind one proxy that ends TLS.
//! - `SITE_DATABASE`: a file that is kept, in place of one for this run.
//! - `INTROSPECTION_SECRET`: lets the caller `gateway` introspect tokens.
//! - `ACCESS_SECONDS`: how long an access token lives, 300 otherwise.

mod events;
mod pages;
mod refused;
mod routes;
mod taken_apart;

use std::{
    env::{self, VarError},
    error::Error,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process,
    str::FromStr,
};

use axum::extract::ConnectInfo;
use relatch::{
    Authority, MasterKey,
    axum::{ClientAddress, Cookies},
    service::{CachePolicy, Service},
    store::{SqliteStore, UsersTable},
};
use serde::Deserialize;
use time::Duration;
use tokio::{net::TcpListener, signal, sync::watch};

use self::events::Events;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What of a user's row the pages want at hand.
#[derive(Clone, Deserialize)]
struct Profile {
    login: String,
}

type Web = relatch::axum::Web<Profile>;

/// How late the site may hear of what was changed in the database by hand.
const STALENESS: Duration = Duration::seconds(30);

/// What the handlers share besides the `Web`.
#[derive(Clone)]
struct Site {
    users: SqliteStore<Profile>,
    url: String,
    events: Events,
    /// Closed when the server is about to stop.
    running: watch::Receiver<()>,
}

#[tokio::main]
async fn main() -> Result {
    tracing_subscriber::fmt().with_target(false).with_writer(std::io::stderr).init();
    match setting::<PathBuf>("SITE_DATABASE")? {
        Some(file) => serve(&file).await,
        None => {
            let folder = env::temp_dir().join(format!("relatch-site-{}", process::id()));
            fs::create_dir(&folder)?;
            let outcome = serve(&folder.join("site.sqlite")).await;
            fs::remove_dir_all(&folder)?;
            outcome
        }
    }
}

async fn serve(database: &Path) -> Result {
    let port = setting("PORT")?.unwrap_or(3000);
    let url = setting("PUBLIC_URL")?.unwrap_or_else(|| format!("http://localhost:{port}"));
    let users = SqliteStore::open(database, UsersTable::ready().fields(["login"])).await?;
    users.migrate().await?;
    let events = Events::default();
    let web = web(service(&users, &url, &events)?, &url)?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let (stop, running) = watch::channel(());
    let site = Site { users, url: url.clone(), events, running };
    let app = routes::routes(site, &web).into_make_service_with_connect_info::<SocketAddr>();
    println!("the master key was made just now: a restart logs everybody out");
    println!("listening on {url}");
    let interrupted = async move {
        // Where it cannot be waited for, there is no other way to stop than the hard one.
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        drop(stop);
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(interrupted).await?)
}

fn service(users: &SqliteStore<Profile>, url: &str, events: &Events) -> Result<Service<Profile>> {
    // Yours is kept outside the database, `MasterKey::from_env`.
    let lifetime = Duration::seconds(setting("ACCESS_SECONDS")?.unwrap_or(300));
    let authority =
        Authority::builder(MasterKey::generate("demo")?, url, url).lifetime(lifetime).build()?;
    let events = events.clone();
    Ok(Service::builder(authority, users.clone())
        .cache(CachePolicy::new(STALENESS, 10_000)?)
        .on_event(move |event| events.add(event))
        .build())
}

fn web(service: Service<Profile>, url: &str) -> Result<Web> {
    let web = Web::builder(service);
    let web = match url.starts_with("https://") {
        true => web.cookies(Cookies::new()).client_address(ClientAddress::forwarded_for(1)),
        false => web.cookies(Cookies::new().danger_plain_localhost()).client_address(
            ClientAddress::from_extension(|peer: &ConnectInfo<SocketAddr>| peer.ip()),
        ),
    };
    let web = match setting::<String>("INTROSPECTION_SECRET")? {
        Some(secret) => web.introspection_caller("gateway", secret),
        None => web,
    };
    Ok(web.build()?)
}

/// A setting of the environment, if it is there.
fn setting<T: FromStr<Err: Error + Send + Sync + 'static>>(name: &str) -> Result<Option<T>> {
    match env::var(name) {
        Ok(text) => text.parse().map(Some).map_err(|error| format!("{name}: {error}").into()),
        Err(VarError::NotPresent) => Ok(None),
        Err(error) => Err(format!("{name}: {error}").into()),
    }
}
