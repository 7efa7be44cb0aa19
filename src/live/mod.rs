//! Live connections: a handle that resolves when a session dies, so that its WebSocket or event
//! stream can be closed.
//!
//! A token is verified once, when the connection opens; nothing asks again while it is open. So
//! [`Live::watch`] gives, with the session, a [`LiveGuard`]: a future that resolves when the token
//! expires, when it is revoked, or when the store does not answer for too long. It is told of
//! changes by a hub, [`Revocations`], and looks again by itself where nothing was told: within the
//! *bound* of a revocation it has resolved, even if every notification was lost.
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
//! use relatch::{
//!     Authority, Binding, MasterKey, User,
//!     live::{Ended, Live, Revocations},
//! };
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
//! let (session, guard) = live.watch(token).await?;
//! assert_eq!(session.user().id, "alice");
//! let serve = async {
//!     // Messages come and go, and Alice logs out everywhere: stored first, then told.
//!     users.lock().unwrap().get_mut("alice").unwrap().token_version += 1;
//!     revocations.publish("alice");
//! #   std::future::pending::<()>().await
//! };
//! tokio::select! {
//!     () = serve => {} // the client left
//!     ended = guard => assert!(matches!(ended, Ended::Revoked(_))), // close the connection
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Race the guard against *all* of the connection's work, as here, not only against its next
//! message: it sees nothing while it is not polled.
//!
//! # Feeding it
//!
//! Whatever changes a record, or hears of a change, calls [`Revocations::publish`] with the user's
//! id after the change was committed. In one process that is the line after the `UPDATE`. Between
//! processes it takes a carrier:
//!
//! - PostgreSQL: `NOTIFY` in the transaction that changes the record, which is delivered when it
//!   commits; each process listens, and publishes the payload.
//! - A carrier that lost its connection also lost messages. So it calls
//!   [`Revocations::publish_all`] each time that it listens *again*, not when it stops.
//! - Without any carrier all still holds, within the bound.
//!
//! # Security
//!
//! The lookup decides: it should read the primary. The lag of a replica, or the age of a cached
//! record, adds to the bound, and makes a guard that was told in time find the old record.
//!
//! # Panics
//!
//! A guard that is polled outside of a Tokio runtime, or in one without its timer
//! (`Builder::enable_time`), panics, as all of Tokio's timers do.

mod revocations;

use std::{
    error, fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, PoisonError, RwLock,
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
    authority::{Authority, session::Session},
    rejection::{Reason, Rejection, VerifyError},
    token::{Token, purpose::Purpose},
    user::User,
};

/// The shortest bound.
pub const MIN_BOUND: Duration = Duration::SECOND;

/// The longest bound.
pub const MAX_BOUND: Duration = Duration::HOUR;

/// The shortest sleep before the token's expiry is looked at again: its clock need not run as the
/// timer does.
const EXPIRY_STEP: Duration = Duration::milliseconds(250);

/// The longest pause between two looks that notifications cause.
const MAX_SPACING: StdDuration = StdDuration::from_secs(1);

/// What the guards of one process share: made once, for users `U` and a lookup that fails with
/// `E`. A clone is cheap and the same.
pub struct Live<U, E> {
    shared: Arc<Shared<U, E>>,
}

struct Shared<U, E> {
    authority: RwLock<Authority>,
    revocations: Revocations,
    bound: StdDuration,
    lookup: Box<dyn Fn(String) -> Lookup<U, E> + Send + Sync>,
    opened: AtomicU32,
}

type Lookup<U, E> = Pin<Box<dyn Future<Output = Result<Option<U>, E>> + Send>>;

