//! Issuing, opening and verifying in both binding modes, and the authority's settings.

use std::{convert::Infallible, error::Error, io, sync::Arc};

use relatch::{
    Access, AccessToken, Authority, Binding, BindingMode, Context, IssueError, NoClaims, Reason,
    Token, User, VerifyError,
    authority::{Entropy, EntropyError, Stage},
    token::{ClaimsError, MAX_LIFETIME},
    user::{Counter, RecordError},
};
use serde_json::json;
use time::Duration;

use crate::common::{
    AUDIENCE, Account, Download, HASH, ISSUER, MagicLink, Role, START, TestClock, account,
    authority, builder, key, peek, reason, role, verify,
};

const MODES: [BindingMode; 2] = [BindingMode::Key, BindingMode::StampHs256];

#[test]
fn a_session_holds_the_record_the_claims_and_the_registered_claims() {
    for mode in MODES {
        let clock = TestClock::new();
        let authority = builder(&clock).mode(mode).build().unwrap();
        let mut alice = account("alice");
        alice.version = 7;
        let token = authority.issue::<Access<Role>>(&alice, &role("admin")).sign().unwrap();
        let verified = authority
            .verify(&token, |id| {
                assert_eq!(id, "alice");
                Ok::<_, Infallible>(Some(alice.clone()))
            })
            .unwrap();
        assert_eq!(verified.user().id, "alice");
        assert_eq!(verified.claims(), &role("admin"));
        assert!(!verified.is_legacy());
        let registered = verified.registered();
        assert_eq!(registered.issuer(), Some(ISSUER));
        assert_eq!(registered.subject(), "alice");
        assert_eq!(registered.audience().collect::<Vec<_>>(), [AUDIENCE]);
        assert_eq!(registered.issued_at(), Some(clock.at(0)));
        assert_eq!(registered.expires_at(), clock.at(15 * 60));
        assert_eq!(registered.version(), Counter::from(7));
        assert_eq!(registered.jti().map(str::len), Some(22));
        let (user, claims, _) = verified.into_parts();
        assert_eq!((user.id.as_str(), claims), ("alice", role("admin")));
    }
}

#[test]
fn a_bump_or_another_password_kills_every_token_of_that_user_alone() {
    for (mode, changed) in [
        (BindingMode::Key, Reason::BadSignature),
        (BindingMode::StampHs256, Reason::RevokedByStamp),
    ] {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let (alice, bob) = (account("alice"), account("bob"));
        let tokens = [authority.issue_for_user(&alice), authority.issue_for_user(&alice)];
        let bobs = authority.issue_for_user(&bob).unwrap();
        for token in tokens.map(Result::unwrap) {
            assert!(verify(&authority, &token, &alice).is_ok());
            let bumped = Account { version: 1, ..alice.clone() };
            assert_eq!(reason(verify(&authority, &token, &bumped)), Reason::RevokedByVersion);
            let reset = Account { password_hash: format!("{HASH}x"), ..alice.clone() };
            assert_eq!(reason(verify(&authority, &token, &reset)), changed);
        }
        assert!(verify(&authority, &bobs, &bob).is_ok());
    }
}

#[test]
fn a_version_behind_the_token_is_told_apart() {
    let (authority, _) = authority();
    let token = authority.issue_for_user(&Account { version: 5, ..account("alice") }).unwrap();
    let restored = Account { version: 4, ..account("alice") };
    assert_eq!(reason(verify(&authority, &token, &restored)), Reason::AheadOfRecord);
}

#[test]
fn the_lookup_decides_over_unknown_mismatched_and_inactive_users() {
    let (authority, _) = authority();
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    let with = |user: Option<Account>| {
        let error = authority.verify(&token, |_| Ok::<_, Infallible>(user)).unwrap_err();
        let VerifyError::Rejected(rejection) = error else { panic!("not a rejection") };
        assert_eq!(rejection.stage(), Stage::Lookup);
        rejection.reason()
    };
    assert_eq!(with(None), Reason::UnknownUser);
    assert_eq!(with(Some(account("Alice"))), Reason::UserMismatch);
    assert_eq!(with(Some(Account { active: false, ..alice })), Reason::InactiveUser);
}

