//! Reads of an SQLite file through connections of the store's own.
//!
//! sqlx runs each connection on a thread of its own, and the hand-over to it and back, with a ping when
//! the connection is given back, takes ten times as long as a read.

use std::{
    fmt, mem,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{
    Connection, ErrorCode, InterruptHandle, OpenFlags, params_from_iter,
    types::{Value, ValueRef},
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::codes::{failure, read_failure};
use crate::store::sql::{Cells, Failure, Param, Slot};

/// The connections of a store that read, one for each read at once. A clone is cheap and shares them.
#[derive(Clone)]
pub(in crate::store::sql) struct Reader(Arc<Shared>);

struct Shared {
    path: PathBuf,
    is_on_calling_thread: bool,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    /// Reads of this file, which must exist when the first row is read. The path is absolute.
    pub(in crate::store::sql) fn new(path: PathBuf, is_on_calling_thread: bool) -> Self {
        Self(Arc::new(Shared { path, is_on_calling_thread, idle: Mutex::default() }))
    }

    pub(super) async fn fetch(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> Result<Vec<ReadRow>, Failure> {
        let params: Vec<_> = params.iter().map(value).collect();
        let mut connection = self.0.idle().pop();
        if self.0.is_on_calling_thread
            && let Some(idle) = connection.take()
        {
            match select(&idle, sql, &params) {
                // It waits on another thread.
                Err(error) if is_busy(&error) => connection = Some(idle),
                Err(error) => return Err(read_failure(&error)),
                Ok(rows) => {
                    self.0.idle().push(idle);
                    return Ok(rows);
                }
            }
        }
        let turn = Turn::default();
        let job = Job {
            shared: Arc::clone(&self.0),
            _slot: slot.clone(),
            connection,
            sql: Arc::clone(sql),
            params,
            until,
            turn: turn.clone(),
        };
        let interrupted = Interrupt(turn);
        let rows = timeout_at(until, spawn_blocking(move || job.run())).await;
        drop(interrupted);
        match rows {
            Ok(Ok(rows)) => rows.map_err(|error| read_failure(&error)),
            // A panic, or the runtime's end.
            Ok(Err(_)) => Err(failure(sqlx::Error::WorkerCrashed)),
            Err(_) => Err(Failure::timed_out()),
        }
    }

    /// Closes the connections that are not in use.
    pub(super) fn close(&self) {
        let idle = mem::take(&mut *self.0.idle());
        drop(idle);
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file to read. A connection that could not write at all could not recover a journal that
    /// another process has left behind, nor remove it when it is closed as the last.
    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }
}

/// A read on another thread. It keeps its place among the calls when its caller hangs up.
struct Job {
    shared: Arc<Shared>,
    _slot: Slot,
    connection: Option<Connection>,
    sql: Arc<str>,
    params: Vec<Value>,
    until: Instant,
    turn: Turn,
}

impl Job {
    fn run(self) -> rusqlite::Result<Vec<ReadRow>> {
        let connection = match self.connection {
            Some(connection) => connection,
            None => self.shared.open()?,
        };
        // A connection that failed is closed, and the next read opens another one.
        if !self.turn.begin(&connection) {
            self.shared.idle().push(connection);
            return Ok(Vec::new());
        }
        connection.busy_timeout(self.until.saturating_duration_since(Instant::now()))?;
        let rows = select(&connection, &self.sql, &self.params)?;
        connection.busy_timeout(Duration::ZERO)?;
        self.turn.end();
        self.shared.idle().push(connection);
        Ok(rows)
    }
}

/// The state of a read on another thread, for the caller that may hang up.
#[derive(Clone, Default)]
struct Turn(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Running(InterruptHandle),
    Ended,
}

impl Turn {
    /// Whether the caller still waits.
    fn begin(&self, connection: &Connection) -> bool {
        let mut state = self.state();
        let is_awaited = matches!(*state, State::Waiting);
        if is_awaited {
            *state = State::Running(connection.get_interrupt_handle());
        }
        is_awaited
    }

    /// From here on the connection is not interrupted.
    fn end(&self) {
        *self.state() = State::Ended;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Interrupts the read when the caller hangs up.
struct Interrupt(Turn);

impl Drop for Interrupt {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if let State::Running(handle) = mem::replace(&mut *state, State::Ended) {
            handle.interrupt();
        }
    }
}

/// The values of a row.
pub(in crate::store::sql) struct ReadRow(Vec<Cell>);

enum Cell {
    Null,
    Integer(i64),
    Text(String),
    /// What it holds instead, which no column of a user's may.
    Other(&'static str),
}

impl Cells for ReadRow {
    fn text(&self, at: usize) -> sqlx::Result<Option<String>> {
        match self.0.get(at) {
            Some(Cell::Null) => Ok(None),
            Some(Cell::Text(text)) => Ok(Some(text.clone())),
            other => Err(mismatch(at, "a text", other)),
        }
    }

    fn integer(&self, at: usize) -> sqlx::Result<Option<i64>> {
        match self.0.get(at) {
            Some(Cell::Null) => Ok(None),
            Some(Cell::Integer(integer)) => Ok(Some(*integer)),
            other => Err(mismatch(at, "an integer", other)),
        }
    }
}

fn mismatch(at: usize, wanted: &str, found: Option<&Cell>) -> sqlx::Error {
    let found = match found {
        None => "no column",
        Some(Cell::Null) => "NULL",
        Some(Cell::Integer(_)) => "an integer",
        Some(Cell::Text(_)) => "a text",
        Some(Cell::Other(other)) => other,
    };
    let source = format!("{found} where {wanted} was expected").into();
    sqlx::Error::ColumnDecode { index: at.to_string(), source }
}

/// The statement's parameters are bound in the order in which they first occur.
fn select(connection: &Connection, sql: &str, params: &[Value]) -> rusqlite::Result<Vec<ReadRow>> {
    let mut statement = connection.prepare_cached(sql)?;
    let count = statement.column_count();
    let mut rows = statement.query(params_from_iter(params))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = (0..count).map(|at| row.get_ref(at).map(Cell::from));
        found.push(ReadRow(cells.collect::<Result<_, _>>()?));
    }
    Ok(found)
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(integer) => Self::Integer(integer),
            ValueRef::Text(text) => match str::from_utf8(text) {
                Ok(text) => Self::Text(text.to_owned()),
                Err(_) => Self::Other("a text that is not UTF-8"),
            },
            ValueRef::Real(_) => Self::Other("a real number"),
            ValueRef::Blob(_) => Self::Other("a BLOB"),
        }
    }
}

fn value(param: &Param<'_>) -> Value {
    match *param {
        Param::Text(text) => text.map(ToOwned::to_owned).into(),
        Param::Integer(integer) => integer.into(),
        Param::Bool(is) => is.into(),
        Param::Bytes(bytes) => bytes.to_vec().into(),
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("is_on_calling_thread", &self.0.is_on_calling_thread)
            .finish_non_exhaustive()
    }
}
