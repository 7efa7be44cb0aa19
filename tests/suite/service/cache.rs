//! `Service` with a cache: which answers may be stale, for how long, and which never are. Tokio's
//! clock is paused where a test measures the age of records.

use std::time::Duration as StdDuration;

use relatch::{
    Reason, Token,
    live::Ended,
    one_time::MagicLink,
    service::{CachePolicy, Service},
    store::{MemoryStore, NewUser, StoreErrorKind, UserKey},
};
use time::Duration;
use tokio::{
    task::yield_now,
    time::{advance, timeout},
};

use super::{
    ALICE, BOB, Backend, Column, PASSWORD, Profile, World, again,
    backends::Memory,
    faulty::{Faulty, Mode},
    hash, refused, store_error,
};
use crate::common::{Role, copy};

over_each_store! {
    a_change_by_the_same_service_is_seen_at_once,
    a_record_is_read_once_for_many_requests,
    what_is_decided_is_decided_on_the_primary,
    a_service_that_is_told_sees_it_at_once,
    a_login_elsewhere_works_here_at_once,
    a_fresh_check_sees_a_revocation_elsewhere_at_once,
}

/// Long enough that no record expires in a test that does not move the clock.
const BOUND: Duration = Duration::minutes(10);

fn cached<B: Backend>(world: &World<B>) -> (Service<Profile, Role>, Faulty<B::Store>) {
    let store = Faulty::new(world.db.store().clone());
    let policy = CachePolicy::new(BOUND, 100).unwrap();
    (world.over(store.clone(), |settings| settings.cache(policy)), store)
}

async fn a_change_by_the_same_service_is_seen_at_once<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (service, _) = cached(&world);
    for act in 0..7 {
        let phone = service.start_session(ALICE, "phone").await.unwrap();
        let verified = service.authenticate(phone.access()).await.unwrap();
        assert_eq!(refused(&service, phone.access()).await, None);
        match act {
            0 => assert!(service.log_out(&verified).await.unwrap()),
            1 => {
                service.log_out_everywhere(ALICE).await.unwrap();
            }
            2 => drop(service.log_out_others(phone.access()).await.unwrap()),
            3 => {
                service.set_password(ALICE, PASSWORD).await.unwrap();
            }
            4 => {
                let changed = service.change_password(phone.access(), PASSWORD, PASSWORD).await;
                assert_eq!(refused(&service, changed.unwrap().access()).await, None);
            }
            5 => {
                service.disable(ALICE).await.unwrap();
                assert!(refused(&service, phone.access()).await.is_some());
                service.enable(ALICE).await.unwrap();
            }
            _ => service.delete(ALICE).await.unwrap(),
        }
        assert!(refused(&service, phone.access()).await.is_some(), "{act}");
    }
}

async fn a_record_is_read_once_for_many_requests<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (service, store) = cached(&world);
    let phone = world.start("phone").await;
    let before = store.reads();
    for _ in 0..50 {
        assert_eq!(refused(&service, phone.access()).await, None);
    }
    assert_eq!(store.reads(), before + 1);
    assert_eq!(refused(&service, &Token::new("junk")).await, Some(Reason::Malformed));
    assert_eq!(store.reads(), before + 1);
}

async fn what_is_decided_is_decided_on_the_primary<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (service, _) = cached(&world);
    let phone = world.start("phone").await;
    assert_eq!(refused(&service, phone.access()).await, None);
    let link = {
        let issued = service.issue::<MagicLink>(UserKey::Id(ALICE), &relatch::NoClaims {});
        issued.sign().await.unwrap().unwrap().1
    };
    world.service.log_out_everywhere(ALICE).await.unwrap();
    // The cached record is from before the bump.
    assert_eq!(refused(&service, phone.access()).await, None);
    let refreshed = service.refresh(again(&phone)).await.unwrap_err();
    assert_eq!(refreshed.reason(), Some(Reason::RevokedByVersion));
    let others = service.log_out_others(phone.access()).await.unwrap_err();
    assert_eq!(others.reason(), Some(Reason::RevokedByVersion));
    assert!(service.peek(&link).await.is_err());
    assert!(service.one_time(link).login("thief").await.is_err());
    let changed = service.change_password(phone.access(), PASSWORD, "another battery staple").await;
    assert_eq!(changed.unwrap_err().reason(), Some(Reason::RevokedByVersion));
}

async fn a_service_that_is_told_sees_it_at_once<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (service, _) = cached(&world);
    for tells_of_all in [false, true] {
        let phone = world.start("phone").await;
        assert_eq!(refused(&service, phone.access()).await, None);
        world.service.log_out_everywhere(ALICE).await.unwrap();
        assert_eq!(refused(&service, phone.access()).await, None);
        service.changes().publish(BOB);
        assert_eq!(refused(&service, phone.access()).await, None);
        match tells_of_all {
            false => service.changes().publish(ALICE),
            true => service.changes().publish_all(),
        }
        assert_eq!(refused(&service, phone.access()).await, Some(Reason::RevokedByVersion));
    }
}