#[test]
fn a_failing_lookup_is_its_own_error_and_keeps_its_source() {
    let (authority, _) = authority();
    let token = authority.issue_for_user(&account("alice")).unwrap();
    let error = authority
        .verify::<_, Account, _>(&token, |_| Err(io::Error::other("connection refused")))
        .unwrap_err();
    assert!(matches!(error, VerifyError::Lookup(_)));
    assert_eq!(error.reason(), None);
    assert_eq!(error.source().unwrap().to_string(), "connection refused");
    assert!(!error.to_string().contains("invalid"));
}

#[test]
fn the_two_steps_are_the_same_verification() {
    let (authority, clock) = authority();
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    let opened = authority.open(&token).unwrap();
    assert_eq!(opened.user_id(), "alice");
    assert_eq!(opened.expires_at(), clock.at(900));
    assert_eq!(opened.verify(Some(alice.clone())).unwrap().user().id, "alice");

    let none = authority.open(&token).unwrap().verify::<Account>(None).unwrap_err();
    assert_eq!(none.reason(), Some(Reason::UnknownUser));

    let opened = authority.open(&token).unwrap();
    clock.set(900);
    let late = opened.verify(Some(alice)).unwrap_err();
    assert_eq!(late.reason(), Some(Reason::Expired), "it expired between the two steps");
}

#[test]
fn expiry_is_exclusive_and_leeway_is_zero_unless_set() {
    let alice = account("alice");
    for (leeway, alive_until) in [(0, 899), (30, 929)] {
        let clock = TestClock::new();
        let authority = builder(&clock).leeway(Duration::seconds(leeway)).build().unwrap();
        let token = authority.issue_for_user(&alice).unwrap();
        clock.set(alive_until);
        assert!(verify(&authority, &token, &alice).is_ok());
        clock.set(alive_until + 1);
        assert_eq!(reason(verify(&authority, &token, &alice)), Reason::Expired);
        clock.set(-leeway);
        assert!(verify(&authority, &token, &alice).is_ok());
        clock.set(-leeway - 1);
        assert_eq!(reason(verify(&authority, &token, &alice)), Reason::NotYetValid);
    }
}

#[test]
fn lifetimes_come_from_the_call_then_the_purpose_then_the_authority() {
    let clock = TestClock::new();
    let authority = builder(&clock).lifetime(Duration::hours(2)).build().unwrap();
    let alice = account("alice");
    let expiry = |token: Result<Token<Access>, IssueError>| {
        authority.open(&token.unwrap()).unwrap().expires_at()
    };
    assert_eq!(expiry(authority.issue_for_user(&alice)), clock.at(7200));
    let link = authority.issue::<MagicLink>(&alice, &NoClaims {}).sign().unwrap();
    assert_eq!(authority.open_once(link).unwrap().expires_at(), clock.at(600));
    let issue =
        |lifetime| authority.issue::<Access>(&alice, &NoClaims {}).lifetime(lifetime).sign();
    assert_eq!(expiry(issue(Duration::seconds(1))), clock.at(1));
    assert_eq!(expiry(issue(Duration::milliseconds(2999))), clock.at(2));
    assert_eq!(expiry(issue(MAX_LIFETIME)), clock.at(366 * 86_400));
    for bad in [Duration::ZERO, Duration::milliseconds(999), Duration::seconds(-5), Duration::MAX] {
        assert!(matches!(issue(bad), Err(IssueError::Lifetime)), "{bad}");
    }
    clock.set(-START - 1);
    assert!(matches!(authority.issue_for_user(&alice), Err(IssueError::Clock)), "before 1970");
}

