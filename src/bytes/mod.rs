//! Byte utilities: constant-time comparison, a JSON scanner, and spans of text.

pub(crate) mod constant_time;
pub(crate) mod scan;
pub(crate) mod span;
