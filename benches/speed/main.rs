//! The time of verifying and issuing, beside other libraries, in one run.
//!
//! `benches/speed/speed.py` runs this, and writes the table and the plots. The group `ratios` is in
//! units of plain `decode` or `encode`. The variable `JWT_PROVIDER` names the process's provider of
//! `jsonwebtoken` (`rust_crypto` by default). The groups `nanoseconds` and `stages` have times.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

mod peers;
#[path = "../shared/plain.rs"]
mod plain;
#[path = "../shared/provider.rs"]
mod provider;
#[path = "../shared/ratio.rs"]
mod ratio;
mod stages;

use std::{
    collections::HashSet,
    env,
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use criterion::{BenchmarkGroup, Criterion};
use relatch::{Access, Authority, BindingMode, MasterKey};
use relatch_benches::{
    AUDIENCE, AccessToken, Account, COLD, Claims, ISSUER, Pool, Users, WARM, authority, master_key,
};
use sha2::block_api::compress256;
use time::OffsetDateTime;

use crate::{
    peers::Simple,
    plain::{Plain, PlainJwt},
    ratio::{Ratio, in_turns},
};

/// The calls in a turn: once through a pool.
const TURN: u64 = WARM as u64;

fn main() {
    provider::install(&env::var("JWT_PROVIDER").unwrap_or_else(|_| "rust_crypto".to_owned()));
    let subjects = Subjects::new();
    let criterion = || {
        Criterion::default()
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(1500))
            .sample_size(60)
            .without_plots()
    };
    let mut ratios = criterion().with_measurement(Ratio).configure_from_args();
    subjects.measure(ratios.benchmark_group("ratios"));
    let mut times = criterion().configure_from_args();
    subjects.time(&mut times);
    stages::measure(&mut times);
    times.final_summary();
}

/// Everything that is measured, prepared before the first measurement.
struct Subjects {
    authority: Authority,
    stamp: Authority,
    /// Two days later: the tokens of `authority` have expired.
    later: Authority,
    users: Users,
    hashing: Users,
    bumped: Users,
    caching: Users,
    logged_in: Users,
    cold: Users,
    tokens: Pool<AccessToken>,
    session_tokens: Pool<AccessToken>,
    cold_texts: Pool<String>,
    stamp_tokens: Pool<AccessToken>,
    forged: Pool<AccessToken>,
    wrong_header: Pool<AccessToken>,
    texts: Pool<String>,
    plain: PlainJwt,
    plain_claims: Pool<Plain>,
    plain_tokens: Pool<String>,
    plain_cold: Pool<String>,
    derived_tokens: Pool<String>,
    denylist: HashSet<String>,
    simple: Simple,
    simple_tokens: Pool<String>,
}

impl Subjects {
    fn new() -> Self {
        let relatch = authority(BindingMode::Key);
        let stamp = authority(BindingMode::StampHs256);
        let (users, cold) = (Users::new(WARM), Users::new(COLD));
        let mut logged_in = Users::new(WARM);
        let session_tokens = logged_in.log_in(&relatch);
        let tokens = users.tokens(&relatch);
        let thief = MasterKey::from_bytes("2026-11", &[8; 32]).unwrap();
        let thief = Authority::new(thief, ISSUER, AUDIENCE).unwrap();
        let (plain, simple) = (PlainJwt::new(), Simple::new());
        Self {
            later: Authority::builder(master_key(), ISSUER, AUDIENCE)
                .clock(|| OffsetDateTime::now_utc() + time::Duration::days(2))
                .build()
                .unwrap(),
            hashing: Users::new(WARM).hashing(),
            bumped: Users::new(WARM).bumped(),
            caching: Users::new(WARM).caching(),
            texts: tokens.map(|token| token.expose().to_owned()),
            cold_texts: cold.tokens(&relatch).map(|token| token.expose().to_owned()),
            stamp_tokens: users.tokens(&stamp),
            forged: users.tokens(&thief),
            wrong_header: tokens.map(unsigned),
            plain_claims: users.pool(Plain::of),
            plain_tokens: plain.tokens(&users),
            plain_cold: plain.tokens(&cold),
            derived_tokens: plain.derived_tokens(&users),
            denylist: peers::denylist(),
            simple_tokens: simple.tokens(&users),
            authority: relatch,
            stamp,
            users,
            logged_in,
            cold,
            tokens,
            session_tokens,
            plain,
            simple,
        }
    }