#[test]
fn a_token_for_other_audiences_is_not_for_this_one() {
    let (authority, _) = authority();
    let alice = account("alice");
    let issue = || authority.issue::<Access>(&alice, &NoClaims {});
    let other = issue().audience("other").sign().unwrap();
    assert_eq!(reason(verify(&authority, &other, &alice)), Reason::WrongAudience);
    let both = issue().audience("other").audience(AUDIENCE).sign().unwrap();
    let verified = verify(&authority, &both, &alice).unwrap();
    assert_eq!(verified.registered().audience().collect::<Vec<_>>(), ["other", AUDIENCE]);
    assert!(matches!(issue().audience("").sign(), Err(IssueError::Audience)));
}

#[test]
fn a_context_must_be_presented_as_it_was_bound() {
    for (mode, expected) in [
        (BindingMode::Key, Reason::BadSignature),
        (BindingMode::StampHs256, Reason::RevokedByStamp),
    ] {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let alice = account("alice");
        let bound = Context::new().with("fingerprint", "f").with("ip", "192.0.2.0/24");
        let token = authority.issue::<Access>(&alice, &NoClaims {}).context(bound.clone());
        let text = token.sign().unwrap().expose().to_owned();
        let present = |context| AccessToken::new(text.clone()).in_context(context);
        assert!(verify(&authority, &present(bound), &alice).is_ok());
        for other in [
            Context::new(),
            Context::new().with("fingerprint", "f"),
            Context::new().with("fingerprint", "g").with("ip", "192.0.2.0/24"),
            Context::new().with("fingerprint", "192.0.2.0/24").with("ip", "f"),
            Context::new().with("fingerprint", "f").with("ip", "192.0.2.0/24").with("x", "y"),
        ] {
            assert_eq!(reason(verify(&authority, &present(other), &alice)), expected);
        }
        let unbound = authority.issue_for_user(&alice).unwrap();
        let unbound = unbound.in_context(Context::new().with("x", "y"));
        assert_eq!(reason(verify(&authority, &unbound, &alice)), expected);
    }
}

#[test]
fn an_empty_context_value_is_refused_at_issue() {
    let (authority, _) = authority();
    let alice = account("alice");
    let empty = Context::new().with("fingerprint", "");
    let issued = authority.issue::<Access>(&alice, &NoClaims {}).context(empty).sign();
    assert!(matches!(issued, Err(IssueError::Context)));
}

#[test]
fn a_lane_makes_all_tokens_of_its_purpose_single_use_and_no_other() {
    for mode in MODES {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let alice = account("alice");
        let access = authority.issue_for_user(&alice).unwrap();
        let issue = || authority.issue::<MagicLink>(&alice, &NoClaims {}).sign().unwrap();
        let (one, two) = (issue(), issue());
        assert!(peek(&authority, &one, &alice).is_ok());
        let used = Account { lane: 1, ..alice };
        assert_eq!(reason(peek(&authority, &one, &used)), Reason::RevokedByLane);
        assert_eq!(reason(peek(&authority, &two, &used)), Reason::RevokedByLane);
        assert!(verify(&authority, &access, &used).is_ok());
    }
}

#[test]
fn a_record_without_the_counter_of_a_lane_is_an_error_and_no_rejection() {
    struct NoLanes;
    impl User for NoLanes {
        fn id(&self) -> &str {
            "alice"
        }
        fn binding(&self) -> Binding<'_> {
            Binding::password_hash(HASH)
        }
    }
    let (authority, _) = authority();
    let issued = authority.issue::<MagicLink>(&NoLanes, &NoClaims {}).sign();
    assert!(matches!(issued, Err(IssueError::Record(RecordError::Lane))));
    let link = authority.issue::<MagicLink>(&account("alice"), &NoClaims {}).sign().unwrap();
    let error = authority.peek(&link, |_| Ok::<_, Infallible>(Some(NoLanes))).unwrap_err();
    assert_eq!(error, VerifyError::Record(RecordError::Lane));
    assert!(error.source().unwrap().to_string().contains("User::lane"));
}

