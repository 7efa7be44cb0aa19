//! Device tokens, and the key of the limits.

use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{
    Authority, SessionTokens,
    decision::{Change, Decision},
    error::IssueError,
    kernel::record::next_lane,
};
use crate::{
    binding::derivation::ServerDerivation,
    bytes::{base64url, constant_time},
    clock::to_numeric_date,
    keys::MasterKey,
    one_time::NotMe,
    throttle::DeviceToken,
    token::purpose::Purpose,
    user::{MAX_ID_BYTES, RecordError, User, count},
};

/// The content of a genuine [`DeviceToken`] that has not expired.
pub(crate) struct Device {
    pub(crate) user_id: String,
    /// The random id of the device.
    pub(crate) id: [u8; 16],
    /// The user's lane of [`NotMe`] when the token was made.
    lane: u64,
}

impl Device {
    /// Whether it is a device of this user, and was not revoked since by a [`NotMe`] link.
    pub(crate) fn is_of(&self, user: &dyn User) -> bool {
        let lane = user.lane(NotMe::TYP).and_then(|lane| count(lane).ok());
        self.user_id == user.id() && Some(self.lane) == lane
    }
}

/// The bytes before the user's id: the code, the device's id, the end and the lane.
const FIXED: usize = 16 + 16 + 8 + 8;

/// The longest text of a device token.
const MAX_CHARACTERS: usize = base64url::encoded_len(FIXED + MAX_ID_BYTES);

impl Authority {
    /// Makes a device token for a client that receives these tokens. If `sent` is a valid device token of this
    /// user, the new one is for the same device, and otherwise for a new device.
    pub(crate) fn issue_device_token<C>(
        &self,
        tokens: &SessionTokens<C>,
        sent: Option<&DeviceToken>,
    ) -> Result<DeviceToken, IssueError> {
        let user_id = tokens.user_id();
        let lane = count(tokens.not_me_lane().ok_or(RecordError::Lane)?)?;
        let sent = sent.and_then(|token| self.open_device_token(token));
        let id = match sent.filter(|device| device.user_id == user_id && device.lane == lane) {
            Some(own) => own.id,
            None => {
                let mut id = [0; 16];
                self.core.settings.entropy.fill(&mut id)?;
                id
            }
        };
        let end = self.core.now().checked_add(DeviceToken::LIFETIME).and_then(to_numeric_date);
        let end = end.ok_or(IssueError::Clock)?;
        let said = [&id[..], &end.to_be_bytes(), &lane.to_be_bytes(), user_id.as_bytes()].concat();
        let code = self.server_derivation(self.keys().current()).device(&said);
        Ok(DeviceToken::new(base64url::encode(&[&code[..], &said].concat())))
    }

    /// Ends all device tokens of the user, and all [`NotMe`] links.
    pub(crate) fn end_devices(&self, user: &dyn User) -> Result<Decision<()>, RecordError> {
        let lane = next_lane::<NotMe>(user, self.core.now())?;
        Ok(Decision::new(Some(Change::none(user).with_lane(NotMe::TYP, lane)), ()))
    }

    /// The content of a device token, if it is genuine under a key of the ring and has not expired.
    pub(crate) fn open_device_token(&self, token: &DeviceToken) -> Option<Device> {
        if token.expose().len() > MAX_CHARACTERS {
            return None;
        }
        let bytes = base64url::decode(token.expose())?;
        let (code, said) = bytes.split_first_chunk::<16>()?;
        let now = self.core.now();
        if !self.is_genuine(code, said, now) {
            return None;
        }
        let (id, rest) = said.split_first_chunk::<16>()?;
        let (end, rest) = rest.split_first_chunk::<8>()?;
        let (lane, user_id) = rest.split_first_chunk::<8>()?;
        if i128::from(now.unix_timestamp()) >= i128::from(u64::from_be_bytes(*end)) {
            return None;
        }
        let user_id = str::from_utf8(user_id).ok()?.to_owned();
        Some(Device { user_id, id: *id, lane: u64::from_be_bytes(*lane) })
    }

    fn is_genuine(&self, code: &[u8; 16], said: &[u8], now: OffsetDateTime) -> bool {
        let mut keys =
            self.keys().iter().filter(|(_, until)| until.is_none_or(|until| now < until));
        keys.any(|(key, _)| constant_time::equal(code, &self.server_derivation(key).device(said)))
    }

    /// The key that chooses the counters of password attempts.
    pub(crate) fn limits_key(&self) -> Zeroizing<[u8; 32]> {
        self.server_derivation(self.keys().current()).limits()
    }

    fn server_derivation<'a>(&'a self, key: &'a MasterKey) -> ServerDerivation<'a> {
        ServerDerivation::new(key.mac(), self.issuer())
    }
}
