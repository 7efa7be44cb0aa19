//! Stores of users' records: the trait, ready implementations, and the types they exchange.
//!
//! A [`Service`](crate::service::Service) is made of an authority and a [`UserStore`]. Ready stores
//! are [`MemoryStore`] for tests,
#![cfg_attr(feature = "sqlite", doc = "[`SqliteStore`]")]
#![cfg_attr(not(feature = "sqlite"), doc = "`SqliteStore` (feature `sqlite`)")]
//! for one machine, and
#![cfg_attr(feature = "postgres", doc = "[`PostgresStore`]")]
#![cfg_attr(not(feature = "postgres"), doc = "`PostgresStore` (feature `postgres`)")]
//! for many; both also work on the application's own table of users. For any other storage, an
//! application implements the trait itself.
//!
//! # A store of one's own
//!
//! In this example accounts and credentials are two tables, with a row for each credential. No single
//! statement compares and writes both, so a transaction that holds the write lock from its beginning
//! reads, compares all of the columns, and writes. (In PostgreSQL the read would lock the account by
//! `FOR UPDATE`.) Call [`check_conformance`] in the application's tests.
//!
//! ```
//! use relatch::store::{Columns, UserKey, Row, StoreError, Update, UserStore, check_conformance};
//! use sqlx::{Row as _, SqliteConnection, SqlitePool};
//!
//! struct Accounts(SqlitePool);
//!
//! const READ: &str = "SELECT id, email, epoch, sessions, lanes,
//!     (SELECT value FROM credentials WHERE account = id AND kind = 'password') AS password,
//!     (SELECT value FROM credentials WHERE account = id AND kind = 'secret') AS secret,
//!     (SELECT value FROM credentials WHERE account = id AND kind = 'carried') AS carried
//!     FROM accounts WHERE CASE WHEN $1 THEN CAST(id AS TEXT) ELSE email END = $2";
//!
//! async fn read(db: &mut SqliteConnection, key: UserKey<'_>) -> sqlx::Result<Option<Row>> {
//!     let (by_id, value) = match key {
//!         UserKey::Id(id) => (true, id),
//!         UserKey::Login(email) => (false, email),
//!     };
//!     let query = sqlx::query(READ).bind(by_id).bind(value.to_owned());
//!     let Some(row) = query.fetch_optional(db).await? else { return Ok(None) };
//!     let mut columns = Columns::default();
//!     columns.version = row.try_get("epoch")?;
//!     columns.password_hash = row.try_get("password")?;
//!     columns.secret = row.try_get("secret")?;
//!     columns.carried = row.try_get("carried")?;
//!     columns.sessions = row.try_get("sessions")?;
//!     columns.lanes = row.try_get("lanes")?;
//!     let mut found = Row::new(row.try_get::<i64, _>("id")?.to_string(), columns, ());
//!     found.login = row.try_get("email")?;
//!     Ok(Some(found))
//! }
//!
//! /// Writes the columns that change, and no other: a trigger may be on it.
//! async fn write(db: &mut SqliteConnection, update: &Update) -> sqlx::Result<()> {
//!     let (id, old, new) = (update.id(), update.before(), update.after());
//!     if old.version != new.version {
//!         let query = sqlx::query("UPDATE accounts SET epoch = $2 WHERE id = $1");
//!         query.bind(id.to_owned()).bind(new.version).execute(&mut *db).await?;
//!     }
//!     for (sql, old, new) in [
//!         ("UPDATE accounts SET sessions = $2 WHERE id = $1", &old.sessions, &new.sessions),
//!         ("UPDATE accounts SET lanes = $2 WHERE id = $1", &old.lanes, &new.lanes),
//!         (PASSWORD, &old.password_hash, &new.password_hash),
//!         (SECRET, &old.secret, &new.secret),
//!         (CARRIED, &old.carried, &new.carried),
//!     ] {
//!         if old != new {
//!             let query = sqlx::query(sql).bind(id.to_owned());
//!             query.bind(new.clone()).execute(&mut *db).await?;
//!         }
//!     }
//!     Ok(())
//! }
//!
//! const PASSWORD: &str = "INSERT OR REPLACE INTO credentials VALUES ($1, 'password', $2)";
//! const SECRET: &str = "INSERT OR REPLACE INTO credentials VALUES ($1, 'secret', $2)";
//! const CARRIED: &str = "INSERT OR REPLACE INTO credentials VALUES ($1, 'carried', $2)";
//!
//! impl UserStore for Accounts {
//!     type Fields = ();
//!
//!     async fn read(&self, key: UserKey<'_>) -> Result<Option<Row>, StoreError> {
//!         let mut db = self.0.acquire().await.map_err(StoreError::unreachable)?;
//!         read(&mut db, key).await.map_err(StoreError::unreachable)
//!     }
//!
//!     async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
//!         let run = async {
//!             let mut transaction = self.0.begin_with("BEGIN IMMEDIATE").await?;
//!             let row = read(&mut transaction, UserKey::Id(update.id())).await?;
//!             let is_as_it_was = row.is_some_and(|row| row.columns == *update.before());
//!             if is_as_it_was {
//!                 write(&mut transaction, update).await?;
//!             }
//!             transaction.commit().await.map(|()| is_as_it_was)
//!         };
//!         run.await.map_err(StoreError::unreachable)
//!     }
//!
//!     async fn delete(&self, id: &str) -> Result<bool, StoreError> {
//!         let delete = "DELETE FROM accounts WHERE CAST(id AS TEXT) = $1";
//!         let query = sqlx::query(delete).bind(id.to_owned()).execute(&self.0);
//!         Ok(query.await.map_err(StoreError::unreachable)?.rows_affected() > 0)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::env::temp_dir().join(format!("relatch-own-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! # let url = format!("sqlite://{}?mode=rwc", directory.join("accounts.sqlite").display());
//! let accounts = Accounts(SqlitePool::connect(&url).await?);
//! # let schema = "CREATE TABLE accounts (id INTEGER PRIMARY KEY, email TEXT UNIQUE,
//! #                   epoch BIGINT, sessions TEXT, lanes TEXT);
//! #               CREATE TABLE credentials (account INTEGER REFERENCES accounts ON DELETE CASCADE,
//! #                   kind TEXT, value TEXT, PRIMARY KEY (account, kind));
//! #               INSERT INTO accounts (id, email) VALUES (1, 'scratch@example.com')";
//! # sqlx::raw_sql(schema).execute(&accounts.0).await?;
//! check_conformance(&accounts, "1").await?;
//! # accounts.0.close().await;
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok(())
//! # }
//! ```

mod changes;
mod check;
mod conformance;
mod erased;
mod error;
mod lanes;
mod locked;
mod memory;
mod row;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
mod stored_user;
mod user_store;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use self::sql::InTransaction;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::sql::{
    limits::SqlLimits,
    users_table::{GroupsTable, IdType, UsersTable},
};
#[cfg(feature = "postgres")]
pub use self::sql::{listener::Listener, options::PostgresOptions, postgres::PostgresStore};
#[cfg(feature = "sqlite")]
pub use self::sql::{options::SqliteOptions, sqlite::SqliteStore};
pub use self::{
    changes::Changes,
    check::{CheckReport, Finding, MigrationPhase, Severity},
    conformance::{Conformance, Nonconformance, check_conformance},
    error::{StoreError, StoreErrorKind},
    lanes::Lanes,
    locked::Locked,
    memory::MemoryStore,
    row::{Columns, NewUser, Row, Update, UserEpoch, UserKey},
    stored_user::StoredUser,
    user_store::UserStore,
};
pub(crate) use self::{
    changes::{ChangeSink, Listening},
    erased::ErasedStore,
    locked::RowLock,
    stored_user::Record,
};
