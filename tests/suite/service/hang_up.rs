//! Clients that hang up.

use relatch::{
    Context, NoClaims, one_time::MagicLink, service::ServiceError, sessions::EventKind,
    store::UserKey,
};
use tokio::task::JoinHandle;

use super::{
    ALICE, Backend, World, again,
    backends::Memory,
    faulty::{Faulty, Mode},
    gated::{Gated, settle},
};
use crate::common::copy;

over_each_store! {
    a_refresh_goes_on_after_a_race_although_its_client_hung_up,
    a_reuse_is_reported_although_its_client_hung_up,
    a_revocation_goes_on_after_a_race_although_its_client_hung_up,
}

async fn abort<T>(call: JoinHandle<T>) {
    call.abort();
    assert!(call.await.is_err_and(|error| error.is_cancelled()));
    settle().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_before_a_decision_ends_the_call() {
    let world = World::new(Memory::new()).await;
    let store = Gated::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let verified = world.service.authenticate(phone.access()).await.unwrap();
    let issued = service.issue::<MagicLink>(UserKey::Id(ALICE), &NoClaims {}).sign().await;
    let (_, link) = issued.unwrap().unwrap();
    let before = world.columns(ALICE).await;
    store.close();
    let s = || service.clone();
    let (access, refresh) = (phone.access(), phone.refresh());
    let calls: Vec<(&str, JoinHandle<()>)> = vec![
        ("refresh", {
            let (s, token) = (s(), again(&phone));
            tokio::spawn(async move { s.refresh(token).await.map(drop).unwrap() })
        }),
        ("revoke by access token", {
            let (s, text) = (s(), access.expose().to_owned());
            tokio::spawn(async move { s.revoke(&text, Context::new()).await.map(drop).unwrap() })
        }),
        ("revoke by refresh token", {
            let (s, text) = (s(), refresh.expose().to_owned());
            tokio::spawn(async move { s.revoke(&text, Context::new()).await.map(drop).unwrap() })
        }),
        ("log_out", {
            let (s, verified) = (s(), verified.clone());
            tokio::spawn(async move { s.log_out(&verified).await.map(drop).unwrap() })
        }),
        ("log_out_others", {
            let (s, token) = (s(), copy(access));
            tokio::spawn(async move { s.log_out_others(&token).await.map(drop).unwrap() })
        }),
        ("start_session", {
            let s = s();
            tokio::spawn(async move { s.start_session(ALICE, "x").await.map(drop).unwrap() })
        }),
        ("peek", {
            let (s, link) = (s(), copy(&link));
            tokio::spawn(async move { s.peek(&link).await.map(drop).unwrap() })
        }),
        ("one_time", {
            let (s, link) = (s(), copy(&link));
            tokio::spawn(async move { s.one_time(link).consume().await.map(drop).unwrap() })
        }),
        ("authenticate_fresh", {
            let (s, token) = (s(), copy(access));
            tokio::spawn(async move { s.authenticate_fresh(&token).await.map(drop).unwrap() })
        }),
    ];
    for (what, call) in calls {
        settle().await;
        assert!(store.running() >= 1, "{what}");
        abort(call).await;
    }
    assert_eq!(store.running(), 0, "a read runs on");
    store.open();
    settle().await;
    assert!(world.columns(ALICE).await == before, "somebody who hung up changed something");
    world.assert_alive(&service.refresh(again(&phone)).await.unwrap()).await;
}

#[tokio::test]
async fn callers_that_still_wait_are_answered() {
    let world = World::new(Memory::new()).await;
    let store = Gated::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let find = || {
        let service = service.clone();
        tokio::spawn(async move { service.find(UserKey::Id(ALICE)).await.unwrap().is_some() })
    };
    store.close();
    let first = find();
    settle().await;
    let (second, third) = (find(), find());
    settle().await;
    assert_eq!((store.begun(), store.running()), (1, 1));
    // The read that the first one waited for ends with it, and the next one begins at once.
    abort(first).await;
    assert_eq!((store.begun(), store.running()), (2, 1));
    abort(second).await;
    assert_eq!((store.begun(), store.running()), (2, 1));
    store.let_out(1);
    assert!(third.await.unwrap());

    // Nobody waits for the next one any more: it does not begin.
    let first = find();
    settle().await;
    let second = find();
    settle().await;
    abort(second).await;
    store.let_out(1);
    assert!(first.await.unwrap());
    settle().await;
    assert_eq!((store.begun(), store.running()), (3, 0));
    store.open();
    assert!(find().await.unwrap());
}

#[tokio::test]
async fn a_read_that_panics_stops_no_later_one() {
    let world = World::new(Memory::new()).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    store.set(Mode::Panic);
    let error = service.find(UserKey::Id(ALICE)).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    store.set(Mode::Answer);
    assert!(service.find(UserKey::Id(ALICE)).await.unwrap().is_some());
}

/// Begins a call whose change loses a race, hangs up in the middle of it, and waits until nothing
/// is left of it.
async fn hang_up_in_a_race<T: Send + 'static>(
    store: &Faulty<impl Clone + Send>,
    other: impl Future<Output = ()> + Send + 'static,
    call: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) {
    store.before_next_write(other);
    super::failures::hang_up(store, call).await;
}

async fn a_refresh_goes_on_after_a_race_although_its_client_hung_up<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let other = world.service.clone();
    let other = async move { drop(other.start_session(ALICE, "laptop").await.unwrap()) };
    let (client, token) = (service.clone(), again(&phone));
    hang_up_in_a_race(&store, other, async move { client.refresh(token).await }).await;
    store.written(2).await;
    let retried = world.service.refresh(again(&phone)).await.unwrap();
    assert_eq!(world.events()[0].kind(), EventKind::GraceHit, "it had been stored");
    world.assert_alive(&retried).await;
}

async fn a_revocation_goes_on_after_a_race_although_its_client_hung_up<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    for way in ["log_out", "access", "refresh"] {
        let phone = world.start("phone").await;
        let verified = world.service.authenticate(phone.access()).await.unwrap();
        let other = world.service.clone();
        let other = async move { drop(other.start_session(ALICE, "laptop").await.unwrap()) };
        let client = service.clone();
        let text = match way {
            "access" => phone.access().expose().to_owned(),
            _ => phone.refresh().expose().to_owned(),
        };
        let written = store.writes();
        let call = async move {
            match way {
                "log_out" => client.log_out(&verified).await,
                _ => client.revoke(&text, Context::new()).await,
            }
        };
        hang_up_in_a_race(&store, other, call).await;
        store.written(written + 2).await;
        world.assert_dead(&phone).await;
    }
}

async fn a_reuse_is_reported_although_its_client_hung_up<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let events = std::sync::Arc::clone(&world.events);
    let service = world.over(store.clone(), |settings| {
        settings.on_event(move |event| events.lock().unwrap().push(event.clone()))
    });
    let phone = world.start("phone").await;
    let next = world.service.refresh(again(&phone)).await.unwrap();
    world.clock.set(11);
    let (client, token) = (service.clone(), again(&phone));
    super::failures::hang_up(&store, async move { client.refresh(token).await }).await;
    settle().await;
    let events = world.events();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.kind(), event.ended_sessions()), (EventKind::Reuse, 1));
    world.assert_dead(&next).await;
}
