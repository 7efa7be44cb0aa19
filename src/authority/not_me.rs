//! The use of a "this was not me" link: ending what a login has started.

use super::{one_time::OpenedOnce, sessions::end_since};
use crate::{
    authority::{decision::Decision, error::VerifyError},
    one_time::NotMe,
    user::User,
};

impl OpenedOnce<'_, NotMe> {
    /// Uses the link up ([`consume`](Self::consume)), and ends the session that it names and all sessions
    /// of the user that have begun or restarted since. The outcome is the number of sessions that ended.
    ///
    /// The later ones end too, because a stranger who has logged in can log in again, or restart the
    /// session under a new id. Sessions from before stay.
    ///
    /// # Errors
    ///
    /// Those of [`consume`](Self::consume), and
    /// [`RecordError::Sessions`](crate::user::RecordError::Sessions) for a record that keeps no sessions.
    pub fn end_sessions(&self, user: &dyn User) -> Result<Decision<usize>, VerifyError> {
        let used = self.consume(user)?;
        let reported = self.claims()?.session;
        let both = used.and_then(user, |user| end_since(user, reported, self.core.now()));
        Ok(both.map_err(VerifyError::Record)?.map(|(_, ended)| ended))
    }
}
