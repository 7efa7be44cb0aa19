//! The core of an authority: the settings and the keys.

use std::{mem::MaybeUninit, sync::Arc};

use time::OffsetDateTime;

use super::{
    kind::Kind,
    pinned::{Keys, PinnedKey},
    settings::Settings,
};
use crate::{
    authority::error::IssueError,
    keys::key_ring::KeyRing,
    rejection::{Reason, Rejection, Stage},
    token::compact::{self, Compact, UntrustedHeader},
};

/// The settings and the keys of an authority. A clone is cheap and shares them.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) settings: Arc<Settings>,
    keys: Arc<Keys>,
}

impl Core {
    pub(crate) fn new(settings: Arc<Settings>, keys: KeyRing) -> Self {
        Self { settings, keys: Arc::new(Keys::new(keys)) }
    }

    pub(crate) fn keys(&self) -> &KeyRing {
        &self.keys.ring
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.settings.clock.now()
    }

    /// The current time in whole seconds since 1970.
    pub(crate) fn second(&self) -> i64 {
        self.settings.clock.unix_timestamp()
    }

    /// Whether both cores share the same settings. Their keys can differ.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.settings, &other.settings)
    }

    /// The key that signs new tokens.
    pub(crate) fn current_key(&self, kind: Kind) -> Result<PinnedKey<'_>, IssueError> {
        let key = self.keys.current(&self.settings, kind);
        key.ok_or(IssueError::AmbiguousType { typ: kind.typ })
    }

    /// The key whose pinned header the token has, and the token's parts. `None` for a token that is too
    /// long, has another header, a retired key or a signature of another length:
    /// [`explain`](Self::explain) finds out which.
    #[inline]
    pub(crate) fn locate<'t>(
        &self,
        text: &'t str,
        kind: Kind,
    ) -> Option<(PinnedKey<'_>, Compact<'t>)> {
        if text.len() > self.settings.max_token_bytes {
            return None;
        }
        let mut keys = self.keys.pinned(&self.settings, kind);
        let (key, header) = keys.find_map(|key| Some((key, key.header_len(text)?)))?;
        if check_deadline(key, &self.settings).is_err() {
            return None;
        }
        Some((key, Compact::behind(header, kind.signature_len(), text)?))
    }

    /// The token's three parts, if the token is within the cap on its length.
    pub(crate) fn split<'t>(&self, text: &'t str) -> Result<Compact<'t>, Rejection> {
        if text.len() > self.settings.max_token_bytes {
            return Err(Rejection::new(Stage::Length, Reason::TooLong));
        }
        Compact::split(text).ok_or(Rejection::new(Stage::Shape, Reason::Malformed))
    }

    /// The reason to reject a token that was not located.
    pub(crate) fn explain(&self, compact: Compact<'_>, kind: Kind) -> Rejection {
        let header = compact.header;
        let mut keys = self.keys.pinned(&self.settings, kind);
        match keys.find(|key| key.header() == Some(header)) {
            None => self.explain_header(header, kind),
            Some(key) => match check_deadline(key, &self.settings) {
                Err(retired) => retired,
                // Only the length of the signature is left.
                Ok(()) => Rejection::new(Stage::Shape, Reason::Malformed),
            },
        }
    }

    /// The reason to reject a header that is not one of the pinned headers.
    fn explain_header(&self, header: &str, kind: Kind) -> Rejection {
        let mut buffer = [const { MaybeUninit::uninit() }; _];
        let reason = match UntrustedHeader::read(header, &mut buffer) {
            None => Reason::Malformed,
            Some(header) => match self.keys().iter().find(|(key, _)| key.kid() == header.kid) {
                None => Reason::UnknownKey,
                Some(_) if header.typ != kind.typ || self.current_key(kind).is_err() => {
                    Reason::WrongType
                }
                Some((key, _))
                    if Some(header.alg) != kind.algorithm(key).map(compact::alg_name) =>
                {
                    Reason::WrongAlgorithm
                }
                Some(_) => Reason::Malformed,
            },
        };
        Rejection::new(Stage::Header, reason)
    }
}

/// The deadline of a retiring key can have a fraction of a second, so it takes a reading of its own.
pub(super) fn check_deadline(key: PinnedKey<'_>, settings: &Settings) -> Result<(), Rejection> {
    match key.until.is_some_and(|until| settings.clock.now() >= until) {
        true => Err(Rejection::new(Stage::Header, Reason::RetiredKey)),
        false => Ok(()),
    }
}
