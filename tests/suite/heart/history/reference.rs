//! The reference: one list of every token that was ever issued, and a verdict on each by brute
//! force. It has no counters. Order is expressed by *ticks*: positions in the history at which
//! something happened.
//!
//! Rules that are not obvious:
//!
//! - A session that expired, or whose slot a smaller policy excludes, can come back by a longer
//!   policy or a clock that is set back, until a login removes it ([`Reference::start`]).
//! - A bump removes the earlier sessions from the list and from their slots.
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
    bumped: Tick,
    used: Option<Tick>,
    credential: Tick,
}

/// The user's record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) is_active: bool,
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
    pub(super) label: String,
    /// The chain of its refresh tokens; the last one is current.
    pub(super) links: Vec<Tick>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) max_sessions: u32,
    pub(super) refuses: bool,
    pub(super) idle: i64,
    pub(super) absolute: i64,
    pub(super) grace: i64,
    pub(super) ends_all: bool,
    pub(super) lifetime: i64,
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

#[derive(Debug)]
pub(super) enum Refresh {
    No(No),
    Rotated(Record, Session),
    Repeated(Session),
    Reused { record: Record, session: Session, ended: usize },
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
        let sessions = Vec::new();
        Self { is_active: true, bumped: 0, password: 0, credential: 0, used: [0; 2], sessions }
    }

    /// Whether a compare-and-set finds the record unchanged.
    pub(super) fn is_unchanged(&self, read: &Self) -> bool {
        let is_active = read.is_active;
        Self { is_active, ..self.clone() } == *read
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
        (self.last_seen + policy.idle).min(self.started_at + policy.absolute)
    }
}

impl Reference {
    pub(super) fn next_tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }

    pub(super) fn bound(&self, record: &Record, kind: Kind) -> Bound {
        let used = record.clone().used(kind).copied();
        Bound { epoch: self.epoch, bumped: record.bumped, used, credential: record.credential }
    }

    fn is_alive(&self, session: &Session, record: &Record) -> bool {
        session.slot < self.policy.max_sessions
            && record.bumped <= session.began
            && self.now < session.end(&self.policy)
    }

    /// The listed sessions, the most recently used first.
    pub(super) fn listed(&self, record: &Record) -> Vec<Session> {
        let mut listed = record.sessions.clone();
        listed.retain(|session| self.is_alive(session, record));
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
            None if then.credential == now.credential => return None,
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
            Some(session) if self.is_alive(session, record) => Ok(session.clone()),
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
        label: &str,
    ) -> Option<(Record, Session, Option<Session>)> {
        let mut sessions = self.listed(read);
        let is_free = |slot: &u32| !sessions.iter().any(|session| session.slot == *slot);
        let (slot, evicted) = match (0..self.policy.max_sessions).find(is_free) {
            Some(slot) => (slot, None),
            None if self.policy.refuses => return None,
            None => {
                let evicted = sessions.pop()?;
                (evicted.slot, Some(evicted))
            }
        };
        let (began, now) = (self.next_tick(), self.now);
        let links = vec![began];
        let label = label.to_owned();
        let new = Session { began, slot, started_at: now, last_seen: now, label, links };
        sessions.push(new.clone());
        sessions.sort_by_key(|session| session.slot);
        Some((Record { sessions, ..read.clone() }, new, evicted))
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
        let elapsed = (self.now - session.last_seen).abs();
        if current == Some(&link) {
            let mut next = session;
            next.links.push(self.next_tick());
            next.last_seen = self.now;
            let mut record = read.clone();
            for session in &mut record.sessions {
                if session.began == next.began {
                    *session = next.clone();
                }
            }
            return Refresh::Rotated(record, next);
        }
        if !session.links.contains(&link) {
            return Refresh::Ahead(Reason::RefreshAhead, Some(session));
        }
        if previous == Some(&link) && self.policy.grace > 0 && elapsed <= self.policy.grace {
            return Refresh::Repeated(session);
        }
        let is_out = |other: &Session| self.policy.ends_all || other.began == session.began;
        let ended = self.listed(read).iter().filter(|other| is_out(other)).count();
        Refresh::Reused { record: without(read, is_out), session, ended }
    }

    /// Logs out all sessions but this one, which restarts.
    pub(super) fn keep_only(
        &mut self,
        read: &Record,
        id: (Tick, u32),
    ) -> Result<(Record, Session), Reason> {
        let mut kept = self.session(id, read)?;
        kept.began = self.next_tick();
        kept.links = vec![kept.began];
        kept.last_seen = self.now;
        let sessions = vec![kept.clone()];
        Ok((Record { bumped: kept.began, sessions, ..read.clone() }, kept))
    }

    /// Ends this session, and starts another of the same label in its slot.
    pub(super) fn restart(
        &mut self,
        read: &Record,
        id: (Tick, u32),
    ) -> Result<(Record, Session), Reason> {
        let ended = self.session(id, read)?;
        let (began, now) = (self.next_tick(), self.now);
        let new = Session { began, started_at: now, last_seen: now, links: vec![began], ..ended };
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

pub(super) fn without(read: &Record, is_out: impl Fn(&Session) -> bool) -> Record {
    let mut record = read.clone();
    record.sessions.retain(|session| !is_out(session));
    record
}
