//! A configuration: a small world that is searched completely.

use relatch::{
    BindingMode, SessionPolicy,
    sessions::{OnReuse, WhenFull},
};
use time::Duration;

use crate::{library::Instant, sights::Sight};

/// The policy, the participants, and the bounds of the history.
#[derive(Clone, Copy)]
pub(crate) struct Configuration {
    pub(crate) name: &'static str,
    pub(crate) mode: BindingMode,
    pub(crate) slots: u32,
    pub(crate) on_reuse: OnReuse,
    /// In seconds, like all times.
    pub(crate) grace: Instant,
    pub(crate) idle: Instant,
    pub(crate) absolute: Instant,
    /// All instants; the clock moves from one to any later one.
    pub(crate) instants: &'static [Instant],
    /// The index of the first instant, and how often the clock can be set back.
    pub(crate) begins: usize,
    pub(crate) returns: u8,
    /// The number of devices, and of the requests that each can have in flight.
    pub(crate) devices: u8,
    pub(crate) tabs: u8,
    /// Whether a device can start a session while it has one.
    pub(crate) logs_in_again: bool,
    pub(crate) has_thief: bool,
    /// Whether all requests, and not refreshes alone, read the row in one step and store in
    /// another.
    pub(crate) all_race: bool,
    /// Whether a device verified in the first of these steps logs the others out against the row of
    /// the second.
    pub(crate) reads_again: bool,
    pub(crate) has_link: bool,
    /// Whether there is a link to set a new password, which counts as no revocation.
    pub(crate) has_reset: bool,
    pub(crate) has_backup: bool,
    /// The history's bounds: sessions ever started, refreshes of each, revocations of any sort.
    pub(crate) sessions: usize,
    pub(crate) refreshes: usize,
    pub(crate) revocations: u8,
    pub(crate) sorts: &'static [Revocation],
    /// What must happen somewhere, so that no law holds only because nothing happened.
    pub(crate) sights: &'static [Sight],
}

/// The kinds of revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Revocation {
    LogOut,
    LogOutOthers,
    LogOutEverywhere,
    /// By the application, without the library.
    BumpVersion,
    ReplacePassword,
    /// A new password, with the others logged out.
    ChangePassword,
}

impl Configuration {
    pub(crate) fn policy(&self) -> SessionPolicy {
        let seconds = |seconds| Duration::seconds(i64::from(seconds));
        SessionPolicy::new()
            .max_sessions(self.slots)
            .when_full(WhenFull::EvictLeastRecentlyUsed)
            .idle_lifetime(seconds(self.idle))
            .absolute_lifetime(seconds(self.absolute))
            .grace(seconds(self.grace))
            .on_reuse(self.on_reuse)
    }

    /// The first instant.
    pub(crate) const fn start(&self) -> Instant {
        self.instants[self.begins]
    }
}
