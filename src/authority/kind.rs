//! Kinds of tokens: what the kernel and the mint need to know of a purpose.

use jsonwebtoken::Algorithm;

use super::builder::{BindingMode, Settings};
use crate::{
    jws,
    purpose::{self, Purpose},
    secret::MasterKey,
};

/// A purpose under an authority's settings.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) typ: &'static str,
    pub(super) mode: BindingMode,
    pub(super) has_lane: bool,
}

impl Kind {
    pub(super) const fn of<P: Purpose>(settings: &Settings) -> Self {
        const {
            assert!(
                purpose::is_typ(P::TYP),
                "Purpose::TYP takes 1 to 64 of A-Z a-z 0-9 ! # $ & - ^ _ . +"
            );
        };
        Self { typ: P::TYP, mode: settings.mode, has_lane: P::LANE }
    }

    /// The one header of such tokens under this key.
    pub(super) fn pinned_header(self, key: &MasterKey) -> Option<String> {
        jws::pinned_header(self.algorithm(key)?, key.kid(), self.typ)
    }

    pub(super) fn algorithm(self, key: &MasterKey) -> Option<Algorithm> {
        self.mode.algorithm(key)
    }
}
