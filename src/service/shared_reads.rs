//! Reads of users' rows, shared by the callers that wait for them.
//!
//! A caller never gets the result of a read that began before its call. If a read runs, the caller waits
//! for the next one, together with all callers that come in the meantime. So at most one read per user
//! runs at a time. A read is cancelled when no caller waits for it.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use tokio::sync::watch;

/// Reads what is stored of the user with this id.
pub(super) type Load<T> = Box<dyn Fn(String) -> Loading<T> + Send + Sync>;

type Loading<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) struct SharedReads<T>(Arc<Shared<T>>);

struct Shared<T> {
    load: Load<T>,
    /// By the id of each user of whom a read runs: the read that follows it, if somebody waits for
    /// one.
    next: Mutex<HashMap<String, Option<Outcome<T>>>>,
}

/// The sender of a read's result.
type Outcome<T> = watch::Sender<Option<T>>;

impl<T: Clone + Send + Sync + 'static> SharedReads<T> {
    pub(super) fn new(load: Load<T>) -> Self {
        Self(Arc::new(Shared { load, next: Mutex::default() }))
    }

    /// The result of a read that begins after this call; `None` if it panicked, or if a runtime's
    /// shutdown stopped it.
    pub(super) async fn read(&self, id: &str) -> Option<T> {
        let mut outcome = self.join(id);
        let seen = outcome.wait_for(Option::is_some).await.ok()?;
        (*seen).clone()
    }

    fn join(&self, id: &str) -> watch::Receiver<Option<T>> {
        match self.0.next().entry(id.to_owned()) {
            Entry::Occupied(running) => {
                let next = running.into_mut().get_or_insert_with(|| watch::channel(None).0);
                return next.subscribe();
            }
            Entry::Vacant(idle) => idle.insert(None),
        };
        let (outcome, receiver) = watch::channel(None);
        let reader = Reader { shared: Arc::clone(&self.0), id: id.to_owned(), is_done: false };
        // Not under the lock: a runtime that is shutting down drops the task at once.
        tokio::spawn(reader.run(outcome));
        receiver
    }
}

impl<T> Shared<T> {
    /// Nothing panics in the middle of a change: a poisoned lock guards a whole value.
    fn next(&self) -> MutexGuard<'_, HashMap<String, Option<Outcome<T>>>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reads of one user, one after another, for as long as somebody waits for the next one.
struct Reader<T> {
    shared: Arc<Shared<T>>,
    id: String,
    is_done: bool,
}

impl<T> Reader<T> {
    async fn run(mut self, mut outcome: Outcome<T>) {
        loop {
            let load = (self.shared.load)(self.id.clone());
            if let Some(read) = unless_abandoned(load, &outcome).await {
                outcome.send_replace(Some(read));
            }
            match self.next() {
                Some(next) => outcome = next,
                None => return,
            }
        }
    }

    fn next(&mut self) -> Option<Outcome<T>> {
        let mut all = self.shared.next();
        let next = all.get_mut(&self.id).and_then(Option::take);
        let next = next.filter(|next| next.receiver_count() > 0);
        if next.is_none() {
            all.remove(&self.id);
            self.is_done = true;
        }
        next
    }
}

impl<T> Drop for Reader<T> {
    /// Those who wait for the next read of a reader that panicked get no result.
    fn drop(&mut self) {
        if !self.is_done {
            self.shared.next().remove(&self.id);
        }
    }
}

/// The result of the load; `None` if all who wait for it have gone.
async fn unless_abandoned<T>(mut load: Loading<T>, outcome: &Outcome<T>) -> Option<T> {
    let mut abandoned = pin!(outcome.closed());
    poll_fn(|context| match abandoned.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => load.as_mut().poll(context).map(Some),
    })
    .await
}