#[test]
fn a_token_of_one_purpose_is_never_one_of_another() {
    for mode in MODES {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let alice = account("alice");
        let download = authority.issue::<Download>(&alice, &NoClaims {}).sign().unwrap();
        let as_access = AccessToken::new(download.expose());
        assert_eq!(reason(verify(&authority, &as_access, &alice)), Reason::WrongType);

        // With the other header, the key still separates the two purposes.
        let access = authority.issue_for_user(&alice).unwrap();
        let (header, _) = access.expose().split_once('.').unwrap();
        let (_, rest) = download.expose().split_once('.').unwrap();
        let forged = AccessToken::new(format!("{header}.{rest}"));
        // In stamp mode an access token has a stamp, and a download has none.
        let expected = match mode {
            BindingMode::Key => Reason::Forged,
            _ => Reason::Malformed,
        };
        assert_eq!(reason(verify(&authority, &forged, &alice)), expected);
    }
}

#[test]
fn epochs_of_the_configuration_and_of_groups_log_out_all_of_theirs() {
    let member = |tenant: &str, epoch| Account {
        tenant: Some((tenant.to_owned(), epoch)),
        ..account("alice")
    };
    for (mode, expected) in [
        (BindingMode::Key, Reason::BadSignature),
        (BindingMode::StampHs256, Reason::RevokedByStamp),
    ] {
        let at = |realm: i64| {
            let builder = builder(&TestClock::new()).mode(mode);
            builder.epoch("realm", realm).user_epoch("tenant").build().unwrap()
        };
        let authority = at(1);
        let token = authority.issue_for_user(&member("acme", 3)).unwrap();
        assert!(verify(&authority, &token, &member("acme", 3)).is_ok());
        assert_eq!(reason(verify(&authority, &token, &member("acme", 4))), expected);
        assert_eq!(reason(verify(&at(2), &token, &member("acme", 3))), expected);
        // Another tenant with the same counter.
        assert_eq!(reason(verify(&authority, &token, &member("globex", 3))), expected);
    }
}

#[test]
fn a_record_with_another_set_of_epochs_is_an_error_and_no_rejection() {
    let authority = builder(&TestClock::new()).user_epoch("tenant").build().unwrap();
    let member = Account { tenant: Some(("acme".into(), 1)), ..account("alice") };
    let token = authority.issue_for_user(&member).unwrap();
    let error = verify(&authority, &token, &account("alice")).unwrap_err();
    assert_eq!(error, VerifyError::Record(RecordError::Epochs));
    assert!(error.source().unwrap().to_string().contains("user_epoch"));
    let issued = authority.issue_for_user(&account("alice"));
    assert!(matches!(issued, Err(IssueError::Record(RecordError::Epochs))));
}

#[test]
fn a_negative_counter_is_an_error_and_no_rejection() {
    let (authority, _) = authority();
    let token = authority.issue_for_user(&account("alice")).unwrap();
    let negative = Account { version: -1, ..account("alice") };
    let error = verify(&authority, &token, &negative).unwrap_err();
    assert_eq!(error, VerifyError::Record(RecordError::NegativeCounter));
}

#[test]
fn a_user_without_a_credential_gets_no_token_and_none_is_accepted() {
    let (authority, _) = authority();
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    let blank = Account { password_hash: String::new(), ..alice };
    assert!(matches!(authority.issue_for_user(&blank), Err(IssueError::Record(_))));
    assert_eq!(reason(verify(&authority, &token, &blank)), Reason::NoCredential);
}

#[test]
fn an_inactive_user_gets_no_token() {
    let (authority, _) = authority();
    let inactive = Account { active: false, ..account("alice") };
    assert!(matches!(authority.issue_for_user(&inactive), Err(IssueError::InactiveUser)));
}

#[test]
fn an_id_is_neither_empty_nor_too_long() {
    let (authority, _) = authority();
    for (id, fits) in [(String::new(), false), ("é".repeat(127), true), ("é".repeat(128), false)]
    {
        assert_eq!(authority.issue_for_user(&account(&id)).is_ok(), fits, "{id}");
    }
}

