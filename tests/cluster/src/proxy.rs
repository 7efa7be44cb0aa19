//! A proxy in front of a server's socket: the network between a service and its database.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    task::{AbortHandle, JoinHandle},
};

use crate::site::Failure;

/// Ends with all its connections when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    socket: Mutex<PathBuf>,
    connections: Mutex<Vec<Connection>>,
    /// The text of a statement that silences its connection.
    trap: Mutex<Option<&'static str>>,
}

struct Connection {
    silence: Arc<Silence>,
    tasks: [AbortHandle; 2],
}

/// The directions in which data is dropped. The connection stays open.
#[derive(Default)]
struct Silence {
    requests: AtomicBool,
    answers: AtomicBool,
}

/// What a connection loses from now on.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// The server does not receive what is sent.
    Both,
    /// The server does what it is asked, and its answers are lost.
    Answers,
}

impl Connection {
    fn is_open(&self) -> bool {
        !self.tasks.iter().all(AbortHandle::is_finished)
    }
}

impl Silence {
    fn begin(&self, loss: Loss) {
        self.requests.store(matches!(loss, Loss::Both), Ordering::SeqCst);
        self.answers.store(true, Ordering::SeqCst);
    }
}

impl Proxy {
    /// Starts it in front of the server whose socket is in this directory.
    pub async fn start(directory: &Path) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            socket: Mutex::new(socket(directory)),
            connections: Mutex::default(),
            trap: Mutex::default(),
        });
        let accepting = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let socket = lock(&state.socket).clone();
                    // Without a server the client's connection is closed.
                    let Ok(server) = UnixStream::connect(socket).await else { continue };
                    connect(&state, client, server);
                }
            }
        });
        Ok(Self { address, state, accepting })
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}?sslmode=disable", self.address)
    }

    /// Leads new connections to the server in this directory. The present ones stay.
    pub fn switch_to(&self, directory: &Path) {
        *lock(&self.state.socket) = socket(directory);
    }

    /// Makes the present connections half-open: neither side learns that data is lost.
    pub fn silence(&self, loss: Loss) {
        lock(&self.state.connections).iter().for_each(|connection| connection.silence.begin(loss));
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        lock(&self.state.connections).iter().filter(|connection| connection.is_open()).count()
    }

    /// The next connection that sends this text becomes half-open: the text is the first to be lost.
    pub fn silence_from(&self, text: &'static str) {
        *lock(&self.state.trap) = Some(text);
    }

    /// Whether a connection has sent that text.
    pub fn is_sprung(&self) -> bool {
        lock(&self.state.trap).is_none()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        for connection in lock(&self.state.connections).iter() {
            connection.tasks.iter().for_each(AbortHandle::abort);
        }
    }
}

fn socket(directory: &Path) -> PathBuf {
    // PgBouncer's, or PostgreSQL's.
    let pooler = directory.join(".s.PGSQL.6432");
    if pooler.exists() { pooler } else { directory.join(".s.PGSQL.5432") }
}

fn connect(state: &Arc<State>, client: TcpStream, server: UnixStream) {
    let silence = Arc::<Silence>::default();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = tokio::spawn({
        let (state, silence) = (Arc::clone(state), Arc::clone(&silence));
        async move {
            let is_lost = || silence.requests.load(Ordering::SeqCst);
            pass(from_client, to_server, is_lost, |data| {
                let mut trap = lock(&state.trap);
                if trap.is_some_and(|text| contains(data, text)) {
                    *trap = None;
                    silence.begin(Loss::Both);
                }
            })
            .await;
        }
    });
    let answers = tokio::spawn({
        let silence = Arc::clone(&silence);
        async move {
            let is_lost = || silence.answers.load(Ordering::SeqCst);
            pass(from_server, to_client, is_lost, |_| {}).await;
        }
    });
    let tasks = [requests.abort_handle(), answers.abort_handle()];
    let mut connections = lock(&state.connections);
    connections.retain(Connection::is_open);
    connections.push(Connection { silence, tasks });
}

/// Passes data on until one side closes. What is lost is the end of the connection too.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    is_lost: impl Fn() -> bool,
    see: impl Fn(&[u8]),
) {
    let mut buffer = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let data = &buffer[..count];
        see(data);
        if !is_lost() && to.write_all(data).await.is_err() {
            return;
        }
    }
    if is_lost() {
        std::future::pending::<()>().await;
    }
    let _ = to.shutdown().await;
}

fn contains(data: &[u8], text: &str) -> bool {
    data.windows(text.len()).any(|window| window == text.as_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
