use std::sync::PoisonError;

use tokio::{
    sync::Semaphore,
    task::{JoinHandle, yield_now},
    time::{advance, sleep},
};

use super::*;

const LONG: Duration = Duration::from_secs(5);

/// A table in which an id's row is the id, and that answers when it is let.
struct Table {
    answers: Semaphore,
    log: Mutex<Vec<Vec<String>>>,
    /// The ends of statements that were given up.
    given_up: Arc<Mutex<usize>>,
}

struct GivenUp(Arc<Mutex<usize>>, bool);

impl Drop for GivenUp {
    fn drop(&mut self) {
        if self.1 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
    }
}

impl Table {
    async fn run(&self, ids: &[String], until: Instant) -> Result<WithIds<String>, Failure> {
        let mut ids = ids.to_vec();
        ids.sort();
        self.log.lock().unwrap().push(ids.clone());
        let mut given_up = GivenUp(Arc::clone(&self.given_up), true);
        let permit = timeout_at(until, self.answers.acquire()).await;
        given_up.1 = false;
        permit.map_err(|_| Failure::timed_out())?.unwrap().forget();
        if ids.iter().any(|id| id == "bad") {
            return Err(Failure::of(Fault::Value));
        }
        if ids.iter().any(|id| id == "lost") {
            return Err(Failure::of(Fault::Lost));
        }
        let rows = ids.into_iter().filter(|id| id != "nobody").flat_map(|id| {
            let count = if id == "twice" { 2 } else { 1 };
            vec![(id.clone(), id); count]
        });
        Ok(rows.collect())
    }
}

impl Lookup for Arc<Table> {
    type Row = String;

    async fn one(&self, id: &str, until: Instant) -> Result<Vec<String>, Failure> {
        let rows = self.run(&[id.to_owned()], until).await?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    async fn many(
        &self,
        ids: &[String],
        until: Instant,
    ) -> Result<Option<WithIds<String>>, Failure> {
        let rows = self.run(ids, until).await?;
        Ok((rows.len() <= ids.len()).then_some(rows))
    }
}

type Answered = Result<Vec<String>, Fault>;

struct World {
    batches: Batches<String>,
    table: Arc<Table>,
}

impl World {
    /// The two reads at once are taken by `a` and `b`, which wait for their answers.
    async fn busy() -> (Self, [JoinHandle<Answered>; 2]) {
        let table =
            Table { answers: Semaphore::new(0), log: Mutex::default(), given_up: Arc::default() };
        let world = Self { batches: Batches::default(), table: Arc::new(table) };
        let both = [world.ask("a").await, world.ask("b").await];
        (world, both)
    }

    async fn ask(&self, id: &'static str) -> JoinHandle<Answered> {
        self.ask_for(id, LONG).await
    }

    async fn ask_for(&self, id: &'static str, patience: Duration) -> JoinHandle<Answered> {
        let (batches, table) = (self.batches.clone(), Arc::clone(&self.table));
        let caller = tokio::spawn(async move {
            let rows = batches.read(&table, id, Instant::now() + patience).await;
            let rows = rows.map_err(|failure| failure.fault)?;
            Ok(rows.iter().map(|row| String::clone(row)).collect())
        });
        settle().await;
        caller
    }

    async fn answer(&self, count: usize) {
        self.table.answers.add_permits(count);
        settle().await;
    }

    fn log(&self) -> Vec<String> {
        let log = self.table.log.lock().unwrap();
        log.iter().map(|ids| ids.join(" ")).collect()
    }

