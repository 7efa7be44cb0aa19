"""Faults of the library, and of the application's store: with each, the model must find the law
broken that is named here. `old` occurs exactly once in its file. Every law has a fault.

A list in Python, and not in TOML, which only Python 3.11 can read.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Fault:
    name: str
    why: str
    configuration: str
    law: str
    edits: list[Edit]


# A session with this id, which may not be in the table.
CONJURE = Edit(
    file="src/sessions/table.rs",
    old="    /// Whether this table contains every session of the other.",
    new="""
    pub(crate) fn conjure(&self, id: SessionId, now: OffsetDateTime) -> Slot {
        let (at, number) = (now.unix_timestamp(), u32::from(id.slot));
        let own = self.slots.iter().find(|slot| slot.id() == id).cloned();
        own.unwrap_or(Slot {
            number,
            generation: id.generation,
            seq: 0,
            tag: SessionTag([0; 8]),
            started_at: at,
            last_seen: at,
            marks: Marks::default(),
            ends_at: None,
            data: None,
            policy: None,
            label: Label::clean(""),
        })
    }

    /// Whether this table contains every session of the other.""",
)

# The session of a verified token, without a look for it in the table.
CONJURED = Edit(
    file="src/authority/exchange.rs",
    old="    /// The session that an adopted token is exchanged for.",
    new="""
    fn conjured<U, D>(
        &self,
        verified: &Verified<U, D>,
        now: OffsetDateTime,
    ) -> Result<Option<&'a Slot>, IssueError> {
        let Some(id) = verified.session_id() else { return Ok(None) };
        let slot = sessions_of(self.user)?.conjure(id, now);
        Ok(Some(Box::leak(Box::new(slot))))
    }

    /// The session that an adopted token is exchanged for.""",
)

