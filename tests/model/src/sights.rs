//! Events that a search must see, so that no law holds only because nothing happened.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// An event, mostly of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Refresh,
    /// A refresh token presented again within the grace, by the party that has the successor.
    GraceHit,
    /// The same, by the other party (owner or thief).
    Sharing,
    /// A late repeat, by the party that has the successor.
    LateRepeat,
    /// The same, by the other party.
    LateSharing,
    /// A used token, by the party that used it last.
    Reuse,
    /// The same by the owner, after the thief had refreshed.
    TheftIsFound,
    /// The same by the thief, after the owner had refreshed.
    ThiefIsCaught,
    LostRace,
    /// A session was verified, and revoked before it logged the others out.
    RevokedMeanwhile,
    LostResponse,
    Eviction,
    /// A login took the slot of a revoked session.
    TakesOver,
    /// A session restarted, or was revoked by one of its tokens.
    Restart,
    RevokedByToken,
    /// What was decided under an epoch is stored under a later one.
    StaleEpoch,
    /// A session expired: idle, absolute or fixed.
    Expiry,
    /// A backup was restored, and some tokens are ahead of it.
    Rollback,
}

impl Sight {
    pub(crate) const ALL: [Self; 18] = [
        Self::Refresh,
        Self::GraceHit,
        Self::Sharing,
        Self::LateRepeat,
        Self::LateSharing,
        Self::Reuse,
        Self::TheftIsFound,
        Self::ThiefIsCaught,
        Self::LostRace,
        Self::RevokedMeanwhile,
        Self::LostResponse,
        Self::Eviction,
        Self::TakesOver,
        Self::Restart,
        Self::RevokedByToken,
        Self::StaleEpoch,
        Self::Expiry,
        Self::Rollback,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::GraceHit => "grace hit",
            Self::Sharing => "sharing",
            Self::LateRepeat => "late repeat",
            Self::LateSharing => "late sharing",
            Self::Reuse => "reuse",
            Self::TheftIsFound => "theft found",
            Self::ThiefIsCaught => "thief caught",
            Self::LostRace => "lost race",
            Self::RevokedMeanwhile => "revoked meanwhile",
            Self::LostResponse => "lost response",
            Self::Eviction => "eviction",
            Self::TakesOver => "takes over",
            Self::Restart => "restart",
            Self::RevokedByToken => "revoked by token",
            Self::StaleEpoch => "stale epoch",
            Self::Expiry => "expiry",
            Self::Rollback => "rollback",
        }
    }
}

/// The events seen.
#[derive(Default)]
pub(crate) struct Sights([AtomicBool; Sight::ALL.len()]);

impl Sights {
    pub(crate) fn see(&self, sight: Sight) {
        self.0[sight as usize].store(true, Relaxed);
    }

    pub(crate) fn has(&self, sight: Sight) -> bool {
        self.0[sight as usize].load(Relaxed)
    }
}
