//! A state of the world: the row, the tokens of each party, the requests in flight, and what the
//! history promises each session. All tokens ever handed out are kept; a thief can have any of them.

use relatch::sessions::SessionId;

use crate::{
    configuration::Configuration,
    library::{Call, Instant, RowId, TokenId, Tokens},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) row: RowId,
    pub(crate) now: Instant,
    /// Whether the user is not disabled.
    pub(crate) is_active: bool,
    /// In the order of their start.
    pub(crate) sessions: Vec<Session>,
    /// The refresh token that each device holds.
    pub(crate) held: [Option<TokenId>; 2],
    /// At most one of each client, sorted.
    pub(crate) requests: Vec<Request>,
    /// The revocations, and returns of the clock, that are left.
    pub(crate) revocations: u8,
    pub(crate) returns: u8,
    pub(crate) is_plain_dead: bool,
    pub(crate) links_used: u8,
    pub(crate) resets_used: u8,
    /// Whether a login took another slot than it had to, or ended another session.
    pub(crate) has_misplaced: bool,
    pub(crate) backup: Backup,
    /// The laws that this state breaks, one bit each: a function of all other fields.
    pub(crate) broken: u16,
}

/// A session, as its user understands it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// Whether its newest refresh token was handed to the thief.
    pub(crate) is_with_thief: bool,
    pub(crate) standing: Standing,
    pub(crate) started_at: Instant,
    pub(crate) rotated_at: Instant,
    /// Its refresh tokens, oldest first: the place is the `seq`.
    pub(crate) chain: Vec<Issued>,
    /// The places that a late repeat handed out, one bit each.
    pub(crate) late: u16,
    /// The places that two parties may have: those of late repeats, and those that the grace handed out
    /// again to a holder of such a place.
    pub(crate) shared: u16,
    /// Its access tokens, sorted.
    pub(crate) access: Vec<Issued>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Issued {
    pub(crate) token: TokenId,
    /// The validity, unless revoked.
    pub(crate) at: Instant,
    pub(crate) end: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    Live,
    /// Revoked without the table, in which it still has its slot.
    Void,
    /// No longer in the table.
    Over,
}

