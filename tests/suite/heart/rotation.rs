//! Refresh rotation: one token for the next, the same successor again within the grace, and reuse.

use relatch::{
    Access, Authority, AuthorityBuilder, BindingMode, Context, NoClaims, Reason, RefreshToken,
    SessionPolicy, SessionTokens,
    authority::{RefreshError, Refreshed},
    sessions::{EventKind, OnReuse},
};
use time::Duration;

use crate::common::{
    Account, TestClock, account, authority, builder, copy, key, present, reason, refresh_reason,
    rehashed, verify,
};

fn start(authority: &Authority, user: &mut Account) -> SessionTokens {
    let decision = authority.start_session(user, "phone").unwrap();
    user.commit(decision)
}

/// Rotates successfully.
fn rotate(authority: &Authority, user: &mut Account, token: &RefreshToken) -> SessionTokens {
    match present(authority, user, copy(token)).unwrap() {
        Refreshed::Rotated(tokens) => tokens,
        other => panic!("not rotated: {other:?}"),
    }
}

fn with_grace(clock: &TestClock, seconds: i64) -> Authority {
    let policy = SessionPolicy::new().grace(Duration::seconds(seconds));
    builder(clock).sessions(policy).build().unwrap()
}

#[test]
fn the_token_in_force_gives_its_successor() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    clock.set(60);
    let second = rotate(&authority, &mut alice, first.refresh());
    assert_ne!(second.refresh().expose(), first.refresh().expose());
    assert_ne!(second.access().expose(), first.access().expose());
    let (old, new) = (first.session(), second.session());
    assert_eq!((new.id(), new.label(), new.started_at()), (old.id(), "phone", clock.at(0)));
    assert_eq!(new.last_seen(), clock.at(60));
    assert_eq!(authority.sessions(&alice).unwrap(), std::slice::from_ref(new));
    assert!(second.evicted().is_none());
    for tokens in [&first, &second] {
        assert!(verify(&authority, tokens.access(), &alice).is_ok(), "it lives to its own end");
    }
    let third = rotate(&authority, &mut alice, second.refresh());
    assert_ne!(third.refresh().expose(), second.refresh().expose());
}

#[test]
fn nothing_happens_before_the_decision_is_stored() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let tokens = start(&authority, &mut alice);
    let opened = authority.open_refresh(copy(tokens.refresh())).unwrap();
    assert_eq!(opened.user_id(), "alice");
    let text = |decision: relatch::authority::Decision<Refreshed>| {
        let change = decision.change().unwrap().clone();
        let tokens = alice.clone().commit(decision).into_tokens().unwrap();
        (change, tokens.refresh().expose().to_owned())
    };
    let [one, two] = [(); 2].map(|()| text(opened.refresh(&alice).unwrap()));
    assert_eq!(one, two);
    assert_eq!(one.0.version().get(), alice.version);
    assert_eq!(one.0.lane("magic+jwt"), None);
}

#[test]
fn the_predecessor_gives_the_same_successor_on_another_machine_too() {
    let clock = TestClock::new();
    let [here, there] = [(); 2].map(|()| builder(&clock).build().unwrap());
    let mut alice = account("alice");
    let first = start(&here, &mut alice);
    clock.set(100);
    let second = rotate(&here, &mut alice, first.refresh());
    clock.set(107);
    let opened = there.open_refresh(copy(first.refresh())).unwrap();
    let decision = opened.refresh(&alice).unwrap();
    assert!(decision.change().is_none(), "nothing to store");
    let Refreshed::Repeated(again, event) = alice.commit(decision) else { panic!("not repeated") };
    assert_eq!(again.refresh().expose(), second.refresh().expose());
    assert_eq!(again.session(), second.session());
    let access = verify(&there, again.access(), &alice).unwrap();
    assert_eq!(access.registered().issued_at(), Some(clock.at(107)), "the access token is fresh");
    assert_eq!(access.registered().session_id(), Some(first.session().id()));

    let event = event.unwrap();
    assert_eq!((event.kind(), event.user_id()), (EventKind::GraceHit, "alice"));
    assert_eq!((event.session_id(), event.label()), (first.session().id(), Some("phone")));
    assert_eq!((event.presented_seq(), event.current_seq()), (0, Some(1)));
    assert_eq!((event.last_seen(), event.at()), (Some(clock.at(100)), clock.at(107)));
    assert_eq!(event.ended_sessions(), 0);
}

