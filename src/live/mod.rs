//! Live connections: a future that resolves when a token stops being valid, so that its WebSocket
//! or event stream can be closed.
//!
//! A token is verified once, when a connection opens, and not again while it is open. So
//! [`Live::watch`] also returns a [`Watch`]. This future watches the token: it resolves when
//! the token expires, when it is revoked, or when the store does not answer for too long. It looks
//! up the user again on every notification of the hub [`Revocations`], and periodically without
//! one. Within the *bound* after a revocation it has resolved, even if every notification was lost.
//!
//! # Example
//!
//! ```
//! use std::{
//!     collections::HashMap,
//!     convert::Infallible,
//!     error::Error,
//!     sync::{Arc, Mutex},
//! };
//!
//! use relatch::{Authority, Binding, live::{Ended, Live, Revocations}, MasterKey, User};
//! use time::Duration;
//!
//! #[derive(Clone)]
//! struct Account {
//!     id: String,
//!     password_hash: String,
//!     token_version: i64,
//! }
//!
//! impl User for Account {
//!     fn id(&self) -> &str {
//!         &self.id
//!     }
//!     fn binding(&self) -> Binding<'_> {
//!         Binding::password_hash(&self.password_hash).version(self.token_version)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! # let alice = Account { id: "alice".into(), password_hash: "$argon2id$…".into(), token_version: 0 };
//! let users = Arc::new(Mutex::new(HashMap::from([("alice".to_owned(), alice)])));
//! # let key = MasterKey::generate("2026-11")?;
//! # let authority = Authority::new(key, "https://login.example.com", "https://api.example.com")?;
//! # let token = authority.issue_for_user(&users.lock().unwrap()["alice"])?;
//!
//! // Once per process.
//! let revocations = Revocations::new();
//! let db = Arc::clone(&users);
//! let lookup = move |id: String| {
//!     let db = Arc::clone(&db);
//!     async move { Ok::<_, Infallible>(db.lock().unwrap().get(&id).cloned()) }
//! };
//! let live = Live::new(authority, revocations.clone(), Duration::minutes(1), lookup)?;
//!
//! // When a connection opens.
//! let (verified, watch) = live.watch(token).await?;
//! assert_eq!(verified.user().id, "alice");
//! let serve = async {
//!     // Messages come and go, and Alice logs out everywhere: commit first, then publish.
//!     users.lock().unwrap().get_mut("alice").unwrap().token_version += 1;
//!     revocations.publish("alice");
//! #   std::future::pending::<()>().await
//! };
//! tokio::select! {
//!     () = serve => {} // the client left
//!     ended = watch => assert!(matches!(ended, Ended::Revoked(_))), // close the connection
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Race the future against *all* work of the connection, as here, not only against its next
//! message: it notices nothing while it is not polled.
//!
//! # Publishing changes
//!
//! Call [`Revocations::publish`] with the user's id after each committed change of a record. In one
//! process that is the line after the `UPDATE`. Several processes need a message channel:
//!
//! - PostgreSQL: `NOTIFY` in the transaction that changes the record. It is delivered on commit.
//!   Each process listens and publishes the payload.
//! - A channel that loses its connection also loses messages. So call [`Revocations::publish_all`]
//!   each time that it listens *again*, not when it stops.
//! - Without a channel, revocations are still noticed within the bound.
//!
//! # Security
//!
//! The lookup decides, so it should read the primary database. The lag of a replica or the age of a
//! cached record adds to the bound: after a timely notification the lookup still finds the old
//! record.
//!
//! # Panics
//!
//! A [`Watch`] panics when it is polled outside a Tokio runtime, or in one without a timer
//! (`Builder::enable_time`), like all of Tokio's timers.

mod revocations;

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration as StdDuration,
};

use time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

pub use self::revocations::Revocations;
use self::revocations::Subscription;
use crate::{
    authority::{CurrentAuthority, error::VerifyError, verified::Verified},
    error::ConfigError,
    rejection::{Reason, Rejection},
    token::{Token, purpose::Purpose},
    user::User,
};

/// The shortest bound.
pub const MIN_BOUND: Duration = Duration::SECOND;

/// The longest bound.
pub const MAX_BOUND: Duration = Duration::HOUR;

