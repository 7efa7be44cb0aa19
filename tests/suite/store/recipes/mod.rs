//! The recipes of the guide, `src/guide/recipes.md`, on the databases that they are for. The page is the
//! only place with their SQL, and has each table's description as it is here.

mod altered;
mod columns;
mod databases;
mod deletion;
mod rights;
mod short_hashes;
mod tables;

use relatch::{
    Access, Authority, AuthorityBuilder, MasterKey, RefreshToken, Token, User,
    service::{LoginRefusal, Service, ServiceError},
    store::{UserKey, UserStore},
    throttle::Throttle,
};

#[cfg(feature = "postgres")]
use self::databases::Postgres;
use self::databases::Sqlite;
use crate::{
    common::{AUDIENCE, ISSUER},
    service::PASSWORD,
};

const PAGE: &str = include_str!("../../../../src/guide/recipes.md");

/// The part of the page under this heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// The section's blocks of SQL whose first line is this comment.
fn sql(heading: &str, comment: &str) -> &'static str {
    let blocks = section(heading).split("```sql\n").skip(1);
    let mut found = blocks.filter_map(|block| {
        let (block, _) = block.split_once("```").unwrap();
        let (first, rest) = block.split_once('\n').unwrap();
        (first.strip_prefix("-- ").unwrap() == comment).then_some(rest)
    });
    let sql = found.next().unwrap_or_else(|| panic!("no SQL for {comment}: {heading}"));
    assert!(found.next().is_none(), "two blocks for {comment}: {heading}");
    sql
}

/// The comment above the SQL that both databases take.
const BOTH: &str = "SQLite and PostgreSQL";

/// The user of most recipes.
const ADA: &str = "INSERT INTO accounts (id, email, password_hash) VALUES ('a-1', 'ada', :hash)";

/// A table as the page describes it under this heading.
macro_rules! on_page {
    ($heading:expr, $table:expr) => {{
        let dense = |text: &str| text.split_whitespace().collect::<String>();
        assert!(dense(section($heading)).contains(&dense(stringify!($table))), "{}", $heading);
        $table
    }};
}
use on_page;

fn authority() -> AuthorityBuilder {
    Authority::builder(MasterKey::from_bytes("test", &[7; 32]).unwrap(), ISSUER, AUDIENCE)
}

fn new_service(store: impl UserStore<Fields = ()>) -> Service {
    // The recipes log in often.
    let unlimited = Throttle::danger_unlimited();
    Service::builder(authority().build().unwrap(), store).throttle(unlimited).build()
}

/// A session's tokens, as a client keeps them.
struct Session {
    access: Token<Access>,
    refresh: RefreshToken,
}

impl Session {
    async fn start(service: &Service, login: &str) -> Self {
        let tokens = service.login(login, PASSWORD, "a phone").await.unwrap();
        let (access, refresh) = tokens.into_parts();
        Self { access, refresh }
    }

    async fn refreshed(self, service: &Service) -> Self {
        let (access, refresh) = service.refresh(self.refresh).await.unwrap().into_parts();
        Self { access, refresh }
    }

    async fn assert_lives(&self, service: &Service, id: &str) {
        assert_eq!(service.authenticate(&self.access).await.unwrap().user().id(), id);
    }

    async fn assert_is_dead(self, service: &Service) {
        let error = service.authenticate(&self.access).await.unwrap_err();
        assert_eq!(error.status(), 401, "{error:?}");
        let error = service.refresh(self.refresh).await.unwrap_err();
        assert_eq!(error.status(), 401, "{error:?}");
    }
}

async fn assert_refused(service: &Service, login: &str) {
    let error = service.login(login, PASSWORD, "a phone").await.unwrap_err();
    let unknown = matches!(error, ServiceError::LoginRefused(LoginRefusal::UnknownLogin));
    assert!(unknown, "{login}: {error:?}");
}

async fn id_of(service: &Service, login: &str) -> String {
    service.find(UserKey::Login(login)).await.unwrap().unwrap().id().to_owned()
}

/// The check finds no problem, and these warnings.
async fn assert_only(service: &Service, warnings: &[&str]) {
    let report = service.check().await.unwrap();
    let texts: Vec<_> = report.findings().iter().map(|finding| finding.text()).collect();
    let are_equal = texts.len() == warnings.len()
        && texts.iter().zip(warnings).all(|(text, warning)| text.contains(warning));
    assert!(report.is_ok() && are_equal, "{report}");
}

async fn assert_clean(service: &Service) {
    assert_only(service, &[]).await;
}

/// Every call that an application makes for a user who is there, up to the deletion of the row. Each
/// of the logins is the user's.
async fn serves(service: &Service, logins: &[&str]) {
    let id = id_of(service, logins[0]).await;
    for login in logins {
        let session = Session::start(service, login).await.refreshed(service).await;
        session.assert_lives(service, &id).await;
        service.log_out_everywhere(&id).await.unwrap();
        session.assert_is_dead(service).await;
    }
    let session = Session::start(service, logins[0]).await;
    service.set_password(&id, PASSWORD).await.unwrap();
    session.assert_is_dead(service).await;
    let session = Session::start(service, logins[0]).await;
    service.delete(&id).await.unwrap();
    session.assert_is_dead(service).await;
    assert_refused(service, logins[0]).await;
}
