//! Shared helpers: accounts, deterministic clock and entropy, forged tokens.

pub(crate) mod common;
pub(crate) mod forge;

use proptest::prelude::ProptestConfig;

/// The number of cases of a property that needs more or fewer than proptest's 256: `usual`, scaled
/// in proportion to `PROPTEST_CASES`.
pub(crate) fn cases(usual: u32) -> u32 {
    let scaled = u64::from(usual) * u64::from(ProptestConfig::default().cases) / 256;
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}
