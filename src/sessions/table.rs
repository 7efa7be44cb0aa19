//! The table of a user's sessions, and its state transitions.

use time::OffsetDateTime;

use super::{
    Label, NewSession, SessionData, SessionId, SessionPolicy, SessionTag, client_policy::Repeat,
    new_session::NotStarted,
};
use crate::{counter::Counter, rejection::Reason};

/// The table of a user's sessions, in a fixed number of slots: one column of the user's record.
///
/// [`from_column`](Self::from_column) reads it, and [`User::sessions`](crate::User::sessions)
/// returns it. Only the [`Authority`](crate::Authority) changes it: its decisions contain the next
/// table ([`Change::sessions`](crate::authority::Change::sessions)). [`default`](Self::default) is the table
/// of a user who never had a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionTable {
    /// The highest generation ever used, within the range of i64; 0 before the first session.
    pub(super) generation: u64,
    /// The taken slots, sorted by number.
    pub(super) slots: Vec<Slot>,
}

/// One session, in its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) number: u32,
    pub(crate) generation: u64,
    /// The number of refreshes, within the range of i64.
    pub(crate) seq: u64,
    /// The tag of the record when the current tokens were issued.
    pub(super) tag: SessionTag,
    /// Seconds since 1970, as is `last_seen`.
    pub(crate) started_at: i64,
    /// The time of the last refresh: the `iat` of the current refresh token.
    pub(crate) last_seen: i64,
    pub(super) marks: Marks,
    /// A fixed end, whatever the lifetimes.
    pub(super) ends_at: Option<i64>,
    pub(super) data: Option<SessionData>,
    /// The name of the session's policy; `None` for the default.
    pub(super) policy: Option<String>,
    pub(crate) label: Label,
}

/// What a session keeps of late repeats. The two are independent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Two parties may have the current refresh token, so the next rotation is strict: its
    /// predecessor came late, or came within the grace while the session was strict.
    pub(super) repeated: bool,
    /// Only the grace applies to the predecessor of the current refresh token.
    pub(super) strict: bool,
}

/// The result of a login that took a slot.
pub(crate) struct Started {
    pub(crate) table: SessionTable,
    pub(crate) slot: Slot,
    pub(crate) evicted: Option<Slot>,
}

/// The result of presenting a genuine refresh token.
#[derive(Debug)]
pub(crate) enum Rotation {
    /// The token was current; its successor is current now.
    Advanced(SessionTable, Slot),
    /// The token is the predecessor, presented again within the grace. The first time in a
    /// strict session, the table has a mark; otherwise nothing changes.
    Repeated(Option<SessionTable>, Slot),
    /// The token is the predecessor, presented late, while its successor was not used. The first
    /// time, the table has a mark.
    RepeatedLate(Option<SessionTable>, Slot),
    /// The token was used before: the session ends.
    Reused { table: SessionTable, slot: Slot, ended: usize },
    /// The token is newer than the table, so the table must be an older version.
    Ahead(Reason, Option<Slot>),
}

impl SessionTable {
    /// The session with this id, if it is alive. Generations are compared first, and a lower one
    /// changes nothing: a token of an ended session must not affect the slot's next session.
    pub(crate) fn admit(
        &self,
        id: SessionId,
        policy: &SessionPolicy,
        second: i64,
    ) -> Result<&Slot, Reason> {
        if u32::from(id.slot) >= policy.slots() {
            return Err(Reason::SlotOutOfRange);
        }
        match self.slots.iter().find(|slot| slot.number == u32::from(id.slot)) {
            Some(slot) if slot.generation == id.generation => match slot.is_over(policy, second) {
                true => Err(Reason::SessionExpired),
                false => Ok(slot),
            },
            Some(slot) if slot.generation < id.generation => Err(Reason::SessionAhead),
            // A free slot means that all generations up to the table's have ended.
            None if self.generation < id.generation => Err(Reason::SessionAhead),
            _ => Err(Reason::SessionEnded),
        }
    }

    /// Whether this table contains every session of the other.
    #[cfg(feature = "service")]
    pub(crate) fn has_all_of(&self, other: &Self) -> bool {
        other.slots.iter().all(|theirs| self.slots.iter().any(|own| own.id() == theirs.id()))
    }

