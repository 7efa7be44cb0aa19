//! Working memory of hashes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::Block;
use zeroize::Zeroize;

/// The largest memory that is kept for the next hash, in blocks of 1 KiB: the memory of OWASP's
/// largest minimum. Allocators return larger memory to the system (glibc: from 32 MiB).
const KEPT_BLOCKS: usize = 47_104;

/// A pool of working memory for hashes.
///
/// Allocating for each hash can hold far more memory than is in use: with glibc, eight to fourteen
/// times as much per thread, because alignment leaves gaps that separate the freed blocks.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<Vec<Block>>>);

impl Memory {
    /// Runs `work` with `len` blocks. `None` if there is not enough memory.
    pub(super) fn lend<T>(&self, len: usize, work: impl FnOnce(&mut [Block]) -> T) -> Option<T> {
        let mut blocks = self.take(len)?;
        let used = &mut blocks[..len];
        let result = work(used);
        // With the used blocks an attacker could test guesses at a fraction of the hash's cost.
        used.iter_mut().zeroize();
        if blocks.len() <= KEPT_BLOCKS {
            self.kept().push(blocks);
        }
        Some(result)
    }

    /// At least `len` blocks. A smaller kept allocation is dropped, so that the pool never keeps
    /// more allocations than were in use at once.
    fn take(&self, len: usize) -> Option<Vec<Block>> {
        if len <= KEPT_BLOCKS
            && let Some(blocks) = self.kept().pop()
            && blocks.len() >= len
        {
            return Some(blocks);
        }
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(len).ok()?;
        blocks.resize(len, Block::new());
        Some(blocks)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_wiped_before_it_is_kept() {
        let memory = Memory::default();
        for len in [20, 10] {
            memory.lend(len, |blocks| {
                assert_eq!(blocks.len(), len);
                blocks.iter_mut().for_each(|block| block.as_mut().fill(7));
            });
            let kept = memory.kept();
            assert_eq!(kept.iter().map(Vec::len).collect::<Vec<_>>(), [20]);
            assert!(kept[0].iter().all(|block| *block.as_ref() == [0; 128]));
        }
    }

    #[test]
    fn as_much_is_kept_as_was_lent_at_once() {
        let memory = Memory::default();
        let kept = || memory.kept().iter().map(Vec::len).collect::<Vec<_>>();
        for (len, then) in [(10, [10, 10]), (30, [30, 30]), (20, [30, 30])] {
            memory.lend(len, |_| memory.lend(len, |_| assert!(kept().is_empty())));
            assert_eq!(kept(), then);
        }
        memory.lend(KEPT_BLOCKS + 1, |_| assert_eq!(kept(), [30, 30]));
        assert_eq!(kept(), [30, 30]);
    }

    #[test]
    fn memory_that_is_not_to_be_had_is_an_answer() {
        let memory = Memory::default();
        assert_eq!(memory.lend(usize::MAX / 1024, |_| ()), None);
    }
}