    fn measure(&self, mut group: BenchmarkGroup<'_, Ratio>) {
        let Self { authority, users, plain, .. } = self;
        let issued = users.pool(|user| (users.get(user), Claims::of(user)));
        let caching = self.caching.pool(|user| (self.caching.get(user), Claims::of(user)));
        let decode = || drop(black_box(plain.decode(self.plain_tokens.turn())));
        let encode = || drop(black_box(plain.encode(self.plain_claims.turn())));

        let mut measure = |name: &str, yardstick: &dyn Fn(), subject: &dyn Fn()| {
            group.bench_function(name, |bencher| {
                in_turns(TURN, bencher, &mut |n| time(n, yardstick), &mut |n| time(n, subject));
            });
        };
        measure("verify", &decode, &|| verify(authority, self.tokens.turn(), users));
        measure("verify-cached", &decode, &|| {
            verify(authority, self.tokens.turn(), &self.caching);
        });
        measure("verify-hash", &decode, &|| verify(authority, self.tokens.turn(), &self.hashing));
        measure("verify-text", &decode, &|| {
            verify(authority, &AccessToken::new(self.texts.turn().as_str()), users);
        });
        measure("verify-session", &decode, &|| {
            verify(authority, self.session_tokens.turn(), &self.logged_in);
        });
        measure("verify-stamp", &decode, &|| verify(&self.stamp, self.stamp_tokens.turn(), users));

        measure("forged", &decode, &|| reject(authority, self.forged.turn(), users));
        measure("wrong-header", &decode, &|| reject(authority, self.wrong_header.turn(), users));
        measure("expired", &decode, &|| reject(&self.later, self.tokens.turn(), users));
        measure("revoked", &decode, &|| reject(authority, self.tokens.turn(), &self.bumped));

        let decode_unlisted = |token: &String| {
            let claims = plain.decode(token);
            assert!(!self.denylist.contains(&claims.jti));
            drop(black_box(claims));
        };
        measure("denylist", &decode, &|| decode_unlisted(self.plain_tokens.turn()));
        measure("derive-and-decode", &decode, &|| {
            drop(black_box(plain.derive_and_decode(self.derived_tokens.turn(), users)));
        });
        measure("jwt-simple", &decode, &|| {
            drop(black_box(self.simple.verify(self.simple_tokens.turn())));
        });

        let issue = |(account, claims): &(&Account, Claims)| {
            drop(black_box(authority.issue::<Access<Claims>>(account, claims).sign().unwrap()));
        };
        measure("issue", &encode, &|| issue(issued.turn()));
        measure("issue-cached", &encode, &|| issue(caching.turn()));

        group.bench_function("verify-cold", |bencher| {
            in_turns(TURN, bencher, &mut |n| time(n, &decode), &mut |n| {
                let arrived = |text: &String| AccessToken::new(text.as_str());
                time_each(n, &self.cold_texts, arrived, |token| {
                    verify(authority, token, &self.cold);
                })
            });
        });
        group.bench_function("denylist-cold", |bencher| {
            in_turns(TURN, bencher, &mut |n| time(n, &decode), &mut |n| {
                time_each(n, &self.plain_cold, String::clone, decode_unlisted)
            });
        });

        let (plain_tokens, tokens) = (self.plain_tokens.items(), self.tokens.items());
        let decode = |i: usize| drop(black_box(plain.decode(&plain_tokens[i % WARM])));
        let verify = |i: usize| verify(authority, &tokens[i % WARM], users);
        let mut scale = |name: &str, f: &(dyn Fn(usize) + Sync)| {
            group.bench_function(name, |bencher| {
                in_turns(TURN, bencher, &mut |n| on_threads(1, n, f), &mut |n| on_threads(2, n, f));
            });
        };
        scale("decode-two-threads", &decode);
        scale("verify-two-threads", &verify);
        group.finish();
    }

    fn time(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group("nanoseconds");
        group.bench_function("verify", |b| {
            b.iter(|| verify(&self.authority, self.tokens.turn(), &self.users));
        });
        let mut state = [0; 8];
        group.bench_function("compression", |b| {
            b.iter(|| compress256(&mut state, black_box(&[[7; 64]])));
        });
        group.finish();
    }
}

/// The token with the header of an unsigned one.
fn unsigned(token: &AccessToken) -> AccessToken {
    /// `{"alg":"none","kid":"2026-11","typ":"at+jwt"}`
    const HEADER: &str = "eyJhbGciOiJub25lIiwia2lkIjoiMjAyNi0xMSIsInR5cCI6ImF0K2p3dCJ9";
    let (_, rest) = token.expose().split_once('.').unwrap();
    AccessToken::new(format!("{HEADER}.{rest}"))
}

fn verify(authority: &Authority, token: &AccessToken, users: &Users) {
    let _session = black_box(authority.verify(token, |id| users.find(id)).unwrap());
}

fn reject(authority: &Authority, token: &AccessToken, users: &Users) {
    assert!(authority.verify(token, |id| users.find(id)).is_err());
}

/// The time that `count` calls take.
fn time(count: u64, f: &dyn Fn()) -> Duration {
    let began = Instant::now();
    (0..count).for_each(|_| f());
    began.elapsed()
}

/// The time that `count` calls take, with items made from the pool's just before: a token that has just
/// arrived is in the processor's cache, and its user's record is not.
fn time_each<T, U>(count: u64, pool: &Pool<T>, make: impl Fn(&T) -> U, f: impl Fn(&U)) -> Duration {
    let made: Vec<U> = (0..count).map(|_| make(pool.turn())).collect();
    let began = Instant::now();
    made.iter().for_each(f);
    began.elapsed()
}

/// The time that the slowest of several threads takes for `count` calls of `f`. Each thread makes 64
/// times as many, so that starting it does not count.
fn on_threads(threads: usize, count: u64, f: &(dyn Fn(usize) + Sync)) -> Duration {
    const TIMES: usize = 64;
    let start = Barrier::new(threads);
    let turns = count as usize * TIMES;
    let one = |thread: usize| {
        start.wait();
        let began = Instant::now();
        (0..turns).for_each(|turn| f(thread * 31 + turn * 97));
        began.elapsed()
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn({
                    let one = &one;
                    move || one(thread)
                })
            })
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
    }) / TIMES as u32
}
