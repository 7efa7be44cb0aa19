//! The laws. Each is checked on one state: every token ever handed out is presented to the state's row
//! at the state's time.

use relatch::sessions::{EventKind, SessionTable};

use crate::{
    configuration::{Configuration, MAX_DATA_BYTES, Revocation},
    library::{Call, Decided, Event, Library, Outcome},
    promise::Promise,
    state::{Ahead, Backup, Issued, Session, Standing, State, is_within},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Law {
    /// No token from before a revocation is accepted after it, nor one of an ended session.
    RevokedIsDead,
    /// What was not revoked is accepted.
    LiveIsAccepted,
    /// A retry within the grace, or within the time for a late repeat, logs nobody out.
    RetryLogsNobodyOut,
    /// A used refresh token, two steps behind or past the grace, is reported and ends its session.
    ReuseEnds,
    /// While two parties hold a chain, every answer to a used token is reported, and of late ones the
    /// first; otherwise there is none.
    SharingIsReported,
    /// A token that a late repeat handed out has no late repeat itself, nor has one that the grace
    /// handed out again after it: two parties who go on by turns meet the grace at every turn.
    NobodyLeapfrogs,
    /// A session has one refresh token in force, and the same place in the chain has the same bytes.
    ChainNeverForks,
    /// The record stays within its bound, and has no session that was logged out.
    RecordIsBounded,
    /// A token ahead of a restored record is reported as such, and changes nothing.
    RollbackEndsNothing,
    /// The list has exactly the live sessions, which are those whose newest refresh token is
    /// accepted.
    ListIsTrue,
    /// A session keeps its label, data, policy and ends.
    SessionKeepsItsOwn,
    /// A login takes a free slot, or else that of the oldest revoked session, or else that of the
    /// least recently used one.
    LoginTakesTheRightSlot,
    /// Any refresh token of a live session revokes it, and no other token revokes anything.
    TokenRevokesItsSession,
    /// A link is used once.
    LinkIsUsedOnce,
}

impl Law {
    pub(crate) const ALL: [Self; 14] = [
        Self::RevokedIsDead,
        Self::LiveIsAccepted,
        Self::RetryLogsNobodyOut,
        Self::ReuseEnds,
        Self::SharingIsReported,
        Self::NobodyLeapfrogs,
        Self::ChainNeverForks,
        Self::RecordIsBounded,
        Self::RollbackEndsNothing,
        Self::ListIsTrue,
        Self::SessionKeepsItsOwn,
        Self::LoginTakesTheRightSlot,
        Self::TokenRevokesItsSession,
        Self::LinkIsUsedOnce,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RevokedIsDead => "what is revoked is dead",
            Self::LiveIsAccepted => "what is live is accepted",
            Self::RetryLogsNobodyOut => "a retry logs nobody out",
            Self::ReuseEnds => "reuse is reported and ends the session",
            Self::SharingIsReported => "sharing is reported",
            Self::NobodyLeapfrogs => "two parties never leapfrog",
            Self::ChainNeverForks => "a chain never forks",
            Self::RecordIsBounded => "the record is bounded",
            Self::RollbackEndsNothing => "a rollback ends nothing",
            Self::ListIsTrue => "the list is true",
            Self::SessionKeepsItsOwn => "a session keeps its own",
            Self::LoginTakesTheRightSlot => "a login takes the right slot",
            Self::TokenRevokesItsSession => "a token revokes its session",
            Self::LinkIsUsedOnce => "a link is used once",
        }
    }

    pub(crate) const fn is_broken_by(self, state: &State) -> bool {
        state.broken & (1 << self as u16) != 0
    }
}

/// The laws that a state breaks.
pub(crate) fn judge(state: &State, library: &Library, bounds: &Configuration) -> u16 {
    let mut judge = Judge { state, library, bounds, broken: 0 };
    for session in &state.sessions {
        judge.refresh_tokens(session);
        judge.access_tokens(session);
        judge.revocations(session);
    }
    judge.devices();
    judge.record();
    judge.rolled_back();
    judge.broken
}

struct Judge<'a> {
    state: &'a State,
    library: &'a Library,
    bounds: &'a Configuration,
    broken: u16,
}

