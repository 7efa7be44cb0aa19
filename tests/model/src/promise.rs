//! The answer that each refresh token must get: the rules of rotation, applied to the history instead
//! of the row.

use crate::{
    configuration::Configuration,
    library::Instant,
    state::{Session, is_within},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Rejected: its session has ended, or the token is not valid at this time.
    Nothing,
    /// Its successor, made now.
    Successor,
    /// The successor made before, and a report. It is stored if it is the first one for the holder
    /// of a token that two parties may have.
    Again { is_stored: bool },
    /// The same, late: the first such answer is stored and reported.
    Late { is_first: bool },
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
        let elapsed = now - session.rotated_at;
        match session.chain.len() - 1 - place {
            0 => Self::Successor,
            1 if is_within(bounds.grace, elapsed) => Self::Again {
                is_stored: session.was_shared(place) && !session.was_shared(place + 1),
            },
            // Two parties may have a token by a late repeat: it has no late repeat itself.
            1 if is_within(bounds.late_repeat, elapsed) && !session.was_shared(place) => {
                Self::Late { is_first: !session.was_shared(place + 1) }
            }
            _ => Self::End,
        }
    }
}
