//! What the tests share: accounts, clocks and entropy under control, and tokens forged by hand.

pub(crate) mod common;
pub(crate) mod forge;

use proptest::prelude::ProptestConfig;

/// How many cases a property takes that needs more or fewer than proptest's 256: `usual` of them,
/// scaled as `PROPTEST_CASES` scales the 256.
pub(crate) fn cases(usual: u32) -> u32 {
    let scaled = u64::from(usual) * u64::from(ProptestConfig::default().cases) / 256;
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}