FAULTS = [
    Fault(
        name="the store's compare-and-set does not compare the version",
        why="a refresh that was read before a bump writes the old version back",
        configuration="theft and two revocations",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="tests/model/src/store.rs",
                old="""
self.version == read.version
            && self.password""",
                new="self.password",
            ),
        ],
    ),
    Fault(
        name="the store's compare-and-set does not compare the sessions",
        why="two refreshes that read the same row both succeed",
        configuration="two tabs and a thief",
        law="a chain never forks",
        edits=[
            Edit(
                file="tests/model/src/store.rs",
                old="&& self.sessions == read.sessions",
                new="",
            ),
        ],
    ),
    Fault(
        name="what was not stored is handed out",
        why="the loser of a race goes on with tokens that the row knows nothing of",
        configuration="two tabs and a thief",
        law="what is live is accepted",
        edits=[
            Edit(
                file="src/authority/decision.rs",
                old="Some(change) => store(change)?,",
                new="Some(change) => store(change)? || true,",
            ),
        ],
    ),
    Fault(
        name="generations are not compared",
        why="the tokens of an evicted session are taken for those of the slot's next occupant",
        configuration="one slot",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="Some(slot) if slot.generation == id.generation =>",
                new="Some(slot) if slot.generation >= id.generation =>",
            ),
        ],
    ),
    Fault(
        name="an eviction hands its generation on",
        why="the new session has the id of the one that it took the place of",
        configuration="one slot",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let NewSession { label, data, policy, .. } = new;",
                new="""
let NewSession { label, data, policy, .. } = new;
        let generation = evicted.as_ref().map_or(generation, |slot: &Slot| slot.generation);""",
            ),
        ],
    ),
    Fault(
        name="a refresh does not check what the token is bound to",
        why="it goes on after a bump or a new password",
        configuration="theft and two revocations",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/authority/refresh.rs",
                old="let record = opened.confirm(self.user, now)?;",
                new="let record = self.record()?;",
            ),
        ],
    ),
    Fault(
        name="logging the others out does not move the version",
        why="tokens without a session live on",
        configuration="theft and two revocations",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/authority/exchange.rs",
                old="record.move_version(version)?;",
                new="",
            ),
            Edit(
                file="src/authority/exchange.rs",
                old="Change::none(self.user).with_version(version).with_sessions(table)",
                new="Change::none(self.user).with_sessions(table)",
            ),
        ],
    ),
    Fault(
        name="logging the others out by a session does not compare the version",
        why="a session that was revoked since it was verified comes back to life",
        configuration="two revocations race",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/authority/exchange.rs",
                old="""
() if record.version != read.version => Reason::RevokedByVersion,
            """,
                new="",
            ),
        ],
    ),
    Fault(
        name="logging the others out by a session does not compare the credential",
        why="a session from before a new password comes back to life",
        configuration="two revocations race",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/authority/exchange.rs",
                old="""
        match record.has_credential_of(&read) {
            true => self.keep_only(verified, record),""",
                new="""
        match true {
            true => self.keep_only(verified, record),""",
            ),
        ],
    ),
    Fault(
        name="logging the others out by a session does not look for it in the table",
        why="a session that was logged out since it was verified comes back to life",
        configuration="two revocations race",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/authority/exchange.rs",
                old="""
        let own = self.session_of(verified, now)?;
        let version = following""",
                new="""
        let own = self.conjured(verified, now)?;
        let version = following""",
            ),
            CONJURED,
            CONJURE,
        ],
    ),
    Fault(
        name="a restart by a session does not look for it in the table",
        why="a session that was logged out since it was verified comes back to life",
        configuration="restarts race",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/authority/exchange.rs",
                old="""
        let own = self.session_of(verified, now)?;
        let table = sessions_of(self.user)?;
        let (table, tokens) = match own""",
                new="""
        let own = self.conjured(verified, now)?;
        let table = sessions_of(self.user)?;
        let (table, tokens) = match own""",
            ),
            CONJURED,
            CONJURE,
        ],
    ),
    Fault(
        name="a session verified before is not compared with the epochs",
        why="a session from before a bump of its tenant comes back to life",
        configuration="restarts race",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/authority/exchange.rs",
                old="() if record.outer != read.outer => Reason::BadSignature,",
                new="",
            ),
        ],
    ),
    Fault(
        name="logging the others out keeps them in the table",
        why="the version makes their tokens void, and they stay in the record for ever",
        configuration="honest devices",
        law="the record is bounded",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="Ok((Self { generation, slots: vec![slot.clone()] }, slot))",
                new="Ok((self.with(slot.clone(), generation), slot))",
            ),
        ],
    ),
    Fault(
        name="logging everybody out keeps them in the table",
        why="the version makes their tokens void, and they stay in the record for ever",
        configuration="honest devices",
        law="the record is bounded",
        edits=[
            Edit(
                file="src/authority/decision.rs",
                old="table.emptied(now)",
                new="table.clone()",
            ),
        ],
    ),
    Fault(
        name="the list does not compare the tag",
        why="sessions that were revoked by a bump or a new password stay listed for days",
        configuration="honest devices",
        law="the list is true",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old=".filter(move |slot| slot.tag == tag && slot.number < policy.slots())",
                new=".filter(move |slot| slot.number < policy.slots())",
            ),
        ],
    ),
    Fault(
        name="the tag leaves out the credential",
        why="the sessions from before a new password stay listed for days",
        configuration="honest devices",
        law="the list is true",
        edits=[
            Edit(
                file="src/binding/session_tag.rs",
                old="frame::piece(&mut hash, credential.as_bytes());",
                new="let _ = credential;",
            ),
        ],
    ),
    Fault(
        name="the tag leaves out the version",
        why="the sessions from before a bump stay listed for days",
        configuration="honest devices",
        law="the list is true",
        edits=[
            Edit(
                file="src/binding/session_tag.rs",
                old="frame::piece(&mut hash, &version.to_be_bytes());",
                new="let _ = version;",
            ),
        ],
    ),
    Fault(
        name="the tag leaves out the epochs",
        why="the sessions from before a bump of their tenant stay listed for days",
        configuration="revoked by SQL",
        law="the list is true",
        edits=[
            Edit(
                file="src/binding/session_tag.rs",
                old="derivation::write_outer(&mut hash, outer);",
                new="derivation::write_outer(&mut hash, &outer[..0]);",
            ),
        ],
    ),
    Fault(
        name="a login writes another tag",
        why="its session is not listed",
        configuration="honest devices",
        law="the list is true",
        edits=[
            Edit(
                file="src/authority/session_tokens.rs",
                old="""
        let tag = record.session_tag();
        let started =""",
                new="""
        let tag = crate::sessions::SessionTag([0; 8]);
        let started =""",
            ),
        ],
    ),
    Fault(
        name="a refresh writes another tag",
        why="its session is no longer listed. That it writes none cannot be seen: the token of another record is refused",
        configuration="honest devices",
        law="the list is true",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let next = Slot { seq, tag, last_seen: at, marks, ..slot.clone() };",
                new="let next = Slot { seq, tag: SessionTag([0; 8]), last_seen: at, marks, ..slot.clone() };",
            ),
        ],
    ),
    Fault(
        name="a restart writes another tag",
        why="its session is no longer listed. That it writes none cannot be seen, as at a refresh",
        configuration="restarts race",
        law="the list is true",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let slot = Slot { generation, seq: 0, tag, started_at, last_seen, marks, ..slot.clone() };",
                new="let slot = Slot { generation, seq: 0, tag: SessionTag([0; 8]), started_at, last_seen, marks, ..slot.clone() };",
            ),
        ],
    ),
    Fault(
        name="logging the others out writes no tag",
        why="the version moves, and the device that stays is no longer listed",
        configuration="honest devices",
        law="the list is true",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let slot = Slot { generation, seq: 0, tag, last_seen, marks, ..slot.clone() };",
                new="let slot = Slot { generation, seq: 0, last_seen, marks, ..slot.clone() };",
            ),
        ],
    ),
    Fault(
        name="the list asks for no active user",
        why="a disabled user sees sessions whose tokens are void",
        configuration="revoked by SQL",
        law="the list is true",
        edits=[
            Edit(
                file="src/authority/sessions.rs",
                old="if !user.is_active() {",
                new="if false {",
            ),
        ],
    ),
    Fault(
        name="a login evicts before it takes the slot of a revoked session",
        why="a device is logged out for nothing",
        configuration="revoked by SQL",
        law="a login takes the right slot",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let foreign = numbered().filter(|(_, slot)| slot.tag != tag);",
                new="""
let is_alive = slots.iter().any(|slot| slot.tag == tag);
    let foreign = numbered().filter(|(_, slot)| slot.tag != tag && !is_alive);""",
            ),
        ],
    ),
    Fault(
        name="a login takes the slot of a revoked session though one is free",
        why="that session may be alive in a process with other epochs",
        configuration="revoked by SQL",
        law="a login takes the right slot",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="if let Some(number) = (0..policy.slots()).find(is_free) {",
                new="""
if let Some(number) =
        (0..policy.slots()).find(is_free).filter(|_| slots.iter().all(|slot| slot.tag == tag))
    {""",
            ),
        ],
    ),
    Fault(
        name="a login takes the slot of the newest revoked session",
        why="that session may be alive in a process with other epochs",
        configuration="revoked by SQL",
        law="a login takes the right slot",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="foreign.min_by_key(",
                new="foreign.max_by_key(",
            ),
        ],
    ),
    Fault(
        name="a fixed end is ignored",
        why="a guest stays",
        configuration="a fixed end",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="self.ends_at.map_or(end, |fixed| fixed.min(end))",
                new="end",
            ),
        ],
    ),
    Fault(
        name="a refresh loses the fixed end",
        why="a guest who refreshes stays",
        configuration="a fixed end",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let next = Slot { seq, tag, last_seen: at, marks, ..slot.clone() };",
                new="let next = Slot { seq, tag, last_seen: at, marks, ends_at: None, ..slot.clone() };",
            ),
        ],
    ),
    Fault(
        name="a restart loses the fixed end",
        why="a guest who restarts stays",
        configuration="a fixed end",
        law="a session keeps its own",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let slot = Slot { generation, seq: 0, tag, started_at, last_seen, marks, ..slot.clone() };",
                new="let slot = Slot { generation, seq: 0, tag, started_at, last_seen, marks, ends_at: None, ..slot.clone() };",
            ),
        ],
    ),
    Fault(
        name="a refresh loses the data",
        why="the session forgets whom it acts for",
        configuration="honest devices",
        law="a session keeps its own",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let next = Slot { seq, tag, last_seen: at, marks, ..slot.clone() };",
                new="let next = Slot { seq, tag, last_seen: at, marks, data: None, ..slot.clone() };",
            ),
        ],
    ),
    Fault(
        name="a restart loses the policy",
        why="the session has the times of another kind of client",
        configuration="a fixed end",
        law="what is live is accepted",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let slot = Slot { generation, seq: 0, tag, started_at, last_seen, marks, ..slot.clone() };",
                new="let slot = Slot { generation, seq: 0, tag, started_at, last_seen, marks, policy: None, ..slot.clone() };",
            ),
        ],
    ),
    Fault(
        name="a restart keeps the start",
        why="an old login is taken for a new one",
        configuration="restarts race",
        law="a session keeps its own",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="""
let (started_at, last_seen, marks) = (at, at, Marks::default());
        let slot = Slot { generation, seq: 0, tag, started_at, last_seen, marks, ..slot.clone() };""",
                new="""
let (last_seen, marks) = (at, Marks::default());
        let slot = Slot { generation, seq: 0, tag, last_seen, marks, ..slot.clone() };""",
            ),
        ],
    ),
    Fault(
        name="a token revokes whatever session has its slot",
        why="an old token ends the next session there",
        configuration="revoked by SQL",
        law="a token revokes its session",
        edits=[
            Edit(
                file="src/authority/sessions.rs",
                old="Ok(end(user, now, |slot| slot.id() == session)?.map(|ended| ended > 0))",
                new="Ok(end(user, now, |slot| slot.number == u32::from(session.slot))?.map(|ended| ended > 0))",
            ),
        ],
    ),
    Fault(
        name="a revocation does not check what the token is bound to",
        why="a revoked token changes the record",
        configuration="revoked by SQL",
        law="a token revokes its session",
        edits=[
            Edit(
                file="src/authority/refresh.rs",
                old="""
self.confirm(user, self.core.now())?;
        let (session, _)""",
                new="let (session, _)",
            ),
        ],
    ),
    Fault(
        name="there is no absolute end",
        why="a client that refreshes in time keeps a session for ever",
        configuration="expiry",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/sessions/client_policy.rs",
                old="idle_end.min(started_at.saturating_add(self.absolute.whole_seconds()))",
                new="idle_end",
            ),
        ],
    ),
    Fault(
        name="idle time is counted from the start",
        why="a session ends though it is used",
        configuration="expiry",
        law="what is live is accepted",
        edits=[
            Edit(
                file="src/sessions/client_policy.rs",
                old="last_seen.saturating_add(self.idle.whole_seconds())",
                new="started_at.saturating_add(self.idle.whole_seconds())",
            ),
        ],
    ),
    Fault(
        name="there is no grace",
        why="a lost response logs its device out",
        configuration="honest devices",
        law="a retry logs nobody out",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="if seq + 1 == slot.seq {",
                new="if seq > slot.seq {",
            ),
        ],
    ),
    Fault(
        name="the grace counts forwards only",
        why="a retry after the clock was set back is taken for reuse",
        configuration="clock set back",
        law="a retry logs nobody out",
        edits=[
            Edit(
                file="src/sessions/client_policy.rs",
                old="elapsed.unsigned_abs() <= seconds",
                new="(0..=seconds.cast_signed()).contains(&elapsed)",
            ),
        ],
    ),
    Fault(
        name="the grace has no end",
        why="a thief who refreshes late goes unnoticed",
        configuration="theft",
        law="reuse is reported and ends the session",
        edits=[
            Edit(
                file="src/sessions/client_policy.rs",
                old="() if is_within(self.grace)",
                new="() if self.grace > Duration::ZERO",
            ),
        ],
    ),
    Fault(
        name="the grace reaches two steps back",
        why="a thief who is two refreshes late goes unnoticed",
        configuration="theft",
        law="reuse is reported and ends the session",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="if seq + 1 == slot.seq {",
                new="if seq + 2 >= slot.seq {",
            ),
        ],
    ),
    Fault(
        name="reuse ends nothing",
        why="it is reported, and owner and thief go on",
        configuration="theft",
        law="reuse is reported and ends the session",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="false => self.without(now, |other| other.number == slot.number),",
                new="false => (self.clone(), 1),",
            ),
        ],
    ),
    Fault(
        name="a grace hit is not reported",
        why="owner and thief share the session, and nobody hears of it",
        configuration="theft",
        law="sharing is reported",
        edits=[
            Edit(
                file="src/authority/refresh.rs",
                old="Self::Repeated(_, event) => event.as_ref(),",
                new="Self::Repeated(..) => None,",
            ),
        ],
    ),
    Fault(
        name="a late repeat stores no mark",
        why="two parties go on by turns, and nobody hears of it",
        configuration="late repeats",
        law="two parties never leapfrog",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="return Ok(Rotation::RepeatedLate(self.with_repeated(slot), slot.clone()));",
                new="return Ok(Rotation::RepeatedLate(None, slot.clone()));",
            ),
        ],
    ),
    Fault(
        name="a grace hit under strict leaves no mark",
        why="two parties go on by a late repeat and the grace in turns, and neither is found",
        configuration="late repeats",
        law="two parties never leapfrog",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let table = slot.marks.strict.then(|| self.with_repeated(slot)).flatten();",
                new="let table = None;",
            ),
        ],
    ),
    Fault(
        name="every grace hit leaves a mark",
        why="a phone with two tabs is logged out when it comes back late",
        configuration="an honest phone",
        law="a retry logs nobody out",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let table = slot.marks.strict.then(|| self.with_repeated(slot)).flatten();",
                new="let table = self.with_repeated(slot);",
            ),
        ],
    ),
    Fault(
        name="the mark of a late repeat does not make its session strict",
        why="the second to use the successor has a late repeat in turn",
        configuration="late repeats",
        law="two parties never leapfrog",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="Marks { repeated: false, strict: slot.marks.repeated }",
                new="Marks { repeated: false, strict: false }",
            ),
        ],
    ),
    Fault(
        name="the mark of a late repeat stays",
        why="the second to use the successor has a late repeat in turn",
        configuration="late repeats",
        law="two parties never leapfrog",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="Marks { repeated: false, strict: slot.marks.repeated }",
                new="Marks { repeated: slot.marks.repeated, strict: false }",
            ),
        ],
    ),
    Fault(
        name="a strict session has late repeats",
        why="the second to use the successor has one in turn",
        configuration="late repeats",
        law="two parties never leapfrog",
        edits=[
            Edit(
                file="src/sessions/client_policy.rs",
                old="() if !is_strict && is_within(self.late_repeat)",
                new="() if is_within(self.late_repeat)",
            ),
        ],
    ),
    Fault(
        name="a session stays strict",
        why="a phone that came back late once is logged out when it does so again",
        configuration="an honest phone",
        law="a retry logs nobody out",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="Marks { repeated: false, strict: slot.marks.repeated }",
                new="Marks { repeated: false, strict: slot.marks.repeated || slot.marks.strict }",
            ),
        ],
    ),
    Fault(
        name="a login begins with a mark",
        why="a phone that comes back late is logged out",
        configuration="an honest phone",
        law="a retry logs nobody out",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="""
let (started_at, last_seen, marks) = (at, at, Marks::default());
        let slot = Slot {
""",
                new="""
let (started_at, last_seen, marks) = (at, at, Marks { repeated: true, strict: false });
        let slot = Slot {
""",
            ),
        ],
    ),
    Fault(
        name="a restart keeps the mark",
        why="a phone that comes back late is logged out",
        configuration="an honest phone",
        law="a retry logs nobody out",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let slot = Slot { generation, seq: 0, tag, started_at, last_seen, marks, ..slot.clone() };",
                new="let slot = Slot { generation, seq: 0, tag, started_at, last_seen, ..slot.clone() };",
            ),
        ],
    ),
    Fault(
        name="logging the others out keeps the mark",
        why="a phone that comes back late is logged out",
        configuration="an honest phone",
        law="a retry logs nobody out",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="let slot = Slot { generation, seq: 0, tag, last_seen, marks, ..slot.clone() };",
                new="let slot = Slot { generation, seq: 0, tag, last_seen, ..slot.clone() };",
            ),
        ],
    ),
    Fault(
        name="a late repeat has no bound",
        why="a thief who comes long after goes unnoticed",
        configuration="late repeats",
        law="reuse is reported and ends the session",
        edits=[
            Edit(
                file="src/sessions/client_policy.rs",
                old="() if !is_strict && is_within(self.late_repeat)",
                new="() if !is_strict && self.late_repeat > Duration::ZERO",
            ),
        ],
    ),
    Fault(
        name="there is no late repeat",
        why="a phone that comes back late is logged out",
        configuration="an honest phone",
        law="a retry logs nobody out",
        edits=[
            Edit(
                file="src/sessions/client_policy.rs",
                old="() if !is_strict && is_within(self.late_repeat)",
                new="() if !is_strict && is_within(Duration::ZERO)",
            ),
        ],
    ),
    Fault(
        name="a late repeat is not reported",
        why="owner and thief share the session, and nobody hears of it",
        configuration="late repeats",
        law="sharing is reported",
        edits=[
            Edit(
                file="src/authority/refresh.rs",
                old="is_first.then(||",
                new="(is_first && false).then(||",
            ),
        ],
    ),
    Fault(
        name="a refresh token's nonce is random",
        why="two holders of the same place in the chain can be told apart",
        configuration="honest devices",
        law="a chain never forks",
        edits=[
            Edit(
                file="src/authority/kernel/mint.rs",
                old="nonce = derivation.refresh_nonce(draft.user_id, id, seq);",
                new="let _ = (id, seq, self.settings.entropy.fill(&mut nonce)?);",
            ),
        ],
    ),
    Fault(
        name="refresh tokens are in stamp mode",
        why="their whole id is random there",
        configuration="no grace",
        law="a chain never forks",
        edits=[
            Edit(
                file="src/authority/kernel/kind.rs",
                old="mode: BindingMode::Key,",
                new="mode: BindingMode::StampHs256,",
            ),
        ],
    ),
    Fault(
        name="an answer again is dated anew",
        why="the same place in the chain gives other bytes a second later",
        configuration="theft",
        law="a chain never forks",
        edits=[
            Edit(
                file="src/authority/session_tokens.rs",
                old="iat: seconds(slot.last_seen)?,",
                new="iat: seconds(core.now().unix_timestamp())?,",
            ),
        ],
    ),
    Fault(
        name="a login takes a slot beyond the policy's",
        why="the record grows past its bound",
        configuration="one slot",
        law="the record is bounded",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="if let Some(number) = (0..policy.slots()).find(is_free) {",
                new="if let Some(number) = (0..=policy.slots()).find(is_free) {",
            ),
        ],
    ),
    Fault(
        name="a token ahead of the record is taken for reuse",
        why="restoring a backup logs everybody out and cries theft",
        configuration="restored backup",
        law="a rollback ends nothing",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="if seq > slot.seq {",
                new="if seq > slot.seq + 9 {",
            ),
        ],
    ),
    Fault(
        name="using a link does not move its lane",
        why="it can be used again",
        configuration="everything races",
        law="a link is used once",
        edits=[
            Edit(
                file="src/authority/one_time.rs",
                old="Change::none(user).with_lane(P::TYP, lane)",
                new="Change::none(user)",
            ),
        ],
    ),
    Fault(
        name="a reset does not move the version",
        why="where the new hash is forgotten, the link can be used again",
        configuration="two revocations race",
        law="a link is used once",
        edits=[
            Edit(
                file="src/authority/one_time.rs",
                old="Change::logged_out(user, now).map_err(VerifyError::Record)?",
                new="Change::none(user)",
            ),
        ],
    ),
]
