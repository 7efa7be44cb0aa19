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
                old="let slot = Slot { number, generation, seq: 0, started_at: at, last_seen: at, label };",
                new="""
let generation = evicted.as_ref().map_or(generation, |slot| slot.generation);
        let slot = Slot { number, generation, seq: 0, started_at: at, last_seen: at, label };""",
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
                file="src/authority/session_tokens.rs",
                old="record.move_version(version)?;",
                new="",
            ),
            Edit(
                file="src/authority/session_tokens.rs",
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
                file="src/authority/session_tokens.rs",
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
                file="src/authority/session_tokens.rs",
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
                file="src/authority/session_tokens.rs",
                old="""
        let own = table
            .admit(id, &self.core.settings.sessions, now)
            .map_err(|reason| IssueError::SessionOver(over(reason)))?;""",
                new="""
        let at = now.unix_timestamp();
        let (number, generation, label) = (id.slot, id.generation, Label::clean(""));
        let own = &Slot { number, generation, seq: 0, started_at: at, last_seen: at, label };""",
            ),
        ],
    ),
    Fault(
        name="logging the others out keeps them in the table",
        why="the version makes their tokens void, and the list shows them for days",
        configuration="honest devices",
        law="the list is true",
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
        why="a session that began in the same instant as another is listed, and its tokens are void",
        configuration="honest devices",
        law="the list is true",
        edits=[
            Edit(
                file="src/authority/decision.rs",
                old="table.emptied(now)",
                new="table.clone()",
            ),
        ],
    ),
    Fault(
        name="the list does not ask for the version",
        why="what the application bumped past the table stays listed for days",
        configuration="honest devices",
        law="the list is true",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="&& self.generation > version &&",
                new="&&",
            ),
        ],
    ),
    Fault(
        name="a session's generation may be below the version that it began under",
        why="a login in the instant of a bump is taken for one from before it, and not listed",
        configuration="honest devices",
        law="the list is true",
        edits=[
            Edit(
                file="src/sessions/table.rs",
                old="next(self.generation.max(version), now)",
                new="next(self.generation, now)",
            ),
        ],
    ),
    Fault(
        name="there is no absolute end",
        why="whoever refreshes in time keeps a session for ever",
        configuration="expiry",
        law="what is revoked is dead",
        edits=[
            Edit(
                file="src/sessions/policy.rs",
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
                file="src/sessions/policy.rs",
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
                old="if seq + 1 == slot.seq &&",
                new="if seq > slot.seq &&",
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
                file="src/sessions/policy.rs",
                old="elapsed.unsigned_abs() <= grace",
                new="(0..=grace.cast_signed()).contains(&elapsed)",
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
                file="src/sessions/policy.rs",
                old="grace > 0 && elapsed.unsigned_abs() <= grace",
                new="grace > 0",
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
                old="if seq + 1 == slot.seq &&",
                new="if seq + 2 >= slot.seq &&",
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
                old="""
            Self::Rotated(_) => None,
            Self::Repeated(_, event) | Self::Reused(event)""",
                new="""
            Self::Rotated(_) | Self::Repeated(..) => None,
            Self::Reused(event)""",
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
                old="match (0..policy.slots()).find(is_free)",
                new="match (0..=policy.slots()).find(is_free)",
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