async fn a_login_elsewhere_works_here_at_once<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (service, _) = cached(&world);
    let phone = world.start("phone").await;
    assert_eq!(refused(&service, phone.access()).await, None);
    let laptop = world.start("laptop").await;
    assert_eq!(refused(&service, laptop.access()).await, None);
    world.service.log_out_everywhere(ALICE).await.unwrap();
    let tablet = world.start("tablet").await;
    assert_eq!(refused(&service, tablet.access()).await, None);
    // The record that was read for it replaces the cached one.
    assert_eq!(refused(&service, phone.access()).await, Some(Reason::RevokedByVersion));
}

async fn a_fresh_check_sees_a_revocation_elsewhere_at_once<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (service, _) = cached(&world);
    let phone = world.start("phone").await;
    assert_eq!(refused(&service, phone.access()).await, None);
    service.authenticate_fresh(phone.access()).await.map(drop).unwrap();
    world.service.log_out_everywhere(ALICE).await.unwrap();
    assert_eq!(refused(&service, phone.access()).await, None);
    let fresh = service.authenticate_fresh(phone.access()).await.unwrap_err();
    assert_eq!(fresh.reason(), Some(Reason::RevokedByVersion));
}

const SHORT: StdDuration = StdDuration::from_secs(10);
const TICK: StdDuration = StdDuration::from_millis(1);

/// A service that caches records for [`SHORT`], in a world whose own service has no cache.
async fn in_memory() -> (World<Memory>, Service<Profile, Role>, Faulty<MemoryStore<Profile>>) {
    let world = World::new(Memory::new()).await;
    let store = Faulty::new(world.db.store().clone());
    let policy = CachePolicy::new(Duration::try_from(SHORT).unwrap(), 100).unwrap();
    let service = world.over(store.clone(), |settings| settings.cache(policy));
    (world, service, store)
}

#[tokio::test(start_paused = true)]
async fn a_bump_elsewhere_is_seen_within_the_bound_and_not_later() {
    let (world, service, _) = in_memory().await;
    for requests in [0, 1, 20] {
        advance(TICK).await;
        let phone = world.start("phone").await;
        assert_eq!(refused(&service, phone.access()).await, None);
        world.service.log_out_everywhere(ALICE).await.unwrap();
        // Requests in between do not renew a record.
        for _ in 0..requests {
            advance((SHORT - TICK) / requests).await;
            assert_eq!(refused(&service, phone.access()).await, None);
        }
        advance(SHORT - (SHORT - TICK) / requests.max(1) * requests).await;
        assert_eq!(refused(&service, phone.access()).await, Some(Reason::RevokedByVersion));
    }
}

