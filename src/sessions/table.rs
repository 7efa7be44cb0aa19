//! The table of a user's sessions, and its transitions.

use time::OffsetDateTime;

use super::{Label, SessionId, SessionPolicy};
use crate::{counter::Counter, rejection::Reason};

/// A user's sessions, in a fixed number of slots: one column of the user's record.
///
/// It is read from the column with [`from_column`](Self::from_column), handed over by
/// [`User::sessions`](crate::User::sessions), and changed by nobody but the
/// [`Authority`](crate::Authority), whose decisions hold the next one
/// ([`Change::sessions`](crate::Change::sessions)). [`default`](Self::default) is the table of a
/// user who never had a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionTable {
    /// The highest that was ever handed out, within the range of i64; 0 before the first.
    pub(super) generation: u64,
    /// Those that are taken, by number.
    pub(super) slots: Vec<Slot>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) number: u32,
    pub(crate) generation: u64,
    /// How often it was refreshed, within the range of i64.
    pub(crate) seq: u64,
    /// Seconds since 1970, as is `last_seen`.
    pub(crate) started_at: i64,
    /// When it was last refreshed: what the refresh token in force says as its `iat`.
    pub(crate) last_seen: i64,
    pub(crate) label: Label,
}

/// A login took a slot.
pub(crate) struct Started {
    pub(crate) table: SessionTable,
    pub(crate) slot: Slot,
    pub(crate) evicted: Option<Slot>,
}

/// Why a login got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    Full,
    /// The generations are used up.
    Exhausted,
}

/// What presenting a genuine refresh token comes to.
#[derive(Debug)]
pub(crate) enum Rotation {
    /// It is the one in force, and now its successor is.
    Advanced(SessionTable, Slot),
    /// It is the predecessor, presented again within the grace: nothing changes.
    Repeated(Slot),
    /// It was used up before: the session ends.
    Reused { table: SessionTable, slot: Slot, ended: usize },
    /// It is ahead of the table, which must be an older one than was stored before.
    Ahead(Reason, Option<Slot>),
}

impl SessionTable {
    /// The session of this id, if it is alive. Generations are compared first, and nothing changes
    /// for a lower one: a dead session's token must not hurt the slot's next occupant.
    pub(crate) fn admit(
        &self,
        id: SessionId,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> Result<&Slot, Reason> {
        if id.slot >= policy.slots() {
            return Err(Reason::SlotOutOfRange);
        }
        match self.slots.iter().find(|slot| slot.number == id.slot) {
            Some(slot) if slot.generation == id.generation => match slot.is_over(policy, now) {
                true => Err(Reason::SessionExpired),
                false => Ok(slot),
            },
            Some(slot) if slot.generation < id.generation => Err(Reason::SessionAhead),
            // A free slot stands for all generations up to now: they are over.
            None if self.generation < id.generation => Err(Reason::SessionAhead),
            _ => Err(Reason::SessionEnded),
        }
    }

    /// Whether each session of the other table is in this one as well.
    #[cfg(feature = "service")]
    pub(crate) fn has_all_of(&self, other: &Self) -> bool {
        other.slots.iter().all(|theirs| self.slots.iter().any(|own| own.id() == theirs.id()))
    }

    /// The sessions that are alive under this version of the user's.
    pub(crate) fn live(
        &self,
        version: u64,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.is_alive(version, policy, now))
    }

    /// A login: takes a slot that is free or whose session is over, or that of the session that
    /// was not used for the longest time.
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

    /// A refresh token of this session and sequence is presented.
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

    /// Logs the sessions out for which `is_out` says so. Tells how many these are; the table stays
    /// as it is if there is none.
    pub(crate) fn without(
        &self,
        now: OffsetDateTime,
        mut is_out: impl FnMut(&Slot) -> bool,
    ) -> (Self, usize) {
        let mut table = self.clone();
        table.slots.retain(|slot| !is_out(slot));
        let ended = self.slots.len() - table.slots.len();
        if ended > 0 {
            // Where the range is used up, taking the sessions out does it alone.
            table.generation = next(self.generation, now).unwrap_or(self.generation);
        }
        (table, ended)
    }

    /// Logs all sessions out. The generation moves even if there is none, but for a user who never
    /// had one.
    pub(crate) fn emptied(&self, now: OffsetDateTime) -> Self {
        let generation = match self.generation {
            0 => 0,
            used => next(used, now).unwrap_or(used),
        };
        Self { generation, slots: Vec::new() }
    }

    /// Logs all sessions out but this one, which begins a new generation under a new version.
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

    /// The session in this slot ends, and another one of its label begins in its place. Nobody else's
    /// is touched.
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

    /// A generation above all before it, and above the version: one that is not above a later
    /// version is of before the bump, which may have been made past this table.
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
        SessionId { slot: self.number, generation: self.generation }
    }

    /// The first second at which the session is over, idle or absolute.
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

/// The generation after this one, by the rule of all counters.
fn next(generation: u64, now: OffsetDateTime) -> Option<u64> {
    Counter::from(i64::try_from(generation).ok()?).next(now)?.checked()
}

fn increment(seq: u64) -> Option<u64> {
    seq.checked_add(1).filter(|seq| i64::try_from(*seq).is_ok())
}
