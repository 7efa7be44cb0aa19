//! A worker process, as the driver sees it.

use std::{
    collections::HashMap,
    env,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{Mutex as AsyncMutex, oneshot},
};

use crate::{
    rpc::{Answer, Config, Op, Outcome, Request},
    site::Failure,
    worker::now,
};

/// The calls that wait for an answer; `None` after the worker has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>>;

/// A worker process, killed on drop.
pub struct Node {
    child: AsyncMutex<Child>,
    stdin: AsyncMutex<ChildStdin>,
    waiting: Waiting,
    count: AtomicU64,
}

impl Node {
    pub fn spawn(config: &Config) -> Result<Self, Failure> {
        let mut child = Command::new(env::current_exe()?)
            .args(["worker", &serde_json::to_string(config)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no pipe to the worker")?;
        let stdout = child.stdout.take().ok_or("no pipe from the worker")?;
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let answered = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // A kill may cut the worker's last line.
                let Ok(answer) = serde_json::from_str::<Answer>(&line) else { continue };
                let waits = lock(&answered).as_mut().and_then(|all| all.remove(&answer.number));
                waits.into_iter().for_each(|waits| drop(waits.send(answer.clone())));
            }
            *lock(&answered) = None;
        });
        let (child, stdin) = (AsyncMutex::new(child), AsyncMutex::new(stdin));
        Ok(Self { child, stdin, waiting, count: AtomicU64::new(0) })
    }

    /// The worker's outcome, and the time of it.
    pub async fn call_at(&self, op: Op) -> (Outcome, u64) {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        match &mut *lock(&self.waiting) {
            Some(waiting) => drop(waiting.insert(number, sender)),
            None => return (Outcome::Lost, now()),
        }
        let Ok(mut line) = serde_json::to_vec(&Request { number, op }) else {
            return (Outcome::Lost, now());
        };
        line.push(b'\n');
        if self.stdin.lock().await.write_all(&line).await.is_err() {
            return (Outcome::Lost, now());
        }
        match answer.await {
            Ok(answer) => (answer.outcome, answer.at),
            Err(_) => (Outcome::Lost, now()),
        }
    }

    pub async fn call(&self, op: Op) -> Outcome {
        self.call_at(op).await.0
    }

    /// Kills the process.
    pub async fn kill(&self) -> Result<(), Failure> {
        Ok(self.child.lock().await.kill().await?)
    }
}

fn lock(
    waiting: &Waiting,
) -> std::sync::MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
