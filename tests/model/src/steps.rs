//! The steps from one state to the next.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use relatch::sessions::{EventKind, OnReuse};
use stateright::{Model, Property};

use crate::{
    configuration::{Configuration, Revocation},
    laws::{Law, judge},
    library::{Call, Decided, Instant, Library, Outcome, TokenId, Verified, instant},
    sights::{Sight, Sights},
    state::{Ahead, Backup, Client, Copied, Request, Session, Standing, State, is_within, slot_of},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The clock moves.
    Tick(Instant),
    /// The server reads the row and decides. A decision that stores nothing is answered at once.
    Read {
        client: Client,
        call: Call,
        is_response_lost: bool,
    },
    /// The server stores the decision, and answers.
    Store {
        client: Client,
        is_response_lost: bool,
    },
    BumpVersion,
    ReplacePassword,
    BumpEpoch,
    Disable,
    Enable,
    BackUp,
    Restore,
}

pub(crate) struct World {
    pub(crate) bounds: Configuration,
    pub(crate) library: Library,
    /// The number of expanded states: all of them, after a complete search.
    pub(crate) expanded: AtomicUsize,
    sights: Sights,
}

impl World {
    pub(crate) fn new(bounds: Configuration) -> Self {
        let library = Library::new(&bounds);
        Self { bounds, library, expanded: AtomicUsize::new(0), sights: Sights::default() }
    }

    pub(crate) fn has_seen(&self, sight: Sight) -> bool {
        self.sights.has(sight)
    }
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let row = self.library.row_id(crate::store::Row::NEW);
        let mut state = State {
            row,
            now: self.bounds.start(),
            is_active: true,
            sessions: Vec::new(),
            held: [None; 2],
            requests: Vec::new(),
            revocations: self.bounds.revocations,
            returns: self.bounds.returns,
            is_plain_dead: false,
            links_used: 0,
            resets_used: 0,
            has_misplaced: false,
            backup: Backup::None,
            broken: 0,
        };
        for device in 0..self.bounds.devices.min(self.bounds.slots as u8) {
            let client = Client::Tab { device, tab: 0 };
            let request = self.request(&state, client, Call::LogIn);
            state = self.store(state, request, false);
        }
        state.broken = judge(&state, &self.library, &self.bounds);
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.expanded.fetch_add(1, Relaxed);
        self.clock_steps(state, steps);
        for request in &state.requests {
            let client = request.client;
            steps.push(Step::Store { client, is_response_lost: false });
            if matches!(client, Client::Tab { .. }) {
                steps.push(Step::Store { client, is_response_lost: true });
            }
        }
        for device in 0..self.bounds.devices {
            self.device_steps(state, device, steps);
        }
        if self.bounds.has_thief {
            self.thief_steps(state, steps);
        }
        self.page_steps(state, steps);
        match state.backup {
            Backup::None if self.bounds.has_backup => steps.push(Step::BackUp),
            Backup::Taken(_) => steps.push(Step::Restore),
            _ => {}
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let state = last.clone();
        let mut next = match step {
            Step::Tick(to) => {
                let returns = state.returns - u8::from(to < state.now);
                State { now: to, returns, ..state }
            }
            Step::Read { client, call, is_response_lost } => {
                self.read(state, client, call, is_response_lost)?
            }
            Step::Store { client, is_response_lost } => {
                let request = *state.request_of(client)?;
                self.store(state, request, is_response_lost)
            }
            Step::BumpVersion => {
                let row = self.library.row(state.row).bump_version(instant(state.now));
                Self::void(State { row: self.library.row_id(row), ..state })
            }
            Step::ReplacePassword => {
                let row = self.library.row_id(self.library.row(state.row).change_password());
                Self::void(State { row, ..state })
            }
            Step::BumpEpoch => {
                let row = self.library.row_id(self.library.row(state.row).bump_epoch());
                Self::void(State { row, ..state })
            }
            Step::Disable => {
                let revocations = state.revocations - 1;
                self.set_active(State { revocations, ..state }, false)
            }
            Step::Enable => self.set_active(state, true),
            Step::BackUp => {
                let State { row, ref sessions, is_plain_dead, .. } = state;
                let copied = Copied { row, sessions: sessions.clone(), is_plain_dead };
                State { backup: Backup::Taken(Box::new(copied)), ..state }
            }
            Step::Restore => self.restore(state)?,
        };
        next.broken = judge(&next, &self.library, &self.bounds);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        // A condition is a plain function, so each law takes one of its own.
        macro_rules! laws {
            ($($law:ident),*) => {
                vec![$(Property::always(
                    Law::$law.name(),
                    |_, state: &State| !Law::$law.is_broken_by(state),
                )),*]
            };
        }
        laws![
            RevokedIsDead,
            LiveIsAccepted,
            RetryLogsNobodyOut,
            ReuseEnds,
            SharingIsReported,
            NobodyLeapfrogs,
            ChainNeverForks,
            RecordIsBounded,
            RollbackEndsNothing,
            ListIsTrue,
            SessionKeepsItsOwn,
            LoginEndsNoneTooMany,
            TokenRevokesItsSession,
            LinkIsUsedOnce
        ]
    }
}

