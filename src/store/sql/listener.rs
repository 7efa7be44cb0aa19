//! Notifications of revocations by other processes, through PostgreSQL's `LISTEN` and `NOTIFY`.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration as StdDuration,
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions},
};
use time::Duration;
use tokio::{
    task::JoinHandle,
    time::{Instant, error::Elapsed, sleep, timeout, timeout_at},
};

use super::postgres::PostgresDriver;
use crate::store::{Changes, PostgresStore, changes::Listening};

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// Listens for revocations by other processes and passes them to this process's service, until the
    /// [`Listener`] is dropped.
    ///
    /// It opens a connection of its own, to
    /// [`PostgresOptions::listen_url`](crate::store::PostgresOptions::listen_url), or else with the
    /// options of the store's pool. It notices a lost or silent connection within 15 seconds, and
    /// reconnects until it succeeds. After each reconnection the service reads all users again, because
    /// notifications may have been lost. Until then the bound of the cache holds, as without a listener.
    ///
    /// The connection must lead to the server itself: a proxy that pools transactions passes no
    /// notifications on. Through such a proxy, [`is_connected`](Listener::is_connected) stays `false`.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    #[must_use = "it listens until it is dropped"]
    pub fn listen(&self, changes: Changes) -> Listener {
        let listening = changes.listening();
        let notify = move |user_id: Option<&str>| match user_id {
            Some(user_id) => changes.publish(user_id),
            None => changes.publish_all(),
        };
        self.spawn_listener(notify, listening)
    }

    /// [`listen`](Self::listen) with a callback, for the application's own caches: `notify` receives the
    /// id of the changed user, or `None` if any user may have changed. It must be quick and must not
    /// block. A panic loses that one notification.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    #[must_use = "it listens until it is dropped"]
    pub fn listen_with(&self, notify: impl Fn(Option<&str>) + Send + Sync + 'static) -> Listener {
        self.spawn_listener(notify, Listening::default())
    }

    fn spawn_listener(
        &self,
        notify: impl Fn(Option<&str>) + Send + Sync + 'static,
        listening: Listening,
    ) -> Listener {
        let state = Arc::new(State::new());
        let PostgresDriver { pool, channel, listen, .. } = self.engine().driver();
        let notifications = Notifications {
            pool: pool.clone(),
            listen: listen.clone(),
            channel: channel.as_str().to_owned(),
            notify: Box::new(move |user_id| {
                // A panic of the application loses this notification, and does not end the listener.
                let _ = catch_unwind(AssertUnwindSafe(|| notify(user_id)));
            }),
            state: Arc::clone(&state),
            listening,
        };
        Listener { task: tokio::spawn(notifications.run()), state }
    }
}

/// Listens for revocations until it is dropped. Its methods are for metrics and health checks.
///
/// With the feature `tracing` it logs each connection and each loss of the connection.
pub struct Listener {
    task: JoinHandle<()>,
    state: Arc<State>,
}

impl Listener {
    /// Whether it is connected. It notices a lost connection within 15 seconds.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state.lock().is_connected
    }

    /// The number of reconnections. After each, the service read all users again.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// The time since the last message from the server, or since the start if there was none. While it is
    /// connected, this is at most 15 seconds, because it sends a notification to itself about every 10
    /// seconds.
    #[must_use]
    pub fn last_heard(&self) -> Duration {
        let heard = self.state.lock().heard;
        heard.elapsed().try_into().unwrap_or(Duration::MAX)
    }

    /// How long its last notification to itself took: about the time that another process's notification
    /// takes from the commit to this process. It is measured on connection, and then about every 10
    /// seconds. `None` before the first connection.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        let round_trip = self.state.lock().round_trip;
        round_trip.map(|taken| taken.try_into().unwrap_or(Duration::MAX))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("is_connected", &self.is_connected())
            .field("reconnections", &self.reconnections())
            .field("last_heard", &self.last_heard())
            .field("round_trip", &self.round_trip())
            .finish_non_exhaustive()
    }
}

/// The state of a listener's connection.
struct State {
    now: Mutex<Now>,
    connections: AtomicU64,
}

#[derive(Clone, Copy)]
struct Now {
    is_connected: bool,
    heard: Instant,
    round_trip: Option<StdDuration>,
}