/// A request that is decided and not yet stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) client: Client,
    pub(crate) call: Call,
    pub(crate) read: RowId,
    pub(crate) at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Client {
    Tab {
        device: u8,
        tab: u8,
    },
    Thief,
    /// The page that lists the user's devices.
    Page,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Backup {
    None,
    Taken(Box<Copied>),
    /// These tokens were handed out after the backup, and are ahead of the row.
    Restored {
        ahead: Vec<Ahead>,
        has_moved: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Copied {
    pub(crate) row: RowId,
    pub(crate) sessions: Vec<Session>,
    pub(crate) is_plain_dead: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ahead {
    pub(crate) session: SessionId,
    pub(crate) seq: usize,
    pub(crate) issued: Issued,
}

impl Issued {
    pub(crate) fn is_valid(self, now: Instant) -> bool {
        (self.at..self.end).contains(&now)
    }
}

impl Standing {
    /// The standing of a session in which another goes on. What is revoked is not to be exchanged
    /// for anything.
    pub(crate) const fn of_kept(self, is_live: bool) -> Self {
        match self {
            Self::Live if !is_live => Self::Over,
            other => other,
        }
    }
}

impl Session {
    pub(crate) fn start(
        tokens: Tokens,
        standing: Standing,
        started_at: Instant,
        at: Instant,
        bounds: &Configuration,
    ) -> Self {
        let mut session = Self {
            id: tokens.session,
            is_with_thief: false,
            standing: Standing::Live,
            started_at,
            rotated_at: at,
            chain: Vec::new(),
            late: 0,
            shared: 0,
            access: Vec::new(),
        };
        session.hand_out(tokens, at, bounds);
        session.revoke(standing);
        session
    }

    /// Tokens made at this time were handed out.
    pub(crate) fn hand_out(&mut self, tokens: Tokens, at: Instant, bounds: &Configuration) {
        let is_new = self.place_of(tokens.refresh).is_none();
        let is_late = !is_new && !is_within(bounds.grace, at - self.rotated_at);
        let before = self.chain.len().checked_sub(2);
        let is_shared = is_late || !is_new && before.is_some_and(|place| self.was_shared(place));
        if is_new && self.standing != Standing::Over {
            self.rotated_at = at;
        }
        let end = self.end(bounds);
        if is_new {
            self.chain.push(Issued { token: tokens.refresh, at, end });
        }
        if self.standing != Standing::Over {
            self.late |= u16::from(is_late) << (self.chain.len() - 1);
            self.shared |= u16::from(is_shared) << (self.chain.len() - 1);
        }
        let access = Issued { token: tokens.access, at, end };
        if let Err(place) = self.access.binary_search(&access) {
            self.access.insert(place, access);
        }
    }

    pub(crate) fn place_of(&self, refresh: TokenId) -> Option<usize> {
        self.chain.iter().position(|issued| issued.token == refresh)
    }

    /// Whether two parties may have the token at this place, by a late repeat and what followed.
    pub(crate) const fn was_shared(&self, place: usize) -> bool {
        self.shared & (1 << place) != 0
    }

    /// The number of its slot.
    pub(crate) fn slot(&self) -> u32 {
        slot_of(self.id)
    }

    /// Its latest valid access token.
    pub(crate) fn access_token(&self, now: Instant) -> Option<TokenId> {
        let valid = self.access.iter().filter(|issued| issued.is_valid(now));
        valid.max_by_key(|issued| issued.at).map(|issued| issued.token)
    }

    pub(crate) fn head(&self) -> Option<TokenId> {
        self.chain.last().map(|issued| issued.token)
    }

    /// Changes the session's standing. An ended one drops its times: states that differ in them alone are one.
    pub(crate) fn revoke(&mut self, standing: Standing) {
        self.standing = standing;
        if standing == Standing::Over {
            (self.started_at, self.rotated_at) = (0, 0);
            self.is_with_thief = false;
            (self.late, self.shared) = (0, 0);
        }
    }

    /// The first second after its end: idle, absolute or fixed.
    pub(crate) fn end(&self, bounds: &Configuration) -> Instant {
        let end = (self.rotated_at + bounds.idle).min(self.started_at + bounds.absolute);
        bounds.ends_at.map_or(end, |fixed| fixed.min(end))
    }

    pub(crate) fn is_live(&self, bounds: &Configuration, now: Instant) -> bool {
        self.standing == Standing::Live && now < self.end(bounds)
    }
}

/// Whether this time, which is on if it is not 0, covers what has elapsed, in both directions.
pub(crate) const fn is_within(time: Instant, elapsed: Instant) -> bool {
    time > 0 && elapsed.abs() <= time
}

pub(crate) fn slot_of(id: SessionId) -> u32 {
    let id = id.to_string();
    id.split_once('.').and_then(|(slot, _)| slot.parse().ok()).unwrap()
}

impl State {
    pub(crate) fn is_live(&self, session: &Session, bounds: &Configuration) -> bool {
        self.is_active && session.is_live(bounds, self.now)
    }

    /// The slot that a login at this time must take, and the session that it must end for it.
    pub(crate) fn place_for_login(&self, slots: u32) -> (u32, Option<SessionId>) {
        let present = || self.sessions.iter().filter(|s| s.standing != Standing::Over);
        let is_free = |number: &u32| present().all(|session| session.slot() != *number);
        if let Some(number) = (0..slots).find(is_free) {
            return (number, None);
        }
        // The sessions are in the order of their generations.
        if let Some(void) = present().find(|session| session.standing == Standing::Void) {
            return (void.slot(), None);
        }
        let least = present().min_by_key(|session| session.rotated_at);
        least.map_or((0, None), |session| (session.slot(), Some(session.id)))
    }

    /// The session of this refresh token; the latest one if a text occurred twice.
    pub(crate) fn session_of(&self, refresh: TokenId) -> Option<&Session> {
        self.sessions.iter().rev().find(|session| session.place_of(refresh).is_some())
    }

    /// The session of this access token.
    pub(crate) fn session_of_access(&self, access: TokenId) -> Option<&Session> {
        let has = |session: &&Session| session.access.iter().any(|issued| issued.token == access);
        self.sessions.iter().rev().find(has)
    }

    pub(crate) fn request_of(&self, client: Client) -> Option<&Request> {
        self.requests.iter().find(|request| request.client == client)
    }

    /// Revokes the sessions that `is_revoked` selects, except those that have ended.
    pub(crate) fn revoke(&mut self, standing: Standing, is_revoked: impl Fn(&Session) -> bool) {
        for session in &mut self.sessions {
            if session.standing != Standing::Over && is_revoked(session) {
                session.revoke(standing);
            }
        }
    }
}
