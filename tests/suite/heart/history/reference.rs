//! The reference: one list of every token that was ever issued, and a verdict on each by brute
//! force. It has no counters. Order is expressed by *ticks*: positions in the history at which
//! something happened.
//!
//! Rules that are not obvious:
//!
//! - A session that expired, or whose slot a smaller policy excludes, can come back by a longer
//!   policy or a clock that is set back, until a login removes it ([`Reference::start`]).
//! - Whatever changes a value that tokens are bound to removes the sessions from the list, and not
//!   from their slots.
//! - A tenant's epoch and a user's activity are not compared when a decision is stored.
//! - Logging out an expired session succeeds as long as no login has taken its slot.
//! - A rehash keeps the credential, a password change does not: they have different ticks.
//! - After a backup was restored and the epoch moved, an earlier token may be rejected for any
//!   reason of the stage `binding`, because counters may repeat.

use relatch::Reason;

/// A position in the history.
pub(super) type Tick = usize;

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) kind: Kind,
    pub(super) key: usize,
    pub(super) iat: i64,
    pub(super) exp: i64,
    pub(super) bound_to: Bound,
    pub(super) session: Option<(Tick, u32)>,
    /// For refresh tokens: the position in the session's chain.
    pub(super) link: Option<Tick>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Refresh,
    MagicLink,
    EmailChange,
    Reset,
}

/// The last change of each value that a token is bound to, as of its issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    epoch: Tick,
    tenant: Tick,
    bumped: Tick,
    used: Option<Tick>,
    credential: Tick,
}

/// The user's record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) is_active: bool,
    pub(super) tenant: Tick,
    pub(super) bumped: Tick,
    pub(super) password: Tick,
    pub(super) credential: Tick,
    /// For magic links, and for confirmations of an address.
    pub(super) used: [Tick; 2],
    pub(super) sessions: Vec<Session>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Session {
    pub(super) began: Tick,
    pub(super) slot: u32,
    pub(super) started_at: i64,
    pub(super) last_seen: i64,
    pub(super) new: New,
    /// The values that its tokens are bound to.
    pub(super) bound_to: Bound,
    /// The chain of its refresh tokens; the last one is current.
    pub(super) links: Vec<Tick>,
    /// Those that two parties may have: a late repeat handed them out, or the grace did so to the
    /// holder of such a one.
    pub(super) shared: Vec<Tick>,
}

/// What a login gives a session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct New {
    pub(super) label: &'static str,
    /// JSON.
    pub(super) data: Option<&'static str>,
    pub(super) policy: Option<&'static str>,
    pub(super) ends_at: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) max_sessions: u32,
    pub(super) refuses: bool,
    pub(super) ends_all: bool,
    pub(super) max_data: usize,
    pub(super) default: Rules,
    pub(super) phone: Option<Rules>,
    pub(super) kiosk: Option<Rules>,
    /// Of access tokens.
    pub(super) lifetime: i64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) idle: i64,
    pub(super) absolute: i64,
    pub(super) grace: i64,
    pub(super) late_repeat: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Key {
    Current,
    Until(i64),
    Removed,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum No {
    Because(Reason),
    /// For any reason of the stage `binding`.
    Unbound,
}

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum NotStarted {
    UnknownPolicy,
    Data,
    Ended,
    Full,
}

#[derive(Debug)]
pub(super) enum Refresh {
    No(No),
    Rotated(Record, Session),
    /// Within the grace. The first time after a shared link, this is stored.
    Repeated(Option<Record>, Session),
    /// Late. The first time, this is stored.
    RepeatedLate(Option<Record>, Session),
    Reused {
        record: Record,
        session: Session,
        ended: usize,
    },
    Ahead(Reason, Option<Session>),
}

pub(super) struct Reference {
    pub(super) is_stamped: bool,
    pub(super) leeway: i64,
    pub(super) policy: Policy,
    pub(super) keys: Vec<Key>,
    pub(super) epoch: Tick,
    pub(super) now: i64,
    pub(super) tick: Tick,
    pub(super) record: Record,
    /// For an older record: the tick after which it knows no changes.
    pub(super) as_of: Option<Tick>,
    pub(super) tokens: Vec<Token>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            is_active: true,
            tenant: 0,
            bumped: 0,
            password: 0,
            credential: 0,
            used: [0; 2],
            sessions: Vec::new(),
        }
    }

    /// Whether a compare-and-set finds the record unchanged.
    pub(super) fn is_unchanged(&self, read: &Self) -> bool {
        self.clone().beside(read) == *read
    }

    /// This record, with the values of another that no compare-and-set compares.
    pub(super) fn beside(self, other: &Self) -> Self {
        Self { is_active: other.is_active, tenant: other.tenant, ..self }
    }

    fn used(&mut self, kind: Kind) -> Option<&mut Tick> {
        match kind {
            Kind::MagicLink => Some(&mut self.used[0]),
            Kind::EmailChange => Some(&mut self.used[1]),
            _ => None,
        }
    }
}

