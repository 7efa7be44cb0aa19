//! Calls succeed although connections are lost or unfit.

use std::{
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use relatch::store::{PostgresStore, UserKey, UserStore};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::time::{Instant, sleep, timeout};

use super::{
    calls::{at_once, bump_at_once, user},
    databases::{Proxy, run_postgres},
    scratch::{Scratch, USERS},
};

/// Fills the pool with connections.
async fn warm(store: &PostgresStore) {
    let mut held = Vec::new();
    for _ in 0..store.pool().options().get_max_connections() {
        held.push(store.pool().acquire().await.unwrap());
    }
    drop(held);
    sleep(Duration::from_millis(100)).await;
    assert!(store.pool().num_idle() > 1);
}

/// The connections of a pool stay read-only after a failover, although the server writes again.
#[tokio::test]
async fn a_connection_that_became_read_only_is_replaced() {
    let Some(scratch) = Scratch::new().await else { return };
    let (role, set) = (&scratch.role, "SET default_transaction_read_only = on");
    run_postgres(&scratch.admin, format!("ALTER ROLE {role} {set}")).await;
    for own_pool in [true, false] {
        run_postgres(&scratch.admin, format!("ALTER ROLE {role} {set}")).await;
        let store = match own_pool {
            true => scratch.connect(&scratch.url()).await,
            false => {
                let pool = PgPool::connect(&scratch.url()).await.unwrap();
                PostgresStore::new(pool, scratch.table.clone()).unwrap()
            }
        };
        warm(&store).await;
        let error = store.bump_version("1", 0).await.unwrap_err();
        assert!(error.is_unreachable(), "{error:?}");
        // Even new connections are read-only: they are not the fault of the pool.
        warm(&store).await;
        let reset = format!("ALTER ROLE {role} RESET default_transaction_read_only");
        run_postgres(&scratch.admin, reset).await;
        bump_at_once(&store, USERS).await;
        assert!(store.disable("1", 0).await.unwrap().is_some());
        assert!(store.delete("1").await.unwrap());
        assert!(store.insert(user(1)).await.unwrap());
    }
}

/// The server ends the connections again and again, in the middle of statements and commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_because_the_server_ended_its_connection() {
    let Some(scratch) = Scratch::new().await else { return };
    let store = scratch.connect(&scratch.url()).await;
    let until = Instant::now() + Duration::from_secs(2);
    let counts = {
        let store = store.clone();
        let calls = at_once(USERS, move |number| {
            let (store, id) = (store.clone(), number.to_string());
            async move {
                let mut bumps = 0_i64;
                while Instant::now() < until {
                    assert!(store.read(UserKey::Id(&id)).await?.is_some());
                    assert!(store.bump_version(&id, 0).await?.is_some());
                    bumps += 1;
                }
                Ok(bumps)
            }
        });
        let killer = async {
            while Instant::now() < until {
                sleep(Duration::from_millis(100)).await;
                scratch.terminate().await;
            }
        };
        tokio::join!(calls, killer).0
    };
    for (id, bumps) in counts.into_iter().map(Result::unwrap).enumerate() {
        assert!(bumps > 0, "user {id} starved");
    }
}

/// The network between drops everything, and tells neither side.
#[tokio::test]
async fn half_open_connections_are_replaced_within_the_timeout() {
    let Some(scratch) = Scratch::new().await else { return };
    let proxy = Proxy::start();
    for own_pool in [true, false] {
        let store = match own_pool {
            true => scratch.connect(&proxy.url()).await,
            false => {
                let pool = PgPool::connect(&proxy.url()).await.unwrap();
                PostgresStore::new(pool, scratch.table.clone()).unwrap()
            }
        };
        // A store's own pool pings connections that were idle for a second.
        let idle = [Duration::ZERO, Duration::from_millis(1200)];
        for (write, idle) in [true, false].map(|write| idle.map(|idle| (write, idle))).concat() {
            warm(&store).await;
            sleep(idle).await;
            proxy.strand();
            let began = Instant::now();
            match write {
                true => assert!(store.bump_version("1", 0).await.unwrap().is_some()),
                false => assert!(store.read(UserKey::Id("1")).await.unwrap().is_some()),
            }
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            let began = Instant::now();
            assert!(store.read(UserKey::Id("1")).await.unwrap().is_some());
            assert!(began.elapsed() < Duration::from_secs(1), "the others were not given up");
        }
    }
}

/// A caller that hangs up leaves its place to others, even if its connection is half-open.
#[tokio::test]
async fn a_caller_that_hung_up_occupies_no_connection() {
    let Some(scratch) = Scratch::new().await else { return };
    let proxy = Proxy::start();
    let pool = PgPoolOptions::new().max_connections(2).test_before_acquire(false);
    let pool = pool.connect(&proxy.url()).await.unwrap();
    let store = PostgresStore::new(pool, scratch.table.clone()).unwrap();
    warm(&store).await;
    proxy.strand();
    for _ in 0..2 {
        let read = timeout(Duration::from_millis(50), store.read(UserKey::Id("1"))).await;
        assert!(read.is_err());
    }
    assert!(store.read(UserKey::Id("1")).await.unwrap().is_some());

    // Calls that are dropped while they wait, and in the middle of a statement.
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        let mut read = pin!(store.read(UserKey::Id("1")));
        assert!(read.as_mut().poll(&mut context).is_pending());
        tokio::task::yield_now().await;
        let _ = read.as_mut().poll(&mut context);
    }
    assert!(store.read(UserKey::Id("1")).await.unwrap().is_some());
    assert!(store.bump_version("1", 0).await.unwrap().is_some());
}
