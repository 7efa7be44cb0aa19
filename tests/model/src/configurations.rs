//! The configurations.

use relatch::{BindingMode, sessions::OnReuse};

use crate::{
    configuration::{Configuration, Revocation},
    sights::Sight,
};

const MOST_SORTS: &[Revocation] = &[
    Revocation::LogOut,
    Revocation::LogOutOthers,
    Revocation::LogOutEverywhere,
    Revocation::BumpVersion,
    Revocation::ReplacePassword,
    Revocation::ChangePassword,
];

/// The defaults of the configurations.
const COMMON: Configuration = Configuration {
    name: "",
    mode: BindingMode::Key,
    slots: 2,
    on_reuse: OnReuse::EndSession,
    grace: 10,
    idle: 100,
    absolute: 1_000,
    late_repeat: 0,
    client: None,
    ends_at: None,
    instants: &[0, 10, 21],
    begins: 0,
    returns: 0,
    devices: 1,
    tabs: 1,
    logs_in_again: false,
    has_thief: false,
    all_race: false,
    reads_again: false,
    has_link: false,
    has_reset: false,
    has_backup: false,
    sessions: 1,
    refreshes: 2,
    revocations: 0,
    sorts: MOST_SORTS,
    sights: &[],
};

pub(crate) const CONFIGURATIONS: &[Configuration] = &[
    Configuration {
        name: "honest devices",
        devices: 2,
        all_race: true,
        sessions: 3,
        revocations: 1,
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Reuse,
            Sight::LostRace,
            Sight::LostResponse,
            Sight::TakesOver,
        ],
        ..COMMON
    },
    Configuration {
        name: "clock set back",
        instants: &[0, 5, 10, 21],
        begins: 1,
        returns: 2,
        refreshes: 3,
        sights: &[Sight::Refresh, Sight::GraceHit, Sight::Reuse, Sight::LostResponse],
        ..COMMON
    },
    Configuration {
        name: "revoked, and set back",
        instants: &[0, 5, 21],
        begins: 1,
        returns: 1,
        has_reset: true,
        sessions: 3,
        refreshes: 1,
        revocations: 2,
        sights: &[Sight::Refresh, Sight::GraceHit, Sight::LostRace, Sight::LostResponse],
        ..COMMON
    },
    Configuration {
        name: "theft",
        instants: &[0, 10, 21, 110, 121],
        has_thief: true,
        refreshes: 3,
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Sharing,
            Sight::TheftIsFound,
            Sight::ThiefIsCaught,
            Sight::LostRace,
            Sight::LostResponse,
        ],
        ..COMMON
    },
    Configuration {
        name: "theft and two revocations",
        has_thief: true,
        sessions: 2,
        revocations: 2,
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Sharing,
            Sight::TheftIsFound,
            Sight::ThiefIsCaught,
            Sight::LostRace,
        ],
        ..COMMON
    },
    Configuration {
        name: "everything races",
        has_thief: true,
        all_race: true,
        has_link: true,
        instants: &[0, 21],
        sessions: 2,
        revocations: 1,
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Sharing,
            Sight::TheftIsFound,
            Sight::ThiefIsCaught,
            Sight::LostRace,
        ],
        ..COMMON
    },
    Configuration {
        name: "two revocations race",
        devices: 2,
        all_race: true,
        reads_again: true,
        has_reset: true,
        instants: &[0, 21],
        sessions: 3,
        refreshes: 1,
        revocations: 2,
        sights: &[Sight::Refresh, Sight::LostRace, Sight::RevokedMeanwhile],
        ..COMMON
    },
    Configuration {
        name: "two tabs and a thief",
        tabs: 2,
        has_thief: true,
        refreshes: 3,
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Sharing,
            Sight::TheftIsFound,
            Sight::ThiefIsCaught,
            Sight::LostRace,
        ],
        ..COMMON
    },
    Configuration {
        name: "one slot",
        slots: 1,
        devices: 2,
        has_thief: true,
        all_race: true,
        instants: &[0, 21],
        sessions: 3,
        refreshes: 1,
        revocations: 1,
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Sharing,
            Sight::TheftIsFound,
            Sight::ThiefIsCaught,
            Sight::LostRace,
            Sight::Eviction,
        ],
        ..COMMON
    },
    Configuration {
        name: "two slots",
        devices: 2,
        logs_in_again: true,
        has_thief: true,
        instants: &[0, 21],
        sessions: 4,
        refreshes: 1,
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Sharing,
            Sight::TheftIsFound,
            Sight::ThiefIsCaught,
            Sight::LostRace,
            Sight::Eviction,
        ],
        ..COMMON
    },
    Configuration {
        name: "expiry",
        idle: 20,
        absolute: 45,
        instants: &[0, 15, 20, 30, 45],
        returns: 1,
        has_thief: true,
        sessions: 2,
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Sharing,
            Sight::TheftIsFound,
            Sight::ThiefIsCaught,
            Sight::LostRace,
            Sight::Expiry,
        ],
        ..COMMON
    },
    Configuration {
        name: "restored backup",
        has_thief: true,
        has_backup: true,
        sessions: 2,
        revocations: 1,
        sorts: &[Revocation::LogOut],
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Sharing,
            Sight::TheftIsFound,
            Sight::ThiefIsCaught,
            Sight::LostRace,
            Sight::Rollback,
        ],
        ..COMMON
    },
    Configuration {
        name: "no grace",
        mode: BindingMode::StampHs256,
        on_reuse: OnReuse::EndAllSessions,
        grace: 0,
        devices: 2,
        has_thief: true,
        sessions: 2,
        refreshes: 1,
        revocations: 1,
        sights: &[Sight::Refresh, Sight::TheftIsFound, Sight::ThiefIsCaught, Sight::LostRace],
        ..COMMON
    },
    Configuration {
        name: "late repeats",
        late_repeat: 50,
        client: Some(PHONE),
        idle: 200,
        instants: &[0, 20, 40, 95],
        has_thief: true,
        refreshes: 3,
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::Sharing,
            Sight::LateRepeat,
            Sight::LateSharing,
            Sight::TheftIsFound,
            Sight::ThiefIsCaught,
            Sight::LostRace,
            Sight::LostResponse,
        ],
        ..COMMON
    },
    Configuration {
        name: "an honest phone",
        late_repeat: 50,
        client: Some(PHONE),
        idle: 200,
        instants: &[0, 20, 40, 95],
        returns: 1,
        sessions: 2,
        refreshes: 3,
        revocations: 1,
        sorts: &[Revocation::Restart, Revocation::LogOutOthers],
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::LateRepeat,
            Sight::Reuse,
            Sight::LostResponse,
            Sight::Restart,
        ],
        ..COMMON
    },
    Configuration {
        name: "revoked by SQL",
        devices: 2,
        logs_in_again: true,
        instants: &[0, 21],
        sessions: 4,
        refreshes: 1,
        revocations: 2,
        sorts: &[
            Revocation::BumpVersion,
            Revocation::ReplacePassword,
            Revocation::BumpEpoch,
            Revocation::Disable,
            Revocation::Revoke,
        ],
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::LostRace,
            Sight::Eviction,
            Sight::TakesOver,
            Sight::RevokedByToken,
            Sight::StaleEpoch,
        ],
        ..COMMON
    },
    Configuration {
        name: "restarts race",
        devices: 2,
        all_race: true,
        reads_again: true,
        instants: &[0, 21],
        sessions: 4,
        refreshes: 1,
        revocations: 2,
        sorts: &[
            Revocation::Restart,
            Revocation::LogOut,
            Revocation::Revoke,
            Revocation::LogOutOthers,
            Revocation::ReplacePassword,
            Revocation::BumpEpoch,
        ],
        sights: &[
            Sight::Refresh,
            Sight::LostRace,
            Sight::RevokedMeanwhile,
            Sight::Restart,
            Sight::RevokedByToken,
            Sight::StaleEpoch,
        ],
        ..COMMON
    },
    Configuration {
        name: "a fixed end",
        idle: 20,
        client: Some(PHONE),
        ends_at: Some(30),
        instants: &[0, 15, 29, 30],
        has_thief: true,
        sessions: 3,
        revocations: 1,
        sorts: &[Revocation::Restart, Revocation::LogOutOthers, Revocation::Revoke],
        sights: &[
            Sight::Refresh,
            Sight::GraceHit,
            Sight::TheftIsFound,
            Sight::Restart,
            Sight::RevokedByToken,
        ],
        ..COMMON
    },
];

/// The name of a policy, of the greatest length.
const PHONE: &str = "phone-0123456789";

/// The same world with a longer history, if that can be searched within a minute.
pub(crate) fn deep(bounds: &Configuration) -> Configuration {
    match bounds.name {
        "clock set back" => Configuration { returns: 3, sessions: 2, refreshes: 4, ..*bounds },
        "theft" => Configuration { sessions: 2, ..*bounds },
        "everything races" => Configuration { revocations: 2, ..*bounds },
        "two tabs and a thief" => Configuration { sessions: 2, ..*bounds },
        "one slot" => Configuration { revocations: 2, ..*bounds },
        "two slots" => Configuration { revocations: 1, ..*bounds },
        "expiry" => Configuration { refreshes: 3, ..*bounds },
        "no grace" => Configuration { refreshes: 2, ..*bounds },
        "late repeats" => Configuration {
            sessions: 2,
            refreshes: 4,
            revocations: 1,
            sorts: &[Revocation::Restart],
            ..*bounds
        },
        _ => *bounds,
    }
}