    fn is_idle(&self) -> bool {
        let queue = lock(&self.batches.0);
        queue.running == 0 && queue.waiting.is_empty()
    }
}

async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

async fn rows(caller: JoinHandle<Answered>) -> Answered {
    caller.await.unwrap()
}

fn row(id: &str) -> Answered {
    Ok(vec![id.to_owned()])
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_share_a_statement_that_is_sent_after_they_asked() {
    let (world, [a, b]) = World::busy().await;
    let waiting = [world.ask("c").await, world.ask("d").await, world.ask("c").await];
    assert_eq!(world.log(), ["a", "b"]);
    world.answer(1).await;
    assert_eq!(rows(a).await, row("a"));
    assert_eq!(world.log(), ["a", "b", "c d"]);
    // The statement was sent: another caller of the same id waits for the next one.
    let late = world.ask("c").await;
    world.answer(2).await;
    assert_eq!(rows(b).await, row("b"));
    for (caller, id) in waiting.into_iter().zip(["c", "d", "c"]) {
        assert_eq!(rows(caller).await, row(id));
    }
    assert_eq!(world.log(), ["a", "b", "c d", "c"]);
    world.answer(1).await;
    assert_eq!(rows(late).await, row("c"));
    assert!(world.is_idle());
    // And nothing is left to answer a caller who comes alone.
    let alone = world.ask("a").await;
    world.answer(1).await;
    assert_eq!(rows(alone).await, row("a"));
    assert!(world.is_idle());
}

#[tokio::test(start_paused = true)]
async fn each_gets_what_its_id_has() {
    let (world, [a, b]) = World::busy().await;
    let (nobody, twice) = (world.ask("nobody").await, world.ask("twice").await);
    let c = world.ask("c").await;
    world.answer(10).await;
    assert_eq!(rows(nobody).await, Ok(vec![]));
    assert_eq!(rows(twice).await, Ok(vec!["twice".to_owned(); 2]));
    for (caller, id) in [(a, "a"), (b, "b"), (c, "c")] {
        assert_eq!(rows(caller).await, row(id));
    }
    // Only as many rows as ids are read: with more, each is read alone.
    let (world, [_a, _b]) = World::busy().await;
    let (twice, c) = (world.ask("twice").await, world.ask("c").await);
    world.answer(10).await;
    assert_eq!(rows(twice).await, Ok(vec!["twice".to_owned(); 2]));
    assert_eq!(rows(c).await, row("c"));
    let mut log = world.log();
    // Which of them is read first does not matter.
    log[3..].sort_unstable();
    assert_eq!(log, ["a", "b", "c twice", "c", "twice"]);
    assert!(world.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_bad_id_fails_alone() {
    let (world, [_a, _b]) = World::busy().await;
    let (bad, c) = (world.ask("bad").await, world.ask("c").await);
    world.answer(10).await;
    assert_eq!(rows(bad).await, Err(Fault::Value));
    assert_eq!(rows(c).await, row("c"));
    assert!(world.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_lost_statement_fails_those_who_shared_it() {
    let (world, [_a, _b]) = World::busy().await;
    let (lost, c) = (world.ask("lost").await, world.ask("c").await);
    world.answer(1).await;
    let other = world.ask("d").await;
    world.answer(10).await;
    assert_eq!(rows(lost).await, Err(Fault::Lost));
    assert_eq!(rows(c).await, Err(Fault::Lost));
    assert_eq!(rows(other).await, row("d"));
    assert!(world.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_is_skipped() {
    let (world, [a, b]) = World::busy().await;
    let (gone, c) = (world.ask("gone").await, world.ask("c").await);
    gone.abort();
    settle().await;
    // One that reads by itself gives its place to those who wait.
    a.abort();
    settle().await;
    assert_eq!(world.log(), ["a", "b", "c"]);
    world.answer(2).await;
    assert_eq!(rows(b).await, row("b"));
    assert_eq!(rows(c).await, row("c"));
    assert!(world.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_nobody_waits_for_is_given_up() {
    let (world, [a, _b]) = World::busy().await;
    let (c, d) = (world.ask("c").await, world.ask("d").await);
    world.answer(1).await;
    assert_eq!(rows(a).await, row("a"));
    let late = world.ask("e").await;
    let given_up = || *world.table.given_up.lock().unwrap();
    c.abort();
    settle().await;
    assert_eq!(given_up(), 0);
    d.abort();
    settle().await;
    assert_eq!(given_up(), 1);
    world.answer(2).await;
    assert_eq!(rows(late).await, row("e"));
    assert!(world.is_idle());
}

#[tokio::test(start_paused = true)]
async fn each_caller_has_a_deadline_of_its_own() {
    let (world, [_a, _b]) = World::busy().await;
    let short = world.ask_for("short", Duration::from_millis(20)).await;
    let c = world.ask("c").await;
    advance(Duration::from_millis(30)).await;
    settle().await;
    assert_eq!(rows(short).await, Err(Fault::TimedOut));
    world.answer(3).await;
    assert_eq!(rows(c).await, row("c"));
    assert_eq!(world.log(), ["a", "b", "c"], "nothing is read for it");
    assert!(world.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_read_that_stalls_holds_nobody_up() {
    let (world, [a, b]) = World::busy().await;
    let (c, d) = (world.ask("c").await, world.ask("d").await);
    sleep(STALLED + Duration::from_millis(1)).await;
    settle().await;
    assert_eq!(world.log(), ["a", "b", "c d"]);
    let e = world.ask("e").await;
    assert_eq!(world.log(), ["a", "b", "c d", "e"]);
    // Nor does a batch.
    let f = world.ask("f").await;
    sleep(STALLED + Duration::from_millis(1)).await;
    settle().await;
    assert_eq!(world.log(), ["a", "b", "c d", "e", "f"]);
    world.answer(10).await;
    for (caller, id) in [(a, "a"), (b, "b"), (c, "c"), (d, "d"), (e, "e"), (f, "f")] {
        assert_eq!(rows(caller).await, row(id));
    }
    assert!(world.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_bound() {
    let (world, [_a, _b]) = World::busy().await;
    let mut callers = Vec::new();
    for n in 0..MOST_IDS + 10 {
        let (batches, table, id) = (world.batches.clone(), Arc::clone(&world.table), n.to_string());
        callers.push(tokio::spawn(async move {
            let rows = batches.read(&table, &id, Instant::now() + LONG).await.unwrap();
            assert_eq!(*rows[0], id);
        }));
        yield_now().await;
    }
    world.answer(1).await;
    assert_eq!(world.log()[2].split(' ').count(), MOST_IDS);
    world.answer(10).await;
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(world.is_idle());
}

/// The runtime of the task ends while it reads.
#[test]
fn those_who_wait_for_a_runtime_that_ended_read_alone() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ended, going) = (runtime(), runtime());
    let (world, _both) = ended.block_on(World::busy());
    let (batches, table) = (world.batches.clone(), Arc::clone(&world.table));
    let caller = going.spawn(async move {
        let rows = batches.read(&table, "c", Instant::now() + LONG).await;
        rows.map(|rows| rows.len()).map_err(|failure| failure.fault)
    });
    going.block_on(settle());
    drop(ended);
    world.table.answers.add_permits(10);
    assert_eq!(going.block_on(caller).unwrap(), Ok(1));
    assert!(world.is_idle());
}