/// The steps that a state allows.
impl World {
    fn clock_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let reachable = |to: &&Instant| **to > state.now || (**to < state.now && state.returns > 0);
        steps.extend(self.bounds.instants.iter().filter(reachable).map(|to| Step::Tick(*to)));
    }

    fn device_steps(&self, state: &State, device: u8, steps: &mut Vec<Step>) {
        let session = state.held[usize::from(device)].and_then(|token| state.session_of(token));
        let is_live = session.is_some_and(|session| session.is_live(&self.bounds, state.now));
        for tab in 0..self.bounds.tabs {
            let client = Client::Tab { device, tab };
            if (!is_live || self.bounds.logs_in_again) && self.can_start(state) {
                self.read_steps(state, client, Call::LogIn, steps);
            }
            if let Some(token) = state.held[usize::from(device)] {
                self.read_steps(state, client, Call::Refresh(token), steps);
                if self.can_revoke(state, Revocation::Revoke) {
                    self.read_steps(state, client, Call::Revoke(token), steps);
                }
            }
            if self.bounds.has_link && device == 0 {
                self.read_steps(state, client, Call::UseLink, steps);
            }
            if self.bounds.has_reset && device == 0 {
                self.read_steps(state, client, Call::ResetPassword, steps);
            }
        }
        let Some(session) = session.filter(|_| is_live && self.can_start(state)) else { return };
        let Some(access) = session.access_token(state.now) else { return };
        let client = Client::Tab { device, tab: 0 };
        for (sort, call) in [
            (Revocation::LogOutOthers, Call::LogOutOthers(access)),
            (Revocation::Restart, Call::Restart(access)),
            (Revocation::ChangePassword, Call::ChangePassword(access)),
        ] {
            if self.can_revoke(state, sort) {
                self.read_steps(state, client, call, steps);
            }
        }
    }

    fn thief_steps(&self, state: &State, steps: &mut Vec<Step>) {
        for session in state.sessions.iter().filter(|s| s.standing == Standing::Live) {
            for issued in &session.chain {
                self.read_steps(state, Client::Thief, Call::Refresh(issued.token), steps);
                if self.can_revoke(state, Revocation::Revoke) {
                    self.read_steps(state, Client::Thief, Call::Revoke(issued.token), steps);
                }
            }
        }
        if self.bounds.has_link {
            self.read_steps(state, Client::Thief, Call::UseLink, steps);
        }
    }

    fn page_steps(&self, state: &State, steps: &mut Vec<Step>) {
        if self.can_revoke(state, Revocation::LogOut) {
            for session in state.sessions.iter().filter(|s| s.standing == Standing::Live) {
                self.read_steps(state, Client::Page, Call::LogOut(session.id), steps);
            }
        }
        if self.can_revoke(state, Revocation::LogOutEverywhere) {
            self.read_steps(state, Client::Page, Call::LogOutEverywhere, steps);
        }
        if self.bounds.has_reset {
            self.read_steps(state, Client::Page, Call::ResetPassword, steps);
        }
        if self.can_revoke(state, Revocation::BumpVersion) {
            steps.push(Step::BumpVersion);
        }
        if self.can_revoke(state, Revocation::ReplacePassword) {
            steps.push(Step::ReplacePassword);
        }
        if self.can_revoke(state, Revocation::BumpEpoch) {
            steps.push(Step::BumpEpoch);
        }
        if !state.is_active {
            steps.push(Step::Enable);
        } else if self.can_revoke(state, Revocation::Disable) {
            steps.push(Step::Disable);
        }
    }

    /// A request, if the client has none in flight and it can change something.
    fn read_steps(&self, state: &State, client: Client, call: Call, steps: &mut Vec<Step>) {
        if state.request_of(client).is_some() || self.is_beyond(state, call) {
            return;
        }
        let Outcome::Decided(decided) = self.library.decide(call, state.row, state.now, true)
        else {
            return;
        };
        let is_device = matches!(client, Client::Tab { .. });
        if decided.update.is_some() || decided.tokens.is_some() {
            steps.push(Step::Read { client, call, is_response_lost: false });
            if is_device && decided.update.is_none() {
                steps.push(Step::Read { client, call, is_response_lost: true });
            }
        }
    }

    /// Whether the bounds of the history exclude this call.
    fn is_beyond(&self, state: &State, call: Call) -> bool {
        let Call::Refresh(token) = call else { return false };
        state.session_of(token).is_none_or(|session| {
            session.head() == Some(token) && session.chain.len() > self.bounds.refreshes
        })
    }

    fn can_start(&self, state: &State) -> bool {
        let is_start = |request: &&Request| {
            matches!(
                request.call,
                Call::LogIn | Call::LogOutOthers(_) | Call::Restart(_) | Call::ChangePassword(_)
            )
        };
        let started = state.sessions.len() + state.requests.iter().filter(is_start).count();
        started < self.bounds.sessions
    }

    fn can_revoke(&self, state: &State, sort: Revocation) -> bool {
        state.revocations > 0 && self.bounds.sorts.contains(&sort)
    }
}

