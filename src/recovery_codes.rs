//! Recovery codes: the way in for a user who has lost the second factor.
//!
//! # Example
//!
//! ```
//! use relatch::recovery_codes::RecoveryCodes;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // When the user sets up a second factor: show the codes once, and store the text.
//! let codes = RecoveryCodes::generate()?;
//! let shown: Vec<&str> = codes.expose().collect();
//! let stored = codes.to_column();
//!
//! // At a login's second step. Store the new text by a compare-and-set:
//! // `UPDATE users SET recovery_codes = :left WHERE id = :id AND recovery_codes = :stored`.
//! // The code is accepted if that changes a row: of two simultaneous logins with one code, one succeeds.
//! let typed = shown[3].to_lowercase();
//! let left = RecoveryCodes::use_up(&stored, &typed)?.ok_or("a wrong code")?;
//! assert_eq!(RecoveryCodes::remaining(&left)?, 9);
//! assert_eq!(RecoveryCodes::use_up(&left, &typed)?, None);
//! # Ok(())
//! # }
//! ```

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    bytes::{base64url, constant_time, frame},
    entropy::{Entropy, EntropyError, SystemEntropy},
    error::ParseError,
};

/// New recovery codes: *look-up secrets* (NIST SP 800-63B-4 §3.1.2). There are [`COUNT`](Self::COUNT), and
/// each works once.
///
/// A code has 120 random bits, in Crockford's base 32: `4RC0-93TZ-K6YW-2MPD-H7QX-E1JN`. A text of 112 bits
/// or more may be stored as a plain digest; a shorter one needs a slow hash.
///
/// # Security
///
/// - Show the codes once, to a user who has just authenticated, and never log them. The stored text reveals no
///   code.
/// - Count each attempt, as for other codes: [`second_step`](crate::one_time::SecondStep) does so.
/// - A user who sets up a new second factor gets new codes, which replace the old ones.
pub struct RecoveryCodes([Zeroizing<String>; Self::COUNT]);

/// The bytes of a code: 24 characters of 5 bits.
const CODE_BYTES: usize = 15;

/// The bytes of the digest of a code: no other code with the same one can be found.
const DIGEST_BYTES: usize = 16;

/// The characters between two dashes.
const GROUP: usize = 4;

/// Crockford's base 32, without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const MALFORMED: ParseError =
    ParseError::new("the stored text is not that of recovery codes, as it was written");

impl RecoveryCodes {
    /// The number of new codes.
    pub const COUNT: usize = 10;

    /// The greatest length of the stored text, in bytes. It is ASCII.
    pub const MAX_BYTES: usize = Self::COUNT * (base64url::encoded_len(DIGEST_BYTES) + 1) - 1;

    /// Makes new codes.
    ///
    /// # Errors
    ///
    /// [`EntropyError`] if the operating system returns no random bytes.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut random = Zeroizing::new([[0; CODE_BYTES]; Self::COUNT]);
        random.iter_mut().try_for_each(|code| SystemEntropy.fill(code))?;
        Ok(Self(std::array::from_fn(|n| encode(&random[n]))))
    }

    /// The codes, to show them once.
    pub fn expose(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|code| code.as_str())
    }

    /// The text to store, of at most [`MAX_BYTES`](Self::MAX_BYTES): the digests of the codes.
    #[must_use]
    pub fn to_column(&self) -> String {
        let digests: Vec<_> = self.0.iter().filter_map(|code| decode(code)).map(digest).collect();
        to_text(&digests)
    }

    /// Checks a code, and returns the text to store in place of `stored` if it is right: without this code,
    /// and empty after the last one. `None` if the code is wrong.
    ///
    /// Small letters count as capital ones, O as 0, and I and L as 1. Spaces and dashes do not count. The time
    /// does not depend on which of the codes it is.
    ///
    /// # Security
    ///
    /// Store the new text by a compare-and-set, and accept the code only if that has changed the row.
    ///
    /// # Errors
    ///
    /// [`ParseError`] if `stored` is no text of [`to_column`](Self::to_column) or of this call.
    pub fn use_up(stored: &str, typed: &str) -> Result<Option<String>, ParseError> {
        let mut digests = parse(stored)?;
        let Some(code) = decode(typed) else { return Ok(None) };
        let given = digest(code);
        let before = digests.len();
        digests.retain(|digest| !constant_time::equal(digest, &given));
        Ok((digests.len() < before).then(|| to_text(&digests)))
    }

    /// The number of codes that are left. Tell the user if there are few.
    ///
    /// # Errors
    ///
    /// As for [`use_up`](Self::use_up).
    pub fn remaining(stored: &str) -> Result<usize, ParseError> {
        Ok(parse(stored)?.len())
    }
}

