//! The kind of a token: a purpose under an authority's settings, as a value.

use jsonwebtoken::Algorithm;

use crate::{
    authority::kernel::settings::{BindingMode, Settings},
    keys::master_key::MasterKey,
    token::purpose::{self, ACCESS_TYP, Purpose, REFRESH_TYP, Usage},
};

/// The properties of a purpose under an authority's settings.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) typ: &'static str,
    pub(super) mode: BindingMode,
    pub(crate) has_lane: bool,
    pub(crate) session: OfSession,
}

/// Whether tokens of a kind belong to a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfSession {
    Never,
    /// Access tokens: they have `sid` if they were issued with a session.
    Perhaps,
    /// Refresh tokens: they have `sid` and `seq`.
    Always,
}

impl Kind {
    pub(crate) fn of<P: Purpose>(settings: &Settings) -> Self {
        const { purpose::check::<P>() };
        let session = match P::TYP {
            ACCESS_TYP => OfSession::Perhaps,
            _ => OfSession::Never,
        };
        let mode = if P::PORTABLE { settings.mode } else { BindingMode::Key };
        Self { typ: P::TYP, mode, has_lane: P::USAGE == Usage::OnceByLane, session }
    }

    /// The kind of refresh tokens. They are in key mode under every authority, like those of every
    /// purpose that is not portable.
    pub(crate) const fn refresh() -> Self {
        Self {
            typ: REFRESH_TYP,
            mode: BindingMode::Key,
            has_lane: false,
            session: OfSession::Always,
        }
    }

    /// The length of a signature, in characters.
    pub(crate) const fn signature_len(self) -> usize {
        self.mode.signature_len()
    }

    pub(crate) fn algorithm(self, key: &MasterKey) -> Option<Algorithm> {
        self.mode.algorithm(key)
    }
}