impl Judge<'_> {
    fn demand(&mut self, law: Law, holds: bool) {
        if !holds {
            self.broken |= 1 << law as u16;
        }
    }

    fn present(&self, issued: Issued) -> Outcome {
        self.library.present(issued.token, self.state.row, self.state.now)
    }

    fn refresh_tokens(&mut self, session: &Session) {
        let mut in_force = 0;
        for (place, issued) in session.chain.iter().enumerate() {
            let promise = match self.state.is_active {
                true => Promise::to(session, place, self.bounds, self.state.now),
                false => Promise::Nothing,
            };
            let decided = match self.present(*issued) {
                Outcome::Decided(decided) => Some(decided),
                Outcome::Refused | Outcome::Lost => None,
            };
            if let Some(Decided { tokens: Some(tokens), update, .. }) = decided {
                let is_new = session.place_of(tokens.refresh).is_none();
                in_force += u8::from(update.is_some() && is_new);
                self.demand(Law::ChainNeverForks, tokens.is_derived);
            }
            self.keeps(promise, decided, session, place);
        }
        self.demand(Law::ChainNeverForks, in_force <= 1);
        self.demand(Law::NobodyLeapfrogs, session.late & (session.shared << 1) == 0);
    }

    fn keeps(
        &mut self,
        promise: Promise,
        decided: Option<Decided>,
        session: &Session,
        place: usize,
    ) {
        let update = decided.and_then(|decided| decided.update);
        let tokens = decided.and_then(|decided| decided.tokens);
        let event = decided.and_then(|decided| decided.event);
        let reports = |kind| event.is_some_and(|event: Event| event.is_of(kind, session, place));
        match promise {
            Promise::Nothing => {
                self.demand(Law::RevokedIsDead, tokens.is_none() && update.is_none());
            }
            Promise::Successor => {
                let is_new =
                    tokens.is_some_and(|tokens| session.place_of(tokens.refresh).is_none());
                let is_plain = update.is_some() && event.is_none();
                self.demand(Law::LiveIsAccepted, is_new && is_plain);
            }
            Promise::Again { is_stored } => {
                self.demand(Law::RetryLogsNobodyOut, tokens.is_some());
                self.demand(Law::SharingIsReported, reports(EventKind::GraceHit));
                let is_same = tokens.is_none_or(|tokens| Some(tokens.refresh) == session.head());
                self.demand(Law::ChainNeverForks, is_same);
                self.demand(Law::NobodyLeapfrogs, update.is_some() == is_stored);
            }
            Promise::Late { is_first } => {
                self.demand(Law::RetryLogsNobodyOut, tokens.is_some());
                let is_told = reports(EventKind::LateRepeat) || event.is_none();
                self.demand(Law::SharingIsReported, is_told && event.is_some() == is_first);
                let is_same = tokens.is_none_or(|tokens| Some(tokens.refresh) == session.head());
                self.demand(Law::ChainNeverForks, is_same);
                self.demand(Law::NobodyLeapfrogs, update.is_some() == is_first);
            }
            Promise::End => {
                self.demand(Law::SharingIsReported, tokens.is_none());
                // Where two parties may have the token, the second one to use it is found.
                self.demand(Law::NobodyLeapfrogs, tokens.is_none() || !session.was_shared(place));
                let ends = reports(EventKind::Reuse)
                    && event.is_some_and(|event| event.ended > 0)
                    && update.is_some_and(|update| self.ends(session, update));
                self.demand(Law::ReuseEnds, ends);
            }
        }
    }

    /// Whether this update ends all of the session's tokens.
    fn ends(&self, session: &Session, update: u32) -> bool {
        let State { row, now, .. } = *self.state;
        let Some(row) = self.library.store(row, row, update) else { return false };
        let is_dead = |issued: &Issued| !self.library.accepts(issued.token, row, now);
        let is_spent =
            |issued: &Issued| self.library.present(issued.token, row, now) == Outcome::Refused;
        session.access.iter().all(is_dead) && session.chain.iter().all(is_spent)
    }

    fn access_tokens(&mut self, session: &Session) {
        let now = self.state.now;
        for issued in &session.access {
            let is_accepted = self.library.accepts(issued.token, self.state.row, now);
            if self.state.is_live(session, self.bounds) && issued.is_valid(now) {
                self.demand(Law::LiveIsAccepted, is_accepted);
            } else {
                self.demand(Law::RevokedIsDead, !is_accepted);
            }
        }
    }

    /// Revocation by each of the session's refresh tokens (RFC 7009), in the worlds that have it.
    fn revocations(&mut self, session: &Session) {
        if !self.bounds.sorts.contains(&Revocation::Revoke) {
            return;
        }
        let State { row, now, .. } = *self.state;
        for issued in &session.chain {
            let update = match self.library.decide(Call::Revoke(issued.token), row, now, true) {
                Outcome::Decided(decided) => decided.update,
                Outcome::Refused | Outcome::Lost => None,
            };
            let is_due = self.state.is_live(session, self.bounds) && issued.is_valid(now);
            let holds = match update {
                Some(update) => is_due && self.ends(session, update),
                None => !is_due,
            };
            self.demand(Law::TokenRevokesItsSession, holds);
        }
    }

    /// Without a thief, and with one request at a time, a device with a live session holds the token
    /// in force or the one before, and can refresh with it: within the grace, and within the time for
    /// a late repeat unless the answer that was lost is that to a token of a late repeat, or of the
    /// grace after it.
    fn devices(&mut self) {
        if self.bounds.has_thief || self.bounds.tabs > 1 {
            return;
        }
        for token in self.state.held.into_iter().flatten() {
            let Some(session) = self.state.session_of(token) else { continue };
            let behind = session.place_of(token).map(|place| session.chain.len() - 1 - place);
            let since = self.state.now - session.rotated_at;
            let has_late = |place: usize| !session.was_shared(place);
            let is_in_time = is_within(self.bounds.grace, since)
                || is_within(self.bounds.late_repeat, since)
                    && session.place_of(token).is_some_and(has_late);
            if !self.state.is_live(session, self.bounds) || !is_in_time {
                continue;
            }
            let is_retry = matches!(behind, Some(0 | 1));
            let outcome = self.library.present(token, self.state.row, self.state.now);
            let ends = matches!(outcome, Outcome::Decided(Decided { tokens: None, .. }));
            self.demand(Law::RetryLogsNobodyOut, is_retry && !ends);
        }
    }

    fn record(&mut self) {
        let state = self.state;
        let size = self.library.size(state.row);
        let max_bytes = SessionTable::max_bytes(self.bounds.slots, MAX_DATA_BYTES);
        let is_present = |session: &&Session| session.standing != Standing::Over;
        let present = state.sessions.iter().filter(is_present).count();
        self.demand(Law::RecordIsBounded, size.bytes <= max_bytes && size.sessions == present);
        self.demand(Law::LoginTakesTheRightSlot, !state.has_misplaced);
        self.demand(Law::LinkIsUsedOnce, state.links_used <= 1 && state.resets_used <= 1);
        let is_plain_accepted =
            self.library.accepts(self.library.plain_token(), state.row, state.now);
        let is_plain_valid = state.now >= self.bounds.start();
        let is_plain_dead = state.is_plain_dead || !state.is_active;
        self.demand(Law::RevokedIsDead, !(is_plain_dead && is_plain_accepted));
        self.demand(Law::LiveIsAccepted, is_plain_dead || !is_plain_valid || is_plain_accepted);
        self.list();
    }

    fn list(&mut self) {
        let state = self.state;
        let listed = self.library.list(state.row, state.now);
        let (mut is_true, mut lives) = (true, 0);
        for session in &state.sessions {
            let is_live = state.is_live(session, self.bounds);
            let found = listed.iter().find(|listed| listed.id == session.id);
            is_true &= found.is_some() == is_live;
            lives += usize::from(is_live);
            let is_accepted = session.chain.last().is_some_and(|issued| {
                matches!(self.present(*issued), Outcome::Decided(Decided { tokens: Some(_), .. }))
            });
            // A clock that was set back is not at the time of its tokens yet.
            let has_begun = session.chain.last().is_some_and(|issued| state.now >= issued.at);
            is_true &= found.is_some() == is_accepted || !has_begun;
            let is_its_own = found.is_none_or(|listed| {
                listed.is_as_begun
                    && listed.started_at == session.started_at
                    && listed.last_seen == session.rotated_at
            });
            self.demand(Law::SessionKeepsItsOwn, is_its_own);
        }
        self.demand(Law::ListIsTrue, is_true && listed.len() == lives);
    }

    fn rolled_back(&mut self) {
        let Backup::Restored { ahead, has_moved } = &self.state.backup else { return };
        let now = self.state.now;
        for token in ahead {
            let known = self.state.sessions.iter().find(|session| session.id == token.session);
            // When the row reaches the token's place, nothing tells the token from another.
            if known.is_some_and(|session| token.seq < session.chain.len()) {
                continue;
            }
            let is_due = match known {
                Some(session) => self.state.is_live(session, self.bounds),
                None => self.state.is_active && !has_moved,
            };
            let holds = match self.present(token.issued) {
                Outcome::Refused => !(is_due && token.issued.is_valid(now)),
                Outcome::Decided(decided) => token.is_told(decided),
                Outcome::Lost => false,
            };
            self.demand(Law::RollbackEndsNothing, holds);
        }
    }
}

impl Event {
    fn is_of(&self, kind: EventKind, session: &Session, place: usize) -> bool {
        self.kind == kind && self.session == session.id && self.presented == place as u64
    }
}

impl Ahead {
    fn is_told(&self, decided: Decided) -> bool {
        let is_it = |event: Event| {
            event.kind == EventKind::RolledBack
                && event.session == self.session
                && event.presented == self.seq as u64
        };
        decided.tokens.is_none() && decided.update.is_none() && decided.event.is_some_and(is_it)
    }
}
