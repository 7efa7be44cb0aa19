//! Authentication and refresh.

use std::sync::Arc;

use relatch::{
    Reason, SessionPolicy, Token, User, one_time::MagicLink, service::ServiceError,
    sessions::EventKind,
};
use time::Duration;

use super::{ALICE, BOB, Backend, Column, World, again, refused, settings, settings_of};
use crate::common::copy;

over_each_store! {
    a_refresh_token_is_rotated,
    a_refresh_token_that_is_used_twice_ends_its_session_and_is_told,
    two_tabs_at_once_get_one_successor,
    one_token_that_comes_again_is_reported_once,
    a_late_repeat_is_reported_once_by_all_processes,
    a_token_ahead_of_the_record_is_reported_once,
    claims_are_made_anew_at_each_refresh,
    a_token_that_is_not_ours_is_rejected_before_any_lookup,
    a_refresh_that_a_revocation_overtakes_gives_nothing,
}

async fn a_refresh_token_is_rotated<B: Backend>(db: B) {
    let world = World::new(db).await;
    let first = world.start("phone").await;
    let second = world.service.refresh(again(&first)).await.unwrap();
    assert_ne!(first.refresh().expose(), second.refresh().expose());
    assert_eq!(first.session().id(), second.session().id());
    world.assert_alive(&second).await;
    // The earlier access token is of the same session.
    world.assert_alive(&first).await;
    world.clock.set(60);
    let third = world.service.refresh(again(&second)).await.unwrap();
    let listed = world.service.authenticate(third.access()).await.unwrap();
    let listed = world.service.sessions(&listed).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].last_seen(), world.clock.at(60));
    assert!(world.events().is_empty());
}

async fn a_refresh_token_that_is_used_twice_ends_its_session_and_is_told<B: Backend>(db: B) {
    let world = World::new(db).await;
    let stolen = world.start("phone").await;
    let laptop = world.start("laptop").await;
    let owner = world.service.refresh(again(&stolen)).await.unwrap();

    // Within the grace: a lost response.
    world.clock.set(10);
    let retried = world.service.refresh(again(&stolen)).await.unwrap();
    assert_eq!(retried.refresh().expose(), owner.refresh().expose());
    let [hit] = &world.events()[..] else { panic!("one event") };
    assert_eq!((hit.kind(), hit.user_id(), hit.ended_sessions()), (EventKind::GraceHit, ALICE, 0));

    // After the grace: a thief.
    world.clock.set(11);
    let error = world.service.refresh(again(&stolen)).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::RefreshReused));
    let [reuse] = &world.events()[..] else { panic!("one event") };
    assert_eq!(
        (reuse.kind(), reuse.user_id(), reuse.ended_sessions()),
        (EventKind::Reuse, ALICE, 1)
    );
    assert_eq!(reuse.label(), Some("phone"));
    assert_eq!(world.assert_dead(&owner).await, Reason::SessionEnded);
    world.assert_alive(&laptop).await;
    assert!(world.events().is_empty(), "a dead session's token is no event");
}

async fn two_tabs_at_once_get_one_successor<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    let tab = || world.service.refresh(again(&phone));
    let (a, b, c, d) = tokio::join!(tab(), tab(), tab(), tab());
    let all = [a, b, c, d].map(|tokens| tokens.unwrap());
    for tokens in &all {
        assert_eq!(tokens.refresh().expose(), all[0].refresh().expose());
        world.assert_alive(tokens).await;
    }
    let [hit] = &world.events()[..] else { panic!("one event") };
    assert_eq!(hit.kind(), EventKind::GraceHit);
}

/// Otherwise any user could flood the log and the alarms.
async fn one_token_that_comes_again_is_reported_once<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (mut phone, laptop) = (world.start("phone").await, world.start("laptop").await);
    for _ in 0..3 {
        let next = world.service.refresh(again(&phone)).await.unwrap();
        let _ = world.service.refresh(again(&laptop)).await.unwrap();
        for _ in 0..30 {
            let _ = world.service.refresh(again(&phone)).await.unwrap();
            let _ = world.service.refresh(again(&laptop)).await.unwrap();
        }
        phone = next;
    }
    let events = world.events();
    assert!(events.iter().all(|event| event.kind() == EventKind::GraceHit));
    let of = |label: &str| -> Vec<_> {
        let own = events.iter().filter(|event| event.label() == Some(label));
        own.map(|event| event.presented_seq()).collect()
    };
    assert_eq!((of("phone"), of("laptop")), (vec![0, 1, 2], vec![0]));
}

