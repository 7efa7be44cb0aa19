//! How long one process accepts a token after another has revoked it, as one line of JSON: with the
//! notifications of PostgreSQL, and with the cache's bound alone. It asks every millisecond.
//!
//! `benches/stores/stores.py` starts the server, and runs this.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::env;

use relatch::{
    BindingMode,
    service::{CachePolicy, Service},
    store::{NewUser, PostgresStore, UsersTable},
};
use relatch_benches::authority;
use time::Duration;
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Duration as StdDuration, Instant, sleep},
};

/// The number of measurements of each kind.
const ROUNDS: u32 = 300;

const BOUND: Duration = Duration::SECOND;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaA";

fn main() {
    let url = env::var("STORES_POSTGRES").expect("STORES_POSTGRES: see stores.py");
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(async {
        let (there, _) = node(&url, BOUND).await;
        let (listening, store) = node(&url, Duration::HOUR).await;
        let listener = store.listen(listening.changes());
        while !listener.is_connected() {
            sleep(StdDuration::from_millis(10)).await;
        }
        let mut notified = Vec::new();
        for round in 0..ROUNDS {
            const AGE: StdDuration = StdDuration::from_millis(20);
            let user = logged_in(&store, format!("notified-{round}")).await;
            notified.push(staleness(there.clone(), listening.clone(), user, AGE).await);
        }

        let (deaf, _) = node(&url, BOUND).await;
        let mut rounds = JoinSet::new();
        for round in 0..ROUNDS {
            let user = logged_in(&store, format!("bound-{round}")).await;
            let (there, deaf) = (there.clone(), deaf.clone());
            rounds.spawn(async move {
                // The records have all ages at the revocation.
                let age = StdDuration::from_millis(u64::from(round) * 617 % 1000);
                staleness(there, deaf, user, age).await
            });
        }
        let untold = rounds.join_all().await;
        let (bound, told, untold) =
            (BOUND.whole_milliseconds(), figures(notified), figures(untold));
        println!(
            r#"{{"staleness": {{"unit": "ms", "notified_after_answer": {told}, "bound": {bound}, "not_notified_after_answer": {untold}}}}}"#
        );
    });
}

/// A service of one process, with a cache of this bound.
async fn node(url: &str, bound: Duration) -> (Service, PostgresStore) {
    let store = PostgresStore::connect(url, UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    let policy = CachePolicy::new(bound, 10_000).unwrap();
    (Service::builder(authority(BindingMode::Key), store.clone()).cache(policy).build(), store)
}

/// The id of a new user.
async fn logged_in(store: &PostgresStore, id: String) -> String {
    assert!(store.insert(NewUser::with_password_hash(&id, &id, HASH)).await.unwrap());
    id
}

/// How long `here` accepts the user's token after `there` has logged the user out, `age` after `here`
/// has read the record.
async fn staleness(there: Service, here: Service, user: String, age: StdDuration) -> StdDuration {
    const PAUSE: StdDuration = StdDuration::from_millis(1);
    let (token, _) = there.start_session(&user, "Firefox on Linux").await.unwrap().into_parts();
    drop(here.authenticate(&token).await.unwrap());
    let refused = tokio::spawn(async move {
        loop {
            match here.authenticate(&token).await {
                Ok(_) => sleep(PAUSE).await,
                Err(error) => {
                    assert!(error.reason().is_some(), "{error:?}");
                    return Instant::now();
                }
            }
        }
    });
    sleep(age).await;
    there.log_out_everywhere(&user).await.unwrap();
    let revoked = Instant::now();
    refused.await.unwrap().saturating_duration_since(revoked)
}

fn figures(mut rounds: Vec<StdDuration>) -> String {
    rounds.sort_unstable();
    let at =
        |share: f64| rounds[((rounds.len() - 1) as f64 * share).round() as usize].as_secs_f64();
    let at = |share| at(share) * 1e3;
    format!(
        r#"{{"samples": {}, "median": {:.3}, "p99": {:.3}, "max": {:.3}}}"#,
        rounds.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    )
}