    /// The sessions that are alive for a record with this tag.
    pub(crate) fn live(
        &self,
        tag: SessionTag,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> impl Iterator<Item = &Slot> {
        self.slots
            .iter()
            .filter(move |slot| slot.tag == tag && slot.number < policy.slots())
            .filter(move |slot| !slot.is_over(policy, now.unix_timestamp()))
    }

    /// Starts a session, and ends the one in whose place it is to be: in a free slot, or in one whose
    /// session has expired; or else in place of the oldest session with another tag, or of the least
    /// recently used session.
    ///
    /// A session with another tag keeps its slot while there are free ones: it may belong to a
    /// process that is configured with other epochs.
    pub(crate) fn start(
        &self,
        new: NewSession,
        version: u64,
        tag: SessionTag,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> Result<Started, NotStarted> {
        let ends_at = new.check(policy, now)?;
        let generation = self.generation_under(version, now)?;
        let at = now.unix_timestamp();
        let has_ended = |slot: &Slot| slot.number >= policy.slots() || slot.is_over(policy, at);
        let mut slots: Vec<Slot> =
            self.slots.iter().filter(|slot| !has_ended(slot)).cloned().collect();
        let chosen = new.in_place_of.and_then(|id| take(&mut slots, id));
        let (number, evicted) = free_slot(&mut slots, tag, policy)?;
        let evicted = chosen.filter(|slot| slot.tag == tag).or(evicted);
        let NewSession { label, data, policy, .. } = new;
        let (started_at, last_seen, marks) = (at, at, Marks::default());
        let slot = Slot {
            number,
            generation,
            seq: 0,
            tag,
            started_at,
            last_seen,
            marks,
            ends_at,
            data,
            policy,
            label,
        };
        let place = slots.partition_point(|other| other.number < number);
        slots.insert(place, slot.clone());
        Ok(Started { table: Self { generation, slots }, slot, evicted })
    }

    /// Handles a presented refresh token of this session and sequence number.
    pub(crate) fn rotate(
        &self,
        (id, seq): (SessionId, u64),
        tag: SessionTag,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> Result<Rotation, Reason> {
        let at = now.unix_timestamp();
        let slot = match self.admit(id, policy, at) {
            Err(reason @ Reason::SessionAhead) => return Ok(Rotation::Ahead(reason, None)),
            other => other?,
        };
        if seq > slot.seq {
            return Ok(Rotation::Ahead(Reason::RefreshAhead, Some(slot.clone())));
        }
        if seq == slot.seq {
            let seq = increment(seq).ok_or(Reason::SequenceExhausted)?;
            let marks = Marks { repeated: false, strict: slot.marks.repeated };
            let next = Slot { seq, tag, last_seen: at, marks, ..slot.clone() };
            return Ok(Rotation::Advanced(self.with(next.clone(), self.generation), next));
        }
        if seq + 1 == slot.seq {
            let rules = policy.rules(slot.policy.as_deref());
            let elapsed = at.saturating_sub(slot.last_seen);
            match rules.repeat(slot.marks.strict, elapsed) {
                Repeat::InTime => {
                    let table = slot.marks.strict.then(|| self.with_repeated(slot)).flatten();
                    return Ok(Rotation::Repeated(table, slot.clone()));
                }
                Repeat::Late => {
                    return Ok(Rotation::RepeatedLate(self.with_repeated(slot), slot.clone()));
                }
                Repeat::Refused => {}
            }
        }
        let (table, ended) = match policy.ends_all_on_reuse() {
            true => (self.without(now, |_| true).0, self.live(tag, policy, now).count()),
            false => self.without(now, |other| other.number == slot.number),
        };
        Ok(Rotation::Reused { table, slot: slot.clone(), ended })
    }

    /// Replaces the data of this session, and returns whether there is such a session.
    pub(crate) fn with_data(&self, id: SessionId, data: Option<SessionData>) -> Option<Self> {
        let slot = self.slots.iter().find(|slot| slot.id() == id)?;
        Some(self.with(Slot { data, ..slot.clone() }, self.generation))
    }

    /// Logs out the sessions that `is_out` selects, and returns their number. If there is none, the
    /// table does not change.
    pub(crate) fn without(
        &self,
        now: OffsetDateTime,
        mut is_out: impl FnMut(&Slot) -> bool,
    ) -> (Self, usize) {
        let mut table = self.clone();
        table.slots.retain(|slot| !is_out(slot));
        let ended = self.slots.len() - table.slots.len();
        if ended > 0 {
            // At the end of the range, removing the sessions is enough.
            table.generation = next(self.generation, now).unwrap_or(self.generation);
        }
        (table, ended)
    }

    /// Logs out all sessions. The generation increases even if there is none, except for a user who
    /// never had a session.
    pub(crate) fn emptied(&self, now: OffsetDateTime) -> Self {
        let generation = match self.generation {
            0 => 0,
            used => next(used, now).unwrap_or(used),
        };
        Self { generation, slots: Vec::new() }
    }

    /// Logs out all sessions except this one, which gets a new generation under a new version.
    pub(crate) fn keep_only(
        &self,
        slot: &Slot,
        version: u64,
        tag: SessionTag,
        now: OffsetDateTime,
    ) -> Result<(Self, Slot), NotStarted> {
        let generation = self.generation_under(version, now)?;
        let last_seen = now.unix_timestamp();
        let marks = Marks::default();
        let slot = Slot { generation, seq: 0, tag, last_seen, marks, ..slot.clone() };
        Ok((Self { generation, slots: vec![slot.clone()] }, slot))
    }

    /// Ends the session in this slot and starts another in its place, with the same label, data,
    /// policy and fixed end. Other slots do not change.
    pub(crate) fn restart(
        &self,
        slot: &Slot,
        version: u64,
        tag: SessionTag,
        now: OffsetDateTime,
    ) -> Result<(Self, Slot), NotStarted> {
        let generation = self.generation_under(version, now)?;
        let at = now.unix_timestamp();
        let (started_at, last_seen, marks) = (at, at, Marks::default());
        let slot = Slot { generation, seq: 0, tag, started_at, last_seen, marks, ..slot.clone() };
        Ok((self.with(slot.clone(), generation), slot))
    }

    /// A generation above all earlier ones, also above those of a table that was lost (the column
    /// set to `NULL`) if the version increased with it.
    fn generation_under(&self, version: u64, now: OffsetDateTime) -> Result<u64, NotStarted> {
        next(self.generation.max(version), now).ok_or(NotStarted::Exhausted)
    }

    /// The table in which this session has the mark `repeated`, unless it has it already.
    fn with_repeated(&self, slot: &Slot) -> Option<Self> {
        let marks = Marks { repeated: true, ..slot.marks };
        let marked = || Slot { marks, ..slot.clone() };
        (marks != slot.marks).then(|| self.with(marked(), self.generation))
    }

    fn with(&self, changed: Slot, generation: u64) -> Self {
        let slots = self.slots.iter().map(|slot| match slot.number == changed.number {
            true => changed.clone(),
            false => slot.clone(),
        });
        Self { generation, slots: slots.collect() }
    }
}

impl Slot {
    pub(crate) const fn id(&self) -> SessionId {
        // The number is below `SessionPolicy::MAX_SESSIONS`.
        SessionId { slot: self.number as u16, generation: self.generation }
    }

    /// The first second at which the session has ended: by its idle or absolute lifetime, or by its
    /// fixed end.
    pub(crate) fn end(&self, policy: &SessionPolicy) -> i64 {
        let end = policy.rules(self.policy.as_deref()).end_of(self.started_at, self.last_seen);
        self.ends_at.map_or(end, |fixed| fixed.min(end))
    }

    fn is_over(&self, policy: &SessionPolicy, second: i64) -> bool {
        second >= self.end(policy)
    }
}

/// Removes this session, if it is there.
fn take(slots: &mut Vec<Slot>, id: SessionId) -> Option<Slot> {
    let place = slots.iter().position(|slot| slot.id() == id)?;
    Some(slots.remove(place))
}

/// A slot for a new session: a free one, or that of a session which is removed here. An evicted
/// session is one that was alive.
fn free_slot(
    slots: &mut Vec<Slot>,
    tag: SessionTag,
    policy: &SessionPolicy,
) -> Result<(u32, Option<Slot>), NotStarted> {
    let is_free = |number: &u32| slots.iter().all(|slot| slot.number != *number);
    if let Some(number) = (0..policy.slots()).find(is_free) {
        return Ok((number, None));
    }
    let numbered = || slots.iter().enumerate();
    let foreign = numbered().filter(|(_, slot)| slot.tag != tag);
    if let Some((i, _)) = foreign.min_by_key(|(_, slot)| slot.generation) {
        return Ok((slots.remove(i).number, None));
    }
    if policy.refuses_when_full() {
        return Err(NotStarted::Full);
    }
    let least = numbered().min_by_key(|(_, slot)| (slot.last_seen, slot.generation));
    let evicted = slots.remove(least.ok_or(NotStarted::Full)?.0);
    Ok((evicted.number, Some(evicted)))
}

/// The next generation, by the rule for all counters.
fn next(generation: u64, now: OffsetDateTime) -> Option<u64> {
    Counter::from(i64::try_from(generation).ok()?).next(now)?.checked()
}

fn increment(seq: u64) -> Option<u64> {
    seq.checked_add(1).filter(|seq| i64::try_from(*seq).is_ok())
}
