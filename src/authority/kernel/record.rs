//! A user's record, validated against the settings.

use std::borrow::Cow;

use time::OffsetDateTime;

use super::kind::Kind;
use crate::{
    authority::kernel::settings::Settings,
    binding::{
        context::Context,
        credential::Credential,
        derivation::{Body, Bound},
        key_cache::UserKeys,
        session_tag::session_tag,
    },
    bytes::constant_time,
    counter::Counter,
    sessions::SessionTag,
    token::purpose::Purpose,
    user::{MAX_ID_BYTES, RecordError, User, count, following},
};

/// The values of a validated record that go into a derivation's body.
pub(crate) struct Record<'a> {
    credential: Cow<'a, Credential>,
    pub(crate) outer: Vec<(Cow<'a, str>, u64)>,
    pub(crate) version: u64,
    pub(crate) lane: Option<u64>,
    pub(crate) keys: Option<&'a UserKeys>,
}

impl<'a> Record<'a> {
    #[inline]
    pub(crate) fn of(
        settings: &'a Settings,
        kind: Kind,
        user: &'a (impl User + ?Sized),
    ) -> Result<Self, RecordError> {
        if !(1..=MAX_ID_BYTES).contains(&user.id().len()) {
            return Err(RecordError::Id);
        }
        let binding = user.binding();
        let version = binding.current_version();
        Ok(Self {
            credential: binding.effective(user.carried()).map_err(RecordError::Credential)?,
            outer: outer(settings, user)?,
            version: count(version)?,
            lane: match kind.has_lane {
                true => Some(count(user.lane(kind.typ).ok_or(RecordError::Lane)?)?),
                false => None,
            },
            keys: user.user_keys(),
        })
    }

    /// A record in the place of one that is missing. No token is bound to it.
    pub(crate) fn stand_in(settings: &'a Settings, kind: Kind) -> Self {
        let fixed = settings.fixed_epochs.iter().map(|(kind, _)| kind);
        let outer = fixed.chain(&settings.user_epochs).map(|kind| (kind.as_str().into(), 0));
        Self {
            credential: Cow::Owned(Credential::stand_in()),
            outer: outer.collect(),
            version: 0,
            lane: kind.has_lane.then_some(0),
            keys: None,
        }
    }

    pub(crate) fn has_credential_of(&self, other: &Record<'_>) -> bool {
        constant_time::equal(self.credential.as_bytes(), other.credential.as_bytes())
    }

    /// Sets the version, for tokens of the record after a change.
    pub(crate) fn move_version(&mut self, version: Counter) -> Result<(), RecordError> {
        self.version = count(version)?;
        Ok(())
    }

    pub(crate) fn move_lane(&mut self, lane: Counter) -> Result<(), RecordError> {
        self.lane = Some(count(lane)?);
        Ok(())
    }

    /// The tag of the sessions whose tokens are bound to this record.
    pub(crate) fn session_tag(&self) -> SessionTag {
        session_tag(&self.credential, self.version, &self.outer)
    }

    pub(crate) fn body(&self, user_id: &str, context: &Context) -> Body {
        Body::of(&Bound {
            user_id,
            credential: &self.credential,
            outer: &self.outer,
            version: self.version,
            lane: self.lane,
            context,
        })
    }
}

/// The outer epochs: those of the configuration, then the user's. The user's must have the kinds
/// that the settings name.
#[inline]
fn outer<'a>(
    settings: &'a Settings,
    user: &'a (impl User + ?Sized),
) -> Result<Vec<(Cow<'a, str>, u64)>, RecordError> {
    let epochs = user.epochs();
    if !epochs.iter().map(|epoch| epoch.kind).eq(settings.user_epochs.iter().map(String::as_str)) {
        return Err(RecordError::Epochs);
    }
    if epochs.is_empty() && settings.fixed_epochs.is_empty() {
        return Ok(Vec::new());
    }
    let fixed = settings.fixed_epochs.iter().map(|(kind, counter)| (Cow::from(kind), *counter));
    let own = epochs.iter().map(|epoch| (epoch.name(), epoch.counter));
    fixed.chain(own).map(|(name, counter)| Ok((name, count(counter)?))).collect()
}

/// The next value of the user's counter for this purpose.
pub(crate) fn next_lane<P: Purpose>(
    user: &dyn User,
    now: OffsetDateTime,
) -> Result<Counter, RecordError> {
    following(user.lane(P::TYP).ok_or(RecordError::Lane)?, now)
}