/// The effect of each step.
impl World {
    fn request(&self, state: &State, client: Client, call: Call) -> Request {
        Request { client, call, read: state.row, at: state.now }
    }

    fn read(&self, mut state: State, client: Client, call: Call, is_lost: bool) -> Option<State> {
        let request = self.request(&state, client, call);
        let Outcome::Decided(decided) = self.library.decide(call, state.row, state.now, true)
        else {
            return None;
        };
        if !matches!(call, Call::LogIn | Call::Refresh(_) | Call::UseLink | Call::ResetPassword) {
            state.revocations -= 1;
        }
        if decided.update.is_none() || !(self.bounds.all_race || matches!(call, Call::Refresh(_))) {
            return Some(self.store(state, request, is_lost));
        }
        let place = state.requests.partition_point(|other| other.client < client);
        state.requests.insert(place, request);
        Some(state)
    }

    /// The store's compare-and-set, the answer, and the tokens that each party then holds.
    fn store(&self, mut state: State, request: Request, is_lost: bool) -> State {
        let request = self.read_again(&state, request);
        let Request { client, call, read, at } = request;
        state.requests.retain(|other| other.client != client);
        let Outcome::Decided(intended) = self.library.decide(call, read, at, true) else {
            self.sights.see(Sight::RevokedMeanwhile);
            return state;
        };
        let stored = intended.update.map(|update| self.library.store(state.row, read, update));
        let is_written = !matches!(stored, Some(None));
        let is_stale =
            read != state.row && self.library.row(read).epoch != self.library.row(state.row).epoch;
        state.row = stored.flatten().unwrap_or(state.row);
        let Outcome::Decided(decided) = self.library.decide(call, read, at, is_written) else {
            self.sights.see(Sight::LostRace);
            return state;
        };
        if is_lost {
            self.sights.see(Sight::LostResponse);
        }
        if is_stale {
            self.sights.see(Sight::StaleEpoch);
        }
        self.settle(&mut state, request, decided, is_stale);
        if let (Client::Tab { device, .. }, Some(tokens), false) = (client, decided.tokens, is_lost)
        {
            state.held[usize::from(device)] = Some(tokens.refresh);
        }
        state
    }

