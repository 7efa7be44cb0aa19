//! One-time tokens: any number of peeks, one use, and revoked when what they change has changed.

use std::sync::{Barrier, Mutex};

use relatch::{
    Authority, BindingMode, Context, IssueError, NoClaims, Purpose, Reason, Token, VerifyError,
    authority::Stage,
    token::Usage,
    user::{Counter, RecordError},
};

use crate::common::{
    Account, EmailChange, MagicLink, Reset, TestClock, account, authority, builder, copy, peek,
    present, reason, rehashed, verify,
};

fn issue<P: Purpose<Claims = NoClaims>>(authority: &Authority, user: &Account) -> Token<P> {
    authority.issue::<P>(user, &NoClaims {}).sign().unwrap()
}

/// Uses the token up, and stores it.
fn consume<P: Purpose>(
    authority: &Authority,
    user: &mut Account,
    token: &Token<P>,
) -> Result<(), VerifyError> {
    let opened = authority.open_once(copy(token))?;
    let decision = opened.consume(&user.clone())?;
    let used = user.commit(decision);
    assert_eq!(used.registered().subject(), user.id);
    Ok(())
}

#[test]
fn it_is_looked_at_often_and_used_once() {
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let mut alice = account("alice");
        let link = issue::<MagicLink>(&authority, &alice);
        for _ in 0..3 {
            let peeked = peek(&authority, &link, &alice).unwrap();
            assert_eq!(peeked.registered().subject(), "alice");
            assert_eq!(peeked.user().id, "alice");
        }
        consume(&authority, &mut alice, &link).unwrap();
        let used = consume(&authority, &mut alice, &link);
        assert_eq!(reason(used), Reason::RevokedByLane);
        assert_eq!(reason(peek(&authority, &link, &alice)), Reason::RevokedByLane);
        let next = issue::<MagicLink>(&authority, &alice);
        let restored = Account { lane: alice.lane - 1, ..alice.clone() };
        assert_eq!(reason(peek(&authority, &next, &restored)), Reason::RevokedByLane);
        consume(&authority, &mut alice, &next).unwrap();
    }
}

#[test]
fn a_use_is_decided_and_changes_nothing_but_the_counter_of_its_purpose() {
    let (authority, clock) = authority();
    let alice = account("alice");
    let opened = authority.open_once(issue::<MagicLink>(&authority, &alice)).unwrap();
    assert_eq!(opened.user_id(), "alice");
    assert_eq!(opened.expires_at(), clock.at(600));
    let decision = opened.consume(&alice).unwrap();
    let change = decision.change().unwrap();
    let next = Counter::INITIAL.next(clock.at(0)).unwrap();
    assert_eq!(change.lane(MagicLink::TYP), Some(next));
    assert_eq!((change.version(), change.sessions()), (Counter::INITIAL, Some(&alice.sessions)));
    drop(decision);
    assert!(opened.consume(&alice).is_ok(), "a decision that is dropped uses nothing up");
}

#[test]
fn of_two_uses_at_once_one_wins() {
    let (authority, _) = authority();
    for _ in 0..20 {
        let alice = account("alice");
        let link = issue::<MagicLink>(&authority, &alice);
        let (row, both_have_read) = (Mutex::new(alice), Barrier::new(2));
        let consume = || {
            let opened = authority.open_once(copy(&link)).unwrap();
            let read = row.lock().unwrap().clone();
            both_have_read.wait();
            let decision = opened.consume(&read).unwrap();
            let store =
                |change: &_| Ok::<_, ()>(row.lock().unwrap().compare_and_set(&read, change));
            if decision.commit(store).unwrap().stored().is_some() {
                return true;
            }
            let read = row.lock().unwrap().clone();
            assert_eq!(reason(opened.consume(&read).map(drop)), Reason::RevokedByLane);
            false
        };
        let winners = std::thread::scope(|scope| {
            [scope.spawn(consume), scope.spawn(consume)].map(|thread| thread.join().unwrap())
        });
        assert_eq!(winners.iter().filter(|is_winner| **is_winner).count(), 1);
    }
}

