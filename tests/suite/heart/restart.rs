//! Restarting a session after its user has authenticated again, and the time of that
//! authentication.

use relatch::{
    Access, Authority, BindingMode, Context, IssueError, NoClaims, Reason, SessionPolicy,
    SessionTokens, User, Verified,
    sessions::{SessionTable, WhenFull},
    user::RecordError,
};
use time::Duration;

use crate::common::{
    Account, TestClock, account, authority, builder, copy, present, reason, refresh_reason,
    rehashed, role, verify,
};

fn start(authority: &Authority, user: &mut Account, label: &str) -> SessionTokens {
    let decision = authority.start_session(user, label).unwrap();
    user.commit(decision)
}

fn session(authority: &Authority, tokens: &SessionTokens, user: &Account) -> Verified<Account> {
    verify(authority, tokens.access(), user).unwrap()
}

fn restart(authority: &Authority, tokens: &SessionTokens, user: &mut Account) -> SessionTokens {
    let decision = {
        let verified = session(authority, tokens, user);
        authority.issue::<Access>(verified.user(), &NoClaims {}).restart_session(&verified).unwrap()
    };
    user.commit(decision)
}

#[test]
fn a_session_is_told_as_it_is_listed() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let _ = start(&authority, &mut alice, "laptop");
    let info = authority.session_info(&session(&authority, &phone, &alice)).unwrap();
    assert_eq!(info.as_ref(), Some(phone.session()));

    clock.set(60);
    let refreshed = present(&authority, &mut alice, copy(phone.refresh())).unwrap();
    let refreshed = refreshed.into_tokens().unwrap();
    // By a token from before the refresh, and the record after it.
    let verified = session(&authority, &phone, &alice);
    let info = authority.session_info(&verified).unwrap().unwrap();
    assert_eq!(&info, refreshed.session());
    assert_eq!((info.started_at(), info.last_seen()), (clock.at(0), clock.at(60)));

    clock.set(60 + 14 * 86_400);
    assert_eq!(authority.session_info(&verified).unwrap(), None, "it has run out");

    let plain = authority.issue_for_user(&alice).unwrap();
    let plain = verify(&authority, &plain, &alice).unwrap();
    assert_eq!(authority.session_info(&plain).unwrap(), None, "a token without a session");
}

#[test]
fn a_record_that_keeps_no_sessions_tells_of_none() {
    struct Plain(Account);
    impl User for Plain {
        fn id(&self) -> &str {
            self.0.id()
        }
        fn binding(&self) -> relatch::Binding<'_> {
            self.0.binding()
        }
    }
    let (authority, _) = authority();
    let plain = Plain(account("alice"));
    let token = authority.issue_for_user(&plain).unwrap();
    let verified = authority.verify(&token, |_| Ok::<_, std::convert::Infallible>(Some(plain)));
    let verified = verified.unwrap();
    assert_eq!(authority.session_info(&verified), Ok(None));
    let restarted =
        authority.issue::<Access>(verified.user(), &NoClaims {}).restart_session(&verified);
    assert!(matches!(restarted, Err(IssueError::NoSession)));
    assert_eq!(authority.sessions(verified.user()).unwrap_err(), RecordError::Sessions);
}

#[test]
fn a_restarted_session_begins_now_and_nothing_of_the_old_one_lives() {
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let clock = TestClock::new();
        let authority = builder(&clock).mode(mode).build().unwrap();
        let mut alice = account("alice");
        let first = start(&authority, &mut alice, "phone");
        let laptop = start(&authority, &mut alice, "laptop");
        let plain = authority.issue_for_user(&alice).unwrap();
        clock.set(60);
        let refreshed = present(&authority, &mut alice, copy(first.refresh())).unwrap();
        let second = refreshed.into_tokens().unwrap();

        clock.set(120);
        let version = alice.version;
        let restarted = restart(&authority, &second, &mut alice);
        let info = restarted.session();
        assert_eq!((info.label(), info.started_at()), ("phone", clock.at(120)));
        assert_eq!(
            (info.last_seen(), info.expires_at()),
            (clock.at(120), clock.at(120 + 14 * 86_400))
        );
        assert_ne!(info.id(), first.session().id());
        assert!(restarted.evicted().is_none());
        let read = authority.session_info(&session(&authority, &restarted, &alice)).unwrap();
        assert_eq!(read.as_ref(), Some(info));

        // Every pair of tokens of the session.
        for dead in [&first, &second] {
            assert_eq!(reason(verify(&authority, dead.access(), &alice)), Reason::SessionEnded);
            let refused = refresh_reason(&authority, &alice, copy(dead.refresh()));
            assert_eq!(refused, Reason::SessionEnded);
        }
        // No other session's.
        assert_eq!(alice.version, version);
        assert!(verify(&authority, laptop.access(), &alice).is_ok());
        assert!(verify(&authority, &plain, &alice).is_ok());
        assert_eq!(authority.sessions(&alice).unwrap().len(), 2);

        clock.set(180);
        let refreshed = present(&authority, &mut alice, copy(restarted.refresh())).unwrap();
        let refreshed = refreshed.into_tokens().unwrap();
        assert_eq!(refreshed.session().started_at(), clock.at(120), "a refresh is not a login");
    }
}

