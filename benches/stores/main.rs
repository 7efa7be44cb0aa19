//! The time of verifying a request's token over each store, beside the usual ways of revoking, and of
//! looking up a user, in one run.
//!
//! `benches/stores/stores.py` starts the servers, runs this, and writes the tables. Each group has
//! relatch over one store, in units of each of the others; the group `nanoseconds` has times. Requests
//! are verified one after another, on a single thread. `lookups` has two groups of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

mod lookups;
mod peers;
#[path = "../shared/plain.rs"]
mod plain;
#[path = "../shared/provider.rs"]
mod provider;
#[path = "../shared/ratio.rs"]
mod ratio;
mod users;

use std::{
    env,
    hint::black_box,
    path::PathBuf,
    time::{Duration, Instant},
};

use criterion::{Criterion, SamplingMode};
use relatch::service::Service;
use relatch_benches::{AccessToken, Claims, Pool};
use tokio::runtime::{Builder, Runtime};

use crate::{
    lookups::Lookups,
    peers::Peers,
    ratio::{Ratio, in_turns},
    users::Users,
};

/// The calls in a turn, which take some milliseconds.
const TURN: u64 = 32;

fn main() {
    provider::install("rust_crypto");
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let servers = Servers::of_environment();
    let (users, peers, lookups) = runtime.block_on(async {
        let users = Users::prepare(&servers).await;
        (users, Peers::prepare(&servers).await, Lookups::prepare(&servers).await)
    });
    let subjects = Subjects { runtime: &runtime, users: &users, peers: &peers };
    let criterion = || {
        Criterion::default()
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_millis(1500))
            .sample_size(60)
            .without_plots()
    };
    let mut ratios = criterion().with_measurement(Ratio).configure_from_args();
    subjects.compare(&mut ratios);
    lookups.compare(&runtime, &mut ratios);
    let mut times = criterion().configure_from_args();
    subjects.time(&mut times);
    lookups.time(&runtime, &mut times);
    times.final_summary();
}

/// The addresses of this run's servers.
struct Servers {
    postgres: String,
    redis: String,
    /// For the SQLite file.
    folder: PathBuf,
}

impl Servers {
    fn of_environment() -> Self {
        let variable = |name| env::var(name).unwrap_or_else(|_| panic!("{name}: see stores.py"));
        Self {
            postgres: variable("STORES_POSTGRES"),
            redis: variable("STORES_REDIS"),
            folder: variable("STORES_FOLDER").into(),
        }
    }

    fn sqlite(&self) -> PathBuf {
        self.folder.join("users.sqlite")
    }
}

struct Subjects<'a> {
    runtime: &'a Runtime,
    users: &'a Users,
    peers: &'a Peers,
}

/// Does `count` verifications or look-ups. Gives the time.
type Subject<'a> = Box<dyn Fn(u64) -> Duration + 'a>;

impl<'a> Subjects<'a> {
    fn compare(&self, criterion: &mut Criterion<Ratio>) {
        for (store, ours) in self.ours() {
            let mut group = criterion.benchmark_group(store);
            // Each sample has the same number of calls; otherwise the first would have one or two.
            group.sampling_mode(SamplingMode::Flat);
            for (name, peer) in self.theirs() {
                group.bench_function(name, |bencher| {
                    in_turns(TURN, bencher, &mut |n| peer(n), &mut |n| ours(n));
                });
            }
            group.finish();
        }
    }

    fn time(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("nanoseconds");
        group.sampling_mode(SamplingMode::Flat);
        for (name, subject) in self.ours().into_iter().chain(self.theirs()) {
            group.bench_function(name, |bencher| bencher.iter_custom(&subject));
        }
        group.finish();
    }

    fn ours(&self) -> Vec<(&'static str, Subject<'a>)> {
        let Users { cached, sqlite, postgres } = self.users;
        vec![
            ("cache", self.authenticating(cached)),
            ("sqlite", self.authenticating(sqlite)),
            ("postgres", self.authenticating(postgres)),
        ]
    }

    fn theirs(&self) -> Vec<(&'static str, Subject<'a>)> {
        let peers = self.peers;
        vec![
            ("decode", self.timed(async || drop(black_box(peers.decode())))),
            ("redis-denylist", self.timed(async || drop(black_box(peers.redis_denylist().await)))),
            (
                "postgres-denylist",
                self.timed(async || drop(black_box(peers.postgres_denylist().await))),
            ),
            (
                "postgres-sessions",
                self.timed(async || drop(black_box(peers.postgres_sessions().await))),
            ),
        ]
    }

    fn authenticating(&self, (service, tokens): &'a LoggedIn) -> Subject<'a> {
        self.timed(async || {
            drop(black_box(service.authenticate(tokens.turn()).await.unwrap()));
        })
    }

    fn timed(&self, verify: impl AsyncFn() + 'a) -> Subject<'a> {
        let runtime = self.runtime;
        Box::new(move |count| {
            runtime.block_on(async {
                let began = Instant::now();
                for _ in 0..count {
                    verify().await;
                }
                began.elapsed()
            })
        })
    }
}

/// A service, and the tokens of users who are logged in.
type LoggedIn = (Service<(), Claims>, Pool<AccessToken>);
