//! The candidates for the curve library of the feature `asymmetric`: the time of signing and verifying
//! a token with each.
//!
//! `cargo bench -p relatch-benches --bench curves`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use relatch_benches::SIGNING_INPUT as INPUT;

fn es256(c: &mut Criterion) {
    let mut sign = c.benchmark_group("ES256 sign");
    let aws = {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
    };
    let aws_random = aws_lc_rs::rand::SystemRandom::new();
    sign.bench_function("aws-lc-rs", |b| b.iter(|| aws.sign(&aws_random, black_box(&INPUT))));

    let ring_random = ring::rand::SystemRandom::new();
    let ring = {
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING as ALGORITHM, EcdsaKeyPair};
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ALGORITHM, &ring_random).unwrap();
        EcdsaKeyPair::from_pkcs8(&ALGORITHM, pkcs8.as_ref(), &ring_random).unwrap()
    };
    sign.bench_function("ring", |b| b.iter(|| ring.sign(&ring_random, black_box(&INPUT))));

    use p256::ecdsa::{Signature, SigningKey, signature::Signer};
    let p256 = SigningKey::from_slice(&[7; 32]).unwrap();
    sign.bench_function("p256", |b| b.iter(|| -> Signature { p256.sign(black_box(&INPUT)) }));
    sign.finish();

    let mut verify = c.benchmark_group("ES256 verify");
    let signature = aws.sign(&aws_random, &INPUT).unwrap();
    let public = aws_lc_rs::signature::ParsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED,
        aws_lc_rs::signature::KeyPair::public_key(&aws),
    )
    .unwrap();
    verify.bench_function("aws-lc-rs", |b| {
        b.iter(|| public.verify_sig(black_box(&INPUT), signature.as_ref()).unwrap());
    });
    let signature = ring.sign(&ring_random, &INPUT).unwrap();
    let public = ring::signature::UnparsedPublicKey::new(
        &ring::signature::ECDSA_P256_SHA256_FIXED,
        ring::signature::KeyPair::public_key(&ring),
    );
    verify.bench_function("ring", |b| {
        b.iter(|| public.verify(black_box(&INPUT), signature.as_ref()).unwrap());
    });
    let signature: Signature = p256.sign(&INPUT);
    verify.bench_function("p256", |b| {
        use p256::ecdsa::signature::Verifier;
        b.iter(|| p256.verifying_key().verify(black_box(&INPUT), &signature).unwrap());
    });
}

fn eddsa(c: &mut Criterion) {
    let mut sign = c.benchmark_group("EdDSA sign");
    let aws = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    sign.bench_function("aws-lc-rs", |b| b.iter(|| aws.sign(black_box(&INPUT))));
    let ring = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    sign.bench_function("ring", |b| b.iter(|| ring.sign(black_box(&INPUT))));
    use ed25519_dalek::Signer;
    let dalek = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    sign.bench_function("ed25519-dalek", |b| b.iter(|| dalek.sign(black_box(&INPUT))));
    sign.finish();

    let mut verify = c.benchmark_group("EdDSA verify");
    let signature = aws.sign(&INPUT);
    let public = aws_lc_rs::signature::ParsedPublicKey::new(
        &aws_lc_rs::signature::ED25519,
        aws_lc_rs::signature::KeyPair::public_key(&aws),
    )
    .unwrap();
    verify.bench_function("aws-lc-rs", |b| {
        b.iter(|| public.verify_sig(black_box(&INPUT), signature.as_ref()).unwrap());
    });
    let signature = ring.sign(&INPUT);
    let public = ring::signature::UnparsedPublicKey::new(
        &ring::signature::ED25519,
        ring::signature::KeyPair::public_key(&ring),
    );
    verify.bench_function("ring", |b| {
        b.iter(|| public.verify(black_box(&INPUT), signature.as_ref()).unwrap());
    });
    let signature = dalek.sign(&INPUT);
    let public = dalek.verifying_key();
    verify.bench_function("ed25519-dalek", |b| {
        b.iter(|| public.verify_strict(black_box(&INPUT), &signature).unwrap());
    });
}

criterion_group!(curves, es256, eddsa);
criterion_main!(curves);
