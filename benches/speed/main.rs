//! What a verification and an issue cost, beside what others cost, in one run.
//!
//! `benches/report.py` runs it, and makes the README's table and plot of it. The ratios are to
//! `decode` and `encode` of the same pass; the provider of `jsonwebtoken` is the process's, named
//! by the variable `JWT_PROVIDER` (`rust_crypto` otherwise).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

mod peers;

use std::{
    collections::HashSet,
    env,
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use criterion::{Bencher, Criterion};
use relatch::{Access, Authority, BindingMode, MasterKey};
use relatch_benches::{
    AUDIENCE, AccessToken, COLD, Claims, ISSUER, Pool, Users, WARM, authority, master_key,
};
use time::OffsetDateTime;

use crate::peers::{Plain, PlainJwt, Simple};

/// How often the whole list is gone through, so that what drifts on the machine drifts for all.
const PASSES: usize = 3;

fn main() {
    peers::install_provider(&env::var("JWT_PROVIDER").unwrap_or_else(|_| "rust_crypto".to_owned()));
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(40)
        .without_plots()
        .configure_from_args();
    let subjects = Subjects::new();
    for pass in 1..=PASSES {
        subjects.measure(&mut criterion, &format!("pass-{pass}"));
    }
    criterion.final_summary();
}

/// All that is measured, made before anything is.
struct Subjects {
    authority: Authority,
    stamp: Authority,
    /// Two days on: the tokens of `authority` have expired.
    later: Authority,
    users: Users,
    hashing: Users,
    bumped: Users,
    logged_in: Users,
    cold: Users,
    tokens: Pool<AccessToken>,
    session_tokens: Pool<AccessToken>,
    cold_tokens: Pool<AccessToken>,
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
            texts: tokens.map(|token| token.expose().to_owned()),
            cold_tokens: cold.tokens(&relatch),
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

    fn measure(&self, criterion: &mut Criterion, pass: &str) {
        let mut group = criterion.benchmark_group(pass);
        let mut measure = |name: &str, f: &dyn Fn(&mut Bencher<'_>)| {
            group.bench_function(name, |bencher| f(bencher));
        };
        let Self { authority, users, plain, .. } = self;

        measure("decode", &|b| b.iter(|| plain.decode(self.plain_tokens.turn())));
        measure("verify", &|b| b.iter(|| verify(authority, self.tokens.turn(), users)));
        measure("verify-hash", &|b| {
            b.iter(|| verify(authority, self.tokens.turn(), &self.hashing));
        });
        measure("verify-text", &|b| {
            b.iter(|| verify(authority, &AccessToken::new(self.texts.turn().as_str()), users));
        });
        measure("verify-session", &|b| {
            b.iter(|| verify(authority, self.session_tokens.turn(), &self.logged_in));
        });
        measure("verify-stamp", &|b| {
            b.iter(|| verify(&self.stamp, self.stamp_tokens.turn(), users));
        });
        measure("verify-cold", &|b| {
            b.iter(|| verify(authority, self.cold_tokens.turn(), &self.cold));
        });
        measure("forged", &|b| b.iter(|| reject(authority, self.forged.turn(), users)));
        measure("wrong-header", &|b| {
            b.iter(|| reject(authority, self.wrong_header.turn(), users));
        });
        measure("expired", &|b| b.iter(|| reject(&self.later, self.tokens.turn(), users)));
        measure("revoked", &|b| b.iter(|| reject(authority, self.tokens.turn(), &self.bumped)));

        measure("denylist", &|b| {
            b.iter(|| {
                let claims = plain.decode(self.plain_tokens.turn());
                assert!(!self.denylist.contains(&claims.jti));
                claims
            });
        });
        measure("decode-cold", &|b| b.iter(|| plain.decode(self.plain_cold.turn())));
        measure("derive-and-decode", &|b| {
            b.iter(|| plain.derive_and_decode(self.derived_tokens.turn(), users));
        });
        measure("jwt-simple", &|b| b.iter(|| self.simple.verify(self.simple_tokens.turn())));

        measure("encode", &|b| b.iter(|| plain.encode(self.plain_claims.turn())));
        let issued = users.pool(|user| (users.get(user), Claims::of(user)));
        measure("issue", &|b| {
            b.iter(|| {
                let (account, claims) = issued.turn();
                authority.issue::<Access<Claims>>(account, claims).sign().unwrap()
            });
        });

        let (plain_tokens, tokens) = (self.plain_tokens.items(), self.tokens.items());
        for threads in [1, 2] {
            measure(&format!("decode-threads-{threads}"), &|b| {
                on_threads(b, threads, &|i| drop(black_box(plain.decode(&plain_tokens[i % WARM]))));
            });
            measure(&format!("verify-threads-{threads}"), &|b| {
                on_threads(b, threads, &|i| verify(authority, &tokens[i % WARM], users));
            });
        }
        group.finish();
    }
}

/// The token under a header that says it is not signed.
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

/// `f` on each of several threads at once: the time that one turn takes on each.
fn on_threads(bencher: &mut Bencher<'_>, threads: usize, f: &(dyn Fn(usize) + Sync)) {
    bencher.iter_custom(|turns| {
        let start = Barrier::new(threads + 1);
        thread::scope(|scope| {
            let all: Vec<_> = (0..threads)
                .map(|thread| {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        let began = Instant::now();
                        for turn in 0..turns as usize {
                            f(thread * 31 + turn * 97);
                        }
                        began.elapsed()
                    })
                })
                .collect();
            start.wait();
            all.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
        })
    });
}