impl Session {
    pub(super) fn end(&self, policy: &Policy) -> i64 {
        let rules = policy.rules(self.new.policy);
        let end = (self.last_seen + rules.idle).min(self.started_at + rules.absolute);
        self.new.ends_at.map_or(end, |fixed| fixed.min(end))
    }
}

impl Policy {
    fn named(&self, name: &str) -> Option<Rules> {
        match name {
            "phone" => self.phone,
            _ => self.kiosk,
        }
    }

    pub(super) fn rules(&self, name: Option<&str>) -> Rules {
        let Some(name) = name else { return self.default };
        self.named(name).unwrap_or_else(|| {
            let all = || [Some(self.default), self.phone, self.kiosk].into_iter().flatten();
            Rules {
                idle: all().map(|rules| rules.idle).min().unwrap(),
                absolute: all().map(|rules| rules.absolute).min().unwrap(),
                grace: all().map(|rules| rules.grace).min().unwrap(),
                late_repeat: 0,
            }
        })
    }
}

impl Reference {
    pub(super) fn next_tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }

    pub(super) fn bound(&self, record: &Record, kind: Kind) -> Bound {
        let used = record.clone().used(kind).copied();
        let Record { tenant, bumped, credential, .. } = *record;
        Bound { epoch: self.epoch, tenant, bumped, used, credential }
    }

    /// Whether the session has a slot and has not expired.
    fn is_on(&self, session: &Session) -> bool {
        session.slot < self.policy.max_sessions && self.now < session.end(&self.policy)
    }

    fn is_bound(&self, session: &Session, record: &Record) -> bool {
        session.bound_to == self.bound(record, Kind::Refresh)
    }

    /// The listed sessions, the most recently used first.
    pub(super) fn listed(&self, record: &Record) -> Vec<Session> {
        let mut listed = record.sessions.clone();
        listed.retain(|session| {
            record.is_active && self.is_on(session) && self.is_bound(session, record)
        });
        listed.sort_by_key(|session| (session.last_seen, session.began));
        listed.reverse();
        listed
    }

    /// The checks before the lookup.
    pub(super) fn open(&self, token: &Token) -> Option<Reason> {
        match self.keys[token.key] {
            Key::Removed => Some(Reason::UnknownKey),
            Key::Until(deadline) if self.now >= deadline => Some(Reason::RetiredKey),
            _ if self.now >= token.exp + self.leeway => Some(Reason::Expired),
            _ if self.now + self.leeway < token.iat => Some(Reason::NotYetValid),
            _ => None,
        }
    }

    /// The checks up to the signature.
    pub(super) fn bind(&self, token: &Token, record: &Record) -> Option<No> {
        let (then, now) = (token.bound_to, self.bound(record, token.kind));
        let reason = match self.open(token) {
            Some(reason) => reason,
            None if !record.is_active => Reason::InactiveUser,
            None if then.epoch != now.epoch => return Some(No::Unbound),
            None if then.bumped < now.bumped => Reason::RevokedByVersion,
            None if then.bumped > now.bumped => Reason::AheadOfRecord,
            None if then.used != now.used => Reason::RevokedByLane,
            None if (then.credential, then.tenant) == (now.credential, now.tenant) => return None,
            None if self.is_stamped && token.kind == Kind::Access => Reason::RevokedByStamp,
            None => Reason::BadSignature,
        };
        Some(No::Because(reason))
    }

    /// The session that began at this tick, in this slot.
    pub(super) fn session(
        &self,
        (began, slot): (Tick, u32),
        record: &Record,
    ) -> Result<Session, Reason> {
        if slot >= self.policy.max_sessions {
            return Err(Reason::SlotOutOfRange);
        }
        match record.sessions.iter().find(|session| session.began == began) {
            Some(session) if self.is_on(session) => Ok(session.clone()),
            Some(_) => Err(Reason::SessionExpired),
            None if self.as_of.is_some_and(|as_of| began > as_of) => Err(Reason::SessionAhead),
            None => Err(Reason::SessionEnded),
        }
    }

    /// The verdict of verifying or peeking at a token.
    pub(super) fn verify(&self, token: &Token, record: &Record) -> Option<No> {
        let session = || self.session(token.session?, record).err().map(No::Because);
        self.bind(token, record).or_else(session)
    }

    /// A login: the record after it, its session, and the evicted one.
    pub(super) fn start(
        &mut self,
        read: &Record,
        new: New,
    ) -> Result<(Record, Session, Option<Session>), NotStarted> {
        if new.policy.is_some_and(|name| self.policy.named(name).is_none()) {
            return Err(NotStarted::UnknownPolicy);
        }
        if !self.has_room_for(new.data) {
            return Err(NotStarted::Data);
        }
        if new.ends_at.is_some_and(|end| end <= self.now) {
            return Err(NotStarted::Ended);
        }
        let mut sessions = read.sessions.clone();
        sessions.retain(|session| self.is_on(session));
        let is_free = |slot: &u32| !sessions.iter().any(|session| session.slot == *slot);
        let revoked = sessions.iter().filter(|session| !self.is_bound(session, read));
        let revoked = revoked.min_by_key(|session| session.began).cloned();
        let (slot, evicted) = match ((0..self.policy.max_sessions).find(is_free), revoked) {
            (Some(slot), _) => (slot, None),
            (None, Some(revoked)) => (revoked.slot, None),
            (None, None) if self.policy.refuses => return Err(NotStarted::Full),
            (None, None) => {
                let evicted = sessions.iter().min_by_key(|it| (it.last_seen, it.began)).cloned();
                (evicted.as_ref().unwrap().slot, evicted)
            }
        };
        sessions.retain(|session| session.slot != slot);
        let (began, now) = (self.next_tick(), self.now);
        let started = Session {
            began,
            slot,
            started_at: now,
            last_seen: now,
            new,
            bound_to: self.bound(read, Kind::Refresh),
            links: vec![began],
            shared: Vec::new(),
        };
        sessions.push(started.clone());
        sessions.sort_by_key(|session| session.slot);
        Ok((Record { sessions, ..read.clone() }, started, evicted))
    }

    pub(super) fn has_room_for(&self, data: Option<&str>) -> bool {
        data.is_none_or(|data| data.len() <= self.policy.max_data)
    }

    pub(super) fn refresh(&mut self, token: &Token, read: &Record) -> Refresh {
        if let Some(no) = self.bind(token, read) {
            return Refresh::No(no);
        }
        let (Some(id), Some(link)) = (token.session, token.link) else { unreachable!() };
        let session = match self.session(id, read) {
            Ok(session) => session,
            Err(Reason::SessionAhead) => return Refresh::Ahead(Reason::SessionAhead, None),
            Err(reason) => return Refresh::No(No::Because(reason)),
        };
        let mut latest = session.links.iter().rev();
        let (current, previous) = (latest.next(), latest.next());
        let rules = self.policy.rules(session.new.policy);
        let elapsed = (self.now - session.last_seen).abs();
        let is_within = |time: i64| time > 0 && elapsed <= time;
        if current == Some(&link) {
            let mut next = session;
            next.links.push(self.next_tick());
            next.last_seen = self.now;
            return Refresh::Rotated(with(read, &next), next);
        }
        if !session.links.contains(&link) {
            return Refresh::Ahead(Reason::RefreshAhead, Some(session));
        }
        let is_strict = session.shared.contains(&link);
        let is_known = current.is_some_and(|link| session.shared.contains(link));
        let mut shared = session.clone();
        shared.shared.extend(current);
        if previous == Some(&link) && is_within(rules.grace) {
            return match is_strict && !is_known {
                true => Refresh::Repeated(Some(with(read, &shared)), shared),
                false => Refresh::Repeated(None, session),
            };
        }
        if previous == Some(&link) && is_within(rules.late_repeat) && !is_strict {
            return match is_known {
                true => Refresh::RepeatedLate(None, session),
                false => Refresh::RepeatedLate(Some(with(read, &shared)), shared),
            };
        }
        let is_out = |other: &Session| self.policy.ends_all || other.began == session.began;
        let ended = self.listed(read).iter().filter(|other| is_out(other)).count();
        Refresh::Reused { record: without(read, is_out), session, ended }
    }

    /// Logs out all sessions but this one, which restarts, perhaps under a new password.
    pub(super) fn keep_only(
        &mut self,
        read: &Record,
        id: (Tick, u32),
        changes_password: bool,
    ) -> Result<(Record, Session), Reason> {
        let kept = self.session(id, read)?;
        let began = self.next_tick();
        let mut record = Record { bumped: began, sessions: Vec::new(), ..read.clone() };
        if changes_password {
            (record.password, record.credential) = (began, began);
        }
        let bound_to = self.bound(&record, Kind::Refresh);
        let (last_seen, links, shared) = (self.now, vec![began], Vec::new());
        let kept = Session { began, last_seen, bound_to, links, shared, ..kept };
        record.sessions.push(kept.clone());
        Ok((record, kept))
    }

    /// Ends this session, and starts another in its slot, with what its login gave it.
    pub(super) fn restart(
        &mut self,
        read: &Record,
        id: (Tick, u32),
    ) -> Result<(Record, Session), Reason> {
        let ended = self.session(id, read)?;
        let (began, now) = (self.next_tick(), self.now);
        let (links, shared) = (vec![began], Vec::new());
        let bound_to = self.bound(read, Kind::Refresh);
        let new =
            Session { began, started_at: now, last_seen: now, bound_to, links, shared, ..ended };
        let mut record = without(read, |session| session.began == id.0);
        record.sessions.push(new.clone());
        record.sessions.sort_by_key(|session| session.slot);
        Ok((record, new))
    }

    /// Moves the version.
    pub(super) fn bump(&mut self, read: &Record) -> Record {
        Record { bumped: self.next_tick(), ..read.clone() }
    }

    /// Uses up, or supersedes, the one-time tokens of this kind.
    pub(super) fn use_up(&mut self, read: &Record, kind: Kind) -> Record {
        let (mut record, tick) = (read.clone(), self.next_tick());
        match record.used(kind) {
            Some(used) => *used = tick,
            None => (record.password, record.credential) = (tick, tick),
        }
        record
    }

    /// Refresh tokens of one position in the chain, under the same key and policy, have the same
    /// text.
    pub(super) fn remember(&mut self, token: Token) {
        let of_link = self.tokens.iter().filter(|it| it.link.is_some() && it.link == token.link);
        for other in of_link {
            let is_same = (other.key, other.exp) == (token.key, token.exp);
            assert_eq!(other.text == token.text, is_same, "{other:?} and {token:?}");
        }
        self.tokens.push(token);
    }
}

/// The record with this session in place of what it was.
pub(super) fn with(read: &Record, changed: &Session) -> Record {
    let mut record = read.clone();
    for session in &mut record.sessions {
        if session.began == changed.began {
            *session = changed.clone();
        }
    }
    record
}

pub(super) fn without(read: &Record, is_out: impl Fn(&Session) -> bool) -> Record {
    let mut record = read.clone();
    record.sessions.retain(|session| !is_out(session));
    record
}
