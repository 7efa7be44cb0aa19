//! What a login can give a session: data, a fixed end, and a named policy.

use relatch::{
    Access, Authority, ConfigError, IssueError, NoClaims, Reason, SessionPolicy, SessionTokens,
    sessions::{
        ClientPolicy, DataError, NewSession, SessionData, SessionId, SessionInfo, SessionTable,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::Duration;

use crate::common::{
    Account, Role, TestClock, account, authority, builder, copy, present, reason, refresh_reason,
    role, verify,
};

fn start(
    authority: &Authority,
    user: &mut Account,
    session: impl Into<NewSession>,
) -> SessionTokens {
    let decision = authority.start_session(user, session).unwrap();
    user.commit(decision)
}

fn refresh(authority: &Authority, user: &mut Account, tokens: &SessionTokens) -> SessionTokens {
    present(authority, user, copy(tokens.refresh())).unwrap().into_tokens().unwrap()
}

fn restart(
    authority: &Authority,
    user: &mut Account,
    tokens: &SessionTokens,
    with_others: bool,
) -> SessionTokens {
    let verified = verify(authority, tokens.access(), user).unwrap();
    let issue = authority.issue::<Access>(verified.user(), &NoClaims {});
    let decision = match with_others {
        true => issue.log_out_others(&verified),
        false => issue.restart_session(&verified),
    };
    user.commit(decision.unwrap())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tenant {
    tenant: String,
}

fn tenant(name: &str) -> SessionData {
    SessionData::new(&Tenant { tenant: name.into() }).unwrap()
}

#[test]
fn data_end_and_policy_stay_with_the_session() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new().named("phone", ClientPolicy::new());
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let new = NewSession::new("phone").data(tenant("acme")).policy("phone").ends_at(clock.at(500));
    let first = start(&authority, &mut alice, new);
    clock.set(100);
    let second = refresh(&authority, &mut alice, &first);
    let third = restart(&authority, &mut alice, &second, false);
    let fourth = restart(&authority, &mut alice, &third, true);
    for tokens in [&first, &second, &third, &fourth] {
        let info = tokens.session();
        assert_eq!((info.label(), info.policy()), ("phone", Some("phone")));
        assert_eq!((info.ends_at(), info.expires_at()), (Some(clock.at(500)), clock.at(500)));
        let data = info.data().unwrap();
        assert_eq!(data.as_str(), r#"{"tenant":"acme"}"#);
        assert_eq!(data.read::<Tenant>().unwrap(), Tenant { tenant: "acme".into() });
    }
    assert_eq!(&authority.sessions(&alice).unwrap()[0], fourth.session());

    let plain = start(&authority, &mut alice, "laptop");
    let info = plain.session();
    assert_eq!((info.data(), info.policy(), info.ends_at()), (None, None, None));
}

#[test]
fn a_fixed_end_is_the_end_of_the_session_and_of_its_tokens() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let guest = start(&authority, &mut alice, NewSession::new("guest").ends_at(clock.at(300)));
    assert_eq!(authority.open(guest.access()).unwrap().expires_at(), clock.at(300));
    clock.set(299);
    let guest = refresh(&authority, &mut alice, &guest);
    let guest = restart(&authority, &mut alice, &guest, false);
    assert!(verify(&authority, guest.access(), &alice).is_ok());
    clock.set(300);
    assert!(authority.sessions(&alice).unwrap().is_empty());
    assert_eq!(reason(verify(&authority, guest.access(), &alice)), Reason::Expired);
    let expired = authority.open_refresh(copy(guest.refresh())).unwrap_err();
    assert_eq!(expired.reason(), Reason::Expired);
}

/// The table counts, not the token.
#[test]
fn the_end_of_the_session_is_that_of_the_record() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let guest = start(&authority, &mut alice, NewSession::new("guest").ends_at(clock.at(300)));
    let [stored, earlier] = [300, 200].map(|at| clock.at(at).unix_timestamp().to_string());
    let column = alice.sessions.to_column().unwrap().replace(&stored, &earlier);
    alice.sessions = SessionTable::from_column(Some(&column)).unwrap();
    clock.set(199);
    assert!(verify(&authority, guest.access(), &alice).is_ok());
    clock.set(200);
    assert_eq!(reason(verify(&authority, guest.access(), &alice)), Reason::SessionExpired);
    assert_eq!(refresh_reason(&authority, &alice, copy(guest.refresh())), Reason::SessionExpired);
}

#[test]
fn the_earliest_of_all_ends_counts() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new()
        .idle_lifetime(Duration::seconds(100))
        .absolute_lifetime(Duration::seconds(150));
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let late = start(&authority, &mut alice, NewSession::new("x").ends_at(clock.at(140)));
    assert_eq!(late.session().expires_at(), clock.at(100));
    clock.set(60);
    let late = refresh(&authority, &mut alice, &late);
    assert_eq!(late.session().expires_at(), clock.at(140));
    let later = start(&authority, &mut alice, NewSession::new("x").ends_at(clock.at(10_000)));
    assert_eq!(later.session().expires_at(), clock.at(160));
}

