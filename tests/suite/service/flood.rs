//! Requests of one user in great number.

use std::future::Future;

use relatch::{
    Context, NoClaims, Reason, Token,
    one_time::MagicLink,
    service::{Service, ServiceError},
    store::UserKey,
};
use time::Duration;
use tokio::task::JoinHandle;

use super::{
    ALICE, BOB, Backend, Profile, World, again,
    backends::Memory,
    gated::{Gated, settle},
};
use crate::common::{Role, copy};

const FLOOD: usize = 16_000;

struct Flooded {
    world: World<Memory>,
    store: Gated<<Memory as Backend>::Store>,
    service: Service<Profile, Role>,
}

impl Flooded {
    async fn new() -> Self {
        let world = World::new(Memory::new()).await;
        let store = Gated::new(world.db.store().clone());
        // A slow machine takes seconds for so many calls, and the store's answers are held meanwhile.
        let patient = Duration::minutes(10);
        let service = world.over(store.clone(), |settings| settings.store_timeout(patient));
        Self { world, store, service }
    }

    /// Calls this very often at once, with the store's answers held, and returns the calls.
    async fn hold<T: Send + 'static, W>(
        &self,
        mut call: impl FnMut(Service<Profile, Role>) -> W,
    ) -> Vec<JoinHandle<T>>
    where
        W: Future<Output = T> + Send + 'static,
    {
        self.store.close();
        let calls = (0..FLOOD).map(|_| tokio::spawn(call(self.service.clone()))).collect();
        settle().await;
        calls
    }

    /// Checks that the calls of a flood are answered by two reads: the one that ran when they came,
    /// and the next one.
    async fn is_answered<T: Send + 'static, W>(
        &self,
        call: impl FnMut(Service<Profile, Role>) -> W,
    ) -> Vec<T>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let before = self.store.begun();
        let calls = self.hold(call).await;
        assert_eq!((self.store.begun() - before, self.store.running()), (1, 1));
        self.store.let_out(1);
        settle().await;
        assert_eq!((self.store.begun() - before, self.store.running()), (2, 1));
        assert_eq!(calls.iter().filter(|call| call.is_finished()).count(), 1);
        self.store.open();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        assert_eq!(self.store.begun() - before, 2);
        answers
    }
}

#[tokio::test]
async fn a_dead_refresh_token_costs_one_read_at_a_time_however_often_it_comes() {
    let flooded = Flooded::new().await;
    let phone = flooded.world.start("phone").await;
    flooded.world.service.log_out_everywhere(ALICE).await.unwrap();
    let answers = flooded.is_answered(|service| {
        let token = again(&phone);
        async move { service.refresh(token).await }
    });
    for answer in answers.await {
        assert_eq!(answer.unwrap_err().reason(), Some(Reason::RevokedByVersion));
    }
}

#[tokio::test]
async fn a_dead_token_that_is_to_be_revoked_costs_one_read_at_a_time() {
    let flooded = Flooded::new().await;
    let phone = flooded.world.start("phone").await;
    flooded.world.service.log_out_everywhere(ALICE).await.unwrap();
    for text in [phone.access().expose(), phone.refresh().expose()] {
        let answers = flooded.is_answered(|service| {
            let text = text.to_owned();
            async move { service.revoke(&text, Context::new()).await }
        });
        for answer in answers.await {
            assert!(matches!(answer, Err(ServiceError::Rejected(_)) | Ok(false)), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_used_link_costs_one_read_at_a_time() {
    let flooded = Flooded::new().await;
    let key = UserKey::Id(ALICE);
    let issued = flooded.world.service.issue::<MagicLink>(key, &NoClaims {}).sign();
    let (_, link) = issued.await.unwrap().unwrap();
    let _used = flooded.world.service.one_time(copy(&link)).consume().await.unwrap();
    let text = link.expose();
    for is_peek in [true, false] {
        let answers = flooded.is_answered(|service| {
            let token = Token::<MagicLink>::new(text);
            async move {
                match is_peek {
                    true => service.peek(&token).await.map(drop),
                    false => service.one_time(token).consume().await.map(drop),
                }
            }
        });
        for answer in answers.await {
            assert!(answer.unwrap_err().reason().is_some());
        }
    }
}

#[tokio::test]
async fn another_user_is_logged_out_during_a_flood() {
    let flooded = Flooded::new().await;
    let phone = flooded.world.start("phone").await;
    let bobs = flooded.service.start_session(BOB, "bob's").await.unwrap();
    flooded.world.service.log_out_everywhere(ALICE).await.unwrap();
    let calls = flooded.hold(|service| {
        let token = again(&phone);
        async move { service.refresh(token).await.map(drop) }
    });
    let calls = calls.await;
    // His own read runs beside the one of the flood.
    let bob = flooded.service.clone();
    let text = bobs.refresh().expose().to_owned();
    let revoked = tokio::spawn(async move { bob.revoke(&text, Context::new()).await });
    settle().await;
    assert_eq!(flooded.store.running(), 2);
    flooded.store.open();
    assert!(revoked.await.unwrap().unwrap());
    for call in calls {
        assert!(call.await.unwrap().is_err());
    }
    flooded.world.assert_dead(&bobs).await;
}

/// A caller must see what was committed before it asked.
#[tokio::test]
async fn a_caller_never_shares_a_read_that_began_before_it_asked() {
    let flooded = Flooded::new().await;
    let (service, store) = (&flooded.service, &flooded.store);
    store.close();
    let find = || {
        let service = service.clone();
        tokio::spawn(async move {
            let user = service.find(UserKey::Id(ALICE)).await.unwrap().unwrap();
            service.authority().sessions(&user).unwrap().len()
        })
    };
    let early = find();
    settle().await;
    assert_eq!(store.running(), 1);
    drop(flooded.world.start("phone").await);
    let later = find();
    settle().await;
    store.open();
    assert_eq!((early.await.unwrap(), later.await.unwrap()), (0, 1));
}
