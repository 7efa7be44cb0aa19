//! Plain tokens issued before relatch was adopted, made by `jsonwebtoken`.

use std::convert::Infallible;

use jsonwebtoken11::{Algorithm, EncodingKey, Header, encode};
use relatch::{
    Access, AuthorityBuilder, BindingMode, Context, IssueError, NoClaims, Purpose, Reason,
    Rejection, Token, Verified, VerifyError,
    authority::{Adoption, Stage},
    user::RecordError,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::Duration;

use crate::common::{
    Account, Download, Role, START, TestClock, account, builder, key, reason, verify,
};

const SECRET: &[u8] = b"the old secret";
const DEADLINE: i64 = 3600;

fn adopting(clock: &TestClock) -> Adoption {
    Adoption::hs256(SECRET, 0, clock.at(DEADLINE))
}

fn legacy(header: &Header, claims: &Value) -> Token<Access> {
    Token::new(encode(header, claims, &EncodingKey::from_secret(SECRET)).unwrap())
}

fn plain(claims: &Value) -> Token<Access> {
    legacy(&Header::default(), claims)
}

fn claims() -> Value {
    json!({ "sub": "alice", "exp": START + 600 })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn authority(adoption: Adoption, clock: &TestClock) -> relatch::Authority {
    builder(clock).adopt(adoption).build().unwrap()
}

#[test]
fn a_plain_token_is_accepted_and_marked() {
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let clock = TestClock::new();
        let authority = builder(&clock).mode(mode).adopt(adopting(&clock)).build().unwrap();
        let alice = account("alice");
        let claims = json!({
            "sub": "alice", "exp": START + 600, "iat": START - 60, "jti": "old", "role": "admin",
        });
        let token = Token::<Access<Role>>::new(plain(&claims).expose());
        let session: Verified<Account, Role> = verify(&authority, &token, &alice).unwrap();
        assert!(session.is_legacy());
        assert_eq!(session.claims().role, "admin");
        let registered = session.registered();
        assert_eq!(registered.subject(), "alice");
        assert_eq!(registered.issued_at(), Some(clock.at(-60)));
        assert_eq!(registered.expires_at(), clock.at(600));
        assert_eq!(registered.jti(), Some("old"));
        assert_eq!(registered.issuer(), None);

        let own = authority.issue_for_user(&alice).unwrap();
        assert!(!verify(&authority, &own, &alice).unwrap().is_legacy());
    }
}

#[test]
fn without_an_adoption_a_plain_token_is_malformed() {
    let (authority, _) = crate::common::authority();
    let refused = reason(verify(&authority, &plain(&claims()), &account("alice")));
    assert_eq!(refused, Reason::Malformed);
}

#[test]
fn a_bump_kills_plain_tokens_and_a_changed_hash_alone_does_not() {
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let token = plain(&claims());
    let changed = Account { password_hash: "$argon2id$changed".into(), ..account("alice") };
    assert!(verify(&authority, &token, &changed).is_ok(), "a documented limit");
    let bumped = Account { version: 1, ..account("alice") };
    assert_eq!(reason(verify(&authority, &token, &bumped)), Reason::RevokedByVersion);
    let negative = Account { version: -1, ..account("alice") };
    let error = verify(&authority, &token, &negative).unwrap_err();
    assert_eq!(error, VerifyError::Record(RecordError::NegativeCounter));
}

#[test]
fn the_deadline_ends_it_and_caps_the_session() {
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let alice = account("alice");
    let long = plain(&with("exp", START + 86_400));
    let verified = verify(&authority, &long, &alice).unwrap();
    assert_eq!(verified.registered().expires_at(), clock.at(DEADLINE));
    let opened = authority.open(&long).unwrap();
    assert_eq!(opened.expires_at(), clock.at(DEADLINE));
    clock.set(DEADLINE);
    assert_eq!(reason(verify(&authority, &long, &alice)), Reason::AdoptionOver);
    assert_eq!(reason(opened.verify(Some(alice))), Reason::AdoptionOver, "between the two steps");
}

#[test]
fn times_of_plain_tokens_are_checked() {
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let alice = account("alice");
    let refused = |claims| reason(verify(&authority, &plain(&claims), &alice));
    assert_eq!(refused(with("exp", START)), Reason::Expired);
    assert_eq!(refused(with("nbf", START + 1)), Reason::NotYetValid);
    for bad in [json!("1"), json!(null), json!(-1), json!(1e300), json!([1])] {
        assert_eq!(refused(with("exp", bad.clone())), Reason::Malformed, "{bad}");
        assert_eq!(refused(with("nbf", bad.clone())), Reason::Malformed, "{bad}");
    }
    assert_eq!(refused(json!({ "sub": "alice" })), Reason::Malformed, "an exp is required");
    let half = with("exp", (START + 5) as f64 + 0.5);
    let verified = verify(&authority, &plain(&half), &alice).unwrap();
    assert_eq!(verified.registered().expires_at(), clock.at(5), "the fraction is not dropped");
}

#[test]
fn issuer_and_audience_are_required_where_they_are_set() {
    let clock = TestClock::new();
    let alice = account("alice");
    let strict = authority(adopting(&clock).issuer("old").audience("app"), &clock);
    let accepts = |claims: Value| verify(&strict, &plain(&claims), &alice).is_ok();
    let full = |iss: &str, aud: Value| json!({ "sub": "alice", "exp": START + 600, "iss": iss, "aud": aud });
    assert!(accepts(full("old", json!("app"))));
    assert!(accepts(full("old", json!(["x", "app"]))));
    let refused = |claims: Value| reason(verify(&strict, &plain(&claims), &alice));
    assert_eq!(refused(full("new", json!("app"))), Reason::WrongIssuer);
    assert_eq!(refused(full("old", json!("x"))), Reason::WrongAudience);
    assert_eq!(refused(with("iss", "old")), Reason::WrongAudience);
    assert_eq!(refused(claims()), Reason::WrongIssuer);

    let lax = authority(adopting(&clock), &clock);
    let for_another = plain(&with("aud", "app"));
    assert_eq!(reason(verify(&lax, &for_another, &alice)), Reason::WrongAudience);
}

#[test]
fn subject_and_claims_are_mapped() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Scope {
        scope: String,
    }
    let clock = TestClock::new();
    let adoption = adopting(&clock).subject_claim("uid").map_claims(|old| {
        let admin = old.get("admin")?.as_bool()?;
        let scope = if admin { "all" } else { "own" };
        json!({ "scope": scope }).as_object().cloned()
    });
    let authority = authority(adoption, &clock);
    let session = |claims: &Value| {
        let token = Token::<Access<Scope>>::new(plain(claims).expose());
        authority.verify(&token, |id| Ok::<_, Infallible>(Some(account(id))))
    };
    let exp = START + 600;
    let mapped = session(&json!({ "uid": 42, "admin": true, "exp": exp })).unwrap();
    assert_eq!(mapped.user().id, "42");
    assert_eq!(mapped.claims().scope, "all");
    let unmapped = session(&json!({ "uid": "42", "exp": exp })).unwrap_err();
    assert_eq!(unmapped.reason(), Some(Reason::ApplicationClaims));
    for bad in [json!({ "exp": exp }), json!({ "uid": 4.5, "exp": exp }), json!({ "uid": null })] {
        assert_eq!(session(&bad).unwrap_err().reason(), Some(Reason::Malformed), "{bad}");
    }
}

