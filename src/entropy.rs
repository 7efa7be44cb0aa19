//! The source of randomness.

use std::{cell::RefCell, error, fmt};

/// A source of randomness.
///
/// # Security
///
/// An implementation should be a cryptographic random generator. No guarantee of this library needs
/// a `jti` that is unique or hard to guess, but an application's use of it, such as in a log or a
/// list of seen tokens, may need that. Use fixed bytes only in tests.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    ///
    /// [`EntropyError`] if the source fails; then nothing is issued.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// The random generator of the operating system, called each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(bytes).map_err(|_| EntropyError)
    }
}

/// The random generator of the operating system, with a buffer for several tokens, because one call
/// takes longer than the rest of issuing a token.
///
/// Use it only for ids, which are not secret. If a process forks without `exec`, the child repeats
/// some ids. This is harmless, because no guarantee needs a unique `jti`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BufferedEntropy;

/// The drawn bytes. The unused ones are the first `left` bytes.
struct Buffer {
    bytes: [u8; 512],
    left: usize,
}

thread_local! {
    static BUFFER: RefCell<Buffer> = const { RefCell::new(Buffer { bytes: [0; 512], left: 0 }) };
}

impl Entropy for BufferedEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let drawn = BUFFER.try_with(|buffer| buffer.try_borrow_mut().ok()?.draw(bytes));
        match drawn {
            Ok(Some(result)) => result,
            // The thread is ending, or the request is larger than the buffer.
            _ => SystemEntropy.fill(bytes),
        }
    }
}

impl Buffer {
    fn draw(&mut self, bytes: &mut [u8]) -> Option<Result<(), EntropyError>> {
        if bytes.len() > self.bytes.len() {
            return None;
        }
        if bytes.len() > self.left {
            self.left = 0;
            if let Err(error) = SystemEntropy.fill(&mut self.bytes) {
                return Some(Err(error));
            }
            self.left = self.bytes.len();
        }
        let end = self.left;
        self.left -= bytes.len();
        bytes.copy_from_slice(&self.bytes[self.left..end]);
        Some(Ok(()))
    }
}

/// The source of randomness failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntropyError;

impl EntropyError {
    /// The error, for an application's own [`Entropy`].
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Default for EntropyError {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for EntropyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source of randomness failed")
    }
}

impl error::Error for EntropyError {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_drawn_at_once_is_handed_out_once() {
        let draw = || {
            let mut bytes = [0; 16];
            BufferedEntropy.fill(&mut bytes).unwrap();
            bytes
        };
        let of_threads = [0; 3].map(|_| std::thread::spawn(move || [0; 100].map(|_| draw())));
        let drawn = of_threads.into_iter().flat_map(|thread| thread.join().unwrap());
        assert_eq!(drawn.collect::<HashSet<_>>().len(), 300);
    }

    #[test]
    fn any_length_can_be_drawn() {
        for len in [0, 1, 511, 512, 513, 5000] {
            let mut bytes = vec![0; len];
            BufferedEntropy.fill(&mut bytes).unwrap();
            assert!(len < 20 || bytes.iter().any(|byte| *byte != 0), "{len}");
        }
    }
}