impl<U: User + 'static, E: 'static> Live<U, E> {
    /// Guards that resolve within `bound` of a revocation: [`MIN_BOUND`] to [`MAX_BOUND`].
    ///
    /// `lookup` is that of [`Authority::verify_async`], called again and again: by each guard two to
    /// three times per bound, and at once when something is published, this at the most once a
    /// second (sixteen times per bound, if that is more). It is dropped if it does not
    /// answer within a quarter of the bound. Where it fails it is called again after a sixteenth,
    /// until the bound is over.
    ///
    /// # Errors
    ///
    /// [`BoundError`] for a bound out of range.
    pub fn new<F>(
        authority: Authority,
        revocations: Revocations,
        bound: Duration,
        lookup: impl Fn(String) -> F + Send + Sync + 'static,
    ) -> Result<Self, BoundError>
    where
        F: Future<Output = Result<Option<U>, E>> + Send + 'static,
    {
        if !(MIN_BOUND..=MAX_BOUND).contains(&bound) {
            return Err(BoundError);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                authority: RwLock::new(authority),
                revocations,
                bound: bound.unsigned_abs(),
                lookup: Box::new(move |id| Box::pin(lookup(id))),
                opened: AtomicU32::new(0),
            }),
        })
    }

    /// Verifies a token, and watches over it from then on: when a connection opens.
    ///
    /// The token counts as confirmed from before the lookup began. As [`Authority::verify_async`]
    /// it puts no bound of its own on this first lookup.
    ///
    /// # Errors
    ///
    /// Those of [`Authority::verify`].
    pub async fn watch<P: Purpose + 'static>(
        &self,
        token: Token<P>,
    ) -> Result<(Session<U, P::Claims>, LiveGuard), VerifyError<E>> {
        let shared = Arc::clone(&self.shared);
        // Before the lookup, so that nothing falls in between; and only for a token of ours.
        let subscription = {
            let authority = shared.authority();
            shared.revocations.subscribe(authority.open(&token)?.user_id())
        };
        let confirmed = Instant::now();
        let session = shared.verify(&token).await?;
        let run = async move {
            let expired = shared.wait_until_expired(&token);
            let revoked = shared.wait_until_revoked(&token, subscription, confirmed);
            first_of(expired, revoked).await
        };
        Ok((session, LiveGuard(State::Alive(Box::pin(run)))))
    }

    /// Verifies by another authority from now on, as after [`Authority::with_keys`]: the guards
    /// too, each at its next look. [`Revocations::publish_all`] makes that now.
    ///
    /// # Security
    ///
    /// A removed key stays good for open connections until this is called.
    pub fn replace_authority(&self, authority: Authority) {
        *self.shared.authority.write().unwrap_or_else(PoisonError::into_inner) = authority;
    }
}

impl<U: User, E> Shared<U, E> {
    fn authority(&self) -> Authority {
        self.authority.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn verify<P: Purpose>(
        &self,
        token: &Token<P>,
    ) -> Result<Session<U, P::Claims>, VerifyError<E>> {
        self.authority().verify_async(token, |id| (self.lookup)(id)).await
    }

    /// Watches the token's expiry by the authority's clock, which takes no lookup.
    async fn wait_until_expired<P: Purpose>(&self, token: &Token<P>) -> Ended {
        loop {
            let left = {
                let authority = self.authority();
                match authority.open(token) {
                    Ok(opened) => opened.expires_at() + authority.leeway() - authority.now(),
                    Err(rejection) => return Ended::of(rejection),
                }
            };
            // A clock that is set ahead meanwhile is noticed by the next look.
            sleep(left.max(EXPIRY_STEP).unsigned_abs()).await;
        }
    }

    /// Looks again when told to and when it is time, until the user's record says no or nothing
    /// has for the bound. What a read confirms, it confirms as of before it began.
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

    /// How long after a confirmation the next look is due: three to four eighths of the bound, each
    /// guard's a little different, so that guards which looked at once drift apart.
    fn period(&self) -> StdDuration {
        // Multiples of the golden ratio spread evenly, however many there are.
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

/// Resolves when the session that it came with is over: see [`Live::watch`].
///
/// It spawns nothing and sees nothing while it is not polled; one that was not polled for the
/// bound resolves as [`Ended::Unconfirmed`]. Polled again after it resolved, it says the same.
/// Dropping it ends the watch.
#[must_use = "it sees nothing unless it is polled, and the connection must be closed when it resolves"]
pub struct LiveGuard(State);

enum State {
    Alive(Pin<Box<dyn Future<Output = Ended> + Send>>),
    Over(Ended),
}

impl Future for LiveGuard {
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

impl fmt::Debug for LiveGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = match &self.0 {
            State::Alive(_) => None,
            State::Over(ended) => Some(ended),
        };
        f.debug_struct("LiveGuard").field("ended", &ended).finish_non_exhaustive()
    }
}

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The token expired: a connection lives no longer than its access token, whatever its session
    /// does. The client may come back with a fresh one.
    Expired,
    /// The token is no longer accepted, for the reason that is for the log alone. Tell the client
    /// that it is logged out (for a WebSocket, close code 3000), or it will try again for ever. A
    /// client that was handed fresh tokens meanwhile, having logged the others out or changed its
    /// password, tries once more with those.
    Revoked(Rejection),
    /// The store did not answer within the bound, or the guard was not polled. It says nothing of
    /// the token: the client may come back with the same one, after a random pause (close code
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

/// The bound is not within [`MIN_BOUND`] to [`MAX_BOUND`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BoundError;

impl fmt::Display for BoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (MIN_BOUND.whole_seconds(), MAX_BOUND.whole_seconds());
        write!(f, "the bound takes {min} to {max} seconds")
    }
}

impl error::Error for BoundError {}

/// What the first of both gives, and the left one if both are ready.
async fn first_of<T>(left: impl Future<Output = T>, right: impl Future<Output = T>) -> T {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| match left.as_mut().poll(cx) {
        Poll::Pending => right.as_mut().poll(cx),
        ready => ready,
    })
    .await
}
