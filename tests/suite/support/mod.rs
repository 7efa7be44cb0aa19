//! What the tests share: accounts, clocks and entropy under control, and tokens forged by hand.

pub(crate) mod common;
pub(crate) mod forge;
