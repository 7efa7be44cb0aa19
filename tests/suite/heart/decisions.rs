//! Decisions: stored completely or not at all, alone or several together.

use std::convert::Infallible;

use relatch::{NoClaims, Purpose, Reason, Token, authority::Committed, one_time, user::Counter};

use crate::common::{Account, MagicLink, account, authority, peek, reason, verify};

#[test]
fn a_store_is_not_asked_where_there_is_nothing_to_store() {
    let (authority, _) = authority();
    let alice = account("alice");
    let none = authority.log_out(&alice, "0.1".parse().unwrap()).unwrap();
    let committed =
        none.commit(|_| -> Result<bool, Infallible> { panic!("nothing to store") }).unwrap();
    assert_eq!(committed, Committed::Stored(false));
}

#[test]
fn a_link_is_used_up_by_the_session_that_it_starts() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let link = authority.issue::<MagicLink>(&alice, &NoClaims {}).sign().unwrap();
    let copy = Token::<MagicLink>::new(link.expose());
    let used = authority.open_once(link).unwrap().consume(&alice).unwrap();
    let both = used.and_then(&alice, |user| authority.start_session(user, "phone")).unwrap();
    let change = both.change().unwrap();
    assert!(change.lane(MagicLink::TYP).unwrap() > Counter::INITIAL);
    let (used, tokens) = alice.commit(both);
    assert_eq!(used.registered().subject(), "alice");
    assert!(verify(&authority, tokens.access(), &alice).is_ok());
    assert_eq!(reason(peek(&authority, &copy, &alice)), Reason::RevokedByLane);
}

/// The second decision is made on the record as it is after the first.
#[test]
fn several_decisions_are_one_change() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let phone = alice.commit(authority.start_session(&alice.clone(), "phone").unwrap());
    clock.set(60);
    let out = authority.log_out_everywhere(&alice).unwrap();
    let both = out.and_then(&alice, |user| authority.start_session(user, "laptop")).unwrap();
    let (_version, laptop) = alice.commit(both);
    assert!(verify(&authority, laptop.access(), &alice).is_ok());
    assert_eq!(reason(verify(&authority, phone.access(), &alice)), Reason::RevokedByVersion);
    let listed = authority.sessions(&alice).unwrap();
    assert_eq!(listed.iter().map(|info| info.label()).collect::<Vec<_>>(), ["laptop"]);

    let nothing = authority.log_out(&alice, "63.1".parse().unwrap()).unwrap();
    let both = nothing.and_then(&alice, |user| authority.log_out_everywhere(user)).unwrap();
    assert!(both.change().unwrap().version().get() > alice.version);
    let nothing = || authority.log_out(&alice, "63.1".parse().unwrap());
    let neither = nothing().unwrap().and_then(&alice, |_| nothing()).unwrap();
    assert!(neither.change().is_none());
    let failed =
        nothing().unwrap().and_then(&alice, |_| Err::<relatch::authority::Decision<()>, _>("no"));
    assert_eq!(failed.unwrap_err(), "no");
}

/// A counter that the application itself bumps along with a decision is not lost.
#[test]
fn a_version_is_never_taken_back() {
    let (authority, _) = authority();
    let alice = account("alice");
    let bumped = Account { version: i64::MAX - 7, ..alice.clone() };
    let first = authority.start_session(&alice, "phone").unwrap();
    let both = first.and_then(&bumped, |user| authority.start_session(user, "laptop")).unwrap();
    assert_eq!(both.change().unwrap().version().get(), i64::MAX - 7);
    let out = authority.log_out_everywhere(&alice).unwrap();
    let version = out.change().unwrap().version();
    // Decided on the older record, by mistake.
    let both = out.and_then(&alice, |_| authority.start_session(&alice, "phone")).unwrap();
    assert_eq!(both.change().unwrap().version(), version);
    assert_eq!(both.change().unwrap().user_id(), "alice");
}

#[test]
fn each_lane_that_moves_is_in_the_change() {
    /// With one counter per purpose.
    struct Lanes(Account);
    impl relatch::User for Lanes {
        fn id(&self) -> &str {
            &self.0.id
        }
        fn binding(&self) -> relatch::Binding<'_> {
            self.0.binding()
        }
        fn lane(&self, _: &str) -> Option<Counter> {
            Some(Counter::from(7))
        }
    }
    let (authority, clock) = authority();
    let alice = Lanes(account("alice"));
    type Invitation = one_time::Invitation<NoClaims>;
    let invitation = authority.issue::<Invitation>(&alice, &NoClaims {}).sign().unwrap();
    let link = authority.issue::<MagicLink>(&alice, &NoClaims {}).sign().unwrap();
    let first = authority.open_once(invitation).unwrap().consume(&alice).unwrap();
    let link = authority.open_once(link).unwrap();
    let both = first.and_then(&alice, |user| link.consume(user)).unwrap();
    let change = both.change().unwrap();
    let next = Counter::from(7).next(clock.at(0));
    assert_eq!(change.lane(Invitation::TYP), next);
    assert_eq!(change.lane(MagicLink::TYP), next);
    assert_eq!(change.lane("other+jwt"), None);
    assert_eq!(change.lanes().count(), 2);

    // The same lane twice: the second change starts from the result of the first.
    let supersede =
        |user: &dyn relatch::User| authority.issue::<MagicLink>(user, &NoClaims {}).supersede();
    let again = both.and_then(&alice, |user| {
        assert_eq!(user.lane(MagicLink::TYP), next);
        supersede(user)
    });
    let again = again.unwrap();
    assert!(again.change().unwrap().lane(MagicLink::TYP) > next);
    assert_eq!(again.change().unwrap().lane(Invitation::TYP), next);
}

/// The address that a link confirms is known only from the record.
#[test]
fn a_context_may_come_after_the_lookup() {
    use relatch::{Context, one_time::EmailConfirmation};
    struct Pending(Account, &'static str);
    impl relatch::User for Pending {
        fn id(&self) -> &str {
            &self.0.id
        }
        fn binding(&self) -> relatch::Binding<'_> {
            self.0.binding()
        }
        fn lane(&self, _: &str) -> Option<Counter> {
            Some(Counter::INITIAL)
        }
    }
    let (authority, _) = authority();
    let alice = Pending(account("alice"), "new@example.com");
    let bare = authority.issue::<EmailConfirmation>(&alice, &NoClaims {}).sign();
    assert!(matches!(bare, Err(relatch::IssueError::MissingContext { kind: "email" })));
    let issue = authority.issue::<EmailConfirmation>(&alice, &NoClaims {});
    let link = issue.context(Context::new().with_email(alice.1)).sign().unwrap();
    let mut opened = authority.open_once(link).unwrap();
    assert_eq!(reason(opened.peek(&alice)), Reason::BadSignature);
    let other = Context::new().with_email("other@example.com");
    assert_eq!(reason(opened.in_context(other).peek(&alice)), Reason::BadSignature);
    let opened = opened.in_context(Context::new().with_email(alice.1));
    assert_eq!(opened.peek(&alice).unwrap().user().1, "new@example.com");
    assert!(opened.consume(&alice).is_ok());
}
