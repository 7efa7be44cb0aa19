//! Look-ups by id in batches: callers that wait share one statement.
//!
//! A caller reads by itself while fewer than [`AT_ONCE`] reads run, so that alone it takes no longer.
//! Otherwise it waits in a queue, and the next read to end starts a task that reads for all who wait, and
//! for those who come in the meantime, until nobody waits.
//!
//! A batch is taken from the queue before its statement is sent, so each caller's row is read after the
//! caller asked.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::oneshot::{self, Receiver, Sender},
    time::{Instant, timeout, timeout_at},
};

use super::{Failure, Fault};

/// The number of reads that run at once.
const AT_ONCE: usize = 2;

/// The greatest number of ids in a batch.
const MOST_IDS: usize = 256;

/// A read that takes longer no longer counts: its connection may be dead, and others must not wait for
/// it.
const STALLED: Duration = Duration::from_millis(250);

/// Reads rows by id. A clone does the same.
pub(super) trait Lookup: Clone + Send + Sync + 'static {
    type Row: Send + Sync + 'static;

    /// The rows with this id.
    fn one(
        &self,
        id: &str,
        until: Instant,
    ) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send;

    /// The rows with these ids, each with its id; `None` if there are more of them than ids.
    fn many(
        &self,
        ids: &[String],
        until: Instant,
    ) -> impl Future<Output = Result<Option<WithIds<Self::Row>>, Failure>> + Send;
}

/// Rows, each with its id.
pub(super) type WithIds<R> = Vec<(String, R)>;

/// The look-ups of a store. A clone shares them.
pub(super) struct Batches<R>(Arc<Mutex<Queue<R>>>);

struct Queue<R> {
    /// The reads that run.
    running: usize,
    /// Nobody waits unless [`AT_ONCE`] reads run.
    waiting: VecDeque<Waiting<R>>,
    /// When the last read began.
    begun: Instant,
}

/// A caller in the queue. It has hung up if the answer is closed.
struct Waiting<R> {
    id: String,
    until: Instant,
    answer: Sender<Answer<R>>,
}

enum Answer<R> {
    Rows(Vec<Arc<R>>),
    Failed(Failure),
    /// The statement for many was refused, perhaps for this id: the caller reads alone.
    Alone,
}

impl<R: Send + Sync + 'static> Batches<R> {
    /// The rows with this id, read after this call.
    pub(super) async fn read<L: Lookup<Row = R>>(
        &self,
        lookup: &L,
        id: &str,
        until: Instant,
    ) -> Result<Vec<Arc<R>>, Failure> {
        let mut answer = match self.enter(lookup, id, until) {
            Ok(place) => return place.occupied_by(alone(lookup, id, until)).await,
            Err(answer) => answer,
        };
        let answer = loop {
            let wait = until.min(Instant::now() + STALLED);
            match timeout_at(wait, &mut answer).await {
                Ok(answer) => break answer,
                Err(_) if wait == until => return Err(Failure::timed_out()),
                Err(_) => self.serve_if_stuck(lookup),
            }
        };
        match answer {
            Ok(Answer::Rows(rows)) => Ok(rows),
            Ok(Answer::Failed(failure)) => Err(failure),
            // Or the batch's task is gone, with its runtime.
            Ok(Answer::Alone) | Err(_) => alone(lookup, id, until).await,
        }
    }

    /// Serves those who wait if nothing has begun for as long as a read may count. Then nobody polls the
    /// reads that run, as in a runtime whose thread does other work.
    fn serve_if_stuck<L: Lookup<Row = R>>(&self, lookup: &L) {
        let mut queue = lock(&self.0);
        if queue.begun.elapsed() < STALLED || queue.waiting.is_empty() {
            return;
        }
        queue.running += 1;
        queue.begun = Instant::now();
        drop(queue);
        let server = Server { queue: Some(Arc::clone(&self.0)), lookup: lookup.clone() };
        drop(tokio::spawn(server.run()));
    }

    /// A place among the reads that run, or one in the queue.
    fn enter<'a, L: Lookup<Row = R>>(
        &self,
        lookup: &'a L,
        id: &str,
        until: Instant,
    ) -> Result<Place<'a, L>, Receiver<Answer<R>>> {
        let mut queue = lock(&self.0);
        if queue.running < AT_ONCE {
            queue.running += 1;
            queue.begun = Instant::now();
            return Ok(Place { queue: Arc::clone(&self.0), lookup });
        }
        let (answer, receiver) = oneshot::channel();
        queue.waiting.push_back(Waiting { id: id.to_owned(), until, answer });
        Err(receiver)
    }
}

impl<R> Default for Batches<R> {
    fn default() -> Self {
        let (waiting, begun) = (VecDeque::new(), Instant::now());
        Self(Arc::new(Mutex::new(Queue { running: 0, waiting, begun })))
    }
}

impl<R> Clone for Batches<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

async fn alone<L: Lookup>(
    lookup: &L,
    id: &str,
    until: Instant,
) -> Result<Vec<Arc<L::Row>>, Failure> {
    let rows = lookup.one(id, until).await?;
    Ok(rows.into_iter().map(Arc::new).collect())
}

fn lock<R>(queue: &Mutex<Queue<R>>) -> MutexGuard<'_, Queue<R>> {
    // It is consistent at each point where a panic is possible.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the reads that run. When it is given up, those who wait are served.
