//! Random interleavings of writes, invalidations, calls and slow reads, checked against the cache's
//! promises.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, sleep},
};

use super::{BOUND, outage, policy, settle, user};
use crate::service::cache::{CONFIRM_INTERVAL, Cache, Found};

const USERS: usize = 3;

/// In some states there is no such user, in others the database is unreachable.
const fn is_absent(state: usize) -> bool {
    state % 7 == 6
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_told_counts_at_once_and_any_other_within_the_bound() {
    let mut verdicts = 0;
    for seed in 0..60 {
        let world = World::new(seed, Pause::Clock);
        verdicts += world.run(6, 60).await;
        sleep(BOUND + CONFIRM_INTERVAL).await;
        settle().await;
        assert!(world.cache.0.in_flight().is_empty());
    }
    assert!(verdicts > 5000, "{verdicts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_change_that_was_told_counts_at_once_on_all_threads() {
    let world = World::new(1, Pause::Yield);
    assert!(world.run(8, 2000).await > 1000);
}

/// A store, a cache in front of it, and the record of what both did.
struct World {
    seed: u64,
    pause: Pause,
    cache: Cache<u64>,
    store: Arc<Mutex<Store>>,
}

#[derive(Clone, Copy)]
enum Pause {
    Clock,
    Yield,
}

struct Store {
    random: Random,
    /// The time at which each state of each user was written.
    written: [Vec<Instant>; USERS],
    /// The newest state of each user whose invalidation has returned.
    told: [usize; USERS],
}

impl Store {
    fn state(&self, id: usize) -> usize {
        self.written[id].len() - 1
    }

    /// The state at an instant, or the preceding one if it was written at exactly that instant.
    fn state_before(&self, id: usize, at: Instant) -> usize {
        self.written[id].iter().filter(|written| **written < at).count().saturating_sub(1)
    }
}

impl World {
    fn new(seed: u64, pause: Pause) -> Arc<Self> {
        let now = Instant::now();
        let store = Arc::new(Mutex::new(Store {
            random: Random(seed ^ 0x5EED),
            written: [vec![now], vec![now], vec![now]],
            told: [0; USERS],
        }));
        let db = Arc::clone(&store);
        let load = move |id: String| {
            let db = Arc::clone(&db);
            Box::pin(async move {
                let mut random = Random(db.lock().unwrap().random.next());
                let index: usize = id.parse().unwrap();
                pause.pause(&mut random).await;
                let state = db.lock().unwrap().state(index);
                pause.pause(&mut random).await;
                match random.below(10) {
                    0 => Err(outage()),
                    _ => Ok((!is_absent(state)).then(|| user(&id, state as u64))),
                }
            }) as _
        };
        // Smaller than the number of users, so that some are evicted.
        Arc::new(Self { seed, pause, cache: Cache::new(policy(2), Arc::new(load)), store })
    }

    /// Runs this many actors with this many steps each. Returns the number of verdicts.
    async fn run(self: &Arc<Self>, actors: u64, steps: u32) -> usize {
        let mut all = JoinSet::new();
        for actor in 0..actors {
            let world = Arc::clone(self);
            all.spawn(async move { world.act(Random(world.seed << 8 | actor), steps).await });
        }
        all.join_all().await.into_iter().sum()
    }

    async fn act(&self, mut random: Random, steps: u32) -> usize {
        let mut verdicts = 0;
        for _ in 0..steps {
            let id = random.below(USERS as u64) as usize;
            match random.below(12) {
                0 => drop(self.write(id)),
                1 | 2 => {
                    let state = self.write(id);
                    self.pause.pause(&mut random).await;
                    self.cache.invalidate(&id.to_string());
                    self.tell(id, state);
                }
                3 => {
                    let states = [0, 1, 2].map(|id| self.write(id));
                    self.cache.invalidate_all();
                    (0..USERS).for_each(|id| self.tell(id, states[id]));
                }
                call => verdicts += usize::from(self.call(id, call, &mut random).await),
            }
            self.pause.pause(&mut random).await;
        }
        verdicts
    }

    fn write(&self, id: usize) -> usize {
        let mut store = self.store.lock().unwrap();
        store.written[id].push(Instant::now());
        store.state(id)
    }

    fn tell(&self, id: usize, state: usize) {
        let told = &mut self.store.lock().unwrap().told[id];
        *told = state.max(*told);
    }

    /// Checks the verdict. Returns whether there was one.
    async fn call(&self, id: usize, call: u64, random: &mut Random) -> bool {
        let told = self.store.lock().unwrap().told[id];
        let now = Instant::now();
        let ago = Duration::from_millis(random.below(3000));
        let since = [now, now.checked_sub(ago).unwrap_or(now)][random.below(2) as usize];
        let (found, since) = match call {
            4..=5 => (self.cache.find_since(&id.to_string(), since).await, Some(since)),
            // A confirmation waits for the clock.
            6..=7 if matches!(self.pause, Pause::Clock) => {
                (self.cache.confirm(&id.to_string(), since).await, Some(since))
            }
            _ => (self.cache.find(&id.to_string()).await, None),
        };
        let Ok(Found { user, began }) = found else { return false };
        assert!(began.elapsed() < BOUND, "seed {}: older than the bound", self.seed);
        assert!(Some(began) >= since, "seed {}: not fresh", self.seed);
        let store = self.store.lock().unwrap();
        let oldest = told.max(store.state_before(id, began));
        let is_right = match user {
            Some(user) => (oldest..=store.state(id)).contains(&(*user.fields() as usize)),
            None => (oldest..=store.state(id)).any(is_absent),
        };
        assert!(is_right, "seed {}: not told or older than it says", self.seed);
        true
    }
}

impl Pause {
    async fn pause(self, random: &mut Random) {
        match self {
            Self::Clock => {
                // Mostly short, sometimes long, often none.
                let limit = [1, 20, 300, 6000][random.below(4) as usize];
                match random.below(limit) {
                    0 => yield_now().await,
                    millis => sleep(Duration::from_millis(millis)).await,
                }
            }
            Self::Yield => {
                for _ in 0..random.below(4) {
                    yield_now().await;
                }
            }
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