#[test]
fn a_forged_plain_token_reaches_no_lookup() {
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let forged = encode(&Header::default(), &claims(), &EncodingKey::from_secret(b"guess"));
    let genuine = plain(&claims());
    let stripped = genuine.expose().rsplit_once('.').unwrap().0;
    let (header, _) = stripped.split_once('.').unwrap();
    for text in [
        forged.unwrap(),
        format!("{stripped}."),
        format!("{stripped}.AAAA"),
        format!("{header}.bm90IGpzb24.AAAA"),
    ] {
        let rejection = refused_unseen(&authority, &Token::new(text));
        assert_eq!((rejection.stage(), rejection.reason()), (Stage::Guard, Reason::Forged));
    }
}

/// The rejection of a token for which no user is looked up.
fn refused_unseen(authority: &relatch::Authority, token: &Token<Access>) -> Rejection {
    let lookup = |_: &str| -> Result<Option<Account>, Infallible> { panic!("looked up") };
    match authority.verify(token, lookup) {
        Err(VerifyError::Rejected(rejection)) => rejection,
        other => panic!("not a rejection: {other:?}"),
    }
}

#[test]
fn a_plain_token_that_is_out_of_time_reaches_no_lookup() {
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let reason = |claims| refused_unseen(&authority, &plain(&claims)).reason();
    assert_eq!(reason(with("exp", START)), Reason::Expired);
    assert_eq!(reason(with("nbf", START + 1)), Reason::NotYetValid);
    assert_eq!(reason(with("aud", "another")), Reason::WrongAudience);
    clock.set(DEADLINE);
    assert_eq!(reason(with("exp", START + 86_400)), Reason::AdoptionOver);
}

