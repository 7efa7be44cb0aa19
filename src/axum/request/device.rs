//! Device tokens of clients without cookies.

use http::{HeaderMap, HeaderName};

use crate::throttle::DeviceToken;

/// The request header that takes a [`DeviceToken`], for clients without cookies. They get one as
/// `device_token` in the answer to a login.
pub const DEVICE_HEADER: &str = "x-device-token";

/// The header's token, if it is present exactly once.
pub(crate) fn header(headers: &HeaderMap) -> Option<DeviceToken> {
    let mut values = headers.get_all(HeaderName::from_static(DEVICE_HEADER)).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    Some(DeviceToken::new(value.to_str().ok()?))
}
