//! The application's database: a row a user, and one statement that changes what tokens are bound
//! to.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use relatch::{
    Binding, Carried, Change, Counter, Purpose, SessionTable, User,
    one_time::{EmailConfirmation, MagicLink},
};
use sqlx::{
    Row, SqlitePool,
    error::BoxDynError,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow},
};

/// A row of the users' table.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) email: String,
    /// To be confirmed.
    pub(crate) new_email: Option<String>,
    pub(crate) password_hash: String,
    pub(crate) carried: Option<Carried>,
    pub(crate) token_version: i64,
    pub(crate) sessions: SessionTable,
    pub(crate) magic_lane: Option<i64>,
    pub(crate) email_lane: Option<i64>,
}

impl User for Account {
    fn id(&self) -> &str {
        &self.id
    }

    fn sessions(&self) -> Option<&SessionTable> {
        Some(&self.sessions)
    }

    fn binding(&self) -> Binding<'_> {
        Binding::password_hash(&self.password_hash).version(self.token_version)
    }

    /// `NULL` is a counter too, the initial one.
    fn lane(&self, typ: &str) -> Option<Counter> {
        match typ {
            <MagicLink>::TYP => Some(self.magic_lane.into()),
            <EmailConfirmation>::TYP => Some(self.email_lane.into()),
            _ => None,
        }
    }

    fn carried(&self) -> Option<&Carried> {
        self.carried.as_ref()
    }
}

impl Account {
    /// The record as a decision's change makes it.
    fn after(&self, change: &Change) -> Self {
        let lane = |typ, present| change.lane(typ).map(Counter::get).or(present);
        Self {
            token_version: change.version().get(),
            sessions: change.sessions().cloned().unwrap_or_default(),
            magic_lane: lane(<MagicLink>::TYP, self.magic_lane),
            email_lane: lane(<EmailConfirmation>::TYP, self.email_lane),
            ..self.clone()
        }
    }

    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let sessions: Option<&str> = row.try_get("sessions")?;
        let carried: Option<&str> = row.try_get("carried")?;
        Ok(Self {
            id: row.try_get("id")?,
            email: row.try_get("email")?,
            new_email: row.try_get("new_email")?,
            password_hash: row.try_get("password_hash")?,
            carried: carried.map(str::parse).transpose().map_err(damaged("carried"))?,
            token_version: row.try_get("token_version")?,
            // Not to be mended here: an empty table in its place would log everybody in it out.
            sessions: SessionTable::from_column(sessions).map_err(damaged("sessions"))?,
            magic_lane: row.try_get("magic_lane")?,
            email_lane: row.try_get("email_lane")?,
        })
    }
}

fn damaged<E: Into<BoxDynError>>(column: &str) -> impl FnOnce(E) -> sqlx::Error {
    move |error| sqlx::Error::ColumnDecode { index: column.into(), source: error.into() }
}

fn text(carried: Option<&Carried>) -> Option<String> {
    carried.map(|carried| carried.expose_text().to_string())
}

pub(crate) struct Db {
    pub(crate) pool: SqlitePool,
    pub(crate) reads: AtomicUsize,
    /// Compare-and-sets that found the record changed by somebody else.
    pub(crate) lost: AtomicUsize,
}

impl Db {
    pub(crate) async fn create(path: &Path) -> sqlx::Result<Self> {
        let file = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let pool = SqlitePoolOptions::new().connect_with(file).await?;
        let table = "CREATE TABLE users (
            id TEXT PRIMARY KEY, email TEXT NOT NULL, new_email TEXT,
            password_hash TEXT NOT NULL, carried TEXT, token_version BIGINT NOT NULL,
            sessions TEXT, magic_lane BIGINT, email_lane BIGINT
        )";
        sqlx::query(table).execute(&pool).await?;
        Ok(Self { pool, reads: AtomicUsize::new(0), lost: AtomicUsize::new(0) })
    }

    pub(crate) async fn insert(
        &self,
        (id, email): (&str, &str),
        hash: &str,
        version: Counter,
    ) -> sqlx::Result<()> {
        let sql = "INSERT INTO users (id, email, password_hash, token_version) VALUES (?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(id).bind(email).bind(hash).bind(version.get());
        query.execute(&self.pool).await.map(drop)
    }

    pub(crate) async fn find(&self, id: &str) -> sqlx::Result<Option<Account>> {
        let query = sqlx::query("SELECT * FROM users WHERE id = ?").bind(id);
        let row = query.fetch_optional(&self.pool).await?;
        self.reads.fetch_add(1, Ordering::SeqCst);
        row.as_ref().map(Account::from_row).transpose()
    }

    /// Stores a decision's change, together with what the application itself makes of the record,
    /// unless the record is no longer the one that was read. Whether it did.
    ///
    /// Every write of a column that tokens are bound to goes through here, so none undoes another.
    pub(crate) async fn compare_and_set(
        &self,
        read: &Account,
        change: &Change,
        edited: &Account,
    ) -> sqlx::Result<bool> {
        let next = edited.after(change);
        let stored = sqlx::query(
            "UPDATE users
                SET email = ?, new_email = ?, password_hash = ?, carried = ?,
                    token_version = ?, sessions = ?, magic_lane = ?, email_lane = ?
              WHERE id = ? AND email = ? AND new_email IS ? AND password_hash = ? AND carried IS ?
                AND token_version = ? AND sessions IS ? AND magic_lane IS ? AND email_lane IS ?",
        )
        .bind(&next.email)
        .bind(&next.new_email)
        .bind(&next.password_hash)
        .bind(text(next.carried.as_ref()))
        .bind(next.token_version)
        .bind(next.sessions.to_column())
        .bind(next.magic_lane)
        .bind(next.email_lane)
        .bind(&read.id)
        .bind(&read.email)
        .bind(&read.new_email)
        .bind(&read.password_hash)
        .bind(text(read.carried.as_ref()))
        .bind(read.token_version)
        .bind(read.sessions.to_column())
        .bind(read.magic_lane)
        .bind(read.email_lane)
        .execute(&self.pool)
        .await?
        .rows_affected()
            == 1;
        self.lost.fetch_add(usize::from(!stored), Ordering::SeqCst);
        Ok(stored)
    }

    /// No token is bound to this column but by a link's context.
    pub(crate) async fn set_new_email(&self, id: &str, email: &str) -> sqlx::Result<()> {
        let query = sqlx::query("UPDATE users SET new_email = ? WHERE id = ?").bind(email).bind(id);
        query.execute(&self.pool).await.map(drop)
    }
}
