//! Device tokens, and the key of the limits.

use zeroize::Zeroizing;

use super::{Authority, error::IssueError};
use crate::{
    binding::derivation::ServerDerivation,
    bytes::{base64url, constant_time},
    keys::MasterKey,
    throttle::DeviceToken,
};

/// What a genuine [`DeviceToken`] says.
pub(crate) struct Device {
    pub(crate) user_id: String,
    /// The random id of the device.
    pub(crate) id: [u8; 16],
}

/// The bytes before the user's id: the code and the device's id.
const FIXED: usize = 16 + 16;

/// The longest text of a device token: that of a user id of 255 bytes.
const MAX_CHARACTERS: usize = base64url::encoded_len(FIXED + 255);

impl Authority {
    /// Makes a device token for this user, with a new random id of the device.
    pub(crate) fn issue_device_token(&self, user_id: &str) -> Result<DeviceToken, IssueError> {
        let mut id = [0; 16];
        self.core.settings.entropy.fill(&mut id)?;
        Ok(self.device_token(&id, user_id))
    }

    /// The token of the same device under the current key: the key of the old one may be retiring.
    #[cfg(feature = "axum")]
    pub(crate) fn renew_device_token(&self, device: &Device) -> DeviceToken {
        self.device_token(&device.id, &device.user_id)
    }

    fn device_token(&self, id: &[u8; 16], user_id: &str) -> DeviceToken {
        let code = self.server_derivation(self.keys().current()).device(id, user_id);
        DeviceToken::new(base64url::encode(&[&code, id, user_id.as_bytes()].concat()))
    }

    /// What a device token says, if it is genuine under a key of the ring.
    pub(crate) fn open_device_token(&self, token: &DeviceToken) -> Option<Device> {
        if token.expose().len() > MAX_CHARACTERS {
            return None;
        }
        let bytes = base64url::decode(token.expose())?;
        let (code, rest) = bytes.split_first_chunk::<16>()?;
        let (id, user_id) = rest.split_first_chunk::<16>()?;
        let user_id = str::from_utf8(user_id).ok()?;
        let now = self.core.now();
        let mut keys =
            self.keys().iter().filter(|(_, until)| until.is_none_or(|until| now < until));
        let is_genuine = keys.any(|(key, _)| {
            constant_time::equal(code, &self.server_derivation(key).device(id, user_id))
        });
        is_genuine.then(|| Device { user_id: user_id.to_owned(), id: *id })
    }

    /// The key that chooses the counters of password attempts.
    pub(crate) fn limits_key(&self) -> Zeroizing<[u8; 32]> {
        self.server_derivation(self.keys().current()).limits()
    }

    fn server_derivation<'a>(&'a self, key: &'a MasterKey) -> ServerDerivation<'a> {
        ServerDerivation::new(key.mac(), self.issuer())
    }
}