/// The shortest sleep before the token's expiry is checked again. The authority's clock and the
/// timer may run at different speeds.
const EXPIRY_STEP: Duration = Duration::milliseconds(250);

/// The longest pause between two lookups that notifications cause.
const MAX_SPACING: StdDuration = StdDuration::from_secs(1);

/// The shared state of all live connections of a process, for users `U` and a lookup that fails
/// with `E`. Make one per process. A clone is cheap and shares the state.
pub struct Live<U, E> {
    shared: Arc<Shared<U, E>>,
}

struct Shared<U, E> {
    authority: CurrentAuthority,
    revocations: Revocations,
    bound: StdDuration,
    lookup: Box<dyn Fn(String) -> Lookup<U, E> + Send + Sync>,
    opened: AtomicU32,
}

type Lookup<U, E> = Pin<Box<dyn Future<Output = Result<Option<U>, E>> + Send>>;

impl<U: User + 'static, E: 'static> Live<U, E> {
    /// Live connections that notice a revocation within `bound`, which is from [`MIN_BOUND`] to
    /// [`MAX_BOUND`].
    ///
    /// Tokens are verified by `authority` as it is then: an [`Authority`](crate::Authority), or a
    /// [`CurrentAuthority`] that is shared with the application's other verification.
    ///
    /// `lookup` is that of [`Authority::verify_async`](crate::Authority::verify_async). Each [`Watch`] calls it two to three
    /// times per bound, and immediately after a publication, but then at most once a second (or
    /// sixteen times per bound, if that is more often). A lookup that does not answer within a
    /// quarter of the bound is dropped. A failed lookup is repeated after a sixteenth of the bound,
    /// until the bound is over.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a bound out of range.
    pub fn new<F>(
        authority: impl Into<CurrentAuthority>,
        revocations: Revocations,
        bound: Duration,
        lookup: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Result<Self, ConfigError>
    where
        F: Future<Output = Result<Option<U>, E>> + Send + 'static,
    {
        if !(MIN_BOUND..=MAX_BOUND).contains(&bound) {
            let (min, max) = (MIN_BOUND.whole_seconds(), MAX_BOUND.whole_seconds());
            return Err(ConfigError::new(
                "bound",
                format!("the bound must be {min} to {max} seconds"),
            ));
        }
        Ok(Self {
            shared: Arc::new(Shared {
                authority: authority.into(),
                revocations,
                bound: bound.unsigned_abs(),
                lookup: Box::new(move |id| Box::pin(lookup(id))),
                opened: AtomicU32::new(0),
            }),
        })
    }

    /// Verifies a token, and returns a future that watches it from then on. Call it when a
    /// connection opens.
    ///
    /// The token counts as confirmed at the time before the lookup begins. Like
    /// [`Authority::verify_async`](crate::Authority::verify_async), this first lookup has no timeout.
    ///
    /// # Errors
    ///
    /// Those of [`Authority::verify`](crate::Authority::verify).
    pub async fn watch<P: Purpose + 'static>(
        &self,
        token: Token<P>,
    ) -> Result<(Verified<U, P::Claims>, Watch), VerifyError<E>> {
        let shared = Arc::clone(&self.shared);
        // Before the lookup, so that no change is missed; after `open`, so that a forged token
        // costs no subscription.
        let subscription = {
            let authority = shared.authority.get();
            shared.revocations.subscribe(authority.open(&token)?.user_id())
        };
        let confirmed = Instant::now();
        let verified = shared.verify(&token).await?;
        let run = async move {
            let expired = shared.wait_until_expired(&token);
            let revoked = shared.wait_until_revoked(&token, subscription, confirmed);
            first_of(expired, revoked).await
        };
        Ok((verified, Watch(State::Alive(Box::pin(run)))))
    }
}

impl<U: User, E> Shared<U, E> {
    async fn verify<P: Purpose>(
        &self,
        token: &Token<P>,
    ) -> Result<Verified<U, P::Claims>, VerifyError<E>> {
        self.authority.get().verify_async(token, |id| (self.lookup)(id)).await
    }

