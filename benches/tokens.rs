//! What the benchmarks share.

/// As long as the signed part of an access token with a few claims of an application's own.
pub const SIGNING_INPUT: [u8; 300] = [b'a'; 300];