struct Place<'a, L: Lookup> {
    queue: Arc<Mutex<Queue<L::Row>>>,
    lookup: &'a L,
}

impl<L: Lookup> Place<'_, L> {
    /// Runs the read, and gives up the place when it has ended or has stalled.
    async fn occupied_by<T>(self, read: impl Future<Output = T>) -> T {
        let mut read = pin!(read);
        match timeout(STALLED, &mut read).await {
            Ok(done) => done,
            Err(_) => {
                drop(self);
                read.await
            }
        }
    }
}

impl<L: Lookup> Drop for Place<'_, L> {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        if queue.waiting.is_empty() {
            queue.running -= 1;
            return;
        }
        drop(queue);
        let server = Server { queue: Some(Arc::clone(&self.queue)), lookup: self.lookup.clone() };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(server.run())),
            Err(_) => drop(server),
        }
    }
}

/// A task with a place among the reads that run. If it ends with its runtime, those who wait read alone.
struct Server<L: Lookup> {
    /// None once the place is given up.
    queue: Option<Arc<Mutex<Queue<L::Row>>>>,
    lookup: L,
}

impl<L: Lookup> Server<L> {
    /// Reads for all who wait.
    async fn run(mut self) {
        while let Some(batch) = self.next() {
            let lookup = self.lookup.clone();
            let mut read = pin!(batch.read(&lookup));
            if timeout(STALLED, &mut read).await.is_err() {
                if let Some(queue) = self.queue.take() {
                    drop(Place { queue, lookup: &lookup });
                }
                read.await;
            }
        }
    }

    /// The next batch. If there is none, the place is given up.
    fn next(&mut self) -> Option<Batch<L::Row>> {
        let queue = self.queue.as_ref()?;
        let mut open = lock(queue);
        let batch = Batch::take(&mut open.waiting);
        if batch.is_some() {
            open.begun = Instant::now();
            return batch;
        }
        open.running -= 1;
        drop(open);
        self.queue = None;
        None
    }
}

impl<L: Lookup> Drop for Server<L> {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            let mut queue = lock(queue);
            queue.running -= 1;
            queue.waiting.clear();
        }
    }
}

/// The callers that one statement reads for, by their ids.
struct Batch<R>(HashMap<String, Vec<Waiting<R>>>);

impl<R> Batch<R> {
    /// Takes the first callers that still wait.
    fn take(waiting: &mut VecDeque<Waiting<R>>) -> Option<Self> {
        let now = Instant::now();
        let mut callers = HashMap::<_, Vec<_>>::new();
        while let Some(next) = waiting.pop_front() {
            if next.answer.is_closed() || next.until <= now {
                continue;
            }
            if callers.len() == MOST_IDS && !callers.contains_key(&next.id) {
                waiting.push_front(next);
                break;
            }
            callers.entry(next.id.clone()).or_default().push(next);
        }
        (!callers.is_empty()).then_some(Self(callers))
    }

    /// Reads, and answers each caller. It stops when all have hung up.
    async fn read<L: Lookup<Row = R>>(mut self, lookup: &L) {
        let ids: Vec<_> = self.0.keys().cloned().collect();
        let ends = self.0.values().flatten().map(|caller| caller.until);
        // Each caller keeps to its own.
        let Some(until) = ends.max() else { return };
        let rows = match &*ids {
            [id] => {
                let rows = unless(self.hung_up(), lookup.one(id, until)).await;
                rows.map(|rows| Ok(Some(rows?.into_iter().map(|row| (id.clone(), row)).collect())))
            }
            ids => unless(self.hung_up(), lookup.many(ids, until)).await,
        };
        match rows {
            None => {}
            Some(Ok(Some(rows))) => self.answer_rows(rows),
            Some(Ok(None)) => self.answer(|| Answer::Alone),
            Some(Err(failure)) if is_of_an_id(&failure) && ids.len() > 1 => {
                self.answer(|| Answer::Alone);
            }
            Some(Err(failure)) => self.answer(|| Answer::Failed(failure.clone())),
        }
    }

    async fn hung_up(&mut self) {
        for caller in self.0.values_mut().flatten() {
            caller.answer.closed().await;
        }
    }

    fn answer_rows(self, rows: WithIds<R>) {
        let mut by_id = HashMap::<_, Vec<_>>::new();
        for (id, row) in rows {
            by_id.entry(id).or_default().push(Arc::new(row));
        }
        for (id, callers) in self.0 {
            let rows = by_id.remove(&id).unwrap_or_default();
            for caller in callers {
                let _ = caller.answer.send(Answer::Rows(rows.clone()));
            }
        }
    }

    fn answer(self, answer: impl Fn() -> Answer<R>) {
        for caller in self.0.into_values().flatten() {
            let _ = caller.answer.send(answer());
        }
    }
}

/// Whether a statement for fewer ids may succeed.
const fn is_of_an_id(failure: &Failure) -> bool {
    matches!(failure.fault, Fault::Value | Fault::Conflict | Fault::Misconfigured)
}

/// The result of `run`, unless `stop` ends first.
async fn unless<T>(stop: impl Future<Output = ()>, run: impl Future<Output = T>) -> Option<T> {
    let (mut stop, mut run) = (pin!(stop), pin!(run));
    poll_fn(|context| match run.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => stop.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests;