#[test]
fn the_successor_keeps_what_the_predecessor_was_bound_to_over_a_rehash() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let second = rotate(&authority, &mut alice, first.refresh());
    let mut alice = rehashed(&alice);
    let again = present(&authority, &mut alice, copy(first.refresh())).unwrap();
    let again = again.into_tokens().unwrap();
    assert_eq!(again.refresh().expose(), second.refresh().expose());
    let _ = rotate(&authority, &mut alice, second.refresh());
}

#[test]
fn the_grace_ends_at_its_second_in_either_direction() {
    for grace in [1, 10, 60] {
        for (elapsed, is_within) in
            [(0, true), (grace, true), (grace + 1, false), (-grace, true), (-grace - 1, false)]
        {
            let clock = TestClock::new();
            let authority = with_grace(&clock, grace);
            let mut alice = account("alice");
            let first = start(&authority, &mut alice);
            clock.set(100);
            let second = rotate(&authority, &mut alice, first.refresh());
            clock.set(100 + elapsed);
            match (present(&authority, &mut alice, copy(first.refresh())).unwrap(), is_within) {
                (Refreshed::Repeated(again, _), true) => {
                    assert_eq!(again.refresh().expose(), second.refresh().expose());
                }
                (Refreshed::Reused(_), false) => {}
                (other, _) => panic!("{elapsed} seconds, grace {grace}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_grace_counts_from_the_rotation_and_is_not_prolonged() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let _ = rotate(&authority, &mut alice, first.refresh());
    for (at, is_within) in [(6, true), (10, true), (11, false)] {
        clock.set(at);
        let outcome = present(&authority, &mut alice, copy(first.refresh())).unwrap();
        assert_eq!(outcome.into_tokens().is_ok(), is_within, "second {at}");
    }
}

#[test]
fn without_a_grace_a_second_use_in_the_same_second_is_reuse() {
    let clock = TestClock::new();
    let authority = with_grace(&clock, 0);
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let second = rotate(&authority, &mut alice, first.refresh());
    let outcome = present(&authority, &mut alice, copy(first.refresh())).unwrap();
    assert_eq!(outcome.event().unwrap().kind(), EventKind::Reuse);
    assert_eq!(refresh_reason(&authority, &alice, copy(second.refresh())), Reason::SessionEnded);
}

#[test]
fn two_steps_behind_is_reuse_in_the_same_second() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let second = rotate(&authority, &mut alice, first.refresh());
    let third = rotate(&authority, &mut alice, second.refresh());
    let outcome = present(&authority, &mut alice, copy(first.refresh())).unwrap();
    assert_eq!(outcome.event().unwrap().kind(), EventKind::Reuse);
    assert_eq!(outcome.into_tokens().unwrap_err().reason(), Reason::RefreshReused);
    assert_eq!(reason(verify(&authority, third.access(), &alice)), Reason::SessionEnded);
}

#[test]
fn reuse_ends_that_session_alone_and_tells_of_it() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let other = start(&authority, &mut alice);
    clock.set(100);
    let second = rotate(&authority, &mut alice, first.refresh());
    clock.set(200);
    let stolen = copy(first.refresh());
    let Refreshed::Reused(event) = present(&authority, &mut alice, stolen).unwrap() else {
        panic!("not reuse")
    };
    assert_eq!((event.kind(), event.user_id()), (EventKind::Reuse, "alice"));
    assert_eq!((event.session_id(), event.label()), (first.session().id(), Some("phone")));
    assert_eq!((event.presented_seq(), event.current_seq()), (0, Some(1)));
    assert_eq!((event.last_seen(), event.at()), (Some(clock.at(100)), clock.at(200)));
    assert_eq!(event.ended_sessions(), 1);
    assert!(!event.jti().is_empty());

    for dead in [first.access(), second.access()] {
        assert_eq!(reason(verify(&authority, dead, &alice)), Reason::SessionEnded);
    }
    for dead in [first.refresh(), second.refresh()] {
        assert_eq!(refresh_reason(&authority, &alice, copy(dead)), Reason::SessionEnded);
    }
    assert!(verify(&authority, other.access(), &alice).is_ok());
    let _ = rotate(&authority, &mut alice, other.refresh());
}

#[test]
fn reuse_ends_all_sessions_where_the_policy_says_so() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new()
        .idle_lifetime(Duration::seconds(500))
        .on_reuse(OnReuse::EndAllSessions);
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let _long_gone = start(&authority, &mut alice);
    clock.set(450);
    let first = start(&authority, &mut alice);
    let other = start(&authority, &mut alice);
    let _ = rotate(&authority, &mut alice, first.refresh());
    clock.set(500);
    let outcome = present(&authority, &mut alice, copy(first.refresh())).unwrap();
    assert_eq!(outcome.event().unwrap().ended_sessions(), 2, "one had run out by itself");
    assert!(authority.sessions(&alice).unwrap().is_empty());
    assert_eq!(reason(verify(&authority, other.access(), &alice)), Reason::SessionEnded);
    assert_eq!(refresh_reason(&authority, &alice, copy(other.refresh())), Reason::SessionEnded);
}

#[test]
fn the_chain_of_the_session_that_stays_begins_anew() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let _ = rotate(&authority, &mut alice, first.refresh());
    let verified = verify(&authority, first.access(), &alice).unwrap();
    let decision =
        authority.issue::<Access>(verified.user(), &NoClaims {}).log_out_others(&verified).unwrap();
    let kept = alice.commit(decision);
    let _ = rotate(&authority, &mut alice, kept.refresh());
    let again = present(&authority, &mut alice, copy(kept.refresh())).unwrap();
    let event = again.event().unwrap();
    assert_eq!((event.presented_seq(), event.current_seq()), (0, Some(1)));
    assert_eq!(event.session_id(), kept.session().id());
}