#[test]
fn an_end_that_has_passed_is_refused() {
    let (authority, clock) = authority();
    let alice = account("alice");
    for end in [clock.at(0), clock.at(-1), clock.at(0) + Duration::milliseconds(999)] {
        let refused = authority.start_session(&alice, NewSession::new("x").ends_at(end));
        assert!(matches!(refused, Err(IssueError::SessionEnd)), "{end}");
    }
    let end = clock.at(1) + Duration::milliseconds(999);
    let session = authority.start_session(&alice, NewSession::new("x").ends_at(end)).unwrap();
    assert_eq!(alice.clone().commit(session).session().ends_at(), Some(clock.at(1)));
    let last = time::OffsetDateTime::new_utc(
        time::Date::from_calendar_date(9999, time::Month::December, 31).unwrap(),
        time::Time::from_hms(23, 59, 59).unwrap(),
    );
    let west = last.replace_offset(time::UtcOffset::from_hms(-12, 0, 0).unwrap());
    let session = authority.start_session(&alice, NewSession::new("x").ends_at(west)).unwrap();
    assert_eq!(alice.clone().commit(session).session().ends_at(), Some(last));
}

#[test]
fn a_named_policy_replaces_what_it_sets() {
    let clock = TestClock::new();
    let kiosk = ClientPolicy::new().idle_lifetime(Duration::seconds(60)).grace(Duration::ZERO);
    let phone = ClientPolicy::new()
        .idle_lifetime(Duration::days(60))
        .absolute_lifetime(Duration::days(300));
    let policy = SessionPolicy::new().named("kiosk", kiosk).named("phone", phone);
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let start = |alice: &mut Account, name| {
        start(&authority, alice, NewSession::new(name).policy(name)).session().expires_at()
    };
    assert_eq!(start(&mut alice, "kiosk"), clock.at(60));
    assert_eq!(start(&mut alice, "phone"), clock.at(60 * 86_400));
    let unknown = authority.start_session(&alice, NewSession::new("x").policy("tv"));
    assert!(matches!(unknown, Err(IssueError::UnknownPolicy { name }) if name == "tv"));
}

/// A roll-out, or a name that was removed: a session never lasts longer by it.
#[test]
fn a_session_of_an_unknown_policy_has_the_strictest() {
    let clock = TestClock::new();
    let short = ClientPolicy::new().absolute_lifetime(Duration::seconds(500));
    let idle = ClientPolicy::new().idle_lifetime(Duration::seconds(300)).grace(Duration::SECOND);
    let now = SessionPolicy::new().named("short", short).named("idle", idle);
    let before = now.clone().named("gone", ClientPolicy::new().idle_lifetime(Duration::days(99)));
    let [before, now] =
        [before, now].map(|policy| builder(&clock).sessions(policy).build().unwrap());
    let mut alice = account("alice");
    let first = start(&before, &mut alice, NewSession::new("x").policy("gone"));
    assert_eq!(first.session().expires_at(), clock.at(90 * 86_400));
    let seen = &now.sessions(&alice).unwrap()[0];
    assert_eq!((seen.policy(), seen.expires_at()), (Some("gone"), clock.at(300)));
    clock.set(299);
    let second = refresh(&now, &mut alice, &first);
    assert_eq!(second.session().expires_at(), clock.at(500));
    clock.set(301);
    let reused = present(&now, &mut alice, copy(first.refresh())).unwrap();
    assert!(reused.into_tokens().is_err(), "the shortest grace");
}

#[test]
fn the_names_of_policies_and_their_settings_are_checked() {
    let clock = TestClock::new();
    let build = |policy: SessionPolicy| builder(&clock).sessions(policy).build().map(drop);
    let (policy, none) = (SessionPolicy::new, ClientPolicy::new());
    for name in ["a", "A-Z_0.9", "abcdefghijklmnop"] {
        build(policy().named(name, none)).unwrap();
    }
    let setting = |error: ConfigError| error.setting();
    for name in ["", "a b", "é", "abcdefghijklmnopq"] {
        assert_eq!(setting(build(policy().named(name, none)).unwrap_err()), "named", "{name}");
    }
    let twice = policy().named("a", none).named("a", none);
    assert_eq!(setting(build(twice).unwrap_err()), "named");
    let long = none.grace(Duration::seconds(61));
    let error = build(policy().named("tv", long)).unwrap_err();
    assert_eq!(error.to_string(), "the grace of the policy \"tv\" must be 0 to 60 seconds");
    let never = none.idle_lifetime(Duration::ZERO);
    assert_eq!(setting(build(policy().named("tv", never)).unwrap_err()), "idle_lifetime");
    let large = policy().max_data_bytes(513);
    assert_eq!(setting(build(large).unwrap_err()), "max_data_bytes");
}

