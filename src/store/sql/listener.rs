//! Notifications of revocations by other processes, through PostgreSQL's `LISTEN` and `NOTIFY`.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::postgres::PostgresDriver;
use crate::store::{Changes, PostgresStore};

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// Listens for revocations by other processes and passes them to this process's service, until the
    /// [`Listener`] is dropped.
    ///
    /// It uses one connection of its own, by
    /// [`PostgresOptions::listen_url`](crate::store::PostgresOptions::listen_url) or else with the options
    /// of the store's pool. A lost or silent
    /// connection is noticed within 15 seconds and replaced, without end. After each reconnection all
    /// users are read again, as notifications may have been missed. Until then the bound of the cache
    /// holds, as it does without a listener.
    ///
    /// The connection must lead to the server itself: a proxy that pools transactions passes no
    /// notifications on. Through a proxy, the listener never [is connected](Listener::is_connected).
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    #[must_use = "it listens until it is dropped"]
    pub fn listen(&self, changes: Changes) -> Listener {
        self.listen_with(move |user_id| match user_id {
            Some(user_id) => changes.publish(user_id),
            None => changes.publish_all(),
        })
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
        let is_connected = Arc::new(AtomicBool::new(false));
        let PostgresDriver { pool, channel, listen, .. } = self.engine().driver();
        let notifications = Notifications {
            pool: pool.clone(),
            listen: listen.clone(),
            channel: channel.as_str().to_owned(),
            notify: Box::new(move |user_id| {
                // A panic of the application loses this notification, and does not end the listener.
                let _ = catch_unwind(AssertUnwindSafe(|| notify(user_id)));
            }),
            is_connected: Arc::clone(&is_connected),
        };
        Listener { task: tokio::spawn(notifications.run()), is_connected }
    }
}

/// Listens for revocations until it is dropped.
pub struct Listener {
    task: JoinHandle<()>,
    is_connected: Arc<AtomicBool>,
}

impl Listener {
    /// Whether it is connected, as far as it knows: for a metric. It may be wrong for 15 seconds.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Acquire)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("is_connected", &self.is_connected()).finish()
    }
}

/// After this long without a notification the connection is checked, and given up after [`ANSWER`]
/// without an answer.
const SILENCE: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);

/// The wait before a reconnection, which doubles each time.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Called with the changed user's id, or `None` for all users.
type Notify = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// The task of a listener.
struct Notifications {
    pool: PgPool,
    listen: Option<PgConnectOptions>,
    channel: String,
    notify: Notify,
    is_connected: Arc<AtomicBool>,
}

impl Notifications {
    async fn run(self) {
        let mut wait = SHORTEST_WAIT;
        loop {
            if let Ok(Ok(mut connection)) = timeout(2 * ANSWER, Connection::open(&self)).await {
                wait = SHORTEST_WAIT;
                let _connected = Connected::new(&self.is_connected);
                // Not before: all users are read again after the connection listens, so nothing is
                // missed in between.
                (self.notify)(None);
                self.receive(&mut connection).await;
            }
            sleep(wait).await;
            wait = (2 * wait).min(LONGEST_WAIT);
        }
    }

    /// Receives until the connection is lost.
    async fn receive(&self, connection: &mut Connection) {
        loop {
            let is_alive = match timeout(SILENCE, connection.listener.try_recv()).await {
                Ok(Ok(Some(notification))) => {
                    self.pass_on(&notification);
                    true
                }
                Ok(Ok(None) | Err(_)) => false,
                Err(_) => matches!(timeout(ANSWER, connection.echo(self)).await, Ok(Ok(()))),
            };
            if !is_alive {
                return;
            }
        }
    }

    fn pass_on(&self, notification: &PgNotification) {
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
        let options = match &notifications.listen {
            Some(options) => options.clone(),
            None => (*notifications.pool.connect_options()).clone(),
        };
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ANSWER)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(options)
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        let query = sqlx::query_scalar("SELECT 'relatch_' || pg_backend_pid()");
        let own_channel: String = query.fetch_one(&mut listener).await?;
        listener.listen_all([notifications.channel.as_str(), &own_channel]).await?;
        let mut connection = Self { listener, own_channel };
        connection.echo(notifications).await?;
        Ok(connection)
    }

    /// Notifies itself and waits for the echo, which proves that the connection works and passes
    /// notifications. Other notifications that arrive first are passed on.
    async fn echo(&mut self, notifications: &Notifications) -> sqlx::Result<()> {
        let notify = sqlx::query("SELECT pg_notify($1, '')").bind(self.own_channel.clone());
        notify.execute(&mut self.listener).await?;
        while let Some(notification) = self.listener.try_recv().await? {
            if notification.channel() == self.own_channel {
                return Ok(());
            }
            notifications.pass_on(&notification);
        }
        Err(sqlx::Error::PoolClosed)
    }
}

/// Resets the flag when it is dropped, however the connection ends.
struct Connected<'a>(&'a AtomicBool);

impl<'a> Connected<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Release);
        Self(flag)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