impl State {
    fn new() -> Self {
        let now = Now { is_connected: false, heard: Instant::now(), round_trip: None };
        Self { now: Mutex::new(now), connections: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After this long without an echo the connection is checked, and given up after [`ANSWER`] without an
/// answer.
const SILENCE: StdDuration = StdDuration::from_secs(10);
const ANSWER: StdDuration = StdDuration::from_secs(5);

/// The wait before a reconnection, which doubles each time.
const SHORTEST_WAIT: StdDuration = StdDuration::from_millis(100);
const LONGEST_WAIT: StdDuration = StdDuration::from_secs(5);

/// Called with the changed user's id, or `None` for all users.
type Notify = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// The task of a listener.
struct Notifications {
    pool: PgPool,
    listen: Option<Arc<PgConnectOptions>>,
    channel: String,
    notify: Notify,
    state: Arc<State>,
    listening: Listening,
}

impl Notifications {
    async fn run(self) {
        let mut wait = SHORTEST_WAIT;
        // Since when it is not connected.
        let mut away = Instant::now();
        loop {
            match flatten(timeout(2 * ANSWER, Connection::open(&self)).await) {
                Ok(mut connection) => {
                    self.log_connected(away);
                    wait = SHORTEST_WAIT;
                    let connected = Connected::new(&self);
                    // Not before: all users are read again after the connection listens, so nothing is
                    // missed in between.
                    (self.notify)(None);
                    let error = self.receive(&mut connection).await;
                    drop(connected);
                    away = Instant::now();
                    log_lost(&error);
                }
                // Once, not at each attempt.
                Err(error) if wait == SHORTEST_WAIT => log_lost(&error),
                Err(_) => {}
            }
            sleep(wait).await;
            wait = (2 * wait).min(LONGEST_WAIT);
        }
    }

    /// Receives until the connection is lost.
    async fn receive(&self, connection: &mut Connection) -> sqlx::Error {
        loop {
            let next_echo = Instant::now() + SILENCE;
            while Instant::now() < next_echo {
                match timeout_at(next_echo, connection.listener.try_recv()).await {
                    Ok(Ok(Some(notification))) => self.pass_on(&notification),
                    Ok(Ok(None)) => return sqlx::Error::PoolClosed,
                    Ok(Err(error)) => return error,
                    Err(_) => break,
                }
            }
            if let Err(error) = flatten(timeout(ANSWER, connection.echo(self)).await) {
                return error;
            }
        }
    }

    fn log_connected(&self, away: Instant) {
        let before = self.state.connections.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "tracing")]
        {
            let seconds = away.elapsed().as_secs_f64();
            let how = if before == 0 { "listens" } else { "listens again" };
            tracing::info!(target: "relatch", channel = self.channel, seconds, "the listener {how}");
        }
        let _ = (away, before);
    }

    fn pass_on(&self, notification: &PgNotification) {
        self.state.lock().heard = Instant::now();
        if notification.channel() == self.channel {
            (self.notify)(Some(notification.payload()).filter(|user_id| !user_id.is_empty()));
        }
    }
}

/// A connection that listens.
struct Connection {
    listener: PgListener,
    /// The channel of its own echoes.
    own_channel: String,
}

impl Connection {
    async fn open(notifications: &Notifications) -> sqlx::Result<Self> {
        // A pool for this connection alone: it would occupy one of the application's for ever.
        let listen = notifications.listen.clone();
        let options = listen.unwrap_or_else(|| notifications.pool.connect_options());
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ANSWER)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with((*options).clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        let query =
            sqlx::query_scalar("SELECT pg_catalog.concat('relatch_', pg_catalog.pg_backend_pid())");
        let own_channel: String = query.fetch_one(&mut listener).await?;
        listener.listen_all([notifications.channel.as_str(), &own_channel]).await?;
        let mut connection = Self { listener, own_channel };
        connection.echo(notifications).await?;
        Ok(connection)
    }

    /// Notifies itself and waits for the echo, which proves that the connection works and passes
    /// notifications. Other notifications that arrive first are passed on.
    async fn echo(&mut self, notifications: &Notifications) -> sqlx::Result<()> {
        let began = Instant::now();
        let notify = sqlx::query("SELECT pg_catalog.pg_notify($1, '')");
        notify.bind(self.own_channel.clone()).execute(&mut self.listener).await?;
        while let Some(notification) = self.listener.try_recv().await? {
            if notification.channel() == self.own_channel {
                let mut now = notifications.state.lock();
                now.heard = Instant::now();
                now.round_trip = Some(began.elapsed());
                return Ok(());
            }
            notifications.pass_on(&notification);
        }
        Err(sqlx::Error::PoolClosed)
    }
}

/// Resets the state when it is dropped, however the connection ends.
struct Connected<'a>(&'a Notifications);

impl<'a> Connected<'a> {
    fn new(notifications: &'a Notifications) -> Self {
        notifications.state.lock().is_connected = true;
        notifications.listening.add();
        Self(notifications)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_connected = false;
        self.0.listening.remove();
    }
}

fn flatten<T>(answer: Result<sqlx::Result<T>, Elapsed>) -> sqlx::Result<T> {
    answer.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn log_lost(error: &sqlx::Error) {
    #[cfg(feature = "tracing")]
    {
        let error = match error.as_database_error() {
            Some(error) => error.message().to_owned(),
            None => error.to_string(),
        };
        tracing::warn!(
            target: "relatch",
            error,
            "the listener is not connected: revocations by other processes take effect within the \
             bound of the cache"
        );
    }
    let _ = error;
}
