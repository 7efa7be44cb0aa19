//! Verification of scrypt hashes.

use std::hint;

use ::scrypt::{Params, scrypt};
use zeroize::Zeroizing;

use super::{
    encoding::{Hashed, base64, decimal, fields},
    error::PasswordError,
    verifier::HashVerifier,
};

/// Verifies scrypt hashes (RFC 7914).
///
/// | form | written by |
/// | --- | --- |
/// | `scrypt$16384$salt$8$5$base64`, with the cost, block size and parallelism | Django (`ScryptPasswordHasher` in `django/contrib/auth/hashers.py`) |
/// | `$scrypt$ln=17,r=8,p=1$salt$base64` | PHC strings, as of passlib (passlib documentation, "scrypt") and the Rust crate `scrypt` |
///
/// A hash whose cost is out of the range of [`new`](Self::new) is refused as
/// [`PasswordError::UnsupportedHash`]. A verification takes memory of 128 bytes times cost times block
/// size, which the system must have: at most 256 MiB, and 16 MiB with Django's default.
///
/// # Example
///
/// ```
/// use relatch::password::{PasswordHasher, Scrypt};
///
/// # fn main() -> Result<(), relatch::password::PasswordError> {
/// // Most users have hashes with Django's default cost: 2^14, 8, 5.
/// let hasher = PasswordHasher::new().also_verifies(Scrypt::new(14, 8, 5)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Scrypt {
    params: Params,
}

impl Scrypt {
    /// A verifier for a table in which most scrypt hashes have this cost: the binary logarithm of N, the
    /// block size r and the parallelism p. Hashes of other costs are verified too. The cost only sets how
    /// long a login takes for a user without a scrypt hash.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Cost`] if one is 0, or above N × r = 2^21, N × r × p = 2^23 or r × p = 1024.
    pub fn new(log_n: u8, r: u32, p: u32) -> Result<Self, PasswordError> {
        let params = Cost { log_n: log_n.into(), r, p }.params().ok_or(PasswordError::Cost)?;
        Ok(Self { params })
    }
}

impl HashVerifier for Scrypt {
    fn recognises(&self, stored: &str) -> bool {
        Stored::parse(stored).is_some()
    }

    fn verify(&self, password: &str, stored: &str) -> Result<bool, PasswordError> {
        let stored = Stored::parse(stored).ok_or(PasswordError::UnsupportedHash)?;
        let params = stored.cost.params().ok_or(PasswordError::UnsupportedHash)?;
        let mut output = Zeroizing::new(vec![0; stored.hashed.len()]);
        scrypt(password.as_bytes(), &stored.hashed.salt, &params, &mut output)
            .map_err(|_| PasswordError::UnsupportedHash)?;
        Ok(stored.hashed.is(&output))
    }

    fn work(&self, password: &str) {
        let mut output = Zeroizing::new([0; 32]);
        // Its only error is about the length of the output.
        let _ = scrypt(password.as_bytes(), &[0; 16], &self.params, &mut *output);
        hint::black_box(output);
    }
}

/// The cost of a hash.
struct Cost {
    log_n: u32,
    r: u32,
    p: u32,
}

/// The greatest costs: N times r, which is the memory in units of 128 bytes; N times r times p; and r
/// times p.
const MAX_COST: (u64, u64, u64) = (1 << 21, 1 << 23, 1 << 10);

impl Cost {
    /// The parameters, if the cost is in range.
    fn params(&self) -> Option<Params> {
        let (memory, work, buffer) = MAX_COST;
        let (r, p) = (u64::from(self.r), u64::from(self.p));
        let n = 1_u64.checked_shl(self.log_n).filter(|&n| (2..=memory).contains(&n))?;
        let rp = r.checked_mul(p).filter(|rp| (1..=buffer).contains(rp))?;
        if n * r > memory || n * rp > work {
            return None;
        }
        Params::new(u8::try_from(self.log_n).ok()?, self.r, self.p).ok()
    }
}

/// A parsed hash.
struct Stored {
    cost: Cost,
    hashed: Hashed,
}

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        if let Some(django) = text.strip_prefix("scrypt$") {
            let [n, salt, r, p, output] = fields(django)?;
            let n = decimal(n).filter(|n| n.is_power_of_two())?;
            return Some(Self {
                cost: Cost { log_n: n.ilog2(), r: decimal(r)?, p: decimal(p)? },
                hashed: Hashed::new(salt.into(), base64(output)?)?,
            });
        }
        let [params, salt, output] = fields(text.strip_prefix("$scrypt$")?)?;
        let (log_n, params) = params.strip_prefix("ln=")?.split_once(",r=")?;
        let (r, p) = params.split_once(",p=")?;
        Some(Self {
            cost: Cost { log_n: decimal(log_n)?, r: decimal(r)?, p: decimal(p)? },
            hashed: Hashed::new(base64(salt)?, base64(output)?)?,
        })
    }
}
