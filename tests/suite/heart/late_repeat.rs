//! Late repeats: the predecessor of a refresh token, long after the grace, while its successor was
//! never used.

use std::convert::Infallible;

use relatch::{
    Access, Authority, ConfigError, NoClaims, RefreshToken, SessionPolicy, SessionTokens,
    authority::Refreshed,
    sessions::{ClientPolicy, EventKind, NewSession},
};
use time::Duration;

use crate::common::{Account, TestClock, account, builder, copy, refresh_outcome, verify};

const HOUR: i64 = 3600;

fn with(clock: &TestClock, policy: SessionPolicy) -> Authority {
    builder(clock).sessions(policy).build().unwrap()
}

fn for_a_day(clock: &TestClock) -> Authority {
    with(clock, SessionPolicy::new().late_repeat(Duration::days(1)))
}

fn start(authority: &Authority, user: &mut Account) -> SessionTokens {
    let decision = authority.start_session(user, "phone").unwrap();
    user.commit(decision)
}

fn tokens(
    authority: &Authority,
    user: &mut Account,
    token: &RefreshToken,
    expected: &str,
) -> SessionTokens {
    let (said, _, tokens) = refresh_outcome(authority, user, token);
    assert_eq!(said, expected);
    tokens.unwrap()
}

/// A session after a late repeat whose token was used: that token, and its successor, under which the
/// session is strict.
fn late_then_used(
    clock: &TestClock,
    authority: &Authority,
    user: &mut Account,
) -> (SessionTokens, SessionTokens) {
    let first = start(authority, user);
    let _lost = tokens(authority, user, first.refresh(), "rotated");
    clock.set(HOUR);
    let second = tokens(authority, user, first.refresh(), "repeated");
    let third = tokens(authority, user, second.refresh(), "rotated");
    (second, third)
}

/// The phone's connection broke after the server had stored the refresh. It is back an hour later.
#[test]
fn a_phone_that_lost_an_answer_comes_back_an_hour_later() {
    let clock = TestClock::new();
    let authority = for_a_day(&clock);
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let lost = tokens(&authority, &mut alice, first.refresh(), "rotated");
    clock.set(HOUR);
    let second = tokens(&authority, &mut alice, first.refresh(), "repeated");
    assert_eq!(second.refresh().expose(), lost.refresh().expose(), "the same successor");
    assert!(verify(&authority, second.access(), &alice).is_ok());
    let third = tokens(&authority, &mut alice, second.refresh(), "rotated");
    assert!(verify(&authority, third.access(), &alice).is_ok());
}

#[test]
fn by_default_nothing_comes_late() {
    let clock = TestClock::new();
    let authority = with(&clock, SessionPolicy::new());
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let _lost = tokens(&authority, &mut alice, first.refresh(), "rotated");
    clock.set(11);
    assert_eq!(refresh_outcome(&authority, &mut alice, first.refresh()).0, "reused");
}