fn digest(code: Zeroizing<[u8; CODE_BYTES]>) -> [u8; DIGEST_BYTES] {
    let mut hash = <Sha256 as Digest>::new();
    frame::piece(&mut hash, b"relatch/1 recovery code");
    frame::piece(&mut hash, &*code);
    let whole: [u8; 32] = hash.finalize().into();
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&whole[..DIGEST_BYTES]);
    digest
}

/// One form only, so that a compare-and-set can compare text.
fn to_text(digests: &[[u8; DIGEST_BYTES]]) -> String {
    digests.iter().map(|digest| base64url::encode(digest)).collect::<Vec<_>>().join(".")
}

fn parse(stored: &str) -> Result<Vec<[u8; DIGEST_BYTES]>, ParseError> {
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    if stored.len() > RecoveryCodes::MAX_BYTES {
        return Err(MALFORMED);
    }
    stored.split('.').map(|one| base64url::decode_array(one).ok_or(MALFORMED)).collect()
}

fn encode(code: &[u8; CODE_BYTES]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * CODE_BYTES));
    // 5 bytes are 8 characters.
    for (n, five) in code.chunks(5).enumerate() {
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for (m, shift) in (0..40).step_by(5).rev().enumerate() {
            if (n, m) != (0, 0) && m % GROUP == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[(bits >> shift & 31) as usize]));
        }
    }
    text
}

fn decode(typed: &str) -> Option<Zeroizing<[u8; CODE_BYTES]>> {
    let mut code = Zeroizing::new([0; CODE_BYTES]);
    let is_ignored = |c: &char| c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}');
    let mut digits = typed.chars().filter(|c| !is_ignored(c)).map(value);
    for five in code.chunks_mut(5) {
        let mut bits = 0_u64;
        for _ in 0..8 {
            bits = bits << 5 | digits.next()??;
        }
        five.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    digits.next().is_none().then_some(code)
}

/// The value of a character, as Crockford reads it.
fn value(typed: char) -> Option<u64> {
    let digit = match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    Some(ALPHABET.iter().position(|one| char::from(*one) == digit)? as u64)
}

impl fmt::Debug for RecoveryCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCodes([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_written() {
        let bytes: [u8; CODE_BYTES] = std::array::from_fn(|n| (n * 37 + 5) as u8);
        let text = encode(&bytes);
        assert_eq!(text.len(), 29);
        assert_eq!(decode(&text).map(|code| *code), Some(bytes));
        assert_eq!(*encode(&[0; CODE_BYTES]), "0000-0000-0000-0000-0000-0000");
        assert_eq!(*encode(&[0xff; CODE_BYTES]), "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        assert_eq!(
            decode("oil0 OIL0-oil0\u{2013}oil0 oil0 oil0").as_deref(),
            decode("0110-0110-0110-0110-0110-0110").as_deref()
        );
        for wrong in
            ["", "0000", "U000-0000-0000-0000-0000-0000", "0000-0000-0000-0000-0000-0000-0"]
        {
            assert!(decode(wrong).is_none(), "{wrong}");
        }
    }
}
