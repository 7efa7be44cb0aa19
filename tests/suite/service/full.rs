//! A login of a user whose slots are all taken, and the session that it takes the place of.

use relatch::{
    NoClaims, Token,
    one_time::MagicLink,
    service::{Client, Service, ServiceError},
    sessions::{NewSession, SessionId, SessionInfo, SessionPolicy, WhenFull},
    store::UserKey,
};

use super::{ALICE, Backend, PASSWORD, Profile, Tokens, World, settings, settings_of};
use crate::common::{Role, copy};

over_each_store! {
    a_full_table_lists_the_sessions_to_choose_from,
    the_chosen_session_ends_when_the_new_one_starts,
    a_chosen_session_that_has_ended_makes_no_room,
    a_chosen_session_ends_where_a_slot_is_free_too,
    a_link_is_not_used_up_by_a_login_that_finds_no_slot,
    of_two_in_place_of_one_session_one_starts,
}

/// A world, and its service with two slots for each user, which refuses a further login.
async fn two_slots<B: Backend>(db: B) -> (World<B>, Service<Profile, Role>) {
    let world = World::new(db).await;
    let service = with_two_slots(&world, WhenFull::Refuse);
    (world, service)
}

fn with_two_slots<B: Backend>(world: &World<B>, when_full: WhenFull) -> Service<Profile, Role> {
    let policy = SessionPolicy::new().max_sessions(2).when_full(when_full);
    let authority = settings_of(&world.clock).sessions(policy).build().unwrap();
    settings(authority, world.db.store().clone()).build()
}

async fn log_in(
    service: &Service<Profile, Role>,
    client: impl Into<Client>,
) -> Result<Tokens, ServiceError> {
    service.login("alice", PASSWORD, client).await
}

fn labels(sessions: &[SessionInfo]) -> Vec<&str> {
    sessions.iter().map(SessionInfo::label).collect()
}

/// The list of a refused login.
#[track_caller]
fn full(outcome: Result<Tokens, ServiceError>) -> Vec<SessionInfo> {
    match outcome {
        Err(ServiceError::SessionsFull(sessions)) => sessions,
        other => panic!("{other:?}"),
    }
}

async fn a_full_table_lists_the_sessions_to_choose_from<B: Backend>(db: B) {
    let (world, service) = two_slots(db).await;
    let laptop = log_in(&service, "laptop").await.unwrap();
    world.clock.set(60);
    let _tokens = log_in(&service, "phone").await.unwrap();
    assert_eq!(labels(&full(log_in(&service, "tablet").await)), ["phone", "laptop"]);
    world.clock.set(120);
    let _tokens = service.refresh(super::again(&laptop)).await.unwrap();
    let listed = full(service.start_session(ALICE, "tablet").await);
    assert_eq!(labels(&listed), ["laptop", "phone"]);
    assert_eq!(listed, service.sessions_of(ALICE).await.unwrap());
    // A wrong password shows nothing.
    let wrong = service.login("alice", "a wrong passphrase", "tablet").await;
    assert!(matches!(wrong, Err(ServiceError::LoginRefused(_))), "{wrong:?}");
}

async fn the_chosen_session_ends_when_the_new_one_starts<B: Backend>(db: B) {
    let world = World::new(db).await;
    for when_full in [WhenFull::Refuse, WhenFull::EvictLeastRecentlyUsed] {
        let service = with_two_slots(&world, when_full);
        let laptop = log_in(&service, "laptop").await.unwrap();
        let phone = log_in(&service, "phone").await.unwrap();
        let tablet = Client::new("tablet").in_place_of(phone.session().id());
        let tablet = log_in(&service, tablet).await.unwrap();
        assert_eq!(tablet.evicted(), Some(phone.session()));
        assert_eq!(world.labels().await, ["laptop", "tablet"]);
        for (tokens, lives) in [(&laptop, true), (&phone, false), (&tablet, true)] {
            assert_eq!(service.authenticate(tokens.access()).await.is_ok(), lives);
        }
        service.log_out_everywhere(ALICE).await.unwrap();
    }
}

async fn a_chosen_session_that_has_ended_makes_no_room<B: Backend>(db: B) {
    let (_world, service) = two_slots(db).await;
    let _tokens = log_in(&service, "laptop").await.unwrap();
    let phone = log_in(&service, "phone").await.unwrap().session().id();
    let tablet = || Client::new(NewSession::new("tablet").in_place_of(phone));
    service.log_out_device_of(ALICE, phone).await.unwrap();
    let _tokens = log_in(&service, "desktop").await.unwrap();
    assert_eq!(labels(&full(log_in(&service, tablet()).await)), ["desktop", "laptop"]);
    let nobodys: SessionId = "63.1".parse().unwrap();
    let refused = log_in(&service, Client::new("tablet").in_place_of(nobodys)).await;
    assert_eq!(full(refused).len(), 2);
}

async fn a_chosen_session_ends_where_a_slot_is_free_too<B: Backend>(db: B) {
    let (world, service) = two_slots(db).await;
    let laptop = log_in(&service, "laptop").await.unwrap().session().id();
    let tokens = log_in(&service, Client::new("tablet").in_place_of(laptop)).await.unwrap();
    assert_eq!(tokens.evicted().map(SessionInfo::id), Some(laptop));
    assert_eq!(world.labels().await, ["tablet"]);
}

async fn a_link_is_not_used_up_by_a_login_that_finds_no_slot<B: Backend>(db: B) {
    let (world, service) = two_slots(db).await;
    let laptop = log_in(&service, "laptop").await.unwrap().session().id();
    let _tokens = log_in(&service, "phone").await.unwrap();
    let issued = service.issue::<MagicLink>(UserKey::Id(ALICE), &NoClaims {}).sign().await;
    let link: Token<MagicLink> = issued.unwrap().unwrap().1;
    let listed = full(service.one_time(copy(&link)).login("tablet").await);
    assert!(listed.iter().any(|one| one.id() == laptop));
    let tablet = Client::new("tablet").in_place_of(laptop);
    let _tokens = service.one_time(link).login(tablet).await.unwrap();
    assert_eq!(world.labels().await, ["phone", "tablet"]);
}

async fn of_two_in_place_of_one_session_one_starts<B: Backend>(db: B) {
    let (world, service) = two_slots(db).await;
    let _tokens = log_in(&service, "laptop").await.unwrap();
    let phone = log_in(&service, "phone").await.unwrap().session().id();
    let start = |label| service.start_session(ALICE, Client::new(label).in_place_of(phone));
    let (a, b) = tokio::join!(start("a"), start("b"));
    assert!(a.is_ok() != b.is_ok());
    let labels_now = world.labels().await;
    assert!(labels_now == ["a", "laptop"] || labels_now == ["b", "laptop"], "{labels_now:?}");
    let refused = if a.is_ok() { b } else { a };
    assert_eq!(full(refused).len(), 2);
}