async fn a_late_repeat_is_reported_once_by_all_processes<B: Backend>(db: B) {
    let mut world = World::new(db).await;
    let policy = || SessionPolicy::new().late_repeat(Duration::days(1));
    let events = Arc::clone(&world.events);
    let process = |world: &World<B>| {
        let authority = settings_of(&world.clock).sessions(policy()).build().unwrap();
        let events = Arc::clone(&events);
        settings(authority, world.db.store().clone())
            .on_event(move |event| events.lock().unwrap().push(event.clone()))
            .build()
    };
    let (here, there) = (process(&world), process(&world));
    world.service = here;
    let phone = world.start("phone").await;
    let lost = world.service.refresh(again(&phone)).await.unwrap();
    world.clock.set(3600);
    for service in [&world.service, &there, &world.service, &there] {
        let late = service.refresh(again(&phone)).await.unwrap();
        assert_eq!(late.refresh().expose(), lost.refresh().expose());
    }
    let [late] = &world.events()[..] else { panic!("one event") };
    assert_eq!((late.kind(), late.user_id()), (EventKind::LateRepeat, ALICE));
    let _next = there.refresh(again(&lost)).await.unwrap();
    world.clock.set(7200);
    let error = there.refresh(again(&lost)).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::RefreshReused));
    let [reuse] = &world.events()[..] else { panic!("one event") };
    assert_eq!(reuse.kind(), EventKind::Reuse);
}

async fn a_token_ahead_of_the_record_is_reported_once<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    let backup = world.columns(ALICE).await.sessions.clone();
    let next = world.service.refresh(again(&phone)).await.unwrap();
    world.db.write(ALICE, Column::Sessions, backup.as_deref()).await;
    for _ in 0..10 {
        let error = world.service.refresh(again(&next)).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::RefreshAhead));
    }
    let [event] = &world.events()[..] else { panic!("one event") };
    assert_eq!(event.kind(), EventKind::RolledBack);
}

async fn claims_are_made_anew_at_each_refresh<B: Backend>(db: B) {
    let world = World::new(db).await;
    let session =
        async |tokens: &super::Tokens| world.service.authenticate(tokens.access()).await.unwrap();
    let guest = world.start("phone").await;
    assert_eq!(session(&guest).await.claims().role, "guest");
    world.db.write(ALICE, Column::Role, Some("admin")).await;
    // Issued claims keep their value; the record has the present one.
    assert_eq!(session(&guest).await.claims().role, "guest");
    assert_eq!(session(&guest).await.user().fields().role.as_deref(), Some("admin"));
    let admin = world.service.refresh(again(&guest)).await.unwrap();
    assert_eq!(session(&admin).await.claims().role, "admin");
}

async fn a_token_that_is_not_ours_is_rejected_before_any_lookup<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = super::faulty::Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let (alice, bob) = (world.start("phone").await, service.start_session(BOB, "x").await.unwrap());
    let reads = store.reads();
    let access = alice.access().expose();
    let (head, rest) = access.split_once('.').unwrap();
    let (_, of_bob) = bob.access().expose().split_once('.').unwrap();
    let (payload, _) = rest.split_once('.').unwrap();
    let (_, mac) = of_bob.split_once('.').unwrap();
    for text in ["", "junk", "a.b.c", alice.refresh().expose(), &format!("{head}.{payload}")] {
        assert!(refused(&service, &Token::new(text)).await.is_some(), "{text}");
    }
    let as_refresh = service.refresh(Token::new(access)).await.unwrap_err();
    assert_eq!(as_refresh.reason(), Some(Reason::WrongType));
    let as_link = service.one_time(Token::<MagicLink>::new(access)).consume().await.unwrap_err();
    assert_eq!(as_link.reason(), Some(Reason::WrongType));
    world.clock.set(13 * 3600);
    assert_eq!(refused(&service, alice.access()).await, Some(Reason::Expired));
    assert_eq!(store.reads(), reads);
    world.clock.set(0);
    // A token with a valid guard costs a lookup.
    let mixed = Token::new(format!("{head}.{payload}.{mac}"));
    assert_eq!(refused(&service, &mixed).await, Some(Reason::BadSignature));
    assert_eq!(store.reads(), reads + 1);
    assert_eq!(service.authenticate(&copy(bob.access())).await.unwrap().user().id(), BOB);
}

async fn a_refresh_that_a_revocation_overtakes_gives_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = super::faulty::Faulty::new(world.db.store().clone());
    let refreshing = world.over(store.clone(), |settings| settings);
    for act in 0..4 {
        let phone = world.start("phone").await;
        let verified = world.service.authenticate(phone.access()).await.unwrap();
        let service = world.service.clone();
        store.before_next_write(async move {
            match act {
                0 => {
                    service.log_out_everywhere(ALICE).await.unwrap();
                }
                1 => assert!(service.log_out(&verified).await.unwrap()),
                2 => {
                    service.set_password(ALICE, "another battery staple").await.unwrap();
                }
                _ => {
                    service.disable(ALICE).await.unwrap();
                }
            }
        });
        let error = refreshing.refresh(again(&phone)).await.unwrap_err();
        assert!(matches!(error, ServiceError::Rejected(_)), "{act}: {error:?}");
        world.assert_dead(&phone).await;
    }
}
