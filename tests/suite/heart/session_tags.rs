//! What is listed: exactly the sessions whose refresh token would be accepted on this record.

use std::convert::Infallible;

use relatch::{
    Access, Authority, IssueError, KeyRing, NoClaims, RefreshToken, SessionPolicy, SessionTokens,
    authority::Decision,
    sessions::{OnReuse, SessionTable, WhenFull},
    user::Counter,
};
use time::Duration;

use crate::common::{
    Account, MagicLink, Reset, TestClock, account, authority, builder, copy, key, present,
    rehashed, verify,
};

fn start(authority: &Authority, user: &mut Account, label: &str) -> SessionTokens {
    let decision = authority.start_session(user, label).unwrap();
    user.commit(decision)
}

fn labels(authority: &Authority, user: &Account) -> Vec<String> {
    let sessions = authority.sessions(user).unwrap();
    let mut labels: Vec<_> = sessions.iter().map(|info| info.label().to_owned()).collect();
    labels.sort();
    labels
}

fn refreshes(authority: &Authority, user: &Account, token: &RefreshToken) -> bool {
    let Ok(opened) = authority.open_refresh(copy(token)) else { return false };
    opened.refresh(user).is_ok()
}

/// Checks that the listed sessions are those with these labels, and that their tokens alone work.
#[track_caller]
fn assert_listed(authority: &Authority, user: &Account, all: &[&SessionTokens], expected: &[&str]) {
    assert_eq!(labels(authority, user), expected);
    for tokens in all {
        let info = tokens.session();
        let is_listed = authority.sessions(user).unwrap().iter().any(|one| one.id() == info.id());
        assert_eq!(refreshes(authority, user, tokens.refresh()), is_listed, "{}", info.label());
    }
}

#[test]
fn a_password_changed_by_sql_alone_empties_the_list() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    alice.password_hash = "$argon2id$new".into();
    assert_listed(&authority, &alice, &[&phone], &[]);
    let verified = authority.log_out_where(&alice, |_| true).unwrap();
    assert!(verified.change().is_none(), "nothing is listed");
    let laptop = start(&authority, &mut alice, "laptop");
    assert_listed(&authority, &alice, &[&phone, &laptop], &["laptop"]);
}

/// Also a version that does not follow the rule of `Counter::next`.
#[test]
fn any_bump_by_sql_empties_the_list() {
    for version in [1, 2, 5_000_000_000_000, i64::MAX - 1] {
        let (authority, _) = authority();
        let mut alice = account("alice");
        let phone = start(&authority, &mut alice, "phone");
        alice.version = version;
        assert_listed(&authority, &alice, &[&phone], &[]);
        let laptop = start(&authority, &mut alice, "laptop");
        assert_listed(&authority, &alice, &[&phone, &laptop], &["laptop"]);
    }
}

#[test]
fn an_epoch_empties_the_list_and_its_old_value_fills_it_again() {
    let clock = TestClock::new();
    let with = |epoch| builder(&clock).epoch("realm", epoch).user_epoch("tenant").build().unwrap();
    let (before, after) = (with(1), with(2));
    let mut alice = Account { tenant: Some(("acme".into(), 1)), ..account("alice") };
    let phone = start(&before, &mut alice, "phone");
    assert_listed(&before, &alice, &[&phone], &["phone"]);
    assert_listed(&after, &alice, &[&phone], &[]);
    for tenant in [("acme".to_owned(), 2), ("other".to_owned(), 1)] {
        let moved = Account { tenant: Some(tenant), ..alice.clone() };
        assert_listed(&before, &moved, &[&phone], &[]);
    }
}

#[test]
fn a_rehash_keeps_the_list() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let mut alice = rehashed(&alice);
    let laptop = start(&authority, &mut alice, "laptop");
    assert_listed(&authority, &alice, &[&phone, &laptop], &["laptop", "phone"]);
}

