//! Byte utilities: base64url, framing, HMAC, constant-time comparison, buffers, a JSON scanner, and
//! spans of text.

pub(crate) mod base64url;
pub(crate) mod constant_time;
pub(crate) mod frame;
pub(crate) mod hmac;
pub(crate) mod inline;
pub(crate) mod mac;
pub(crate) mod scan;
pub(crate) mod span;
#[cfg(feature = "service")]
pub(crate) mod text;
