//! Parts of a request: headers, cookies, tokens, address.

pub(crate) mod address;
pub(crate) mod callers;
pub(crate) mod cookies;
pub(crate) mod csrf;
pub(crate) mod device;
pub(crate) mod device_label;
pub(crate) mod origin;
pub(crate) mod token;