#[test]
fn nothing_is_listed_for_an_inactive_user_or_without_a_credential() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    for user in [
        Account { active: false, ..alice.clone() },
        Account { password_hash: String::new(), ..alice.clone() },
    ] {
        assert_listed(&authority, &user, &[&phone], &[]);
        assert!(authority.log_out_where(&user, |_| true).unwrap().change().is_none());
    }
    let negative = Account { version: -1, ..alice };
    assert!(authority.sessions(&negative).is_err());
}

/// The documented exception: the list does not know by which key a token was signed.
#[test]
fn a_removed_key_leaves_its_sessions_listed() {
    let (old, clock) = authority();
    let mut alice = account("alice");
    let phone = start(&old, &mut alice, "phone");
    let new = builder(&clock).build().unwrap().with_keys(key("k2", 2)).unwrap();
    assert_eq!(labels(&new, &alice), ["phone"]);
    assert!(!refreshes(&new, &alice, phone.refresh()));
}

/// So is a token that a key signed whose deadline has passed, or that expires before its session does
/// under a longer policy.
#[test]
fn a_retired_key_and_a_longer_policy_leave_sessions_listed() {
    let clock = TestClock::new();
    let with = |idle| {
        let policy = SessionPolicy::new().idle_lifetime(idle);
        builder(&clock).sessions(policy).build().unwrap()
    };
    let mut alice = account("alice");
    let short = with(Duration::HOUR);
    let phone = start(&short, &mut alice, "phone");
    let longer = with(Duration::DAY);
    let retired = KeyRing::new(key("k1", 1)).rotate(key("k2", 2), clock.at(60)).unwrap();
    let retired = short.with_keys(retired).unwrap();
    clock.set(60);
    assert_eq!(labels(&retired, &alice), ["phone"]);
    assert!(!refreshes(&retired, &alice, phone.refresh()));
    assert!(refreshes(&longer, &alice, phone.refresh()));
    clock.set(3600);
    assert_eq!(labels(&longer, &alice), ["phone"]);
    assert!(!refreshes(&longer, &alice, phone.refresh()));
    assert!(labels(&short, &alice).is_empty());
}

#[test]
fn the_session_of_a_verified_token_is_that_of_the_list() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let verified = verify(&authority, phone.access(), &alice).unwrap();
    assert_eq!(authority.session_info(&verified).unwrap().as_ref(), Some(phone.session()));
}

/// The tag is that of the record as the change leaves it.
#[test]
fn a_login_together_with_another_change_is_listed_after_both() {
    let clock = TestClock::new();
    let authority = builder(&clock).build().unwrap();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    clock.set(60);
    let login = |user: &dyn relatch::User| authority.start_session(user, "laptop");

    // A logout everywhere.
    let both = authority.log_out_everywhere(&alice).unwrap().and_then(&alice, login).unwrap();
    let mut bumped = alice.clone();
    let (_version, laptop) = bumped.commit(both);
    assert_listed(&authority, &bumped, &[&phone, &laptop], &["laptop"]);

    // A reset of the password: the record has the new hash.
    let mut reset = Account { password_hash: "$argon2id$new".into(), ..alice.clone() };
    let link = authority.issue::<Reset>(&alice, &NoClaims {}).sign().unwrap();
    let used = authority.open_once(link).unwrap().consume(&alice).unwrap();
    let both = used.and_then(&reset.clone(), login).unwrap();
    let (_, laptop) = reset.commit(both);
    assert_listed(&authority, &reset, &[&phone, &laptop], &["laptop"]);

    // A link that is used once, with a new password and a bump of the application's own.
    let link = authority.issue::<MagicLink>(&alice, &NoClaims {}).sign().unwrap();
    let used = authority.open_once(link).unwrap().consume(&alice).unwrap();
    let version = Counter::from(alice.version).next(clock.at(60)).unwrap().get();
    let edited = Account { password_hash: "$argon2id$new".into(), version, ..alice.clone() };
    let both = used.and_then(&edited, login).unwrap();
    let mut stored = edited;
    let (_, laptop) = stored.commit(both);
    assert_listed(&authority, &stored, &[&phone, &laptop], &["laptop"]);

    // A link alone changes nothing that sessions are bound to.
    let link = authority.issue::<MagicLink>(&alice, &NoClaims {}).sign().unwrap();
    let used = authority.open_once(link).unwrap().consume(&alice).unwrap();
    let both = used.and_then(&alice, login).unwrap();
    let (_, laptop) = alice.commit(both);
    assert_listed(&authority, &alice, &[&phone, &laptop], &["laptop", "phone"]);
}

