//! Sessions: listing, limiting and logging out, one, the others, or all.

use relatch::{
    Access, Authority, BindingMode, Context, IssueError, NoClaims, Reason, SessionPolicy,
    SessionTokens, Token, User, VerifyError,
    authority::Stage,
    sessions::{SessionId, SessionTable, WhenFull},
    user::RecordError,
};
use time::Duration;

use crate::common::{
    AUDIENCE, Account, ISSUER, Role, START, TestClock, account, authority, builder, key, reason,
    refusal, role, verify,
};

fn start(authority: &Authority, user: &mut Account, label: &str) -> SessionTokens {
    let decision = authority.start_session(user, label).unwrap();
    user.commit(decision)
}

fn labels(authority: &Authority, user: &Account) -> Vec<String> {
    authority.sessions(user).unwrap().iter().map(|info| info.label().to_owned()).collect()
}

fn is_alive(authority: &Authority, tokens: &SessionTokens, user: &Account) -> bool {
    verify(authority, tokens.access(), user).is_ok()
}

fn limited(clock: &TestClock, max: u32, when_full: WhenFull) -> Authority {
    let policy = SessionPolicy::new().max_sessions(max).when_full(when_full);
    builder(clock).sessions(policy).build().unwrap()
}

#[test]
fn each_login_is_a_session_of_its_own() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    assert!(authority.sessions(&alice).unwrap().is_empty());
    let phone = start(&authority, &mut alice, "phone");
    clock.set(60);
    let laptop = start(&authority, &mut alice, "laptop");
    assert_eq!(labels(&authority, &alice), ["laptop", "phone"]);
    let verified = verify(&authority, phone.access(), &alice).unwrap();
    let id = verified.session_id().unwrap();
    assert_eq!(id, phone.session().id());
    assert_ne!(id, laptop.session().id());
    let listed = &authority.sessions(&alice).unwrap()[1];
    assert_eq!(listed, phone.session());
    assert_eq!(listed.started_at(), clock.at(0));
    assert_eq!(listed.last_seen(), clock.at(0));
    assert_eq!(listed.expires_at(), clock.at(14 * 86_400));
}

#[test]
fn one_device_is_logged_out_alone() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let laptop = start(&authority, &mut alice, "laptop");
    let plain = authority.issue_for_user(&alice).unwrap();
    assert!(alice.commit(authority.log_out(&alice.clone(), phone.session().id()).unwrap()));
    assert_eq!(reason(verify(&authority, phone.access(), &alice)), Reason::SessionEnded);
    assert!(is_alive(&authority, &laptop, &alice));
    assert!(verify(&authority, &plain, &alice).is_ok(), "a token without a session");
    assert_eq!(labels(&authority, &alice), ["laptop"]);

    let again = authority.log_out(&alice, phone.session().id()).unwrap();
    assert!(again.change().is_none(), "nothing to store");
    assert!(!alice.commit(again));
}

#[test]
fn the_others_are_logged_out_and_the_caller_stays() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let laptop = start(&authority, &mut alice, "laptop");
    let plain = authority.issue_for_user(&alice).unwrap();
    clock.set(60);
    let verified = verify(&authority, phone.access(), &alice).unwrap();
    let decision =
        authority.issue::<Access>(verified.user(), &NoClaims {}).log_out_others(&verified).unwrap();
    let kept = alice.commit(decision);
    assert!(is_alive(&authority, &kept, &alice));
    for dead in [phone.access(), laptop.access(), &plain] {
        assert_eq!(reason(verify(&authority, dead, &alice)), Reason::RevokedByVersion);
    }
    assert_eq!(labels(&authority, &alice), ["phone"]);
    assert_ne!(kept.session().id(), phone.session().id(), "under an id of its own");
    assert_eq!(kept.session().started_at(), clock.at(0), "the session goes on");
    assert_eq!(kept.session().last_seen(), clock.at(60));

    let (_, refresh) = kept.into_parts();
    let opened = authority.open_refresh(refresh).unwrap();
    let refreshed = alice.commit(opened.refresh(&alice.clone()).unwrap());
    assert!(is_alive(&authority, &refreshed.into_tokens().unwrap(), &alice));

    let plain = authority.issue_for_user(&alice).unwrap();
    let plain = verify(&authority, &plain, &alice).unwrap();
    assert!(matches!(
        authority.issue::<Access>(plain.user(), &NoClaims {}).log_out_others(&plain),
        Err(IssueError::NoSession)
    ));
}

