//! A web site with accounts: sign up, log in, list your devices, change or reset a password, and
//! pages that notice when their session ends. It uses only the public API of the library and an
//! embedded SQLite file.
//!
//! `cargo run --example site` serves it at `http://localhost:3000`. Environment variables:
//!
//! - `PORT`: the port on 127.0.0.1; 3000 by default.
//! - `PUBLIC_URL`: the URL that browsers use. With `https://`, the site expects to run behind one
//!   proxy that terminates TLS.
//! - `SITE_DATABASE`: the database file. By default the site makes a temporary one and deletes it
//!   at the end.
//! - `INTROSPECTION_SECRET`: allows the caller `gateway` to introspect tokens, with this secret.
//! - `APP_ORIGIN`: the origin of an application on another host of the same site, whose scripts may use
//!   this site's endpoints with its cookies.
//! - `ACCESS_SECONDS`: the lifetime of an access token in seconds; 300 by default.

mod decode_token;
mod error_pages;
mod events;
mod pages;
mod routes;

use std::{
    env::{self, VarError},
    error::Error,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process,
    str::FromStr,
};

use axum::{
    extract::ConnectInfo,
    http::{
        HeaderValue, Method,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
};
use relatch::{
    Authority, MasterKey,
    axum::{ClientAddress, Cookies},
    service::{CachePolicy, NewDevice, Service},
    store::{SqliteStore, UsersTable},
};
use serde::Deserialize;
use time::Duration;
use tokio::{net::TcpListener, signal, sync::watch};
use tower_http::cors::CorsLayer;

use self::events::Events;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The columns of a user's row that the pages use.
#[derive(Clone, Deserialize)]
struct Profile {
    login: String,
}

type Web = relatch::axum::Web<Profile>;

/// The longest time until the site notices a change made directly in the database.
const STALENESS: Duration = Duration::seconds(30);

/// State of the handlers, besides the `Web`.
#[derive(Clone)]
struct Site {
    users: SqliteStore<Profile>,
    url: String,
    events: Events,
    /// Closes when the server begins to shut down.
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
    let app = routes::routes(site, &web).layer(cors(setting("APP_ORIGIN")?));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    println!("the master key is new in each run: a restart logs all users out");
    println!("listening on {url}");
    println!("open it in two browsers: sign up in one, log in in the other, log the first one out");
    let interrupted = async move {
        // Without a signal handler there is no graceful shutdown; the process can still be killed.
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        drop(stop);
    };
    Ok(axum::serve(listener, app).with_graceful_shutdown(interrupted).await?)
}

fn service(users: &SqliteStore<Profile>, url: &str, events: &Events) -> Result<Service<Profile>> {
    // In production, keep the key outside the database and load it with `MasterKey::from_env`.
    let lifetime = Duration::seconds(setting("ACCESS_SECONDS")?.unwrap_or(300));
    let authority =
        Authority::builder(MasterKey::generate("demo")?, url, url).lifetime(lifetime).build()?;
    let events = events.clone();
    Ok(Service::builder(authority, users.clone())
        .cache(CachePolicy::new(STALENESS, 10_000)?)
        .on_event(move |event| events.add(event))
        .on_new_device(print_notice(url.to_owned()))
        .build())
}

/// Prints the notice of a login on a new device. A production site sends it by mail.
fn print_notice(url: String) -> impl Fn(&NewDevice<'_, Profile>) {
    move |login| {
        let (to, label) = (login.user().login().unwrap_or_default(), login.session().label());
        let link = login.link().expose();
        println!("notice for {to}: a login on {label:?}. Not you? {url}/not-me?token={link}");
    }
}

fn web(service: Service<Profile>, url: &str) -> Result<Web> {
    let web = Web::builder(service);
    let web = match url.starts_with("https://") {
        true => web.cookies(Cookies::new()).client_address(ClientAddress::forwarded_for(1)),
        false => web.cookies(Cookies::new().danger_plain_localhost()).client_address(
            ClientAddress::from_extension(|peer: &ConnectInfo<SocketAddr>| peer.ip()),
        ),
    };
    let web = match setting::<String>("APP_ORIGIN")? {
        Some(origin) => web.trust_origin(origin),
        None => web,
    };
    let web = match setting::<String>("INTROSPECTION_SECRET")? {
        Some(secret) => web.introspection_caller("gateway", secret),
        None => web,
    };
    Ok(web.build()?)
}

/// Lets the scripts of this origin send requests with cookies, and read the responses. It answers
/// preflights itself, so it is outside the layer of the web.
fn cors(origin: Option<HeaderValue>) -> CorsLayer {
    match origin {
        Some(origin) => CorsLayer::new()
            .allow_origin(origin)
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([CONTENT_TYPE])
            .expose_headers([RETRY_AFTER]),
        None => CorsLayer::new(),
    }
}

/// An environment variable, parsed; `None` if it is not set.
fn setting<T: FromStr<Err: Error + Send + Sync + 'static>>(name: &str) -> Result<Option<T>> {
    match env::var(name) {
        Ok(text) => text.parse().map(Some).map_err(|error| format!("{name}: {error}").into()),
        Err(VarError::NotPresent) => Ok(None),
        Err(error) => Err(format!("{name}: {error}").into()),
    }
}