#[test]
fn a_restart_begins_the_absolute_lifetime_anew() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new().absolute_lifetime(Duration::seconds(100));
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    clock.set(99);
    let restarted = restart(&authority, &phone, &mut alice);
    assert_eq!(restarted.session().expires_at(), clock.at(199));
    clock.set(198);
    assert!(verify(&authority, restarted.access(), &alice).is_ok());
}

/// Even two restarts in the same millisecond give different ids.
#[test]
fn a_restart_takes_its_own_slot_whoever_has_the_others() {
    for when_full in [WhenFull::EvictLeastRecentlyUsed, WhenFull::Refuse] {
        let clock = TestClock::new();
        let policy = SessionPolicy::new().max_sessions(3).when_full(when_full);
        let authority = builder(&clock).sessions(policy).build().unwrap();
        let mut alice = account("alice");
        let all = ["a", "b", "c"].map(|label| start(&authority, &mut alice, label));
        let mut ids = vec![all[0].session().id()];
        let mut own = restart(&authority, &all[0], &mut alice);
        ids.push(own.session().id());
        own = restart(&authority, &own, &mut alice);
        ids.push(own.session().id());
        ids.dedup();
        assert_eq!(ids.len(), 3, "{ids:?}");
        assert!(ids.iter().all(|id| id.to_string().starts_with("0.")), "{ids:?}");
        assert!(own.evicted().is_none());
        for other in &all[1..] {
            assert!(verify(&authority, other.access(), &alice).is_ok(), "{when_full:?}");
        }
        assert_eq!(authority.sessions(&alice).unwrap().len(), 3);
    }
}

#[test]
fn a_restarted_session_stays_in_its_context() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let here = Context::new().with("fingerprint", "cookie");
    let issue = authority.issue::<Access>(&alice, &NoClaims {}).context(here.clone());
    let tokens = alice.commit(issue.start_session("phone").unwrap());
    let access = tokens.into_parts().0.in_context(here.clone());
    let verified = verify(&authority, &access, &alice).unwrap();
    let other = authority.issue::<Access>(verified.user(), &NoClaims {}).context(here.clone());
    assert!(matches!(other.restart_session(&verified), Err(IssueError::ContextPresented)));

    let (access, refresh) = alice
        .commit(
            authority
                .issue::<Access>(verified.user(), &NoClaims {})
                .restart_session(&verified)
                .unwrap(),
        )
        .into_parts();
    assert!(verify(&authority, &copy(&access), &alice).is_err(), "without the cookie");
    assert!(verify(&authority, &access.in_context(here.clone()), &alice).is_ok());
    assert!(present(&authority, &mut alice, copy(&refresh)).is_err(), "without the cookie");
    assert!(present(&authority, &mut alice, refresh.in_context(here)).is_ok());
}

/// If the record was read again, this session may have been revoked in it.
#[test]
fn a_session_is_restarted_on_the_record_that_it_was_verified_on() {
    let clock = TestClock::new();
    let authority = builder(&clock).user_epoch("tenant").build().unwrap();
    let mut alice = Account { tenant: Some(("acme".into(), 1)), ..account("alice") };
    let phone = start(&authority, &mut alice, "phone");
    let verified = session(&authority, &phone, &alice);
    let restart = |user: &Account| {
        let claims = role("editor");
        let issue = authority.issue::<Access<_>>(user, &claims);
        match issue.restart_session(&verified) {
            Ok(_) => None,
            Err(IssueError::SessionOver(rejection)) => Some(rejection.reason()),
            Err(other) => panic!("{other:?}"),
        }
    };
    let other = |change: fn(&mut Account)| {
        let mut other = alice.clone();
        change(&mut other);
        restart(&other)
    };
    assert_eq!(restart(&alice), None);
    assert_eq!(restart(&rehashed(&alice)), None, "the same password, hashed again");
    assert_eq!(other(|user| user.version = 1), Some(Reason::RevokedByVersion));
    let other_tenant = |user: &mut Account| user.tenant = Some(("acme".into(), 2));
    assert_eq!(other(other_tenant), Some(Reason::BadSignature));
    assert_eq!(
        other(|user| user.password_hash = "$argon2id$new".into()),
        Some(Reason::BadSignature)
    );
    assert_eq!(other(|user| user.id = "bob".into()), Some(Reason::UserMismatch));
    let emptied = |user: &mut Account| user.sessions = SessionTable::default();
    assert_eq!(other(emptied), Some(Reason::SessionAhead));
    let mut logged_out = alice.clone();
    logged_out.commit(authority.log_out(&alice, phone.session().id()).unwrap());
    assert_eq!(restart(&logged_out), Some(Reason::SessionEnded));

    let disabled = Account { active: false, ..alice.clone() };
    let disabled = authority.issue::<Access>(&disabled, &NoClaims {}).restart_session(&verified);
    assert!(matches!(disabled, Err(IssueError::InactiveUser)));
    clock.set(15 * 60);
    assert_eq!(restart(&alice), Some(Reason::Expired), "the access token has run out");
}