#[test]
fn the_first_late_repeat_is_stored_and_reported_and_the_next_ones_are_neither() {
    let clock = TestClock::new();
    let authority = for_a_day(&clock);
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let _lost = tokens(&authority, &mut alice, first.refresh(), "rotated");
    clock.set(10);
    let unmarked = alice.sessions.clone();
    let (said, event, _) = refresh_outcome(&authority, &mut alice, first.refresh());
    assert_eq!((said, event), ("repeated", Some(EventKind::GraceHit)));
    assert_eq!(alice.sessions, unmarked);

    clock.set(11);
    let opened = authority.open_refresh(copy(first.refresh())).unwrap();
    let decision = opened.refresh(&alice).unwrap();
    let column = decision.change().unwrap().sessions().unwrap().to_column().unwrap();
    assert!(column.contains(r#""repeated":true"#), "{column}");
    let marked = alice.commit(decision);
    let event = marked.event().unwrap();
    assert_eq!((event.kind(), event.ended_sessions()), (EventKind::LateRepeat, 0));
    assert_eq!((event.presented_seq(), event.current_seq()), (0, Some(1)));

    for at in [12, HOUR] {
        clock.set(at);
        let opened = authority.open_refresh(copy(first.refresh())).unwrap();
        let decision = opened.refresh(&alice).unwrap();
        assert!(decision.change().is_none(), "nothing to store");
        let repeated = alice.commit(decision);
        assert!(matches!(&repeated, Refreshed::Repeated(_, None)), "{repeated:?}");
    }
}

#[test]
fn the_time_ends_at_its_second_in_either_direction() {
    for (elapsed, is_within) in [(100, true), (101, false), (-100, true), (-101, false)] {
        let clock = TestClock::new();
        let authority = with(&clock, SessionPolicy::new().late_repeat(Duration::seconds(100)));
        let mut alice = account("alice");
        let first = start(&authority, &mut alice);
        clock.set(1000);
        let _lost = tokens(&authority, &mut alice, first.refresh(), "rotated");
        clock.set(1000 + elapsed);
        let said = refresh_outcome(&authority, &mut alice, first.refresh()).0;
        assert_eq!(said == "repeated", is_within, "{elapsed}");
    }
}

#[test]
fn it_needs_no_grace() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new().grace(Duration::ZERO).late_repeat(Duration::HOUR);
    let authority = with(&clock, policy);
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let _lost = tokens(&authority, &mut alice, first.refresh(), "rotated");
    let (said, event, _) = refresh_outcome(&authority, &mut alice, first.refresh());
    assert_eq!((said, event), ("repeated", Some(EventKind::LateRepeat)));
}

/// Once the successor was used, its predecessor is two steps behind.
#[test]
fn a_used_successor_ends_it() {
    let clock = TestClock::new();
    let authority = for_a_day(&clock);
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let second = tokens(&authority, &mut alice, first.refresh(), "rotated");
    let _third = tokens(&authority, &mut alice, second.refresh(), "rotated");
    assert_eq!(refresh_outcome(&authority, &mut alice, first.refresh()).0, "reused");
}

/// Two parties that each refresh with what they got would otherwise share the session for good:
/// each would find the other's last token unused.
#[test]
fn two_parties_cannot_take_turns() {
    for thief_is_first in [false, true] {
        let clock = TestClock::new();
        let authority = for_a_day(&clock);
        let mut alice = account("alice");
        let first = start(&authority, &mut alice);
        let of_one = tokens(&authority, &mut alice, first.refresh(), "rotated");
        clock.set(HOUR);
        // The other one presents the copy, late, and gets the same successor.
        let of_other = tokens(&authority, &mut alice, first.refresh(), "repeated");
        assert_eq!(of_one.refresh().expose(), of_other.refresh().expose());
        let (one, other) = match thief_is_first {
            true => (of_other, of_one),
            false => (of_one, of_other),
        };
        let next = tokens(&authority, &mut alice, one.refresh(), "rotated");
        let column = alice.sessions.to_column().unwrap();
        assert!(column.contains(r#""strict":true"#) && !column.contains("repeated"), "{column}");
        clock.set(2 * HOUR);
        // The second holder of the successor is found out.
        let (said, event, _) = refresh_outcome(&authority, &mut alice, other.refresh());
        assert_eq!((said, event), ("reused", Some(EventKind::Reuse)));
        assert!(verify(&authority, next.access(), &alice).is_err(), "the session has ended");
    }
}

#[test]
fn under_the_strict_mark_the_grace_still_counts() {
    let clock = TestClock::new();
    let authority = for_a_day(&clock);
    let mut alice = account("alice");
    let (second, _third) = late_then_used(&clock, &authority, &mut alice);
    clock.set(HOUR + 10);
    let (said, event, _) = refresh_outcome(&authority, &mut alice, second.refresh());
    assert_eq!((said, event), ("repeated", Some(EventKind::GraceHit)));
    clock.set(HOUR + 11);
    assert_eq!(refresh_outcome(&authority, &mut alice, second.refresh()).0, "reused");
}

/// Under the strict mark, the grace too gives the next token to two parties.
#[test]
fn under_the_strict_mark_a_repeat_within_the_grace_keeps_the_session_strict() {
    let clock = TestClock::new();
    let authority = for_a_day(&clock);
    let mut alice = account("alice");
    let (second, third) = late_then_used(&clock, &authority, &mut alice);

    let opened = authority.open_refresh(copy(second.refresh())).unwrap();
    let decision = opened.refresh(&alice).unwrap();
    let column = decision.change().unwrap().sessions().unwrap().to_column().unwrap();
    assert!(column.contains(r#""repeated":true,"strict":true"#), "{column}");
    let marked = alice.commit(decision);
    assert_eq!(marked.event().unwrap().kind(), EventKind::GraceHit);
    assert_eq!(marked.into_tokens().unwrap().refresh().expose(), third.refresh().expose());
    // The next ones are reported, and not stored.
    let decision = opened.refresh(&alice).unwrap();
    assert!(decision.change().is_none());
    assert_eq!(alice.commit(decision).event().unwrap().kind(), EventKind::GraceHit);

    let fourth = tokens(&authority, &mut alice, third.refresh(), "rotated");
    let column = alice.sessions.to_column().unwrap();
    assert!(column.contains(r#""strict":true"#) && !column.contains("repeated"), "{column}");
    clock.set(2 * HOUR);
    let mut shared = alice.clone();
    assert_eq!(refresh_outcome(&authority, &mut shared, third.refresh()).0, "reused");

    // Without another repeat, the next refresh has late repeats again.
    let _lost = tokens(&authority, &mut alice, fourth.refresh(), "rotated");
    clock.set(3 * HOUR);
    let _fifth = tokens(&authority, &mut alice, fourth.refresh(), "repeated");
}

/// Two parties may have the token: the mark and the use of that token are decided on one record.
#[test]
fn a_marking_grace_that_meets_the_use_of_the_successor_is_decided_again() {
    let clock = TestClock::new();
    let authority = for_a_day(&clock);
    let mut alice = account("alice");
    let (second, third) = late_then_used(&clock, &authority, &mut alice);
    let read = alice.clone();
    let opened = authority.open_refresh(copy(second.refresh())).unwrap();
    let again = opened.refresh(&read).unwrap();
    let _fourth = tokens(&authority, &mut alice, third.refresh(), "rotated");
    let stored = again.commit(|change| Ok::<_, Infallible>(alice.compare_and_set(&read, change)));
    assert!(stored.unwrap().stored().is_none(), "another request was faster");
    assert_eq!(refresh_outcome(&authority, &mut alice, second.refresh()).0, "reused");
}

#[test]
fn the_refresh_after_the_strict_mark_may_be_repeated_late_again() {
    let clock = TestClock::new();
    let authority = for_a_day(&clock);
    let mut alice = account("alice");
    let (_second, third) = late_then_used(&clock, &authority, &mut alice);
    let _lost = tokens(&authority, &mut alice, third.refresh(), "rotated");
    let column = alice.sessions.to_column().unwrap();
    assert!(!column.contains("strict") && !column.contains("repeated"), "{column}");
    clock.set(2 * HOUR);
    let _fourth = tokens(&authority, &mut alice, third.refresh(), "repeated");
}

#[test]
fn a_restart_and_a_logout_of_the_others_clear_the_marks() {
    for (is_restart, has_both) in [(false, false), (true, false), (false, true), (true, true)] {
        let clock = TestClock::new();
        let authority = for_a_day(&clock);
        let mut alice = account("alice");
        let first = start(&authority, &mut alice);
        let _lost = tokens(&authority, &mut alice, first.refresh(), "rotated");
        clock.set(600);
        let second = tokens(&authority, &mut alice, first.refresh(), "repeated");
        let second = match has_both {
            false => second,
            true => {
                let third = tokens(&authority, &mut alice, second.refresh(), "rotated");
                let _again = tokens(&authority, &mut alice, second.refresh(), "repeated");
                third
            }
        };
        let verified = verify(&authority, second.access(), &alice).unwrap();
        let issue = authority.issue::<Access>(verified.user(), &NoClaims {});
        let decision = match is_restart {
            true => issue.restart_session(&verified),
            false => issue.log_out_others(&verified),
        };
        let anew = alice.commit(decision.unwrap());
        let column = alice.sessions.to_column().unwrap();
        assert!(!column.contains("repeated") && !column.contains("strict"), "{column}");
        let _lost = tokens(&authority, &mut alice, anew.refresh(), "rotated");
        clock.set(2 * HOUR);
        let (said, event, _) = refresh_outcome(&authority, &mut alice, anew.refresh());
        assert_eq!((said, event), ("repeated", Some(EventKind::LateRepeat)));
    }
}

/// Only the kind of client that needs it has it.
#[test]
fn a_named_policy_has_it_for_one_kind_of_client() {
    let clock = TestClock::new();
    let phones = ClientPolicy::new().late_repeat(Duration::days(1));
    let authority = with(&clock, SessionPolicy::new().named("phone", phones));
    let mut alice = account("alice");
    let phone = NewSession::new("phone").policy("phone");
    let phone = authority.start_session(&alice, phone).unwrap();
    let phone = alice.commit(phone);
    let laptop = start(&authority, &mut alice);
    for device in [&phone, &laptop] {
        let _lost = tokens(&authority, &mut alice, device.refresh(), "rotated");
    }
    clock.set(HOUR);
    let _back = tokens(&authority, &mut alice, phone.refresh(), "repeated");
    assert_eq!(refresh_outcome(&authority, &mut alice, laptop.refresh()).0, "reused");

    // Where the name is not known, the strictest applies.
    let elsewhere = with(&clock, SessionPolicy::new().late_repeat(Duration::days(1)));
    assert_eq!(refresh_outcome(&elsewhere, &mut alice, phone.refresh()).0, "reused");
}

#[test]
fn its_bound_has_a_range() {
    let clock = TestClock::new();
    let build = |policy| builder(&clock).sessions(policy).build().map(drop);
    for bound in [Duration::ZERO, Duration::SECOND, SessionPolicy::MAX_LATE_REPEAT] {
        build(SessionPolicy::new().late_repeat(bound)).unwrap();
    }
    let setting = |error: ConfigError| (error.setting(), error.to_string());
    for bound in [-Duration::SECOND, SessionPolicy::MAX_LATE_REPEAT + Duration::SECOND] {
        let (name, text) = setting(build(SessionPolicy::new().late_repeat(bound)).unwrap_err());
        assert_eq!(name, "late_repeat");
        assert!(text.contains("30 days"), "{text}");
        let named = SessionPolicy::new().named("tv", ClientPolicy::new().late_repeat(bound));
        let (name, text) = setting(build(named).unwrap_err());
        assert!(name == "late_repeat" && text.contains("\"tv\""), "{text}");
    }
}

/// The mark and the use of the successor are decided on one record: only one of them is stored.
#[test]
fn a_late_repeat_that_meets_the_use_of_the_successor_is_decided_again() {
    let clock = TestClock::new();
    let authority = for_a_day(&clock);
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let second = tokens(&authority, &mut alice, first.refresh(), "rotated");
    clock.set(HOUR);
    let read = alice.clone();
    let opened = authority.open_refresh(copy(first.refresh())).unwrap();
    let late = opened.refresh(&read).unwrap();
    let _third = tokens(&authority, &mut alice, second.refresh(), "rotated");
    let stored = late.commit(|change| Ok::<_, Infallible>(alice.compare_and_set(&read, change)));
    assert!(stored.unwrap().stored().is_none(), "another request was faster");
    assert_eq!(refresh_outcome(&authority, &mut alice, first.refresh()).0, "reused");

    // The other way round.
    let mut alice = account("alice");
    let first = start(&authority, &mut alice);
    let second = tokens(&authority, &mut alice, first.refresh(), "rotated");
    clock.set(2 * HOUR);
    let read = alice.clone();
    let opened = authority.open_refresh(copy(second.refresh())).unwrap();
    let next = opened.refresh(&read).unwrap();
    let _second = tokens(&authority, &mut alice, first.refresh(), "repeated");
    let stored = next.commit(|change| Ok::<_, Infallible>(alice.compare_and_set(&read, change)));
    assert!(stored.unwrap().stored().is_none());
    let _third = tokens(&authority, &mut alice, second.refresh(), "rotated");
    assert!(alice.sessions.to_column().unwrap().contains("strict"));
}