#[test]
fn claims_that_do_not_fit_are_an_error_at_issue() {
    #[derive(Debug)]
    struct Anything;
    impl relatch::Purpose for Anything {
        type Claims = serde_json::Value;
        const TYP: &'static str = "any+jwt";
    }
    let (authority, _) = authority();
    let alice = account("alice");
    let issue = |claims| authority.issue::<Anything>(&alice, &claims).sign();
    for name in relatch::token::REGISTERED_CLAIMS {
        let error = issue(json!({ "role": "x", name: 1 })).unwrap_err();
        assert!(matches!(&error, IssueError::Claims(ClaimsError::Registered { .. })));
        assert!(error.source().unwrap().to_string().contains(name));
    }
    for name in relatch::token::RESERVED_CLAIMS {
        let error = issue(json!({ "role": "x", name: 1 })).unwrap_err();
        assert!(matches!(&error, IssueError::Claims(ClaimsError::Reserved { .. })));
        assert!(error.source().unwrap().to_string().contains(name));
    }
    for other in [json!(null), json!([1]), json!("text")] {
        assert!(matches!(issue(other), Err(IssueError::Claims(ClaimsError::NotAnObject))));
    }
    let error = issue(json!({ "blob": "x".repeat(4096) })).unwrap_err();
    assert!(matches!(error, IssueError::TooLong { max: 4096, .. }), "{error}");

    let fine = json!({ "role": "admin", "deep": [{ "sub": 1 }], "é": null });
    let token = issue(fine.clone()).unwrap();
    assert_eq!(verify(&authority, &token, &alice).unwrap().claims(), &fine);
}

/// The application's deserialiser runs last, on authenticated bytes only.
#[test]
fn the_application_s_claims_are_read_after_everything_else() {
    #[derive(Debug, serde::Serialize)]
    struct Untouchable {}
    impl<'de> serde::Deserialize<'de> for Untouchable {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("the private claims of a refused token were read")
        }
    }
    let alice = account("alice");
    let changed = Account { password_hash: "$argon2id$changed".into(), ..alice.clone() };
    let bumped = Account { version: 1, ..alice.clone() };
    for mode in MODES {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let token = authority.issue::<Access<Untouchable>>(&alice, &Untouchable {}).sign().unwrap();
        assert!(verify(&authority, &token, &changed).is_err());
        assert!(verify(&authority, &token, &bumped).is_err());
        assert!(authority.open(&token).unwrap().verify::<Account>(None).is_err());
    }
}

#[test]
fn claims_of_another_type_are_told_apart_from_a_forgery() {
    let (authority, _) = authority();
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    let as_role = Token::<Access<Role>>::new(token.expose());
    let error = verify(&authority, &as_role, &alice).unwrap_err();
    let VerifyError::Rejected(rejection) = error else { panic!("not a rejection") };
    assert_eq!(rejection.reason(), Reason::ApplicationClaims);
    assert_eq!(rejection.stage(), Stage::Application);
}

#[test]
fn keys_rotate_and_retire_and_can_be_removed() {
    let alice = account("alice");
    for mode in MODES {
        let clock = TestClock::new();
        let old = builder(&clock).mode(mode).build().unwrap();
        let token = old.issue_for_user(&alice).unwrap();
        let ring = old.keys().clone().rotate(key("k2", 2), clock.at(60)).unwrap();
        let new = old.with_keys(ring.clone()).unwrap();
        assert!(verify(&new, &token, &alice).is_ok());
        let fresh = new.issue_for_user(&alice).unwrap();
        assert_eq!(reason(verify(&old, &fresh, &alice)), Reason::UnknownKey);

        let removed = new.with_keys(ring.remove("k1").unwrap()).unwrap();
        assert_eq!(reason(verify(&removed, &token, &alice)), Reason::UnknownKey);

        let opened = new.open(&token).unwrap();
        clock.set(59);
        assert!(verify(&new, &token, &alice).is_ok());
        clock.set(60);
        assert_eq!(reason(verify(&new, &token, &alice)), Reason::RetiredKey);
        let late = opened.verify(Some(alice.clone())).unwrap_err();
        assert_eq!(late.reason(), Some(Reason::RetiredKey), "it retired between the two steps");
        assert!(verify(&new, &fresh, &alice).is_ok());
    }
}