#[tokio::test(start_paused = true)]
async fn what_sql_changes_is_seen_within_the_bound() {
    let (world, service, _) = in_memory().await;
    let phone = world.start("phone").await;
    let role = async || {
        let verified = service.authenticate(phone.access()).await.unwrap();
        verified.user().fields().role.clone()
    };
    assert_eq!(role().await, None);
    world.db.write(ALICE, Column::Role, Some("admin")).await;
    assert_eq!(role().await, None);
    advance(SHORT).await;
    assert_eq!(role().await.as_deref(), Some("admin"));
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_what_is_kept_is_served_to_the_bound_and_no_longer() {
    let (world, service, store) = in_memory().await;
    let phone = world.start("phone").await;
    let bob = world.service.start_session(BOB, "bob's").await.unwrap();
    let logged_out = world.start("logged out").await;
    let verified = world.service.authenticate(logged_out.access()).await.unwrap();
    assert!(world.service.log_out(&verified).await.unwrap());
    assert_eq!(refused(&service, phone.access()).await, None);
    advance(SHORT / 2).await;
    for mode in [Mode::Fail, Mode::Hang] {
        store.set(mode);
        assert_eq!(refused(&service, phone.access()).await, None);
        // A user who is not cached, and a rejection that must be confirmed.
        for token in [bob.access(), logged_out.access()] {
            let outcome = service.authenticate(token).await;
            assert_eq!(store_error(outcome), StoreErrorKind::Unreachable, "{mode:?}");
        }
        let fresh = service.authenticate_fresh(phone.access()).await;
        assert_eq!(store_error(fresh), StoreErrorKind::Unreachable);
        store.set(Mode::Answer);
        // Read again.
        service.changes().publish_all();
        assert_eq!(refused(&service, phone.access()).await, None);
    }
    store.set(Mode::Fail);
    advance(SHORT - TICK).await;
    assert_eq!(refused(&service, phone.access()).await, None);
    advance(TICK).await;
    let over = service.authenticate(phone.access()).await;
    assert_eq!(store_error(over), StoreErrorKind::Unreachable);
    store.set(Mode::Answer);
    assert_eq!(refused(&service, phone.access()).await, None);
    assert_eq!(refused(&service, bob.access()).await, None);
    assert_eq!(refused(&service, logged_out.access()).await, Some(Reason::SessionEnded));
}

/// A change whose answer is lost may have been made: the cached record is not served after it.
#[tokio::test(start_paused = true)]
async fn a_bump_whose_answer_is_lost_drops_what_is_kept() {
    let (_, service, store) = in_memory().await;
    let phone = service.start_session(ALICE, "phone").await.unwrap();
    assert_eq!(refused(&service, phone.access()).await, None);
    store.set(Mode::FailAfterwards);
    assert!(service.log_out_everywhere(ALICE).await.unwrap_err().is_unavailable());
    assert_eq!(refused(&service, phone.access()).await, Some(Reason::RevokedByVersion));
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_such_user_is_kept_for_a_second_at_most() {
    let (world, service, store) = in_memory().await;
    let phone = world.start("phone").await;
    world.service.delete(ALICE).await.unwrap();
    let before = store.reads();
    assert_eq!(refused(&service, phone.access()).await, Some(Reason::UnknownUser));
    assert_eq!(store.reads(), before + 1, "a read within the call needs no confirmation");
    // Each later rejection is confirmed, but concurrent calls share the reads.
    let asked = store.reads();
    let asks = (0..50).map(|_| {
        let (service, token) = (service.clone(), copy(phone.access()));
        tokio::spawn(async move { refused(&service, &token).await })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert_eq!(ask.await.unwrap(), Some(Reason::UnknownUser));
    }
    assert!(store.reads() <= asked + 2, "{}", store.reads() - asked);
    world.db.insert(NewUser::with_password_hash(ALICE, "alice", hash())).await;
    advance(TICK).await;
    let phone = world.start("phone").await;
    assert_eq!(refused(&service, phone.access()).await, None);
}

/// Repeated requests with a revoked token cost four reads a second; other tokens are unaffected.
#[tokio::test(start_paused = true)]
async fn a_dead_token_cannot_hammer_the_database() {
    let (world, service, store) = in_memory().await;
    let (dead, alive) = (world.start("dead").await, world.start("alive").await);
    let verified = world.service.authenticate(dead.access()).await.unwrap();
    assert!(world.service.log_out(&verified).await.unwrap());
    assert_eq!(refused(&service, alive.access()).await, None);
    let before = store.reads();
    for _ in 0..4 {
        let asks = (0..100).map(|_| {
            let (service, token) = (service.clone(), copy(dead.access()));
            tokio::spawn(async move { refused(&service, &token).await })
        });
        let asks: Vec<_> = asks.collect();
        yield_now().await;
        assert_eq!(refused(&service, alive.access()).await, None);
        for ask in asks {
            assert_eq!(ask.await.unwrap(), Some(Reason::SessionEnded));
        }
    }
    assert!(store.reads() - before <= 8, "{}", store.reads() - before);
}

/// A read in flight during the bump: it began before and ends after it.
#[tokio::test(start_paused = true)]
async fn a_read_that_a_bump_overtakes_is_not_kept() {
    let (world, service, store) = in_memory().await;
    let phone = world.start("phone").await;
    store.set(Mode::HoldReads);
    let (asking, token) = (service.clone(), copy(phone.access()));
    let ask = tokio::spawn(async move { asking.authenticate(&token).await.map(drop) });
    store.held().await;
    store.set(Mode::Answer);
    service.log_out_everywhere(ALICE).await.unwrap();
    store.let_through().await;
    // The outcome of the request in flight does not matter; later requests see the bump.
    drop(ask.await.unwrap());
    assert_eq!(refused(&service, phone.access()).await, Some(Reason::RevokedByVersion));
}

#[tokio::test(start_paused = true)]
async fn a_watch_reads_past_what_is_kept() {
    let (world, service, _) = in_memory().await;
    let live = service.live(Duration::seconds(16)).unwrap();
    let phone = world.start("phone").await;
    let (_, watch) = live.watch(copy(phone.access())).await.unwrap();
    // Other requests keep the cached record as fresh as possible.
    let (asking, token) = (service.clone(), copy(phone.access()));
    let asks = tokio::spawn(async move {
        loop {
            drop(asking.authenticate(&token).await);
            tokio::time::sleep(StdDuration::from_millis(500)).await;
        }
    });
    tokio::time::sleep(StdDuration::from_secs(3)).await;
    world.service.log_out_everywhere(ALICE).await.unwrap();
    let ended = timeout(StdDuration::from_secs(16), watch).await.unwrap();
    assert!(matches!(ended, Ended::Revoked(_)), "{ended:?}");
    asks.abort();
}
