//! Session tags: what a session is bound to, in short.

use crate::bytes::base64url;

/// A digest of the values in the user's record that a session's tokens are bound to: the
/// credential, the version and the epochs. If the record's tag is another one now, the session has
/// no valid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionTag(pub(crate) [u8; 8]);

impl SessionTag {
    pub(super) fn to_text(self) -> String {
        base64url::encode(&self.0)
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        base64url::decode_array(text).map(Self)
    }
}
