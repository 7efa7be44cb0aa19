//! Limits of password attempts in the service.

use std::{
    future::pending,
    io,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use jsonwebtoken11::{EncodingKey, Header, encode};
use relatch::{
    SessionTokens, Token,
    authority::Adoption,
    service::{Client, Service, ServiceError},
    store::{MemoryStore, NewUser, Row, StoreError, Update, UserKey, UserStore},
    throttle::{Count, DeviceToken, Limit, LimitStore, Taken, Throttle},
};
use time::Duration;
use tokio::time::{Instant, advance};

use super::{PASSWORD, hash};
use crate::common::{TestClock, builder};

fn limit(at_once: u32, seconds: i64) -> Limit {
    Limit::new(NonZeroU32::new(at_once).unwrap(), Duration::seconds(seconds))
}

fn service(store: impl UserStore<Fields = ()>, throttle: Throttle) -> Service {
    let authority = builder(&TestClock::new()).build().unwrap();
    Service::builder(authority, store).throttle(throttle).build()
}

fn users() -> MemoryStore {
    let users = MemoryStore::new();
    assert!(users.insert(NewUser::with_password_hash("1", "alice", hash()), ()));
    assert!(users.insert(NewUser::with_password_hash("2", "bob", hash()), ()));
    users
}

async fn log_in(
    service: &Service,
    name: &str,
    password: &str,
) -> Result<SessionTokens, ServiceError> {
    service.login(name, password, "phone").await
}

/// Whether the attempt was refused by the limits, and not by the password.
async fn is_refused(service: &Service, name: &str) -> bool {
    match log_in(service, name, "a wrong passphrase").await {
        Err(ServiceError::TooManyAttempts { retry_after }) => {
            assert!(retry_after > Duration::ZERO);
            true
        }
        Err(ServiceError::LoginRefused(_)) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_takes_so_many_attempts_without_a_web_too() {
    let service = service(users(), Throttle::new().per_account(limit(3, 30)));
    for name in ["alice", "nobody"] {
        for _ in 0..3 {
            assert!(!is_refused(&service, name).await);
        }
        assert!(is_refused(&service, name).await, "{name}");
    }
    let refused = log_in(&service, "alice", PASSWORD).await.unwrap_err();
    assert_eq!((refused.status(), refused.is_unavailable()), (429, false));
    advance(std::time::Duration::from_secs(31)).await;
    assert!(log_in(&service, "alice", PASSWORD).await.is_ok());
}

/// A store that ignores dots in a name, as a mail provider does.
#[derive(Clone)]
struct WithoutDots(MemoryStore);

impl UserStore for WithoutDots {
    type Fields = ();

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row>, StoreError> {
        match key {
            UserKey::Login(login) => self.0.read(UserKey::Login(&login.replace('.', ""))).await,
            id => self.0.read(id).await,
        }
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        self.0.compare_and_set(update).await
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.0.delete(id).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_has_one_limit_however_the_store_reads_its_name() {
    let service = service(WithoutDots(users()), Throttle::new().per_account(limit(3, 3600)));
    let names = ["alice", "a.lice", "al.ice", "ali.ce", "alic.e", "a.l.ice"];
    let mut tried = 0;
    for name in names {
        for _ in 0..3 {
            tried += u32::from(!is_refused(&service, name).await);
        }
    }
    assert_eq!(tried, 3);
    // Other widths of the letters are one name before the store is asked.
    let wide = "\u{ff41}\u{ff4c}\u{ff49}\u{ff43}\u{ff45}";
    assert!(is_refused(&service, wide).await);
}

#[tokio::test(start_paused = true)]
async fn the_thief_of_one_session_uses_up_nothing_of_another() {
    let service = service(users(), Throttle::new());
    let stolen = service.start_session("1", "stolen").await.unwrap();
    let own = service.start_session("1", "own").await.unwrap();
    for _ in 0..30 {
        let _ = service.reauthenticate(stolen.access(), "a wrong passphrase").await;
    }
    let refused = service.check_password(stolen.access(), PASSWORD).await.unwrap_err();
    assert_eq!(refused.status(), 429);
    assert!(service.check_password(own.access(), PASSWORD).await.is_ok());
    let changed = service.change_password(own.access(), PASSWORD, "another long passphrase").await;
    assert!(changed.is_ok());
}

/// A plain token from before relatch has no session, and perhaps no `jti`.
#[tokio::test(start_paused = true)]
async fn the_thief_of_one_adopted_token_uses_up_nothing_of_a_session() {
    let (clock, secret, users) = (TestClock::new(), b"the secret of the old setup", users());
    assert!(users.edit("1", |row| row.columns.version = None));
    let authority = builder(&clock).adopt(Adoption::hs256(secret, 0, clock.at(3600)));
    let service = Service::builder(authority.build().unwrap(), users).build();
    let claims = serde_json::json!({ "sub": "1", "exp": clock.at(600).unix_timestamp() });
    let text = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret)).unwrap();
    let (stolen, own) = (Token::new(text), service.start_session("1", "own").await.unwrap());
    for _ in 0..60 {
        let _ = service.check_password(&stolen, "a wrong passphrase").await;
    }
    let refused = service.check_password(&stolen, PASSWORD).await.unwrap_err();
    assert_eq!(refused.status(), 429);
    service.check_password(own.access(), PASSWORD).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_address_is_counted_if_it_is_known() {
    let service = service(users(), Throttle::new().per_address(limit(2, 60)));
    let client = || Client::new("phone").address([192, 0, 2, 1].into());
    for n in 0..4 {
        let name = format!("user{n}");
        let refused = service.login(&name, "a wrong passphrase", client()).await.unwrap_err();
        assert_eq!(refused.status(), if n < 2 { 401 } else { 429 });
        assert!(!is_refused(&service, &name).await, "its address is not known");
    }
    assert_eq!(service.admit("x", &client()).await.unwrap_err().status(), 429);
    assert_eq!(service.admit_address([192, 0, 2, 1].into()).await.unwrap_err().status(), 429);
    assert!(service.admit("x", &Client::new("phone")).await.is_ok());
}

/// The behaviour of a shared place.
#[derive(Clone, Copy)]
enum Behaviour {
    Allow,
    Refuse,
    Fail,
    Hang,
}

struct Shared(Behaviour, Arc<AtomicUsize>);

impl LimitStore for Shared {
    type Error = io::Error;

    async fn take(&self, counts: &[Count]) -> io::Result<Taken> {
        assert!(counts.is_sorted_by(|a, b| a.bucket < b.bucket), "{counts:?}");
        self.1.fetch_add(1, Ordering::SeqCst);
        match self.0 {
            Behaviour::Allow => Ok(Taken::Allowed),
            Behaviour::Refuse => Ok(Taken::Refused { retry_after: Duration::MINUTE }),
            Behaviour::Fail => Err(io::ErrorKind::ConnectionRefused.into()),
            Behaviour::Hang => pending().await,
        }
    }
}

fn sharing(behaviour: Behaviour) -> (Service, Arc<AtomicUsize>) {
    let asked = Arc::<AtomicUsize>::default();
    let shared = Shared(behaviour, Arc::clone(&asked));
    let throttle = Throttle::new().per_account(limit(3, 3600)).shared(shared);
    (service(users(), throttle), asked)
}

#[tokio::test(start_paused = true)]
async fn a_shared_place_is_asked_once_for_an_attempt_that_the_memory_allows() {
    let (service, asked) = sharing(Behaviour::Allow);
    for n in 0..10 {
        assert_eq!(is_refused(&service, "alice").await, n >= 3);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let (service, _) = sharing(Behaviour::Refuse);
    let refused = log_in(&service, "alice", PASSWORD).await.unwrap_err();
    let ServiceError::TooManyAttempts { retry_after } = refused else { panic!("{refused:?}") };
    assert_eq!(retry_after, Duration::MINUTE);
}

/// A shared place that notes how many buckets each attempt counts.
struct Noting(Arc<Mutex<Vec<usize>>>);

impl LimitStore for Noting {
    type Error = io::Error;

    async fn take(&self, counts: &[Count]) -> io::Result<Taken> {
        self.0.lock().unwrap().push(counts.len());
        Ok(Taken::Allowed)
    }
}

/// Otherwise the time of a statement would tell which names exist.
#[tokio::test(start_paused = true)]
async fn an_unknown_name_takes_as_many_counts_as_a_known_one() {
    let noted = Arc::<Mutex<Vec<usize>>>::default();
    let service = service(users(), Throttle::new().shared(Noting(Arc::clone(&noted))));
    let tokens = service.start_session("1", "phone").await.unwrap();
    let device = service.device_token(&tokens, None).unwrap();
    for device in [None, Some(device)] {
        let client = || {
            let client = Client::new("phone").address([192, 0, 2, 1].into());
            match &device {
                // A device of Alice's is none of Bob's.
                Some(device) => client.device(DeviceToken::new(device.expose())),
                None => client,
            }
        };
        let of = async |name: &str| {
            let refused = service.login(name, "a wrong passphrase", client()).await.unwrap_err();
            assert_eq!(refused.status(), 401, "{name}: {refused:?}");
            std::mem::take(&mut *noted.lock().unwrap())
        };
        let (bob, nobody) = (of("bob").await, of("nobody").await);
        assert_eq!(bob, nobody);
        assert!(!bob.is_empty());
        if device.is_none() {
            assert_eq!(of("alice").await, nobody);
        }
    }
}

/// Never open, and never closed because a database failed.
#[tokio::test(start_paused = true)]
async fn without_the_shared_place_the_memory_decides() {
    for behaviour in [Behaviour::Fail, Behaviour::Hang] {
        let (service, asked) = sharing(behaviour);
        let began = Instant::now();
        assert!(log_in(&service, "alice", PASSWORD).await.is_ok());
        for n in 0..10 {
            assert_eq!(is_refused(&service, "alice").await, n >= 2);
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(1));
        assert_eq!(asked.load(Ordering::SeqCst), 1, "it is not asked again at once");
        advance(std::time::Duration::from_secs(6)).await;
        assert!(!is_refused(&service, "bob").await);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