#[test]
fn a_password_change_keeps_the_device_it_was_made_on() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let laptop = start(&authority, &mut alice, "laptop");
    let mut changed = Account { password_hash: "$argon2id$new".into(), ..alice.clone() };
    let verified = verify(&authority, phone.access(), &alice).unwrap();
    let decision =
        authority.issue::<Access>(&changed, &NoClaims {}).change_password(&verified).unwrap();
    let kept = changed.commit(decision);
    assert!(is_alive(&authority, &kept, &changed));
    assert!(!is_alive(&authority, &phone, &changed));
    assert!(!is_alive(&authority, &laptop, &changed));
    assert!(!is_alive(&authority, &kept, &alice), "a record with the old hash");
}

#[test]
fn everyone_is_logged_out_everywhere() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let plain = authority.issue_for_user(&alice).unwrap();
    alice.commit(authority.log_out_everywhere(&alice.clone()).unwrap());
    assert!(labels(&authority, &alice).is_empty());
    assert!(!is_alive(&authority, &phone, &alice));
    assert_eq!(reason(verify(&authority, &plain, &alice)), Reason::RevokedByVersion);
    let again = start(&authority, &mut alice, "phone");
    assert!(is_alive(&authority, &again, &alice));
    assert!(again.session().id() != phone.session().id());
}

/// With `WhenFull::Refuse`, revoked sessions that kept their slots would lock the user out.
#[test]
fn a_bump_past_the_table_frees_its_slots() {
    let clock = TestClock::new();
    let authority = limited(&clock, 1, WhenFull::Refuse);
    for ahead in [0, 5] {
        let mut alice = account("alice");
        clock.set(0);
        let phone = start(&authority, &mut alice, "phone");
        let version =
            relatch::user::Counter::from(alice.version).next(clock.at(60 + ahead)).unwrap();
        alice.version = version.get();
        clock.set(60);
        assert!(labels(&authority, &alice).is_empty());
        let laptop = start(&authority, &mut alice, "laptop");
        assert!(is_alive(&authority, &laptop, &alice) && !is_alive(&authority, &phone, &alice));
        assert_eq!(labels(&authority, &alice), ["laptop"], "{ahead} s ahead");
    }
}

#[test]
fn sessions_are_revoked_by_a_predicate() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let all = ["phone", "laptop", "old phone"].map(|label| start(&authority, &mut alice, label));
    let decision = authority.log_out_where(&alice, |info| info.label().contains("phone")).unwrap();
    assert_eq!(alice.commit(decision), 2);
    let alive = all.map(|tokens| is_alive(&authority, &tokens, &alice));
    assert_eq!(alive, [false, true, false]);
    let none = authority.log_out_where(&alice, |_| false).unwrap();
    assert!(none.change().is_none());
}

#[test]
fn a_full_table_evicts_the_session_that_was_used_least_recently() {
    let clock = TestClock::new();
    let authority = limited(&clock, 3, WhenFull::EvictLeastRecentlyUsed);
    let mut alice = account("alice");
    let mut tokens = Vec::new();
    for (at, label) in ["a", "b", "c"].into_iter().enumerate() {
        clock.set(at as i64);
        tokens.push(start(&authority, &mut alice, label));
    }
    clock.set(100);
    let (_, refresh) = tokens.remove(0).into_parts();
    let opened = authority.open_refresh(refresh).unwrap();
    let a = alice.commit(opened.refresh(&alice.clone()).unwrap()).into_tokens().unwrap();
    let d = start(&authority, &mut alice, "d");
    assert_eq!(d.evicted().unwrap().label(), "b");
    assert_eq!(labels(&authority, &alice), ["d", "a", "c"]);
    assert_eq!(reason(verify(&authority, tokens[0].access(), &alice)), Reason::SessionEnded);
    assert!(is_alive(&authority, &a, &alice) && is_alive(&authority, &d, &alice));
    // b's token cannot harm the next session in b's slot.
    let (_, refresh) = tokens.remove(0).into_parts();
    let opened = authority.open_refresh(refresh).unwrap();
    assert!(opened.refresh(&alice).is_err());
    assert!(is_alive(&authority, &d, &alice));
}

