//! Completion of a change whose caller is dropped.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::runtime::Handle;

use crate::authority::decision::Decision;

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs this in the caller's own future. If the caller is dropped before a decision, for example because
/// a client disconnects, it ends. After a decision it completes in a task of its own: it writes the
/// change, tries again if the row was changed in between, and reports the events.
pub(super) async fn to_the_end<T: Send + 'static, W>(work: impl FnOnce(Decided) -> W) -> T
where
    W: Future<Output = T> + Send + 'static,
{
    let decided = Decided(Arc::default());
    let work: Work<T> = Box::pin(work(decided.clone()));
    Completed { work: Some(work), decided, runtime: Handle::current() }.await
}

/// Whether a change was decided.
#[derive(Clone)]
pub(super) struct Decided(Arc<AtomicBool>);

impl Decided {
    /// Notes this decision, if it has a change.
    pub(super) fn note<T>(&self, decision: &Decision<T>) {
        if decision.change().is_some() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

struct Completed<T: Send + 'static> {
    /// `None` when it has completed or panicked.
    work: Option<Work<T>>,
    decided: Decided,
    runtime: Handle,
}

impl<T: Send + 'static> Future for Completed<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Completed<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && self.decided.0.load(Ordering::Relaxed)
        {
            self.runtime.spawn(work);
        }
    }
}
