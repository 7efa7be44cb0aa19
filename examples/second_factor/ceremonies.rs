//! What the server remembers between the two requests of a ceremony, such as the challenge of a
//! passkey.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use webauthn_rs::prelude::Uuid;

/// Ceremonies of one kind that have begun. Each can be finished once, by its user, within 5 minutes.
///
/// They are in the memory of this process. A site of several processes keeps them in the database
/// instead, and never in a cookie: a challenge that the client can bring back could be answered twice.
pub(crate) struct Ceremonies<T>(Mutex<VecDeque<Begun<T>>>);

struct Begun<T> {
    id: String,
    user_id: String,
    deadline: Instant,
    state: T,
}

const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// The oldest is dropped beyond this number, so that the memory is bounded.
const MAXIMUM: usize = 10_000;

/// The oldest of a user is dropped beyond this number, so that nobody drops those of others.
const OF_ONE_USER: usize = 32;

impl<T> Ceremonies<T> {
    /// Returns the id that the client sends back.
    pub(crate) fn begin(&self, user_id: &str, state: T) -> String {
        let id = Uuid::new_v4().simple().to_string();
        let deadline = Instant::now() + LIFETIME;
        let begun = Begun { id: id.clone(), user_id: user_id.to_owned(), deadline, state };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = |begun: &Begun<T>| begun.user_id == user_id;
        if all.iter().filter(|begun| is_own(begun)).count() >= OF_ONE_USER
            && let Some(oldest) = all.iter().position(is_own)
        {
            all.remove(oldest);
        }
        // All live equally long: the oldest is in front.
        while all.len() >= MAXIMUM || all.front().is_some_and(Begun::is_over) {
            all.pop_front();
        }
        all.push_back(begun);
        id
    }

    /// The state, once.
    pub(crate) fn finish(&self, id: &str, user_id: &str) -> Option<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(|begun| begun.id == id && begun.user_id == user_id)?;
        all.remove(index).filter(|begun| !begun.is_over()).map(|begun| begun.state)
    }
}

impl<T> Begun<T> {
    fn is_over(&self) -> bool {
        self.deadline < Instant::now()
    }
}

impl<T> Default for Ceremonies<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_drops_the_ceremonies_of_others() {
        let all = Ceremonies::default();
        let id = all.begin("alice", 0);
        for n in 1..=2 * MAXIMUM {
            all.begin("mallory", n);
        }
        assert_eq!(all.finish(&id, "bob"), None);
        assert_eq!(all.finish(&id, "alice"), Some(0));
        assert_eq!(all.finish(&id, "alice"), None);
    }
}
