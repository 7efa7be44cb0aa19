//! The table of a user's sessions, and its state transitions.

use time::OffsetDateTime;

use super::{Label, SessionId, SessionPolicy};
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
    /// Seconds since 1970, as is `last_seen`.
    pub(crate) started_at: i64,
    /// The time of the last refresh: the `iat` of the current refresh token.
    pub(crate) last_seen: i64,
    pub(crate) label: Label,
}

/// The result of a login that took a slot.
pub(crate) struct Started {
    pub(crate) table: SessionTable,
    pub(crate) slot: Slot,
    pub(crate) evicted: Option<Slot>,
}

/// Why a login got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    Full,
    /// The generation is at the end of its range.
    Exhausted,
}

/// The result of presenting a genuine refresh token.
#[derive(Debug)]
pub(crate) enum Rotation {
    /// The token was current; its successor is current now.
    Advanced(SessionTable, Slot),
    /// The token is the predecessor, presented again within the grace period: nothing changes.
    Repeated(Slot),
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
        now: OffsetDateTime,
    ) -> Result<&Slot, Reason> {
        if u32::from(id.slot) >= policy.slots() {
            return Err(Reason::SlotOutOfRange);
        }
        match self.slots.iter().find(|slot| slot.number == u32::from(id.slot)) {
            Some(slot) if slot.generation == id.generation => match slot.is_over(policy, now) {
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

    /// The sessions that are alive under this user version.
    pub(crate) fn live(
        &self,
        version: u64,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.is_alive(version, policy, now))
    }

    /// Starts a session: in a free slot, or in one whose session has ended, or in place of the
    /// least recently used session.
    pub(crate) fn start(
        &self,
        label: Label,
        version: u64,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> Result<Started, NoSlot> {
        let generation = self.generation_under(version, now)?;
        let mut slots: Vec<Slot> = self.live(version, policy, now).cloned().collect();
        let is_free = |number: &u32| slots.iter().all(|slot| slot.number != *number);
        let (number, evicted) = match (0..policy.slots()).find(is_free) {
            Some(number) => (number, None),
            None if policy.refuses_when_full() => return Err(NoSlot::Full),
            None => {
                let by_use = |slot: &(usize, &Slot)| (slot.1.last_seen, slot.1.generation);
                let least = slots.iter().enumerate().min_by_key(by_use).map(|(i, _)| i);
                let evicted = slots.remove(least.ok_or(NoSlot::Full)?);
                (evicted.number, Some(evicted))
            }
        };
        let at = now.unix_timestamp();
        let slot = Slot { number, generation, seq: 0, started_at: at, last_seen: at, label };
        let place = slots.partition_point(|other| other.number < number);
        slots.insert(place, slot.clone());
        Ok(Started { table: Self { generation, slots }, slot, evicted })
    }

    /// Handles a presented refresh token of this session and sequence number.
    pub(crate) fn rotate(
        &self,
        (id, seq): (SessionId, u64),
        version: u64,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> Result<Rotation, Reason> {
        let slot = match self.admit(id, policy, now) {
            Err(reason @ Reason::SessionAhead) => return Ok(Rotation::Ahead(reason, None)),
            other => other?,
        };
        let at = now.unix_timestamp();
        if seq > slot.seq {
            return Ok(Rotation::Ahead(Reason::RefreshAhead, Some(slot.clone())));
        }
        if seq == slot.seq {
            let seq = increment(seq).ok_or(Reason::SequenceExhausted)?;
            let next = Slot { seq, last_seen: at, ..slot.clone() };
            return Ok(Rotation::Advanced(self.with(next.clone(), self.generation), next));
        }
        if seq + 1 == slot.seq && policy.is_within_grace(at.saturating_sub(slot.last_seen)) {
            return Ok(Rotation::Repeated(slot.clone()));
        }
        let (table, ended) = match policy.ends_all_on_reuse() {
            true => (self.without(now, |_| true).0, self.live(version, policy, now).count()),
            false => self.without(now, |other| other.number == slot.number),
        };
        Ok(Rotation::Reused { table, slot: slot.clone(), ended })
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
        now: OffsetDateTime,
    ) -> Result<(Self, Slot), NoSlot> {
        let generation = self.generation_under(version, now)?;
        let last_seen = now.unix_timestamp();
        let slot = Slot { generation, seq: 0, last_seen, ..slot.clone() };
        Ok((Self { generation, slots: vec![slot.clone()] }, slot))
    }

    /// Ends the session in this slot and starts another with the same label in its place. Other
    /// slots do not change.
    pub(crate) fn restart(
        &self,
        slot: &Slot,
        version: u64,
        now: OffsetDateTime,
    ) -> Result<(Self, Slot), NoSlot> {
        let generation = self.generation_under(version, now)?;
        let at = now.unix_timestamp();
        let slot = Slot { generation, seq: 0, started_at: at, last_seen: at, ..slot.clone() };
        Ok((self.with(slot.clone(), generation), slot))
    }

    /// A generation above all earlier ones and above the version. A generation that is not above a
    /// later version is older than that version, which may have increased without this table.
    fn generation_under(&self, version: u64, now: OffsetDateTime) -> Result<u64, NoSlot> {
        next(self.generation.max(version), now).ok_or(NoSlot::Exhausted)
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

    /// The first second at which the session has ended, by its idle or absolute lifetime.
    pub(crate) fn ends_at(&self, policy: &SessionPolicy) -> i64 {
        policy.end_of(self.started_at, self.last_seen)
    }

    fn is_over(&self, policy: &SessionPolicy, now: OffsetDateTime) -> bool {
        now.unix_timestamp() >= self.ends_at(policy)
    }

    pub(crate) fn is_alive(
        &self,
        version: u64,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> bool {
        self.number < policy.slots() && self.generation > version && !self.is_over(policy, now)
    }
}

/// The next generation, by the rule for all counters.
fn next(generation: u64, now: OffsetDateTime) -> Option<u64> {
    Counter::from(i64::try_from(generation).ok()?).next(now)?.checked()
}

fn increment(seq: u64) -> Option<u64> {
    seq.checked_add(1).filter(|seq| i64::try_from(*seq).is_ok())
}
