//! Counts of password attempts in a table.

use std::num::NonZeroU32;

use relatch::{
    Authority, MasterKey,
    service::{Client, Service, ServiceError},
    store::{SqlLimits, SqliteStore, UserStore, UsersTable},
    throttle::{Limit, Throttle},
};
use sqlx::SqlitePool;
use time::Duration;

use super::databases::Directory;
#[cfg(feature = "postgres")]
use super::databases::{PostgresStore, postgres, run_postgres, unique};
use crate::common::in_time;

/// A service as another process has it: with counts in memory of its own.
fn service(store: impl UserStore<Fields = ()>, limits: SqlLimits) -> Service {
    let key = MasterKey::from_bytes("k", &[7; 32]).unwrap();
    let authority = Authority::new(key, "https://a.example", "https://a.example").unwrap();
    let throttle = Throttle::new()
        .per_account(Limit::new(NonZeroU32::new(3).unwrap(), Duration::HOUR))
        .shared(limits);
    Service::builder(authority, store).throttle(throttle).build()
}

/// The attempts that are allowed, and the longest time to wait.
async fn attempts(services: &[Service], name: &str) -> (u32, Duration) {
    let (mut allowed, mut longest) = (0, Duration::ZERO);
    // The second address tells whether a refused attempt counts.
    for (n, service) in (0..9).zip(services.iter().cycle()) {
        let client = Client::new("phone").address([192, 0, 2, n].into());
        match service.admit(name, &client).await {
            Ok(()) => allowed += 1,
            Err(ServiceError::TooManyAttempts { retry_after }) => {
                longest = longest.max(retry_after)
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    (allowed, longest)
}

/// A database with the table of counts.
async fn sqlite() -> (Directory, SqlitePool, SqliteStore) {
    let directory = Directory::new();
    let pool = directory.pool().await;
    let store = SqliteStore::new(pool.clone(), UsersTable::ready()).unwrap();
    for _ in 0..2 {
        store.migrate_limits().await.unwrap();
    }
    (directory, pool, store)
}

/// A schema with the table of counts, which is in the schema of the users' table.
#[cfg(feature = "postgres")]
async fn in_postgres() -> Option<(sqlx::PgPool, String, relatch::store::PostgresStore)> {
    let pool = postgres().await?;
    let schema = unique("limits");
    run_postgres(&pool, format!("CREATE SCHEMA {schema}")).await;
    let table = UsersTable::named(&format!("{schema}.users"));
    let store = PostgresStore::new(pool.clone(), table).unwrap();
    for _ in 0..2 {
        store.migrate_limits().await.unwrap();
    }
    Some((pool, schema, store))
}

#[tokio::test]
async fn processes_share_the_counts_in_sqlite() {
    let (_directory, pool, store) = sqlite().await;
    let services = [(); 3].map(|()| service(store.clone(), store.limits()));
    let (allowed, longest) = attempts(&services, "alice").await;
    assert_eq!(allowed, 3);
    assert!((Duration::minutes(59)..=Duration::HOUR).contains(&longest), "{longest}");
    assert_eq!(attempts(&services, "bob").await.0, 3);

    // Two hours later, for processes that have just started.
    let earlier = "UPDATE relatch_limits SET arrival = arrival - 7200000000";
    sqlx::query(earlier).execute(&pool).await.unwrap();
    let services = [(); 3].map(|()| service(store.clone(), store.limits()));
    assert_eq!(attempts(&services, "alice").await.0, 2);
}

/// The clock was a day ahead, and was set back; or the limit was greater.
#[tokio::test]
async fn a_clock_that_was_set_back_locks_nobody_out_in_sqlite() {
    let (_directory, pool, store) = sqlite().await;
    let services = || [(); 3].map(|()| service(store.clone(), store.limits()));
    assert_eq!(attempts(&services(), "alice").await.0, 3);
    let ahead = "UPDATE relatch_limits SET arrival = arrival + 86400000000";
    sqlx::query(ahead).execute(&pool).await.unwrap();
    assert_eq!(attempts(&services(), "alice").await.0, 3);
    // Clocks differ by some seconds.
    let ahead = "UPDATE relatch_limits SET arrival = arrival + 30000000";
    sqlx::query(ahead).execute(&pool).await.unwrap();
    assert_eq!(attempts(&services(), "alice").await.0, 0);
}

#[tokio::test]
async fn without_the_table_the_counts_in_memory_decide() {
    let directory = Directory::new();
    let store = SqliteStore::<()>::new(directory.pool().await, UsersTable::ready()).unwrap();
    let service = [service(store.clone(), store.limits())];
    assert_eq!(attempts(&service, "alice").await.0, 3);
    assert!(store.limits_sql().contains("relatch_limits"));
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn processes_share_the_counts_in_postgres() {
    let Some((pool, schema, store)) = in_postgres().await else { return };
    let services = [(); 3].map(|()| service(store.clone(), store.limits()));
    let (allowed, longest) = attempts(&services, "alice").await;
    assert_eq!(allowed, 3);
    assert!((Duration::minutes(59)..=Duration::HOUR).contains(&longest), "{longest}");
    assert_eq!(attempts(&services, "bob").await.0, 3);

    let earlier = format!("UPDATE {schema}.relatch_limits SET arrival = arrival - 7200000000");
    run_postgres(&pool, earlier).await;
    let services = [(); 3].map(|()| service(store.clone(), store.limits()));
    assert_eq!(attempts(&services, "alice").await.0, 2);

    // The clock was a day ahead, and was set back.
    let ahead =
        |micros: i64| format!("UPDATE {schema}.relatch_limits SET arrival = arrival + {micros}");
    run_postgres(&pool, ahead(86_400_000_000)).await;
    let services = || [(); 3].map(|()| service(store.clone(), store.limits()));
    assert_eq!(attempts(&services(), "alice").await.0, 3);
    run_postgres(&pool, ahead(30_000_000)).await;
    assert_eq!(attempts(&services(), "alice").await.0, 0);

    // Processes that count for the first time at once.
    let services = [(); 8].map(|()| service(store.clone(), store.limits()));
    let client = Client::new("phone");
    let calls = services.iter().map(|service| service.admit("carol", &client));
    let outcomes = futures_util::future::join_all(calls).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    run_postgres(&pool, format!("DROP SCHEMA {schema} CASCADE")).await;
}

/// Lets the next attempt delete unused rows, which it does once a minute.
async fn a_minute_later() {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    tokio::time::resume();
}

/// Waits until `rows` are this many.
async fn until(count: i64, rows: impl AsyncFn() -> i64) {
    in_time(async {
        while rows().await != count {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Attempts at Alice's account, whose rows are then out of use, and a later one at Bob's, which has one.
async fn unused_rows_are_deleted(
    service: Service,
    pass: impl AsyncFnOnce(),
    rows: impl AsyncFn() -> i64,
) {
    attempts(std::slice::from_ref(&service), "alice").await;
    let unused = rows().await;
    assert!(unused > 3, "{unused}");
    pass().await;
    let client = Client::new("phone");
    service.admit("bob", &client).await.unwrap();
    assert_eq!(rows().await, unused + 1, "not with each attempt");
    a_minute_later().await;
    service.admit("bob", &client).await.unwrap();
    until(1, rows).await;
}

#[tokio::test]
async fn unused_rows_are_deleted_in_sqlite() {
    let (_directory, pool, store) = sqlite().await;
    let service = service(store.clone(), store.limits());
    let pass = async || {
        let earlier = "UPDATE relatch_limits SET arrival = arrival - 86400000000";
        sqlx::query(earlier).execute(&pool).await.unwrap();
    };
    let rows = async || {
        let count = sqlx::query_scalar("SELECT count(*) FROM relatch_limits");
        count.fetch_one(&pool).await.unwrap()
    };
    unused_rows_are_deleted(service, pass, rows).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn unused_rows_are_deleted_in_postgres() {
    let Some((pool, schema, store)) = in_postgres().await else { return };
    let service = service(store.clone(), store.limits());
    let table = format!("{schema}.relatch_limits");
    let earlier = format!("UPDATE {table} SET arrival = arrival - 86400000000");
    let count = format!("SELECT count(*) FROM {table}");
    let pass = async || run_postgres(&pool, earlier).await;
    let rows = async || {
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(count.clone()));
        count.fetch_one(&pool).await.unwrap()
    };
    unused_rows_are_deleted(service, pass, rows).await;
    run_postgres(&pool, format!("DROP SCHEMA {schema} CASCADE")).await;
}
