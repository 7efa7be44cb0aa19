//! Any refresh token of a session, even a used one, ends that session and no other.

use relatch::{
    Access, Authority, Context, NoClaims, Reason, RefreshToken, SessionPolicy, SessionTokens,
    Token,
    authority::{RefreshError, Stage},
};
use time::Duration;

use crate::common::{
    Account, TestClock, account, authority, builder, copy, present, reason, refresh_reason, verify,
};

fn start(authority: &Authority, user: &mut Account, label: &str) -> SessionTokens {
    let decision = authority.start_session(user, label).unwrap();
    user.commit(decision)
}

fn rotate(authority: &Authority, user: &mut Account, tokens: &SessionTokens) -> SessionTokens {
    present(authority, user, copy(tokens.refresh())).unwrap().into_tokens().unwrap()
}

/// Ends the token's session and stores the change. Returns whether there was a session.
fn revoke(
    authority: &Authority,
    user: &mut Account,
    token: RefreshToken,
) -> Result<bool, RefreshError> {
    let opened = authority.open_refresh(token)?;
    let decision = opened.log_out(&user.clone())?;
    let has_change = decision.change().is_some();
    let ended = user.commit(decision);
    assert_eq!(has_change, ended, "a change if and only if a session ended");
    Ok(ended)
}

#[test]
fn any_token_of_a_session_ends_it() {
    // The current token, its predecessor, and an older one.
    for presented in [2, 1, 0] {
        let (authority, clock) = authority();
        let mut alice = account("alice");
        let laptop = start(&authority, &mut alice, "laptop");
        let mut chain = vec![start(&authority, &mut alice, "phone")];
        for at in [60, 120] {
            clock.set(at);
            chain.push(rotate(&authority, &mut alice, chain.last().unwrap()));
        }
        clock.set(600);
        let version = alice.version;
        assert!(revoke(&authority, &mut alice, copy(chain[presented].refresh())).unwrap());
        for dead in &chain {
            assert_eq!(reason(verify(&authority, dead.access(), &alice)), Reason::SessionEnded);
            let refused = refresh_reason(&authority, &alice, copy(dead.refresh()));
            assert_eq!(refused, Reason::SessionEnded);
        }
        assert_eq!(alice.version, version);
        assert!(verify(&authority, laptop.access(), &alice).is_ok());
        drop(rotate(&authority, &mut alice, &laptop));
    }
}

#[test]
fn a_token_of_a_session_that_is_over_changes_nothing() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new().max_sessions(1);
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    assert!(revoke(&authority, &mut alice, copy(phone.refresh())).unwrap());
    assert!(!revoke(&authority, &mut alice, copy(phone.refresh())).unwrap());
    // The token cannot harm the slot's next session.
    let laptop = start(&authority, &mut alice, "laptop");
    assert!(!revoke(&authority, &mut alice, copy(phone.refresh())).unwrap());
    assert!(verify(&authority, laptop.access(), &alice).is_ok());
    // An evicted or restarted session has ended as well.
    let tablet = start(&authority, &mut alice, "tablet");
    assert_eq!(tablet.evicted().unwrap().label(), "laptop");
    assert!(!revoke(&authority, &mut alice, copy(laptop.refresh())).unwrap());
    let verified = verify(&authority, tablet.access(), &alice).unwrap();
    let restarted = alice.commit(
        authority
            .issue::<Access>(verified.user(), &NoClaims {})
            .restart_session(&verified)
            .unwrap(),
    );
    assert!(!revoke(&authority, &mut alice, copy(tablet.refresh())).unwrap());
    assert!(verify(&authority, restarted.access(), &alice).is_ok());
}