#[test]
fn another_key_under_the_same_kid_opens_nothing() {
    let (authority, _) = authority();
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    let other = authority.with_keys(key("k1", 9)).unwrap();
    assert_eq!(reason(verify(&other, &token, &alice)), Reason::Forged);
}

#[test]
fn several_secrets_bind_together() {
    struct WithTotp<'a>(&'a str, Option<&'a str>);
    impl User for WithTotp<'_> {
        fn id(&self) -> &str {
            "alice"
        }
        fn binding(&self) -> Binding<'_> {
            Binding::secrets([self.0].into_iter().chain(self.1))
        }
    }
    let (authority, _) = authority();
    let token = authority.issue_for_user(&WithTotp(HASH, Some("totp"))).unwrap();
    let accepts = |user: WithTotp<'_>| authority.open(&token).unwrap().verify(Some(user)).is_ok();
    assert!(accepts(WithTotp(HASH, Some("totp"))));
    assert!(!accepts(WithTotp(HASH, Some("other"))));
    assert!(!accepts(WithTotp(HASH, None)));
    assert!(!accepts(WithTotp("other", Some("totp"))));
}

#[test]
fn a_cached_digest_stands_in_for_the_hash() {
    struct Cached(relatch::user::Credential);
    impl User for Cached {
        fn id(&self) -> &str {
            "alice"
        }
        fn binding(&self) -> Binding<'_> {
            Binding::credential(&self.0)
        }
    }
    let (authority, _) = authority();
    let token = authority.issue_for_user(&account("alice")).unwrap();
    let cached = Arc::new(Cached(relatch::user::Credential::from_password_hash(HASH).unwrap()));
    let verified = authority.verify(&token, |_| Ok::<_, Infallible>(Some(cached))).unwrap();
    assert_eq!(verified.into_user().id(), "alice");
}

#[test]
fn settings_out_of_bounds_are_refused() {
    let setting = |built: Result<Authority, relatch::ConfigError>| built.err().map(|e| e.setting());
    let with =
        |issuer: &str, audience: &str| setting(Authority::new(key("k", 1), issuer, audience));
    assert_eq!(with("", "a"), Some("issuer"));
    assert_eq!(with("i", ""), Some("audience"));
    assert_eq!(with(&"i".repeat(513), "a"), Some("issuer"));
    let base = || Authority::builder(key("k", 1), "i", "a");
    let error = |builder: relatch::AuthorityBuilder| setting(builder.build());
    assert_eq!(error(base().lifetime(Duration::ZERO)), Some("lifetime"));
    assert_eq!(error(base().lifetime(Duration::days(367))), Some("lifetime"));
    assert_eq!(error(base().leeway(Duration::seconds(-1))), Some("leeway"));
    assert_eq!(error(base().leeway(Duration::minutes(6))), Some("leeway"));
    assert_eq!(error(base().max_token_bytes(511)), Some("max_token_bytes"));
    assert_eq!(error(base().max_token_bytes(1 << 20)), Some("max_token_bytes"));
    for bad in [
        base().epoch("", 1),
        base().epoch("a:b", 1),
        base().epoch("a", -1),
        base().epoch("a", 1).user_epoch("a"),
        (0..17).fold(base(), |builder, i| builder.user_epoch(format!("e{i}"))),
    ] {
        assert_eq!(error(bad), Some("epoch"));
    }
    assert_eq!(error(base().epoch("a", 1).user_epoch("b")), None);
}

#[test]
fn a_source_of_randomness_that_fails_issues_nothing() {
    struct Dry;
    impl Entropy for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError::new())
        }
    }
    for mode in MODES {
        let authority = builder(&TestClock::new()).mode(mode).entropy(Dry).build().unwrap();
        let issued = authority.issue_for_user(&account("alice"));
        assert!(matches!(issued, Err(IssueError::Entropy(_))));
    }
}