#[test]
fn a_full_table_refuses_where_the_policy_says_so() {
    let clock = TestClock::new();
    let authority = limited(&clock, 2, WhenFull::Refuse);
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let _ = start(&authority, &mut alice, "laptop");
    assert!(matches!(authority.start_session(&alice, "x"), Err(IssueError::SessionsFull(_))));
    alice.commit(authority.log_out(&alice.clone(), phone.session().id()).unwrap());
    assert!(start(&authority, &mut alice, "tablet").evicted().is_none());
    clock.set(14 * 86_400);
    let later = start(&authority, &mut alice, "much later");
    assert!(later.evicted().is_none(), "the others had run out");
    assert_eq!(labels(&authority, &alice), ["much later"]);
}

#[test]
fn a_session_ends_when_it_is_idle_and_at_its_absolute_end() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new()
        .idle_lifetime(Duration::seconds(100))
        .absolute_lifetime(Duration::seconds(250));
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let mut tokens = start(&authority, &mut alice, "phone");
    assert_eq!(tokens.session().expires_at(), clock.at(100));
    for (now, end) in [(90, 190), (180, 250), (249, 250)] {
        clock.set(now);
        let (_, refresh) = tokens.into_parts();
        let opened = authority.open_refresh(refresh).unwrap();
        tokens = alice.commit(opened.refresh(&alice.clone()).unwrap()).into_tokens().unwrap();
        assert_eq!(tokens.session().expires_at(), clock.at(end));
        assert_eq!(authority.open(tokens.access()).unwrap().expires_at(), clock.at(end));
    }
    clock.set(250);
    assert_eq!(reason(verify(&authority, tokens.access(), &alice)), Reason::Expired);
    assert!(authority.sessions(&alice).unwrap().is_empty());
    let none = authority.log_out_where(&alice, |_| true).unwrap();
    assert!(none.change().is_none(), "it is not listed");

    // A shorter policy applies at once to tokens issued under a longer one.
    clock.set(0);
    let generous = builder(&clock).build().unwrap();
    let mut bob = account("bob");
    let phone = start(&generous, &mut bob, "phone");
    clock.set(100);
    assert!(is_alive(&generous, &phone, &bob));
    let refused = refusal(&authority, phone.access().expose(), &bob).unwrap();
    assert_eq!((refused.stage, refused.reason), (Stage::Session, Reason::SessionExpired));
}

#[test]
fn fewer_slots_end_the_sessions_beyond_them() {
    let clock = TestClock::new();
    let four = limited(&clock, 4, WhenFull::EvictLeastRecentlyUsed);
    let two = limited(&clock, 2, WhenFull::EvictLeastRecentlyUsed);
    let mut alice = account("alice");
    let all = ["a", "b", "c", "d"].map(|label| start(&four, &mut alice, label));
    let alive = all.map(|tokens| verify(&two, tokens.access(), &alice).map(drop));
    assert!(alive[..2].iter().all(Result::is_ok));
    for dead in &alive[2..] {
        assert_eq!(dead.as_ref().unwrap_err().reason(), Some(Reason::SlotOutOfRange));
    }
    assert_eq!(labels(&two, &alice).len(), 2);
    let _ = start(&two, &mut alice, "e");
    assert_eq!(labels(&four, &alice).len(), 2, "the table has shrunk");
}

