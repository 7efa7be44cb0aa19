//! Tables shared by all threads of a search: small ids for values, and answers computed once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, RwLock},
};

/// Gives equal values the same id, so that a state consists of small numbers.
pub(crate) struct Interned<T> {
    ids: RwLock<HashMap<Arc<T>, u32>>,
    values: RwLock<Vec<Arc<T>>>,
}

impl<T: Eq + Hash> Interned<T> {
    pub(crate) fn new() -> Self {
        Self { ids: RwLock::default(), values: RwLock::default() }
    }

    pub(crate) fn id(&self, value: T) -> u32 {
        if let Some(id) = self.ids.read().unwrap().get(&value) {
            return *id;
        }
        let value = Arc::new(value);
        *self.ids.write().unwrap().entry(Arc::clone(&value)).or_insert_with(|| {
            let mut values = self.values.write().unwrap();
            values.push(value);
            u32::try_from(values.len() - 1).unwrap()
        })
    }

    pub(crate) fn get(&self, id: u32) -> Arc<T> {
        Arc::clone(&self.values.read().unwrap()[id as usize])
    }
}

/// The answers of pure functions.
pub(crate) struct Memo<K, V> {
    answers: RwLock<HashMap<K, V>>,
}

impl<K: Copy + Eq + Hash, V: Clone> Memo<K, V> {
    pub(crate) fn new() -> Self {
        Self { answers: RwLock::new(HashMap::new()) }
    }

    pub(crate) fn get(&self, key: K, find: impl FnOnce() -> V) -> V {
        if let Some(answer) = self.answers.read().unwrap().get(&key) {
            return answer.clone();
        }
        let answer = find();
        self.answers.write().unwrap().insert(key, answer.clone());
        answer
    }
}
