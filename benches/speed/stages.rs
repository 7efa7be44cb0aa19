//! The stages of a verification: the part of each library, measured alone.

use std::hint::black_box;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use criterion::Criterion;
use hmac::{Hmac, KeyInit, Mac};
use relatch::{
    BindingMode,
    authority::{Clock, SystemClock},
};
use relatch_benches::{Claims, MASTER, Users, WARM, authority, user_id};
use sha2::Sha256;

/// The bytes of the messages of the guard and of a user's key.
const GUARD_BYTES: usize = 8 + 8 + 36;
const BODY_BYTES: usize = 32 + 8 + 4 + 36 + 4 + 4 + 4;

pub(crate) fn measure(criterion: &mut Criterion) {
    let users = Users::new(WARM);
    let tokens = users.tokens(&authority(BindingMode::Key)).map(|t| t.expose().to_owned());
    let parts = tokens.map(|token| {
        let (signing_input, signature) = token.rsplit_once('.').unwrap();
        let (_, payload) = signing_input.split_once('.').unwrap();
        // The first bytes stand for a `jti`: only its length matters.
        [payload, signature, &payload[..22]].map(str::to_owned)
    });
    let claims = users.pool(|user| serde_json::to_string(&Claims::of(user)).unwrap());
    let ids = users.pool(user_id);
    let subkey = keyed(&MASTER);

    let mut group = criterion.benchmark_group("stages");
    group.bench_function("1-the-clock,-twice", |b| {
        b.iter(|| (SystemClock.unix_timestamp(), SystemClock.unix_timestamp()));
    });
    group.bench_function("2-base64url-of-payload,-jti-and-signature", |b| {
        b.iter(|| {
            let mut bytes = [0; 400];
            for part in parts.turn() {
                let decoded =
                    URL_SAFE_NO_PAD.decode(part.as_bytes(), bytes.as_mut_slice().as_out());
                black_box(decoded.is_ok());
            }
        });
    });
    group.bench_function("3-the-guard-(2-compressions)", |b| {
        b.iter(|| mac(subkey.clone(), black_box(&[1; GUARD_BYTES])));
    });
    group.bench_function("4-the-lookup-in-a-HashMap", |b| {
        b.iter(|| black_box(users.find(ids.turn())).is_ok());
    });
    group.bench_function("5-the-user’s-key-(3-compressions)", |b| {
        b.iter(|| mac(subkey.clone(), black_box(&[1; BODY_BYTES])));
    });
    group.bench_function("6-the-signature-(9-compressions)", |b| {
        b.iter(|| {
            let token = tokens.turn().as_bytes();
            mac(keyed(black_box(&[7; 32])), &token[..token.len() - 44])
        });
    });
    group.bench_function("7-the-application’s-claims", |b| {
        b.iter(|| serde_json::from_str::<Claims>(claims.turn()).unwrap());
    });
    group.finish();
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap()
}

fn mac(mac: Hmac<Sha256>, message: &[u8]) -> [u8; 32] {
    mac.chain_update(message).finalize().into_bytes().into()
}
