//! Watches of live connections through the service.

use std::time::Duration as StdDuration;

use relatch::{
    ConfigError, Reason,
    live::{Ended, Watch},
    store::UserKey,
};
use time::Duration;
use tokio::time::timeout;

use super::{ALICE, Backend, World, again, backends::Memory, settings_of};
use crate::common::{copy, key};

over_each_store! {
    a_guard_ends_at_once_with_a_change_of_this_service,
    a_guard_ends_at_once_with_what_it_is_told,
    a_guard_ends_at_once_with_a_key_that_is_removed,
    a_guard_ends_at_once_with_an_epoch_that_is_increased,
}

/// Much shorter than the bound.
const AT_ONCE: StdDuration = StdDuration::from_secs(20);

async fn ended(watch: Watch) -> Reason {
    match timeout(AT_ONCE, watch).await.expect("the watch waited for its bound") {
        Ended::Revoked(rejection) => rejection.reason(),
        other => panic!("{other:?}"),
    }
}

async fn a_guard_ends_at_once_with_a_change_of_this_service<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let live = service.live(Duration::MINUTE).unwrap();
    for act in 0..5 {
        let (phone, other) = (world.start("phone").await, world.start("other").await);
        let (verified, watch) = live.watch(copy(phone.access())).await.unwrap();
        let (_, watch_of_other) = live.watch(copy(other.access())).await.unwrap();
        // A refresh changes the record but ends no session.
        let phone = service.refresh(again(&phone)).await.unwrap();
        let reason = match act {
            0 => {
                assert!(service.log_out(&verified).await.unwrap());
                Reason::SessionEnded
            }
            1 => {
                service.log_out_everywhere(ALICE).await.unwrap();
                Reason::RevokedByVersion
            }
            2 => {
                drop(service.log_out_others(phone.access()).await.unwrap());
                Reason::RevokedByVersion
            }
            3 => {
                service.disable(ALICE).await.unwrap();
                Reason::InactiveUser
            }
            _ => {
                service.delete(ALICE).await.unwrap();
                Reason::UnknownUser
            }
        };
        assert_eq!(ended(watch).await, reason);
        match act {
            0 => {
                assert!(timeout(StdDuration::ZERO, watch_of_other).await.is_err());
                world.assert_alive(&other).await;
            }
            _ => assert_eq!(ended(watch_of_other).await, reason),
        }
        if act == 3 {
            service.enable(ALICE).await.unwrap();
        }
    }
}

async fn a_guard_ends_at_once_with_what_it_is_told<B: Backend>(db: B) {
    let world = World::new(db).await;
    let elsewhere = world.another(|settings| settings);
    let live = world.service.live(Duration::MINUTE).unwrap();
    for tells_of_all in [false, true] {
        let phone = world.start("phone").await;
        let (_, watch) = live.watch(copy(phone.access())).await.unwrap();
        elsewhere.log_out_everywhere(ALICE).await.unwrap();
        match tells_of_all {
            false => world.service.changes().publish(ALICE),
            true => world.service.changes().publish_all(),
        }
        assert_eq!(ended(watch).await, Reason::RevokedByVersion);
    }
}

async fn a_guard_ends_at_once_with_a_key_that_is_removed<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let live = service.live(Duration::MINUTE).unwrap();
    let old = world.start("old").await;
    let (_, watch) = live.watch(copy(old.access())).await.unwrap();

    let ring = service.authority().keys().clone();
    let ring = ring.rotate(key("k2", 2), world.clock.at(3600)).unwrap();
    service.replace_authority(service.authority().with_keys(ring.clone()).unwrap());
    let new = world.start("new").await;
    let (_, watch_of_new) = live.watch(copy(new.access())).await.unwrap();
    assert!(live.watch(copy(old.access())).await.is_ok());

    let ring = ring.remove("k1").unwrap();
    service.clone().replace_authority(service.authority().with_keys(ring).unwrap());
    assert_eq!(ended(watch).await, Reason::UnknownKey);
    let refused = live.watch(copy(old.access())).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::UnknownKey));
    assert!(timeout(StdDuration::ZERO, watch_of_new).await.is_err());
    assert!(live.watch(copy(new.access())).await.is_ok());
}

async fn a_guard_ends_at_once_with_an_epoch_that_is_increased<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let live = service.live(Duration::MINUTE).unwrap();
    let with_epoch = |counter: i64| settings_of(&world.clock).epoch("all", counter);
    service.replace_authority(with_epoch(0).build().unwrap());
    let phone = world.start("phone").await;
    let (_, watch) = live.watch(copy(phone.access())).await.unwrap();
    service.replace_authority(with_epoch(1).build().unwrap());
    assert_eq!(ended(watch).await, Reason::BadSignature);
    let refused = live.watch(copy(phone.access())).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::BadSignature));
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_nobody_tells_ends_within_its_bound() {
    let world = World::new(Memory::new()).await;
    let elsewhere = world.another(|settings| settings);
    let live = world.service.live(Duration::seconds(16)).unwrap();
    let phone = world.start("phone").await;
    let (verified, watch) = live.watch(copy(phone.access())).await.unwrap();
    assert_eq!(verified.claims().role, "guest");
    elsewhere.log_out_everywhere(ALICE).await.unwrap();
    let ended = timeout(StdDuration::from_secs(16), watch).await.unwrap();
    assert!(matches!(ended, Ended::Revoked(_)), "{ended:?}");
    assert!(world.service.find(UserKey::Id(ALICE)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_bound_out_of_range_is_told() {
    let world = World::new(Memory::new()).await;
    for bound in [Duration::ZERO, Duration::milliseconds(999), Duration::hours(2)] {
        let error: ConfigError = world.service.live(bound).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
}
