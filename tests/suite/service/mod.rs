//! `Service` through its public API alone. A test that takes a [`Backend`] runs over each store: in
//! memory, SQLite, and PostgreSQL if `RELATCH_TEST_POSTGRES` names a server.

/// Runs each of these tests over each store.
macro_rules! over_each_store {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::service::backends::Memory::new()).await;
            })+
        }

        over_each_database! { $($test),+ }
    };
}

/// Runs each of these tests over SQLite and PostgreSQL.
macro_rules! over_each_database {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::service::backends::Sqlite::new().await).await;
            })+
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                if let Some(db) = crate::service::backends::Postgres::new().await {
                    super::$test(db).await;
                }
            })+
        }
    };
}

mod access_options;
mod admin;
mod adoption;
mod authenticate;
mod backends;
#[cfg(feature = "cache")]
mod cache;
mod devices;
mod failures;
mod fairness;
pub(crate) mod faulty;
mod fields;
mod flood;
mod full;
mod gated;
mod hang_up;
mod hashing;
mod live;
mod login;
mod new_device;
mod one_time;
mod other_hashes;
mod random;
mod reauthenticate;
mod refused;
mod revoke;
mod second_step;
mod second_step_limits;
mod secret;
mod throttling;
#[cfg(feature = "sqlite")]
mod transactions;

use std::sync::{Arc, Mutex, OnceLock};

use relatch::{
    Access, Authority, AuthorityBuilder, Reason, RefreshToken, SessionTokens, Token, User,
    password::PasswordHasher,
    service::{Service, ServiceBuilder, ServiceError},
    sessions::SessionEvent,
    store::{Columns, NewUser, StoreErrorKind, UserKey, UserStore},
};
use time::Duration;

use self::backends::{Backend, Column, Profile};
use crate::common::{Role, TestClock, builder, role};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// The hash of [`PASSWORD`], computed once for all tests.
pub(crate) fn hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| PasswordHasher::new().hash(PASSWORD).unwrap())
}

type Tokens = SessionTokens<Role>;
type Settings = ServiceBuilder<Profile, Role>;

/// A service over a store with the user `alice`, whose id is `1`, and the user `bob`, whose id is
/// `2` and who has no password.
struct World<B> {
    db: B,
    service: Service<Profile, Role>,
    clock: TestClock,
    events: Arc<Mutex<Vec<SessionEvent>>>,
}

const ALICE: &str = "1";
const BOB: &str = "2";

impl<B: Backend> World<B> {
    async fn new(db: B) -> Self {
        Self::with(db, |settings| settings).await
    }

    async fn with(db: B, set: impl FnOnce(Settings) -> Settings) -> Self {
        db.insert(NewUser::with_password_hash(ALICE, "alice", hash())).await;
        db.insert(NewUser::without_password(BOB, "bob").unwrap()).await;
        let clock = TestClock::new();
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let settings = settings(authority(&clock), db.store().clone())
            .on_event(move |event| heard.lock().unwrap().push(event.clone()));
        Self { service: set(settings).build(), db, clock, events }
    }

    /// Another process over the same store, with its own settings.
    fn another(&self, set: impl FnOnce(Settings) -> Settings) -> Service<Profile, Role> {
        self.over(self.db.store().clone(), set)
    }

    /// Another process over another view of the same store.
    fn over(
        &self,
        store: impl UserStore<Fields = Profile>,
        set: impl FnOnce(Settings) -> Settings,
    ) -> Service<Profile, Role> {
        set(settings(authority(&self.clock), store)).build()
    }

    async fn start(&self, label: &str) -> Tokens {
        self.service.start_session(ALICE, label).await.unwrap()
    }

    async fn columns(&self, id: &str) -> Columns {
        self.db.store().read(UserKey::Id(id)).await.unwrap().unwrap().columns
    }

    async fn labels(&self) -> Vec<String> {
        let user = self.service.find(UserKey::Id(ALICE)).await.unwrap().unwrap();
        let sessions = self.service.authority().sessions(&user).unwrap();
        let mut labels: Vec<_> = sessions.iter().map(|one| one.label().to_owned()).collect();
        labels.sort();
        labels
    }

    fn events(&self) -> Vec<SessionEvent> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    /// Checks that both tokens are refused, and returns the reason.
    async fn assert_dead(&self, tokens: &Tokens) -> Reason {
        let reason = refused(&self.service, tokens.access()).await.expect("the access token lives");
        let refreshed = self.service.refresh(again(tokens)).await;
        assert!(matches!(refreshed, Err(ServiceError::Rejected(_))), "{refreshed:?}");
        reason
    }

    async fn assert_alive(&self, tokens: &Tokens) {
        assert_eq!(refused(&self.service, tokens.access()).await, None);
    }
}

fn authority(clock: &TestClock) -> Authority {
    settings_of(clock).build().unwrap()
}

/// The system's entropy, because two processes must not issue the same ids.
fn settings_of(clock: &TestClock) -> AuthorityBuilder {
    builder(clock).entropy(relatch::authority::SystemEntropy).lifetime(Duration::hours(12))
}

fn settings(authority: Authority, store: impl UserStore<Fields = Profile>) -> Settings {
    Service::builder(authority, store)
        .claims(|user, _| role(user.fields().role.as_deref().unwrap_or("guest")))
}

/// A copy of the refresh token, as a second tab or a thief presents it.
fn again(tokens: &Tokens) -> RefreshToken {
    Token::new(tokens.refresh().expose())
}

/// The reason why this token is refused; `None` if it is accepted. Panics at any other error.
async fn refused(service: &Service<Profile, Role>, token: &Token<Access<Role>>) -> Option<Reason> {
    match service.authenticate(token).await {
        Ok(session) => {
            assert!(session.user().is_active());
            None
        }
        Err(ServiceError::Rejected(rejection)) => Some(rejection.reason()),
        Err(other) => panic!("neither accepted nor refused: {other:?}"),
    }
}

/// The kind of the store's failure. Panics at any other outcome.
#[track_caller]
fn store_error<T>(outcome: Result<T, ServiceError>) -> StoreErrorKind {
    match outcome.err() {
        Some(ServiceError::Store(error)) => error.kind(),
        other => panic!("not an error of the store: {other:?}"),
    }
}
