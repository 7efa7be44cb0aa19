//! The answer that each refresh token must get: the rules of rotation, applied to the history instead
//! of the row.

use crate::{configuration::Configuration, library::Instant, state::Session};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Rejected: its session has ended, or the token is not valid at this time.
    Nothing,
    /// Its successor, made now.
    Successor,
    /// The successor made before, and a report.
    Again,
    /// A report, and the end of the session.
    End,
}

impl Promise {
    /// The answer for the refresh token at this place in the session's chain.
    pub(crate) fn to(
        session: &Session,
        place: usize,
        bounds: &Configuration,
        now: Instant,
    ) -> Self {
        if !session.is_live(bounds, now) || !session.chain[place].is_valid(now) {
            return Self::Nothing;
        }
        let is_within_grace = bounds.grace > 0 && (now - session.rotated_at).abs() <= bounds.grace;
        match session.chain.len() - 1 - place {
            0 => Self::Successor,
            1 if is_within_grace => Self::Again,
            _ => Self::End,
        }
    }
}
