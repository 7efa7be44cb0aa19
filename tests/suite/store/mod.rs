//! The stores conform to `UserStore`, over their own tables and over an application's.
//!
//! `RELATCH_TEST_POSTGRES` holds the URL of a PostgreSQL server (see `tests/cluster/postgres`).
//! Without it, the tests over PostgreSQL print that they are skipped. Without the feature `postgres`,
//! they are not built. If `RELATCH_TEST_PGBOUNCER` holds the URL of a PgBouncer in front of that server
//! (see `tests/pgbouncer/pgbouncer`), most of their stores go through it.

#[cfg(feature = "postgres")]
mod batches;
mod calls;
mod capacity;
mod check;
mod conforming;
pub(crate) mod databases;
mod fields;
#[cfg(feature = "postgres")]
mod hostile;
mod limits;
#[cfg(feature = "postgres")]
mod listener;
#[cfg(feature = "postgres")]
mod lookups;
#[cfg(feature = "postgres")]
mod lost_answers;
#[cfg(feature = "postgres")]
mod lost_connections;
mod migrations;
mod nonconforming;
#[cfg(feature = "postgres")]
mod notifications;
mod options;
mod outages;
mod reads;
mod recipes;
#[cfg(feature = "postgres")]
mod scratch;
mod shapes;
mod triggers;
mod values;

use relatch::store::{Conformance, MemoryStore, NewUser, check_conformance};

pub(crate) const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA";

#[tokio::test]
async fn the_store_in_memory_conforms() {
    let store = MemoryStore::new();
    store.insert(NewUser::with_password_hash("Ada-1", "ada", HASH), ());
    Conformance::new("Ada-1").login("ada").check(&store).await.unwrap();

    let error = check_conformance(&store, "nobody").await.unwrap_err();
    assert!(error.to_string().contains("does not find the user"), "{error}");
    store.set_reachable(false);
    let error = check_conformance(&store, "Ada-1").await.unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
}