#[test]
fn the_system_s_randomness_and_clock_are_the_default() {
    let authority = Authority::new(key("k", 1), ISSUER, AUDIENCE).unwrap();
    let alice = account("alice");
    let (one, two) =
        (authority.issue_for_user(&alice).unwrap(), authority.issue_for_user(&alice).unwrap());
    assert_ne!(one.expose(), two.expose());
    assert!(verify(&authority, &one, &alice).is_ok());
}

#[test]
fn the_dangerous_things_do_what_they_say() {
    let (authority, _) = authority();
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    assert_eq!(token.danger_unverified_subject().as_deref(), Some("alice"));
    let too_long = format!("{}{}", token.expose(), "A".repeat(relatch::token::MAX_TOKEN_BYTES));
    for text in ["", "a.b.c", &too_long] {
        assert_eq!(AccessToken::new(text).danger_unverified_subject(), None);
    }
    let key_of = |user: &Account, context: &Context| {
        *authority.danger_expose_key::<Access>(user, context).unwrap()
    };
    let (here, there) = (Context::new(), Context::new().with("k", "v"));
    assert_ne!(key_of(&alice, &here), key_of(&alice, &there));
    assert_ne!(key_of(&alice, &here), key_of(&account("bob"), &here));
    let download = *authority.danger_expose_key::<Download>(&alice, &here).unwrap();
    assert_ne!(key_of(&alice, &here), download);
}

/// One rule for all errors: the text says what failed, the source says why, and neither repeats the
/// other.
#[test]
fn no_error_repeats_its_source() {
    let (authority, _) = authority();
    let negative = Account { version: -1, ..account("alice") };
    let blank = Account { password_hash: String::new(), ..account("alice") };
    let token = authority.issue_for_user(&account("alice")).unwrap();
    let errors: [Box<dyn Error>; 3] = [
        Box::new(authority.issue_for_user(&negative).unwrap_err()),
        Box::new(authority.issue_for_user(&blank).unwrap_err()),
        Box::new(verify(&authority, &token, &negative).unwrap_err()),
    ];
    for error in errors {
        let mut chain = Vec::new();
        let mut next = Some(&*error);
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        assert!(chain.len() > 1, "{chain:?}");
        assert!(chain.windows(2).all(|pair| !pair[0].contains(&pair[1])), "{chain:?}");
    }
}

#[test]
fn all_rejections_read_the_same_to_a_client() {
    let (authority, clock) = authority();
    let alice = account("alice");
    let genuine = authority.issue_for_user(&alice).unwrap().expose().to_owned();
    let text = |error: &dyn Error| error.to_string();
    let mut texts = Vec::new();
    for bad in ["", "a.b.c", &genuine[1..], &genuine[..genuine.len() - 1]] {
        let token = AccessToken::new(bad);
        texts.push(text(&verify(&authority, &token, &alice).unwrap_err()));
    }
    let token = AccessToken::new(genuine);
    let bumped = Account { version: 1, ..alice.clone() };
    texts.push(text(&verify(&authority, &token, &bumped).unwrap_err()));
    clock.set(900);
    texts.push(text(&verify(&authority, &token, &alice).unwrap_err()));
    assert!(texts.iter().all(|text| text == "invalid token"), "{texts:?}");
}

#[test]
fn a_record_behind_a_pointer_is_the_same_record() {
    let authority = builder(&TestClock::new()).user_epoch("tenant").build().unwrap();
    let old = relatch::user::Credential::from_password_hash("$argon2id$old").unwrap();
    let new = relatch::user::Credential::from_password_hash(HASH).unwrap();
    let member = Account {
        tenant: Some(("acme".into(), 1)),
        lane: 4,
        carried: Some(relatch::user::Carried::rehash(None, &old, &new)),
        ..account("alice")
    };
    let token = authority.issue::<MagicLink>(&member, &NoClaims {}).sign().unwrap();
    let accepts =
        |user: &dyn User| authority.peek(&token, |_| Ok::<_, Infallible>(Some(user))).is_ok();
    assert!(accepts(&member));
    assert!(accepts(&Box::new(member.clone())));
    assert!(accepts(&Arc::new(member.clone())));
    assert!(!accepts(&Arc::new(Account { active: false, ..member })));
}