#[test]
fn one_use_makes_void_its_siblings_and_no_other_purpose_s() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let [link, sibling] = [(); 2].map(|()| issue::<MagicLink>(&authority, &alice));
    let email = issue::<EmailChange>(&authority, &alice);
    let reset = issue::<Reset>(&authority, &alice);
    let login = authority.issue_for_user(&alice).unwrap();
    consume(&authority, &mut alice, &link).unwrap();
    assert_eq!(reason(peek(&authority, &sibling, &alice)), Reason::RevokedByLane);
    assert!(peek(&authority, &reset, &alice).is_ok());
    assert!(verify(&authority, &login, &alice).is_ok());
    consume(&authority, &mut alice, &email).unwrap();
    let bob = account("bob");
    assert!(peek(&authority, &issue::<MagicLink>(&authority, &bob), &bob).is_ok());
}

#[test]
fn a_superseding_token_makes_the_older_ones_void() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let older = issue::<MagicLink>(&authority, &alice);
    let email = issue::<EmailChange>(&authority, &alice);
    let supersede =
        |user: &Account| authority.issue::<MagicLink>(user, &NoClaims {}).supersede().unwrap();
    let decision = supersede(&alice);
    let changed = alice.after(decision.change().unwrap());
    let newer = alice.commit(decision);
    assert_eq!(changed.lane, alice.lane);
    assert_eq!(reason(peek(&authority, &older, &alice)), Reason::RevokedByLane);
    assert!(peek(&authority, &newer, &alice).is_ok());
    assert!(peek(&authority, &email, &alice).is_ok());
    // Still in the same millisecond.
    let decision = supersede(&alice);
    let newest = alice.commit(decision);
    assert_eq!(reason(peek(&authority, &newer, &alice)), Reason::RevokedByLane);
    consume(&authority, &mut alice, &newest).unwrap();
}

#[test]
fn what_a_device_does_makes_no_link_void() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let link = issue::<MagicLink>(&authority, &alice);
    let reset = issue::<Reset>(&authority, &alice);
    let decision = authority.start_session(&alice, "phone").unwrap();
    let tokens = alice.commit(decision);
    let refreshed = present(&authority, &mut alice, copy(tokens.refresh())).unwrap();
    let id = refreshed.into_tokens().unwrap().session().id();
    let decision = authority.log_out(&alice, id).unwrap();
    assert!(alice.commit(decision));
    assert!(peek(&authority, &reset, &alice).is_ok());
    consume(&authority, &mut alice, &link).unwrap();
}

#[test]
fn a_reset_dies_with_the_password_and_survives_a_rehash() {
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let alice = rehashed(&account("alice"));
        let reset = issue::<Reset>(&authority, &alice);
        let alice = rehashed(&alice);
        let opened = authority.open_once(copy(&reset)).unwrap();
        let decision = opened.consume(&alice).unwrap();
        let change = decision.change().unwrap();
        assert_eq!(change.lane(Reset::TYP), None, "the new hash is what uses it up");
        let changed = Account { password_hash: "$argon2id$new".into(), ..alice.clone() };
        assert_eq!(reason(peek(&authority, &reset, &changed)), Reason::BadSignature);
        assert_eq!(reason(opened.consume(&changed).map(drop)), Reason::BadSignature);
        // Even if the application forgets to store the new hash.
        let after = alice.after(change);
        assert_eq!(reason(opened.consume(&after).map(drop)), Reason::RevokedByVersion);
    }
}

#[test]
fn an_address_is_confirmed_by_the_link_that_was_sent_to_it() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let to = |address: &str| Context::new().with("email", address);
    let issue = authority.issue::<EmailChange>(&alice, &NoClaims {}).context(to("new@example.com"));
    let link = issue.sign().unwrap();
    for wrong in [Context::new(), to("other@example.com")] {
        let token = copy(&link).in_context(wrong);
        assert_eq!(reason(consume(&authority, &mut alice, &token)), Reason::BadSignature);
    }
    let token = copy(&link).in_context(to("new@example.com"));
    let opened = authority.open_once(token).unwrap();
    let decision = opened.consume(&alice).unwrap();
    let _ = alice.commit(decision);
    assert_eq!(reason(opened.consume(&alice).map(drop)), Reason::RevokedByLane);
}