#[test]
fn data_is_bounded_by_the_policy() {
    let clock = TestClock::new();
    let of = |bytes: usize| SessionData::new(&json!({ "a": "x".repeat(bytes - 8) })).unwrap();
    for max in [0, 128, 512] {
        let policy = match max {
            128 => SessionPolicy::new(),
            other => SessionPolicy::new().max_data_bytes(other),
        };
        let authority = builder(&clock).sessions(policy).build().unwrap();
        let mut alice = account("alice");
        if max > 0 {
            let full = start(&authority, &mut alice, NewSession::new("x").data(of(max)));
            assert_eq!(full.session().data(), Some(&of(max)));
        }
        if max < 512 {
            let session = NewSession::new("x").data(of(max + 8));
            let refused = authority.start_session(&alice, session);
            let is_right = |error| matches!(error, IssueError::SessionData { bytes, max: bound } if bytes == max + 8 && bound == max);
            assert!(is_right(refused.unwrap_err()), "{max}");
            let plain = start(&authority, &mut alice, "x").session().id();
            let refused = authority.set_session_data(&alice, plain, Some(of(max + 8)));
            assert!(is_right(refused.unwrap_err()), "{max}");
        }
    }
    let long = SessionData::new(&json!({ "a": "x".repeat(512) })).unwrap_err();
    assert!(matches!(long, DataError::TooLong { bytes: 520, max: 512 }));
}

#[test]
fn data_of_a_session_is_replaced_and_removed() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, NewSession::new("phone").data(tenant("acme")));
    let laptop = start(&authority, &mut alice, "laptop");
    clock.set(60);
    let data_of = |user: &Account, id: SessionId| {
        let sessions = authority.sessions(user).unwrap();
        sessions.iter().find(|info| info.id() == id).unwrap().data().cloned()
    };
    for data in [Some(tenant("other")), None] {
        let id = phone.session().id();
        let decision = authority.set_session_data(&alice, id, data.clone()).unwrap();
        assert!(alice.commit(decision));
        assert_eq!(data_of(&alice, id), data);
        assert_eq!(data_of(&alice, laptop.session().id()), None);
        let again = authority.set_session_data(&alice, id, data).unwrap();
        assert!(again.change().is_none(), "it is as it was");
        assert!(alice.commit(again));
    }
    // The tokens stay as they were.
    assert!(verify(&authority, phone.access(), &alice).is_ok());
    let phone = refresh(&authority, &mut alice, &phone);
    let unknown = "5.1".parse().unwrap();
    let decision = authority.set_session_data(&alice, unknown, Some(tenant("x"))).unwrap();
    assert!(decision.change().is_none() && !alice.commit(decision));
    alice.commit(authority.log_out(&alice.clone(), phone.session().id()).unwrap());
    let decision = authority.set_session_data(&alice, phone.session().id(), None).unwrap();
    assert!(!alice.commit(decision));
}

/// Claims that are made from the session, whenever it is known.
#[test]
fn claims_are_made_from_the_session() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let claims = |session: Option<&SessionInfo>| match session {
        None => role("none"),
        Some(session) => role(&match session.data() {
            Some(data) => data.read::<Tenant>().unwrap().tenant,
            None => session.label().to_owned(),
        }),
    };
    let said = |access: &relatch::Token<Access<Role>>, user: &Account| {
        verify(&authority, access, user).unwrap().claims().role.clone()
    };
    let plain = authority.issue_with::<Access<Role>>(&alice, &claims).sign().unwrap();
    assert_eq!(said(&plain, &alice), "none");

    let new = NewSession::new("phone").data(tenant("acme"));
    let login = authority.issue_with::<Access<Role>>(&alice, &claims).start_session(new);
    let first = alice.commit(login.unwrap());
    assert_eq!(said(first.access(), &alice), "acme");

    clock.set(60);
    let id = first.session().id();
    let set = authority.set_session_data(&alice, id, Some(tenant("other"))).unwrap();
    assert!(alice.commit(set));
    assert_eq!(said(first.access(), &alice), "acme", "until the next refresh");
    let opened = authority.open_refresh(copy(first.refresh())).unwrap();
    let read = alice.clone();
    let refreshed = authority.issue_with::<Access<Role>>(&read, &claims).refresh(&opened);
    let second = alice.commit(refreshed.unwrap()).into_tokens().unwrap();
    assert_eq!(said(second.access(), &alice), "other");

    let verified = verify(&authority, second.access(), &alice).unwrap();
    let issue = authority.issue_with::<Access<Role>>(verified.user(), &claims);
    let third = alice.commit(issue.restart_session(&verified).unwrap());
    assert_eq!(said(third.access(), &alice), "other");
    let verified = verify(&authority, third.access(), &alice).unwrap();
    let issue = authority.issue_with::<Access<Role>>(verified.user(), &claims);
    let fourth = alice.commit(issue.log_out_others(&verified).unwrap());
    assert_eq!(said(fourth.access(), &alice), "other");
}