    /// Waits until the token expires by the authority's clock. This needs no lookup.
    async fn wait_until_expired<P: Purpose>(&self, token: &Token<P>) -> Ended {
        loop {
            let left = {
                let authority = self.authority.get();
                match authority.open(token) {
                    Ok(opened) => {
                        opened.expires_at().saturating_add(authority.leeway()) - authority.now()
                    }
                    Err(rejection) => return Ended::of(rejection),
                }
            };
            // If the clock is set ahead during the sleep, the next lookup notices it.
            sleep(left.max(EXPIRY_STEP).unsigned_abs()).await;
        }
    }

    /// Looks up the user on each notification and periodically, until the token is rejected, or no
    /// lookup has confirmed it for the bound. A lookup confirms the token as of the time it began.
    async fn wait_until_revoked<P: Purpose>(
        &self,
        token: &Token<P>,
        mut subscription: Subscription,
        mut confirmed: Instant,
    ) -> Ended {
        let (period, attempt, pause) = (self.period(), self.bound / 4, self.bound / 16);
        let mut next = confirmed + period;
        let mut not_before = confirmed;
        loop {
            let deadline = confirmed + self.bound;
            if timeout_at(next.min(deadline), subscription.published(not_before)).await.is_ok() {
                not_before = Instant::now() + pause.min(MAX_SPACING);
            }
            let began = Instant::now();
            if began >= deadline {
                return Ended::Unconfirmed;
            }
            match timeout_at(deadline.min(began + attempt), self.verify(token)).await {
                Ok(Ok(_)) => (confirmed, next) = (began, began + period),
                Ok(Err(VerifyError::Rejected(rejection))) => return Ended::of(rejection),
                Ok(Err(_)) | Err(_) => next = Instant::now() + pause,
            }
        }
    }

    /// The time from a confirmation to the next lookup: three to four eighths of the bound. It
    /// varies from call to call, so that lookups which began at the same time spread out.
    fn period(&self) -> StdDuration {
        // Multiples of the golden ratio, modulo one, are spread evenly whatever their number.
        let spread = self.opened.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9) >> 16;
        self.bound / 2 - self.bound / 8 * spread / (1 << 16)
    }
}

impl<U, E> Clone for Live<U, E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<U, E> fmt::Debug for Live<U, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("revocations", &self.shared.revocations)
            .field("bound", &self.shared.bound)
            .finish_non_exhaustive()
    }
}

/// A future that resolves when its token expires, is revoked, or can no longer be confirmed: see
/// [`Live::watch`].
///
/// It spawns no task and notices nothing while it is not polled. If it is not polled for the bound,
/// it resolves as [`Ended::Unconfirmed`]. If it is polled again after it resolved, it returns the
/// same result. Dropping it ends the watch.
#[must_use = "it notices nothing unless it is polled, and the connection must be closed when it resolves"]
pub struct Watch(State);

enum State {
    Alive(Pin<Box<dyn Future<Output = Ended> + Send>>),
    Over(Ended),
}

impl Future for Watch {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let ended = match &mut self.0 {
            State::Alive(run) => ready!(run.as_mut().poll(cx)),
            State::Over(ended) => *ended,
        };
        self.0 = State::Over(ended);
        Poll::Ready(ended)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = match &self.0 {
            State::Alive(_) => None,
            State::Over(ended) => Some(ended),
        };
        f.debug_struct("Watch").field("ended", &ended).finish_non_exhaustive()
    }
}

/// The reason to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The token expired. A connection does not outlive its access token, even if the session
    /// continues. The client may reconnect with a new token.
    Expired,
    /// The token is no longer accepted. The reason is for the log only. Tell the client that it is
    /// logged out (for a WebSocket, close code 3000), or it will reconnect forever. A client that
    /// has received new tokens, because it logged the other devices out or changed its password,
    /// reconnects once with those.
    Revoked(Rejection),
    /// The store did not answer within the bound, or the future was not polled. This says nothing
    /// about the token: the client may reconnect with the same one after a random pause (close code
    /// 1013).
    Unconfirmed,
}

impl Ended {
    const fn of(rejection: Rejection) -> Self {
        match rejection.reason() {
            Reason::Expired => Self::Expired,
            _ => Self::Revoked(rejection),
        }
    }
}

/// The output of the first future that is ready; that of `left` if both are.
async fn first_of<T>(left: impl Future<Output = T>, right: impl Future<Output = T>) -> T {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| match left.as_mut().poll(cx) {
        Poll::Pending => right.as_mut().poll(cx),
        ready => ready,
    })
    .await
}