#[test]
fn a_token_ahead_of_the_record_changes_nothing_and_is_reported() {
    let (authority, clock) = authority();
    let before = account("alice");
    let mut alice = before.clone();
    let first = start(&authority, &mut alice);
    let started = alice.clone();
    clock.set(60);
    let second = rotate(&authority, &mut alice, first.refresh());

    let cases = [
        (&started, second.refresh(), Reason::RefreshAhead, 1, Some(0), Some("phone")),
        (&before, first.refresh(), Reason::SessionAhead, 0, None, None),
    ];
    for (restored, token, why, presented, current, label) in cases {
        let opened = authority.open_refresh(copy(token)).unwrap();
        let decision = opened.refresh(restored).unwrap();
        assert!(decision.change().is_none());
        let outcome = restored.clone().commit(decision);
        let event = outcome.event().unwrap();
        assert_eq!(event.kind(), EventKind::RolledBack);
        assert_eq!((event.presented_seq(), event.current_seq()), (presented, current));
        assert_eq!((event.label(), event.session_id()), (label, first.session().id()));
        assert_eq!(event.last_seen(), current.map(|_| clock.at(0)));
        assert_eq!((event.at(), event.ended_sessions()), (clock.at(60), 0));
        assert!(matches!(outcome, Refreshed::Ahead(reason, _) if reason == why));
        assert_eq!(outcome.into_tokens().unwrap_err().reason(), why);
    }
    assert!(verify(&authority, second.access(), &alice).is_ok(), "the true record is as before");
}

#[test]
fn a_refresh_token_is_in_key_mode_under_every_authority() {
    let clock = TestClock::new();
    let stamp = builder(&clock).mode(BindingMode::StampHs256).build().unwrap();
    let key_mode = builder(&clock).build().unwrap();
    let mut alice = account("alice");
    let first = start(&stamp, &mut alice);
    let second = rotate(&stamp, &mut alice, first.refresh());
    let third = rotate(&key_mode, &mut alice, second.refresh());
    let again = present(&stamp, &mut alice, copy(second.refresh())).unwrap();
    assert_eq!(again.into_tokens().unwrap().refresh().expose(), third.refresh().expose());
    let changed = Account { password_hash: "$argon2id$changed".into(), ..alice };
    assert_eq!(refresh_reason(&stamp, &changed, copy(third.refresh())), Reason::BadSignature);
}

