//! Claims: readers and writers of a token's payload.

pub(crate) mod canonical;
mod general;
pub(crate) mod names;
pub(crate) mod payload;
pub(crate) mod private;
pub(crate) mod registered;
pub(crate) mod spans;
pub(crate) mod stamp;
#[cfg(test)]
mod tests;
pub(crate) mod write;