    /// Decides a request against the present row, if it is one that reads the row again.
    fn read_again(&self, state: &State, request: Request) -> Request {
        let Request { client, call, read, at } = request;
        match call {
            Call::LogOutOthers(access) if self.bounds.reads_again => {
                let call = Call::LogOutOthersLate(Verified { access, row: read, at });
                Request { client, call, read: state.row, at: state.now }
            }
            Call::Restart(access) if self.bounds.reads_again => {
                let call = Call::RestartLate(Verified { access, row: read, at });
                Request { client, call, read: state.row, at: state.now }
            }
            _ => request,
        }
    }

    /// Applies a stored decision to the sessions. One that was made under an earlier epoch gives
    /// tokens that are revoked already.
    fn settle(&self, state: &mut State, request: Request, decided: Decided, is_stale: bool) {
        let Request { call, at, .. } = request;
        let standing = if is_stale { Standing::Void } else { Standing::Live };
        match (call, decided.tokens) {
            (Call::LogIn, Some(tokens)) => {
                self.prune(state, at);
                let slot = slot_of(tokens.session);
                let place = state.place_for_login(self.bounds.slots);
                // Under its own epoch, other sessions are alive.
                state.has_misplaced |= !is_stale && place != (slot, tokens.evicted);
                let has_slot = |session: &Session| session.slot() == slot;
                if tokens.evicted.is_some() {
                    self.sights.see(Sight::Eviction);
                } else if state.sessions.iter().any(|s| s.standing == Standing::Void && has_slot(s))
                {
                    self.sights.see(Sight::TakesOver);
                }
                state.revoke(Standing::Over, has_slot);
                state.sessions.push(Session::start(tokens, standing, at, at, &self.bounds));
            }
            (Call::Restart(access) | Call::RestartLate(Verified { access, .. }), Some(tokens)) => {
                self.sights.see(Sight::Restart);
                let kept = state.session_of_access(access);
                let is_live = kept.is_some_and(|session| session.is_live(&self.bounds, at));
                let ended = kept.map(|session| session.id);
                state.revoke(Standing::Over, |session| Some(session.id) == ended);
                let standing = standing.of_kept(is_live);
                state.sessions.push(Session::start(tokens, standing, at, at, &self.bounds));
            }
            (
                Call::LogOutOthers(access)
                | Call::LogOutOthersLate(Verified { access, .. })
                | Call::ChangePassword(access),
                Some(tokens),
            ) => {
                let kept = state.session_of_access(access);
                let started_at = kept.map_or(at, |session| session.started_at);
                let is_live = kept.is_some_and(|session| session.is_live(&self.bounds, at));
                state.revoke(Standing::Over, |_| true);
                state.is_plain_dead = true;
                let standing = standing.of_kept(is_live);
                state.sessions.push(Session::start(tokens, standing, started_at, at, &self.bounds));
            }
            (Call::Refresh(token), _) => self.settle_refresh(state, request, token, decided),
            (Call::Revoke(token), _) => {
                self.sights.see(Sight::RevokedByToken);
                let id = state.session_of(token).map(|session| session.id);
                state.revoke(Standing::Over, |session| Some(session.id) == id);
            }
            (Call::LogOut(id), _) => state.revoke(Standing::Over, |session| session.id == id),
            (Call::LogOutEverywhere | Call::ResetPassword, _) => {
                state.revoke(Standing::Over, |_| true);
                state.is_plain_dead = true;
                state.resets_used += u8::from(call == Call::ResetPassword);
            }
            (Call::UseLink, _) => state.links_used += 1,
            _ => {}
        }
        if let (Backup::Restored { has_moved, .. }, Some(_)) = (&mut state.backup, decided.update) {
            *has_moved |= !matches!(call, Call::Refresh(_)) || decided.tokens.is_none();
        }
    }

