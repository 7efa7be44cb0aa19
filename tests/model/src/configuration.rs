//! A configuration: a small world that is searched completely.

use relatch::{
    BindingMode, SessionPolicy,
    sessions::{ClientPolicy, OnReuse, WhenFull},
};
use time::Duration;

use crate::{library::Instant, sights::Sight};

/// The bound of a session's data, in bytes: each session has data of this length.
pub(crate) const MAX_DATA_BYTES: usize = 16;

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
    /// The time for a late repeat; 0 for none.
    pub(crate) late_repeat: Instant,
    /// The name of the policy that has these times. Those of the default policy are then the
    /// shortest.
    pub(crate) client: Option<&'static str>,
    /// The fixed end of each session.
    pub(crate) ends_at: Option<Instant>,
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
    /// By a refresh token (RFC 7009).
    Revoke,
    /// The device goes on, with a new session.
    Restart,
    /// By the application, without the library.
    BumpVersion,
    ReplacePassword,
    /// The epoch of the user's tenant.
    BumpEpoch,
    /// The user is disabled, and can be enabled again.
    Disable,
    /// A new password, with the others logged out.
    ChangePassword,
}

impl Configuration {
    pub(crate) fn policy(&self) -> SessionPolicy {
        let seconds = |seconds| Duration::seconds(i64::from(seconds));
        let policy = SessionPolicy::new()
            .max_sessions(self.slots)
            .max_data_bytes(MAX_DATA_BYTES)
            .when_full(WhenFull::EvictLeastRecentlyUsed)
            .on_reuse(self.on_reuse);
        match self.client {
            None => policy
                .idle_lifetime(seconds(self.idle))
                .absolute_lifetime(seconds(self.absolute))
                .grace(seconds(self.grace))
                .late_repeat(seconds(self.late_repeat)),
            Some(client) => policy
                .idle_lifetime(seconds(1))
                .absolute_lifetime(seconds(1))
                .grace(seconds(0))
                .named(
                    client,
                    ClientPolicy::new()
                        .idle_lifetime(seconds(self.idle))
                        .absolute_lifetime(seconds(self.absolute))
                        .grace(seconds(self.grace))
                        .late_repeat(seconds(self.late_repeat)),
                ),
        }
    }

    /// The first instant.
    pub(crate) const fn start(&self) -> Instant {
        self.instants[self.begins]
    }
}