/// A plain token is bound to no context, so it fails every check of one.
#[test]
fn a_plain_token_fits_no_context() {
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let token = plain(&claims()).in_context(Context::new().with("fingerprint", "f"));
    assert_eq!(reason(verify(&authority, &token, &account("alice"))), Reason::BadSignature);
}

#[test]
fn the_record_is_checked_as_for_any_token() {
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let blank = Account { password_hash: String::new(), ..account("alice") };
    assert_eq!(reason(verify(&authority, &plain(&claims()), &blank)), Reason::NoCredential);
    let tenant = Account { tenant: Some(("acme".into(), 1)), ..account("alice") };
    let error = verify(&authority, &plain(&claims()), &tenant).unwrap_err();
    assert_eq!(error, VerifyError::Record(RecordError::Epochs));
}

#[test]
fn the_application_does_not_see_registered_claims_of_a_plain_token() {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        role: String,
    }
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let mut claims = with("role", "admin");
    claims["iat"] = START.into();
    let token = Token::<Access<Strict>>::new(plain(&claims).expose());
    assert_eq!(verify(&authority, &token, &account("alice")).unwrap().claims().role, "admin");
}

#[test]
fn only_plain_hs256_headers_of_access_tokens_are_recognised() {
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let alice = account("alice");
    let no_typ = Header { typ: None, ..Header::default() };
    assert!(verify(&authority, &legacy(&no_typ, &claims()), &alice).is_ok());
    let kid = Header { kid: Some("old".into()), ..Header::default() };
    assert!(verify(&authority, &legacy(&kid, &claims()), &alice).is_ok());

    let typ = Header { typ: Some("rt+jwt".into()), ..Header::default() };
    let crit = Header { crit: Some(vec!["b64".into()]), ..Header::default() };
    let from = |json| serde_json::from_value::<Header>(json).unwrap();
    let enc = from(json!({ "alg": "HS256", "typ": "JWT", "enc": "A128GCM" }));
    let zip = from(json!({ "alg": "HS256", "typ": "JWT", "zip": "DEF" }));
    for header in [typ, crit, enc, zip, Header::new(Algorithm::HS384)] {
        let refused = reason(verify(&authority, &legacy(&header, &claims()), &alice));
        assert_eq!(refused, Reason::Malformed, "{header:?}");
    }
    let as_refresh = Token::<Download>::new(plain(&claims()).expose());
    assert_eq!(reason(verify(&authority, &as_refresh, &alice)), Reason::Malformed);
}

/// A holder of the legacy secret can sign any plain token, but none that is taken for relatch's
/// own.
#[test]
fn the_legacy_secret_makes_none_of_relatch_s_tokens() {
    let clock = TestClock::new();
    let authority = authority(adopting(&clock), &clock);
    let alice = account("alice");
    let genuine = authority.issue::<Access>(&alice, &NoClaims {}).sign().unwrap();
    let payload = genuine.danger_unverified_subject().unwrap();
    let header = Header {
        kid: Some("k1".into()),
        typ: Some(<Access as Purpose>::TYP.into()),
        ..Header::default()
    };
    let forged = legacy(&header, &with("sub", payload));
    assert_eq!(reason(verify(&authority, &forged, &alice)), Reason::Malformed);
}

