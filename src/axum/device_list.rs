//! Sessions in the JSON of an answer.

use serde::Serialize;

use crate::sessions::{SessionId, SessionInfo};

/// A session in the list of a user's devices.
#[derive(Serialize)]
pub(super) struct Device<'a> {
    id: SessionId,
    label: &'a str,
    started_at: i64,
    last_seen: i64,
    expires_at: i64,
    current: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<serde_json::Value>,
}

impl<'a> Device<'a> {
    /// This session, where the caller's own is `own`, and with this part of its data.
    pub(super) fn new(
        session: &'a SessionInfo,
        own: Option<SessionId>,
        data: Option<serde_json::Value>,
    ) -> Self {
        Self {
            id: session.id(),
            label: session.label(),
            started_at: session.started_at().unix_timestamp(),
            last_seen: session.last_seen().unix_timestamp(),
            expires_at: session.expires_at().unix_timestamp(),
            current: own == Some(session.id()),
            data,
        }
    }
}