#[test]
fn the_device_that_stays_is_listed_under_the_new_version_and_password() {
    for has_new_password in [false, true] {
        let (authority, clock) = authority();
        let mut alice = account("alice");
        let phone = start(&authority, &mut alice, "phone");
        let laptop = start(&authority, &mut alice, "laptop");
        clock.set(60);
        let verified = verify(&authority, phone.access(), &alice).unwrap();
        let mut stored = alice.clone();
        if has_new_password {
            stored.password_hash = "$argon2id$new".into();
        }
        let edited = stored.clone();
        let issue = authority.issue::<Access>(&edited, &NoClaims {});
        let decision = match has_new_password {
            true => issue.change_password(&verified),
            false => issue.log_out_others(&verified),
        };
        let kept = stored.commit(decision.unwrap());
        assert_listed(&authority, &stored, &[&phone, &laptop, &kept], &["phone"]);
        assert!(refreshes(&authority, &stored, kept.refresh()));
    }
}

#[test]
fn a_restart_together_with_a_rehash_is_listed() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let verified = verify(&authority, phone.access(), &alice).unwrap();
    let edited = rehashed(&alice);
    let decision = authority.issue::<Access>(&edited, &NoClaims {}).restart_session(&verified);
    let mut stored = edited.clone();
    let anew = stored.commit(decision.unwrap());
    assert_listed(&authority, &stored, &[&phone, &anew], &["phone"]);
}

/// A table of full slots whose sessions a new password has revoked must not lock the user out.
#[test]
fn revoked_sessions_give_way_before_any_is_evicted_or_refused() {
    for when_full in [WhenFull::Refuse, WhenFull::EvictLeastRecentlyUsed] {
        let clock = TestClock::new();
        let policy = SessionPolicy::new().max_sessions(3).when_full(when_full);
        let authority = builder(&clock).sessions(policy).build().unwrap();
        let mut alice = account("alice");
        let [a, b] = ["a", "b"].map(|label| start(&authority, &mut alice, label));
        clock.set(60);
        alice.password_hash = "$argon2id$new".into();
        // First the empty slot, then the oldest of the revoked ones.
        let c = start(&authority, &mut alice, "c");
        assert_eq!(c.session().id().to_string().split('.').next(), Some("2"));
        let d = start(&authority, &mut alice, "d");
        assert!(d.evicted().is_none(), "it was dead");
        assert!(d.session().id().to_string().starts_with("0."));
        let e = start(&authority, &mut alice, "e");
        assert!(e.evicted().is_none() && e.session().id().to_string().starts_with("1."));
        assert_listed(&authority, &alice, &[&a, &b, &c, &d, &e], &["c", "d", "e"]);
        match when_full {
            WhenFull::Refuse => {
                let full = authority.start_session(&alice, "f");
                assert!(matches!(full, Err(IssueError::SessionsFull(_))));
            }
            _ => {
                let f = start(&authority, &mut alice, "f");
                assert_eq!(f.evicted().unwrap().label(), "c");
            }
        }
    }
}