#[test]
fn an_access_token_has_claims_a_context_and_a_session_at_once() {
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let mut alice = account("alice");
        let here = Context::new().with("fingerprint", "cookie");
        let (editor, admin) = (role("editor"), role("admin"));
        let issue = authority.issue::<Access<Role>>(&alice, &editor);
        let decision = issue.context(here.clone()).lifetime(Duration::seconds(9));
        let decision = decision.start_session("phone").unwrap();
        let tokens = alice.commit(decision);
        let (access, refresh) = tokens.into_parts();
        assert_eq!(
            reason(verify(&authority, &Token::<Access<Role>>::new(access.expose()), &alice)),
            match mode {
                BindingMode::Key => Reason::BadSignature,
                _ => Reason::RevokedByStamp,
            }
        );
        let access = access.in_context(here.clone());
        assert_eq!(verify(&authority, &access, &alice).unwrap().claims().role, "editor");

        let stolen = relatch::RefreshToken::new(refresh.expose());
        let opened = authority.open_refresh(stolen).unwrap();
        let error = opened.refresh(&alice).unwrap_err();
        assert!(
            matches!(error, relatch::authority::RefreshError::Rejected(r) if r.reason() == Reason::BadSignature)
        );
        let opened = authority.open_refresh(refresh.in_context(here.clone())).unwrap();
        let issue = authority.issue::<Access<Role>>(&alice, &admin);
        let refreshed = issue.refresh(&opened).unwrap();
        let tokens = alice.commit(refreshed).into_tokens().unwrap();
        let access = tokens.into_parts().0.in_context(here);
        assert_eq!(verify(&authority, &access, &alice).unwrap().claims().role, "admin");
    }
}

#[test]
fn the_device_that_stays_stays_in_its_context() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let here = Context::new().with("fingerprint", "cookie");
    let issue = authority.issue::<Access>(&alice, &NoClaims {}).context(here.clone());
    let tokens = alice.commit(issue.start_session("phone").unwrap());
    let access = tokens.into_parts().0.in_context(here.clone());
    let verified = verify(&authority, &access, &alice).unwrap();
    let kept = alice.commit(
        authority.issue::<Access>(verified.user(), &NoClaims {}).log_out_others(&verified).unwrap(),
    );
    assert!(!is_alive(&authority, &kept, &alice), "without the cookie");
    let (access, refresh) = kept.into_parts();
    assert!(verify(&authority, &access.in_context(here.clone()), &alice).is_ok());
    let opened = authority.open_refresh(refresh.in_context(here.clone())).unwrap();
    assert!(opened.refresh(&alice).is_ok());
    let other = authority.issue::<Access>(verified.user(), &NoClaims {}).context(here);
    assert!(matches!(other.log_out_others(&verified), Err(IssueError::ContextPresented)));
}

/// If the record was read again, this session may have been revoked in it.
#[test]
fn a_session_does_not_outlive_the_record_that_it_was_verified_on() {
    let clock = TestClock::new();
    let authority = builder(&clock).user_epoch("tenant").build().unwrap();
    let mut alice = Account { tenant: Some(("acme".into(), 1)), ..account("alice") };
    let phone = start(&authority, &mut alice, "phone");
    let verified = verify(&authority, phone.access(), &alice).unwrap();
    let over = |user: &Account, with_password: bool| {
        let issue = authority.issue::<Access>(user, &NoClaims {});
        let decided = match with_password {
            true => issue.change_password(&verified),
            false => issue.log_out_others(&verified),
        };
        match decided.unwrap_err() {
            IssueError::SessionOver(rejection) => rejection.reason(),
            other => panic!("{other:?}"),
        }
    };
    let bumped = Account { version: 1, ..alice.clone() };
    let of_tenant = Account { tenant: Some(("acme".into(), 2)), ..alice.clone() };
    let ended = Account { sessions: SessionTable::default(), ..alice.clone() };
    let bob = Account { id: "bob".into(), ..alice.clone() };
    for with_password in [false, true] {
        let with = |user: &Account| {
            let password_hash = if with_password { "$argon2id$new" } else { &alice.password_hash };
            over(&Account { password_hash: password_hash.into(), ..user.clone() }, with_password)
        };
        assert_eq!(with(&bumped), Reason::RevokedByVersion);
        assert_eq!(with(&of_tenant), Reason::BadSignature);
        assert_eq!(with(&ended), Reason::SessionAhead);
        assert_eq!(with(&bob), Reason::UserMismatch);
    }
    let reset = Account { password_hash: "$argon2id$new".into(), ..alice.clone() };
    assert_eq!(over(&reset, false), Reason::BadSignature);
    assert!(authority.issue::<Access>(&reset, &NoClaims {}).change_password(&verified).is_ok());
    let same = authority.issue::<Access>(&alice, &NoClaims {}).change_password(&verified);
    assert!(matches!(same, Err(IssueError::SameCredential)));

    for other in [
        Authority::builder(key("k1", 1), "other", AUDIENCE),
        Authority::builder(key("k1", 1), ISSUER, "other"),
    ] {
        let other = other.clock(clock.clone()).user_epoch("tenant").build().unwrap();
        let issue = other.issue::<Access>(verified.user(), &NoClaims {});
        assert!(matches!(issue.log_out_others(&verified), Err(IssueError::SessionOver(_))));
    }
    clock.set(15 * 60);
    assert_eq!(over(&alice, false), Reason::Expired, "the access token has run out");
}