    fn settle_refresh(
        &self,
        state: &mut State,
        request: Request,
        token: TokenId,
        decided: Decided,
    ) {
        let is_thief = request.client == Client::Thief;
        let Some(index) = state.sessions.iter().rposition(|s| s.place_of(token).is_some()) else {
            return;
        };
        let session = &mut state.sessions[index];
        let is_others = session.is_with_thief != is_thief;
        if let Some(tokens) = decided.tokens {
            if session.place_of(tokens.refresh).is_none() {
                self.sights.see(Sight::Refresh);
                session.is_with_thief = is_thief;
            } else {
                let is_late = !is_within(self.bounds.grace, request.at - session.rotated_at);
                self.sights.see(match (is_late, is_others) {
                    (false, false) => Sight::GraceHit,
                    (false, true) => Sight::Sharing,
                    (true, false) => Sight::LateRepeat,
                    (true, true) => Sight::LateSharing,
                });
            }
            session.hand_out(tokens, request.at, &self.bounds);
        } else if decided.event.is_some_and(|event| event.kind == EventKind::Reuse) {
            self.sights.see(match (is_thief, is_others) {
                (true, true) => Sight::ThiefIsCaught,
                (false, true) => Sight::TheftIsFound,
                _ => Sight::Reuse,
            });
            let id = session.id;
            let ends_all = self.bounds.on_reuse == OnReuse::EndAllSessions;
            state.revoke(Standing::Over, |session| ends_all || session.id == id);
        }
    }

    /// A login removes expired sessions from the table.
    fn prune(&self, state: &mut State, at: Instant) {
        let has_ended = |session: &Session| at >= session.end(&self.bounds);
        if state.sessions.iter().any(|s| s.standing == Standing::Live && has_ended(s)) {
            self.sights.see(Sight::Expiry);
        }
        state.revoke(Standing::Over, has_ended);
    }

    /// The application revoked everything without the library.
    fn void(mut state: State) -> State {
        state.revocations -= 1;
        state.is_plain_dead = true;
        state.revoke(Standing::Void, |_| true);
        state
    }

    fn set_active(&self, state: State, is_active: bool) -> State {
        let row = self.library.row_id(self.library.row(state.row).set_active(is_active));
        State { row, is_active, ..state }
    }

    /// Restores the row of the backup, at a later instant.
    fn restore(&self, state: State) -> Option<State> {
        let now = *self.bounds.instants.iter().find(|to| **to > state.now)?;
        let Backup::Taken(copied) = state.backup else { return None };
        let Copied { row, sessions, is_plain_dead } = *copied;
        let mut ahead = Vec::new();
        for session in &state.sessions {
            let known = sessions.iter().find(|other| other.id == session.id);
            let length = known.map_or(0, |known| known.chain.len());
            for (seq, issued) in session.chain.iter().enumerate().skip(length) {
                ahead.push(Ahead { session: session.id, seq, issued: *issued });
            }
        }
        if !ahead.is_empty() {
            self.sights.see(Sight::Rollback);
        }
        let backup = Backup::Restored { ahead, has_moved: false };
        let is_active = self.library.row(row).is_active;
        let requests = Vec::new();
        Some(State { row, now, is_active, sessions, is_plain_dead, backup, requests, ..state })
    }
}