#[test]
fn a_legacy_secret_that_is_empty_or_a_master_key_is_refused() {
    let clock = TestClock::new();
    let with_secret = |builder: AuthorityBuilder, secret: &[u8]| {
        builder.adopt(Adoption::hs256(secret, 0, clock.at(DEADLINE))).build()
    };
    let setting = |built: Result<relatch::Authority, relatch::ConfigError>| {
        built.err().map(|error| error.setting())
    };
    let refused = Some("adopt");
    assert_eq!(setting(with_secret(builder(&clock), b"")), refused);
    assert_eq!(setting(with_secret(builder(&clock), &[1; 32])), refused);
    let text = key("k1", 1).expose_base64();
    assert_eq!(setting(with_secret(builder(&clock), text.as_bytes())), refused, "the key's text");
    let authority = with_secret(builder(&clock), &[2; 32]).unwrap();
    assert_eq!(setting(authority.with_keys(key("k2", 2))), refused);
    let ring = authority.keys().clone();
    let ring = ring.retiring(key("k2", 2), clock.at(0) + Duration::HOUR).unwrap();
    assert_eq!(setting(authority.with_keys(ring)), refused);
}

/// The verified plain token of this user, and the authority that adopted it.
fn adopted(clock: &TestClock, user: &Account) -> (relatch::Authority, Verified<Account>) {
    let authority = authority(adopting(clock), clock);
    let verified = verify(&authority, &plain(&claims()), user).unwrap();
    (authority, verified)
}

#[test]
fn a_plain_token_is_exchanged_for_a_session_by_hand() {
    let clock = TestClock::new();
    let mut alice = account("alice");
    let (authority, verified) = adopted(&clock, &alice);
    let tokens = {
        let issue = authority.issue::<Access>(verified.user(), &NoClaims {});
        let issue = issue.legacy_session("Firefox on Linux");
        alice.commit(issue.restart_session(&verified).unwrap())
    };
    assert_eq!(tokens.session().label(), "Firefox on Linux");
    assert!(verify(&authority, &plain(&claims()), &alice).is_ok(), "only a bump revokes it");

    let new = Account { password_hash: "$argon2id$new".into(), ..alice.clone() };
    let verified = verify(&authority, &plain(&claims()), &alice).unwrap();
    let issue = authority.issue::<Access>(&new, &NoClaims {});
    let decision = issue.change_password(&verified).unwrap();
    let mut alice = new.clone();
    let kept = alice.commit(decision);
    assert_eq!(kept.session().label(), "");
    assert!(verify(&authority, kept.access(), &alice).is_ok());
    assert_eq!(reason(verify(&authority, tokens.access(), &alice)), Reason::RevokedByVersion);
    let refused = reason(verify(&authority, &plain(&claims()), &alice));
    assert_eq!(refused, Reason::RevokedByVersion);
    assert_eq!(authority.sessions(&alice).unwrap().len(), 1);
}

/// The proof that a plain token was verified is worth nothing to whom it was not given by.
#[test]
fn a_plain_token_is_exchanged_only_while_it_is_accepted() {
    let clock = TestClock::new();
    let alice = account("alice");
    let (adopting, verified) = adopted(&clock, &alice);
    let refused = |authority: &relatch::Authority| {
        let issue = authority.issue::<Access>(&alice, &NoClaims {});
        match issue.log_out_others(&verified) {
            Err(IssueError::SessionOver(rejection)) => rejection.reason(),
            other => panic!("{other:?}"),
        }
    };
    let without = builder(&clock).build().unwrap();
    assert_eq!(refused(&without), Reason::WrongIssuer);
    let of_another_version = Adoption::hs256(SECRET, 7, clock.at(DEADLINE));
    assert_eq!(refused(&authority(of_another_version, &clock)), Reason::RevokedByVersion);
    clock.set(600);
    assert_eq!(refused(&adopting), Reason::Expired);
    clock.set(DEADLINE);
    assert_eq!(refused(&adopting), Reason::AdoptionOver);
}