#[test]
fn reuse_that_ends_all_counts_those_that_were_listed() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new().on_reuse(OnReuse::EndAllSessions);
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let _revoked = start(&authority, &mut alice, "revoked");
    alice.version = 1;
    let phone = start(&authority, &mut alice, "phone");
    let _laptop = start(&authority, &mut alice, "laptop");
    let _next = present(&authority, &mut alice, copy(phone.refresh())).unwrap();
    clock.set(60);
    let reused = present(&authority, &mut alice, copy(phone.refresh())).unwrap();
    assert_eq!(reused.event().unwrap().ended_sessions(), 2);
    let column = alice.sessions.to_column().unwrap();
    assert!(column.contains(r#""sessions":[]"#), "all are removed: {column}");
}

/// A roll-out of a new kind of epoch: for some time, two configurations write to one table. Neither
/// destroys the other's sessions while there are free slots, and each lists its own.
#[test]
fn two_configurations_share_a_table_during_a_roll_out() {
    let clock = TestClock::new();
    let policy = || SessionPolicy::new().max_sessions(6);
    let old = builder(&clock).sessions(policy()).build().unwrap();
    let new = builder(&clock).sessions(policy()).epoch("realm", 1).build().unwrap();
    let mut alice = account("alice");
    let mut held: Vec<(&Authority, String, RefreshToken)> = Vec::new();
    let mut now = 0;
    for round in 0..3 {
        for (name, authority) in [("old", &old), ("new", &new)] {
            now += 60;
            clock.set(now);
            let label = format!("{name} {round}");
            let decision = authority.start_session(&alice, label.clone()).unwrap();
            let tokens = alice.commit(decision);
            assert!(tokens.evicted().is_none());
            held.push((authority, label, copy(tokens.refresh())));
            for (authority, _, token) in &mut held {
                let refreshed = present(authority, &mut alice, copy(token)).unwrap();
                *token = copy(refreshed.into_tokens().unwrap().refresh());
            }
            for (authority, of) in [(&old, "old"), (&new, "new")] {
                let own = held.iter().filter(|(_, label, _)| label.starts_with(of));
                let own: Vec<_> = own.map(|(_, label, _)| label.clone()).collect();
                assert_eq!(labels(authority, &alice), own);
            }
        }
    }
    // With no slot left, the oldest of the other configuration gives way, and no own one.
    let decision = new.start_session(&alice, "new 3").unwrap();
    let tokens = alice.commit(decision);
    assert!(tokens.evicted().is_none());
    assert_eq!(labels(&new, &alice), ["new 0", "new 1", "new 2", "new 3"]);
    assert_eq!(labels(&old, &alice), ["old 1", "old 2"]);
}

/// The column set to NULL says nothing of the version. The documentation says that SQL moves both.
#[test]
fn null_alone_is_no_logout_of_tokens_without_a_session() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let _phone = start(&authority, &mut alice, "phone");
    let plain = authority.issue_for_user(&alice).unwrap();
    alice.sessions = SessionTable::from_column(None).unwrap();
    assert!(labels(&authority, &alice).is_empty());
    assert!(verify(&authority, &plain, &alice).is_ok());
    alice.version = 1;
    assert!(verify(&authority, &plain, &alice).is_err());
}

/// Data of another session is no change of what tokens are bound to.
#[test]
fn other_transitions_leave_the_tags_alone() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let revoked = start(&authority, &mut alice, "revoked");
    alice.version = 1;
    let phone = start(&authority, &mut alice, "phone");
    let laptop = start(&authority, &mut alice, "laptop");
    clock.set(60);
    let commit = |alice: &mut Account, decision: Decision<bool>| {
        let change = |change: &relatch::authority::Change| {
            *alice = alice.after(change);
            Ok::<_, Infallible>(true)
        };
        assert!(decision.commit(change).unwrap().stored().unwrap());
    };
    let data = Some(r#"{"a":1}"#.parse().unwrap());
    let set = authority.set_session_data(&alice, revoked.session().id(), data).unwrap();
    commit(&mut alice, set);
    let out = authority.log_out(&alice, laptop.session().id()).unwrap();
    commit(&mut alice, out);
    assert_listed(&authority, &alice, &[&revoked, &phone, &laptop], &["phone"]);
    alice.version = 0;
    assert_listed(&authority, &alice, &[&revoked, &phone, &laptop], &["revoked"]);
}

#[test]
fn an_expired_session_is_not_listed_under_any_policy_of_its_own() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new().idle_lifetime(Duration::seconds(100));
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    clock.set(99);
    assert_listed(&authority, &alice, &[&phone], &["phone"]);
    clock.set(100);
    assert_listed(&authority, &alice, &[&phone], &[]);
}