#[test]
fn a_refresh_moves_the_session_to_the_new_key() {
    let (old, clock) = authority();
    let mut alice = account("alice");
    let first = start(&old, &mut alice);
    let ring = old.keys().clone().rotate(key("k2", 2), clock.at(900)).unwrap();
    let new = old.with_keys(ring).unwrap();
    clock.set(60);
    let second = rotate(&old, &mut alice, first.refresh());
    // The successor is the same position of the chain under both keys.
    let again = present(&new, &mut alice, copy(first.refresh())).unwrap().into_tokens().unwrap();
    assert_ne!(again.refresh().expose(), second.refresh().expose());
    clock.set(899);
    let mut with_old = alice.clone();
    let _ = rotate(&new, &mut with_old, second.refresh());
    clock.set(900);
    assert_eq!(new.open_refresh(copy(second.refresh())).unwrap_err().reason(), Reason::RetiredKey);
    let third = rotate(&new, &mut alice, again.refresh());
    assert!(verify(&new, third.access(), &alice).is_ok());
    assert_eq!(reason(verify(&old, third.access(), &alice)), Reason::UnknownKey);
}

#[test]
fn the_context_of_the_session_goes_on_and_no_other_can_be_set() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let here = Context::new().with("fingerprint", "cookie");
    let issue = authority.issue::<Access>(&alice, &NoClaims {}).context(here.clone());
    let decision = issue.start_session("phone").unwrap();
    let first = alice.commit(decision);
    let elsewhere = Context::new().with("fingerprint", "other");
    for wrong in [Context::new(), elsewhere.clone()] {
        let token = copy(first.refresh()).in_context(wrong);
        assert_eq!(refresh_reason(&authority, &alice, token), Reason::BadSignature);
    }
    for other in [here.clone(), elsewhere] {
        let opened = authority.open_refresh(copy(first.refresh()).in_context(here.clone()));
        let opened = opened.unwrap();
        let issue = authority.issue::<Access>(&alice, &NoClaims {}).context(other);
        let error = issue.refresh(&opened).unwrap_err();
        assert!(matches!(error, RefreshError::Issue(relatch::IssueError::ContextPresented)));
    }
    let token = copy(first.refresh()).in_context(here.clone());
    let second = present(&authority, &mut alice, token).unwrap().into_tokens().unwrap();
    assert_eq!(reason(verify(&authority, second.access(), &alice)), Reason::BadSignature);
    let access = copy(second.access()).in_context(here.clone());
    assert!(verify(&authority, &access, &alice).is_ok());
    let token = copy(first.refresh()).in_context(here);
    let again = present(&authority, &mut alice, token).unwrap().into_tokens().unwrap();
    assert_eq!(again.refresh().expose(), second.refresh().expose());
}

#[test]
fn no_access_token_outlives_its_session() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new()
        .idle_lifetime(Duration::seconds(100))
        .absolute_lifetime(Duration::seconds(150));
    let policed = |builder: AuthorityBuilder| builder.sessions(policy).build().unwrap();
    let authority = policed(builder(&clock).lifetime(Duration::days(1)));
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let exp = |tokens: &SessionTokens| authority.open(tokens.access()).unwrap().expires_at();
    assert_eq!(exp(&first), clock.at(100));
    clock.set(60);
    let opened = authority.open_refresh(copy(first.refresh())).unwrap();
    let issue = authority.issue::<Access>(&alice, &NoClaims {}).lifetime(Duration::days(2));
    let second = issue.refresh(&opened).unwrap();
    let second = alice.commit(second).into_tokens().unwrap();
    assert_eq!(exp(&second), clock.at(150));
    clock.set(70);
    let again = present(&authority, &mut alice, copy(first.refresh())).unwrap();
    assert_eq!(exp(&again.into_tokens().unwrap()), clock.at(150));
    let verified = verify(&authority, first.access(), &alice).unwrap();
    let kept =
        authority.issue::<Access>(verified.user(), &NoClaims {}).log_out_others(&verified).unwrap();
    assert_eq!(exp(&alice.commit(kept)), clock.at(150));
}
