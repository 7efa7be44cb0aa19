//! The number of passwords that are hashed at once.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use relatch::{
    NoClaims, Token,
    authority::{Entropy, EntropyError, SystemEntropy},
    one_time::PasswordReset,
    password::{PasswordError, PasswordHasher, PasswordPolicy},
    service::{Service, ServiceError},
    store::UserKey,
};
use tokio::{task::yield_now, time::advance};

use super::{
    ALICE, PASSWORD, World,
    backends::{Memory, Profile},
};
use crate::common::Role;

/// A source of salts that stops each hash when it draws its salt, while it holds its place.
#[derive(Clone, Default)]
struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entered: AtomicUsize,
    open: Mutex<usize>,
    opened: Condvar,
}

impl Entropy for Gate {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        self.0.entered.fetch_add(1, Ordering::SeqCst);
        let mut open = self.0.open.lock().unwrap();
        while *open == 0 {
            open = self.0.opened.wait(open).unwrap();
        }
        *open -= 1;
        drop(open);
        SystemEntropy.fill(bytes)
    }
}

impl Gate {
    /// Lets this number of hashes continue.
    fn open(&self, hashes: usize) {
        *self.0.open.lock().unwrap() += hashes;
        self.0.opened.notify_all();
    }

    fn entered(&self) -> usize {
        self.0.entered.load(Ordering::SeqCst)
    }

    async fn until_entered(&self, hashes: usize) {
        while self.entered() < hashes {
            yield_now().await;
        }
    }
}

/// Waits until everything has run that does not wait for the gate.
async fn settle() {
    for _ in 0..1000 {
        yield_now().await;
    }
    // Hashes run on other threads.
    std::thread::sleep(Duration::from_millis(20));
    for _ in 0..1000 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_are_hashed_at_once_than_was_said_even_if_clients_hang_up() {
    let gate = Gate::default();
    let world = World::new(Memory::new()).await;
    let two = NonZeroUsize::new(2).unwrap();
    let service = world.another(|settings| {
        settings.hasher(PasswordHasher::new().entropy(gate.clone())).hashes_at_once(two)
    });
    let hash = || {
        let service = service.clone();
        tokio::spawn(async move { service.hash_password("another battery staple").await })
    };
    let mut clients = vec![hash(), hash(), hash(), hash()];
    gate.until_entered(2).await;
    settle().await;
    assert_eq!(gate.entered(), 2, "two are hashing, two wait");

    // A hash continues when its client hangs up, and keeps its place until it ends.
    for client in clients.drain(..2) {
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
    }
    settle().await;
    assert_eq!(gate.entered(), 2);

    // A login waits for a place too, after its one read of the user.
    let client = service.clone();
    let login = tokio::spawn(async move { client.login("alice", PASSWORD, "phone").await });
    settle().await;
    assert!(!login.is_finished());

    gate.open(1);
    gate.until_entered(3).await;
    settle().await;
    assert_eq!(gate.entered(), 3, "one has ended, one has begun");
    gate.open(3);
    for client in clients {
        client.await.unwrap().unwrap();
    }
    drop(login.await.unwrap().unwrap());
    assert_eq!(gate.entered(), 4, "a verification draws no salt");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_turn_is_told_to_come_back() {
    let gate = Gate::default();
    let world = World::new(Memory::new()).await;
    let service = world.another(|settings| {
        settings
            .hasher(PasswordHasher::new().entropy(gate.clone()))
            .hashes_at_once(NonZeroUsize::MIN)
    });
    let busy = {
        let service = service.clone();
        tokio::spawn(async move { service.hash_password("another battery staple").await })
    };
    gate.until_entered(1).await;
    let client = service.clone();
    let login = tokio::spawn(async move { client.login("alice", PASSWORD, "phone").await });
    settle().await;
    advance(Duration::from_secs(9)).await;
    settle().await;
    assert!(!login.is_finished());
    advance(Duration::from_secs(1)).await;
    let error = login.await.unwrap().unwrap_err();
    assert!(matches!(error, ServiceError::Busy) && error.is_unavailable());
    gate.open(1);
    busy.await.unwrap().unwrap();
    drop(service.login("alice", PASSWORD, "phone").await.unwrap());
}

/// A service that hashes one password at once, and counts the salts that it draws.
async fn counting() -> (Service<Profile, Role>, Gate) {
    let gate = Gate::default();
    gate.open(usize::MAX / 2);
    let world = World::new(Memory::new()).await;
    let service = world.another(|settings| {
        let hasher = PasswordHasher::new().entropy(gate.clone());
        settings.hasher(hasher).hashes_at_once(NonZeroUsize::MIN)
    });
    (service, gate)
}

/// The uses of one link at once: the first hash is the last, but for those that the write of the first
/// is too late for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_used_up_costs_no_hashes() {
    let (service, gate) = counting().await;
    let link = service.issue::<PasswordReset>(UserKey::Id(ALICE), &NoClaims {}).sign().await;
    let link = link.unwrap().unwrap().1.expose().to_owned();
    let uses: Vec<_> = (0..400)
        .map(|_| {
            let (service, link) = (service.clone(), Token::<PasswordReset>::new(&*link));
            tokio::spawn(async move {
                service.one_time(link).set_password("another battery staple").consume().await
            })
        })
        .collect();
    let mut won = 0;
    for one in uses {
        match one.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert!(matches!(error, ServiceError::Rejected(_)), "{error:?}"),
        }
    }
    assert_eq!(won, 1);
    assert!(gate.entered() <= 4, "{} hashes", gate.entered());
    drop(service.login("alice", "another battery staple", "phone").await.unwrap());
}

/// The same for a change of the password: the first one revokes the token of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_a_change_of_the_password_has_revoked_costs_no_new_hash() {
    let (service, gate) = counting().await;
    let phone = service.start_session(ALICE, "phone").await.unwrap();
    let change = |_| {
        let (service, token) = (service.clone(), Token::new(phone.access().expose()));
        let change = async move {
            service.change_password(&token, PASSWORD, "another battery staple").await.map(drop)
        };
        tokio::spawn(change)
    };
    let changes: Vec<_> = (0..8).map(change).collect();
    let mut won = 0;
    for one in changes {
        won += u32::from(one.await.unwrap().is_ok());
    }
    assert_eq!(won, 1);
    assert!(gate.entered() <= 4, "{} hashes", gate.entered());
}

#[tokio::test]
async fn a_check_that_panics_gives_its_place_back() {
    let policy = PasswordPolicy::new().also(|password| match password {
        "a password that panics" => panic!("a fault of the application"),
        _ => Ok(()),
    });
    let world = World::new(Memory::new()).await;
    let service = world.another(|settings| {
        settings.password_policy(policy.clone()).hashes_at_once(NonZeroUsize::MIN)
    });
    for _ in 0..2 {
        let error = service.hash_password("a password that panics").await.unwrap_err();
        assert!(matches!(error, ServiceError::Password(PasswordError::Panicked)), "{error:?}");
    }
    assert!(service.hash_password("another battery staple").await.is_ok());
}

#[tokio::test]
async fn a_password_of_nobody_is_not_hashed() {
    let (service, gate) = counting().await;
    let error = service.set_password("nobody", "another battery staple").await.unwrap_err();
    assert!(matches!(error, ServiceError::NoSuchUser), "{error:?}");
    assert_eq!(gate.entered(), 0);
}