/// A session that a longer policy would accept again is removed from the record.
#[test]
fn a_session_that_a_shorter_policy_has_run_out_does_not_come_back() {
    let clock = TestClock::new();
    let long = builder(&clock).build().unwrap();
    let policy = SessionPolicy::new().idle_lifetime(Duration::seconds(60));
    let short = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let phone = start(&long, &mut alice, "phone");
    clock.set(60);
    assert_eq!(reason(verify(&short, phone.access(), &alice)), Reason::SessionExpired);
    assert!(revoke(&short, &mut alice, copy(phone.refresh())).unwrap());
    assert_eq!(reason(verify(&long, phone.access(), &alice)), Reason::SessionEnded);
}

/// After restoring a backup, a token ahead of its session's chain still ends the session; a token
/// of a session that the record does not know changes nothing.
#[test]
fn a_token_ahead_of_the_record_ends_the_session_that_is_there_and_no_other() {
    let (authority, clock) = authority();
    let before = account("alice");
    let mut alice = before.clone();
    let first = start(&authority, &mut alice, "phone");
    let started = alice.clone();
    clock.set(60);
    let second = rotate(&authority, &mut alice, &first);

    let mut restored = started.clone();
    assert!(revoke(&authority, &mut restored, copy(second.refresh())).unwrap());
    assert_eq!(reason(verify(&authority, first.access(), &restored)), Reason::SessionEnded);

    let mut restored = before;
    assert!(!revoke(&authority, &mut restored, copy(second.refresh())).unwrap());
    assert_eq!(restored.sessions, account("alice").sessions);

    let bumped = Account { version: 1, ..started };
    let mut alice = bumped.clone();
    let third = start(&authority, &mut alice, "phone");
    let mut restored = Account { version: 0, ..alice };
    let ahead = revoke(&authority, &mut restored, copy(third.refresh())).unwrap_err();
    assert!(matches!(ahead, RefreshError::Rejected(it) if it.reason() == Reason::AheadOfRecord));
}

/// A token is refused with the same reason as at a refresh.
#[test]
fn what_is_not_accepted_ends_nothing() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let here = Context::new().with("fingerprint", "cookie");
    let issue = authority.issue::<Access>(&alice, &NoClaims {}).context(here.clone());
    let tokens = alice.commit(issue.start_session("phone").unwrap());
    let token = || copy(tokens.refresh()).in_context(here.clone());
    let text = tokens.refresh().expose();
    let tampered = format!("{}A", &text[..text.len() - 1]);
    let tampered =
        if tampered == text { format!("{}E", &text[..text.len() - 1]) } else { tampered };
    let after = |change: fn(&mut Account)| {
        let mut user = alice.clone();
        change(&mut user);
        user
    };
    for (user, token, stage, why) in [
        (alice.clone(), Token::new(tampered), Stage::Binding, Reason::BadSignature),
        (alice.clone(), copy(tokens.refresh()), Stage::Binding, Reason::BadSignature),
        (after(|it| it.version = 1), token(), Stage::Binding, Reason::RevokedByVersion),
        (
            after(|it| it.password_hash = "$argon2id$new".into()),
            token(),
            Stage::Binding,
            Reason::BadSignature,
        ),
        (after(|it| it.password_hash.clear()), token(), Stage::Binding, Reason::NoCredential),
        (after(|it| it.active = false), token(), Stage::Lookup, Reason::InactiveUser),
        (after(|it| it.id = "bob".into()), token(), Stage::Lookup, Reason::UserMismatch),
    ] {
        let opened = authority.open_refresh(token).unwrap();
        let Err(RefreshError::Rejected(refused)) = opened.log_out(&user) else {
            panic!("not rejected, but for {why}")
        };
        assert_eq!((refused.stage(), refused.reason()), (stage, why));
        let Err(RefreshError::Rejected(by_refresh)) = opened.refresh(&user) else {
            panic!("{why}")
        };
        assert_eq!(refused, by_refresh);
    }
    let opened = authority.open_refresh(token()).unwrap();
    clock.set(14 * 86_400);
    let late = opened.log_out(&alice).unwrap_err();
    assert!(matches!(late, RefreshError::Rejected(it) if it.reason() == Reason::Expired));
    clock.set(0);
    assert!(revoke(&authority, &mut alice, token()).unwrap());
}