#[test]
fn a_link_of_one_purpose_opens_no_other_s_door() {
    let (authority, _) = authority();
    let alice = account("alice");
    let text = issue::<MagicLink>(&authority, &alice).expose().to_owned();
    let refused = authority.open_once(Token::<Reset>::new(&*text)).unwrap_err();
    assert_eq!((refused.stage(), refused.reason()), (Stage::Header, Reason::WrongType));
    for reason in [
        authority.open_once(Token::<EmailChange>::new(&*text)).unwrap_err().reason(),
        authority.open_refresh(Token::new(&*text)).unwrap_err().reason(),
        reason(verify(&authority, &Token::<relatch::Access>::new(&*text), &alice)),
        reason(peek(&authority, &Token::<Reset>::new(&*text), &alice)),
    ] {
        assert_eq!(reason, Reason::WrongType);
    }
}

#[test]
fn whatever_revokes_an_access_token_revokes_a_link() {
    let (authority, clock) = authority();
    let alice = account("alice");
    let link = issue::<MagicLink>(&authority, &alice);
    let opened = authority.open_once(copy(&link)).unwrap();
    let refused = |user: &Account| match opened.consume(user).unwrap_err() {
        VerifyError::Rejected(rejection) => (rejection.stage(), rejection.reason()),
        other => panic!("not a rejection: {other:?}"),
    };
    for (user, stage, why) in [
        (Account { version: 1, ..alice.clone() }, Stage::Binding, Reason::RevokedByVersion),
        (
            Account { password_hash: "$argon2id$other".into(), ..alice.clone() },
            Stage::Binding,
            Reason::BadSignature,
        ),
        (Account { active: false, ..alice.clone() }, Stage::Lookup, Reason::InactiveUser),
        (account("bob"), Stage::Lookup, Reason::UserMismatch),
    ] {
        assert_eq!(refused(&user), (stage, why));
    }
    assert_eq!(opened.unknown_user().reason(), Reason::UnknownUser);
    clock.set(599);
    assert!(opened.consume(&alice).is_ok());
    clock.set(600);
    assert_eq!(refused(&alice), (Stage::Validity, Reason::Expired));
    assert_eq!(authority.open_once(link).unwrap_err().reason(), Reason::Expired);
}

#[test]
fn a_counter_that_is_missing_negative_or_used_up_is_an_error() {
    /// A purpose without a lane in the record.
    struct Unknown;
    impl Purpose for Unknown {
        type Claims = NoClaims;
        const TYP: &'static str = "unknown+jwt";
        const USAGE: Usage = Usage::OnceByLane;
    }
    let (authority, _) = authority();
    let alice = account("alice");
    let with = |lane| Account { lane, ..alice.clone() };
    let record = |error| match error {
        IssueError::Record(error) => error,
        other => panic!("not of the record: {other:?}"),
    };
    let unknown = authority.issue::<Unknown>(&alice, &NoClaims {});
    assert_eq!(record(unknown.sign().unwrap_err()), RecordError::Lane);
    for (lane, error) in [(-1, RecordError::NegativeCounter), (i64::MAX, RecordError::Exhausted)] {
        let user = with(lane);
        let superseding = authority.issue::<MagicLink>(&user, &NoClaims {}).supersede();
        assert_eq!(record(superseding.unwrap_err()), error);
    }
    let last = with(i64::MAX);
    let link = issue::<MagicLink>(&authority, &last);
    assert!(peek(&authority, &link, &last).is_ok());
    let opened = authority.open_once(link).unwrap();
    assert_eq!(opened.consume(&last).unwrap_err(), VerifyError::Record(RecordError::Exhausted));
    let negative = opened.consume(&with(-1)).unwrap_err();
    assert_eq!(negative, VerifyError::Record(RecordError::NegativeCounter));
}