#[test]
fn a_refresh_is_made_by_the_authority_that_opened_the_token() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let opened = authority.open_refresh(phone.into_parts().1).unwrap();
    let other = builder(&clock).build().unwrap();
    let error = other.issue::<Access>(&alice, &NoClaims {}).refresh(&opened).unwrap_err();
    assert!(matches!(error, relatch::authority::RefreshError::Issue(IssueError::OtherAuthority)));
    let same = authority.with_keys(key("k2", 2)).unwrap();
    assert!(same.issue::<Access>(&alice, &NoClaims {}).refresh(&opened).is_ok());
}

#[test]
fn a_record_without_sessions_is_an_error_where_they_are_needed() {
    struct Plain(Account);
    impl User for Plain {
        fn id(&self) -> &str {
            &self.0.id
        }
        fn binding(&self) -> relatch::Binding<'_> {
            self.0.binding()
        }
    }
    let (authority, _) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    let plain = Plain(alice);
    let error = authority.open(phone.access()).unwrap().verify(Some(&plain)).unwrap_err();
    assert_eq!(error, VerifyError::Record(RecordError::Sessions));
    assert!(authority.sessions(&plain).is_err());
    assert!(matches!(
        authority.start_session(&plain, "x"),
        Err(IssueError::Record(RecordError::Sessions))
    ));
    let decision = authority.log_out_everywhere(&plain).unwrap();
    assert!(decision.change().unwrap().sessions().is_none());
    assert!(decision.change().unwrap().version() > relatch::user::Counter::INITIAL);
}

#[test]
fn a_lost_table_never_hands_a_generation_out_again() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    alice.sessions = SessionTable::from_column(None).unwrap();
    assert_eq!(reason(verify(&authority, phone.access(), &alice)), Reason::SessionAhead);
    clock.set(1);
    let again = start(&authority, &mut alice, "phone");
    assert_eq!(reason(verify(&authority, phone.access(), &alice)), Reason::SessionEnded);
    assert!(is_alive(&authority, &again, &alice));
}

#[test]
fn a_logout_moves_the_generation_as_a_login_does() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let phone = start(&authority, &mut alice, "phone");
    clock.set(100);
    alice.commit(authority.log_out(&alice.clone(), phone.session().id()).unwrap());
    clock.set(50);
    let again = start(&authority, &mut alice, "phone");
    assert_eq!(again.session().id().to_string(), format!("0.{}", (START + 100) * 1000 + 1));
}

#[test]
fn an_id_of_somebody_else_s_logs_nobody_out() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let _ = start(&authority, &mut alice, "phone");
    for id in ["0.1", "1.4000000000000", "63.4000000000000", "0.9223372036854775807"] {
        let id: SessionId = id.parse().unwrap();
        assert!(authority.log_out(&alice, id).unwrap().change().is_none(), "{id}");
    }
}

#[test]
fn text_of_one_kind_is_refused_as_the_other() {
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let mut alice = account("alice");
        let tokens = start(&authority, &mut alice, "phone");
        let as_access = refusal(&authority, tokens.refresh().expose(), &alice).unwrap();
        assert_eq!((as_access.stage, as_access.reason), (Stage::Header, Reason::WrongType));
        assert!(!as_access.looked_up);
        let as_refresh = relatch::RefreshToken::new(tokens.access().expose());
        assert_eq!(authority.open_refresh(as_refresh).unwrap_err().reason(), Reason::WrongType);
    }
}
