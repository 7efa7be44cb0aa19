//! Kinds of tokens: what the kernel and the mint need to know of a purpose.

use jsonwebtoken::Algorithm;

use super::builder::{BindingMode, Settings};
use crate::{
    purpose::{self, ACCESS_TYP, Purpose, REFRESH_TYP, Use},
    secret::MasterKey,
};

/// A purpose under an authority's settings.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) typ: &'static str,
    pub(super) mode: BindingMode,
    pub(super) has_lane: bool,
    pub(super) session: OfSession,
}

/// Whether tokens of a kind are of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OfSession {
    Never,
    /// Access tokens: `sid` if they were issued with a session.
    Perhaps,
    /// Refresh tokens: `sid` and `seq`.
    Always,
}

impl Kind {
    pub(super) fn of<P: Purpose>(settings: &Settings) -> Self {
        const { purpose::check::<P>() };
        let session = match P::TYP {
            ACCESS_TYP => OfSession::Perhaps,
            _ => OfSession::Never,
        };
        Self { typ: P::TYP, mode: settings.mode, has_lane: P::USE == Use::OnceByLane, session }
    }

    /// Refresh tokens: in key mode under every authority, for no other service reads them.
    pub(super) const fn refresh() -> Self {
        Self {
            typ: REFRESH_TYP,
            mode: BindingMode::Key,
            has_lane: false,
            session: OfSession::Always,
        }
    }

    pub(super) fn algorithm(self, key: &MasterKey) -> Option<Algorithm> {
        self.mode.algorithm(key)
    }
}
