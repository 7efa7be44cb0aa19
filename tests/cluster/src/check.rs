//! Compares all answers with the rows and the tokens.

use std::collections::{HashMap, HashSet};

use relatch::{
    Access, Token,
    one_time::MagicLink,
    service::ServiceError,
    sessions::SessionTable,
    store::{Lanes, UserKey},
};

use crate::{
    rpc::{Op, Outcome},
    site::{Failure, Site},
    storm::{Claims, FIRST_PASSWORD, Record, SessionKey, user_id},
};

/// The bounds of the run.
pub struct Terms {
    /// How long another process's cache may be stale, in nanoseconds.
    pub staleness: u64,
}

/// The numbers of things checked, for the report.
#[derive(Default, Debug)]
pub struct Counts {
    pub tokens: usize,
    pub alive: usize,
    pub links: usize,
}

/// A user's row after the load.
struct Row {
    version: i64,
    /// The `seq` of each session in the table.
    sessions: HashMap<String, u64>,
    lane: i64,
}

pub async fn check(
    site: &Site,
    records: &[Record],
    users: usize,
    terms: &Terms,
) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    for record in records {
        if matches!(record.outcome, Outcome::Failed(_) | Outcome::NoSuchUser) {
            return Err(format!("neither done nor refused nor unavailable: {record:?}").into());
        }
        // A bump is never refused because of a conflict.
        if matches!(record.op, Op::Bump { .. }) && record.outcome == Outcome::Busy {
            return Err(format!("a bump ended as a conflict: {record:?}").into());
        }
    }
    for user in 0..users {
        let of_user: Vec<_> = records.iter().filter(|record| record.user == user).collect();
        let row = read(site, user).await?;
        let user = User { site, records: of_user, row, id: user_id(user) };
        let alive = user.sessions(&mut counts).await?;
        user.rejections(&alive)?;
        user.refusals()?;
        user.revocations(terms)?;
        user.chains()?;
        user.links(&mut counts).await?;
        user.password().await?;
    }
    Ok(counts)
}

async fn read(site: &Site, user: usize) -> Result<Row, Failure> {
    let id = user_id(user);
    let row = site.store.read(UserKey::Id(&id)).await?.ok_or("a user's row is gone")?;
    // Reads every column, as the service does.
    site.service.find(UserKey::Id(&id)).await.map_err(|error| format!("{id}: {error:?}"))?;
    let sessions = row.columns.sessions.as_deref();
    SessionTable::from_column(sessions)?;
    let mut found = HashMap::new();
    if let Some(text) = sessions {
        let table: serde_json::Value = serde_json::from_str(text)?;
        for slot in table["sessions"].as_array().ok_or("no sessions")? {
            let sid = format!("{}.{}", slot["slot"], slot["generation"]);
            found.insert(sid, slot["seq"].as_u64().ok_or("no seq")?);
        }
    }
    let lanes = Lanes::from_column(row.columns.lanes.as_deref())?;
    Ok(Row {
        version: row.columns.version.ok_or("the version is gone")?,
        sessions: found,
        lane: lanes.get(<MagicLink as relatch::Purpose>::TYP).get(),
    })
}

struct User<'a> {
    site: &'a Site,
    records: Vec<&'a Record>,
    row: Row,
    id: String,
}

impl User<'_> {
    /// The calls that certainly logged out everywhere.
    fn revoking(&self) -> impl Iterator<Item = &Record> {
        self.all_revoking()
            .filter(|record| matches!(record.outcome, Outcome::Done | Outcome::Tokens { .. }))
    }

    /// The same, and the calls whose outcome is unknown.
    fn all_revoking(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().copied().filter(|record| {
            let is_revoking = matches!(
                record.op,
                Op::Bump { .. }
                    | Op::SetPassword { .. }
                    | Op::ChangePassword { .. }
                    | Op::LogOutOthers { .. }
            );
            let is_effective = matches!(record.outcome, Outcome::Done | Outcome::Tokens { .. });
            is_revoking && (is_effective || record.outcome.is_unknown())
        })
    }

    fn handed(&self) -> impl Iterator<Item = (&Record, &Claims, &str)> {
        self.records.iter().filter_map(|record| match (&record.outcome, &record.handed) {
            (Outcome::Tokens { access, .. }, Some(claims)) => Some((*record, claims, &**access)),
            _ => None,
        })
    }

    /// The live sessions, after checking that each must be alive.
    async fn sessions(&self, counts: &mut Counts) -> Result<HashSet<SessionKey>, Failure> {
        let logged_out: HashSet<_> = self
            .records
            .iter()
            .filter(|record| matches!(record.op, Op::LogOut { .. }))
            .filter(|record| matches!(record.outcome, Outcome::Is(_)))
            .filter_map(|record| record.given.as_ref()?.session())
            .collect();
        let perhaps_out: HashSet<_> = self
            .records
            .iter()
            .filter(|record| matches!(record.op, Op::LogOut { .. }) && record.outcome.is_unknown())
            .filter_map(|record| record.given.as_ref()?.session())
            .collect();
        let evicted: HashSet<_> = self
            .handed()
            .filter_map(|(record, claims, _)| match &record.outcome {
                Outcome::Tokens { evicted: Some(sid), .. } => Some((claims.ver, sid.clone())),
                _ => None,
            })
            .collect();
        let is_start = |op: &Op| matches!(op, Op::Start { .. } | Op::Login { .. });
        let unknown_starts = self
            .records
            .iter()
            .filter(|record| record.outcome.is_unknown())
            .filter(|record| {
                is_start(&record.op)
                    || matches!(record.op, Op::ChangePassword { .. } | Op::LogOutOthers { .. })
            })
            .count();
        let (mut alive, mut started, mut missing) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        for (record, claims, access) in self.handed() {
            counts.tokens += 1;
            let key = claims.session().ok_or("a token without a session")?;
            if !matches!(record.op, Op::Refresh { .. }) && !started.insert(key.clone()) {
                return self.fail(record, "the session was handed out twice");
            }
            if claims.ver > self.row.version {
                return self.fail(record, "the row is older than what was handed out");
            }
            let lives = match self.site.service.authenticate(&Token::<Access>::new(access)).await {
                Ok(_) => true,
                Err(ServiceError::Rejected(_)) => false,
                Err(other) => return Err(Box::new(other)),
            };
            if let Some(by) = self.revoking().find(|by| by.start > record.end)
                && (lives || claims.ver == self.row.version)
            {
                return self.fail(record, &format!("it outlived {by:?}"));
            }
            if claims.ver < self.row.version {
                if lives {
                    return self.fail(record, "it is alive on a later version");
                }
                if !self.all_revoking().any(|by| by.end > record.start) {
                    return self.fail(record, "it was revoked by nothing");
                }
                continue;
            }
            let is_out = logged_out.contains(&key) || evicted.contains(&key);
            match lives {
                true if is_out => return self.fail(record, "it was logged out, and is alive"),
                true => drop(alive.insert(key)),
                false if is_out || perhaps_out.contains(&key) => {}
                // A login whose answer was lost may have evicted it.
                false => drop(missing.insert(key)),
            }
        }
        if missing.len() > unknown_starts {
            let text = format!("{}: these sessions were lost: {missing:?}", self.id);
            return Err(text.into());
        }
        let of_now: HashSet<_> = started
            .iter()
            .filter(|(ver, _)| *ver == self.row.version)
            .map(|(_, sid)| sid)
            .collect();
        let surplus = self.row.sessions.keys().filter(|sid| !of_now.contains(sid)).count();
        if surplus > unknown_starts {
            return Err(format!("{}: {surplus} sessions that no answer handed out", self.id).into());
        }
        counts.alive += alive.len();
        Ok(alive)
    }

    /// Checks that no session was rejected before something had ended it.
    fn rejections(&self, alive: &HashSet<SessionKey>) -> Result<(), Failure> {
        let begins: HashMap<SessionKey, u64> = self
            .handed()
            .filter(|(record, ..)| !matches!(record.op, Op::Refresh { .. }))
            .filter_map(|(record, claims, _)| Some((claims.session()?, record.start)))
            .collect();
        for record in &self.records {
            let is_of_session = !matches!(record.op, Op::Consume { .. });
            let given = record.given.as_ref().filter(|_| is_of_session).and_then(Claims::session);
            let (Outcome::Rejected(_), Some(key)) = (&record.outcome, given) else { continue };
            if alive.contains(&key) {
                return self.fail(record, "a live session was rejected");
            }
            let Some(begin) = begins.get(&key) else { continue };
            let is_revoked = self.all_revoking().any(|by| by.start < record.end && by.end > *begin);
            let is_ended = self.records.iter().filter(|by| by.start < record.end).any(|by| {
                let is_started = matches!(by.op, Op::Start { .. } | Op::Login { .. });
                match (&by.op, &by.outcome) {
                    (
                        Op::LogOut { .. },
                        Outcome::Is(_) | Outcome::Unavailable(_) | Outcome::Lost,
                    ) => by.given.as_ref().and_then(Claims::session).as_ref() == Some(&key),
                    (_, Outcome::Tokens { evicted: Some(sid), .. }) => *sid == key.1,
                    (_, outcome) => is_started && outcome.is_unknown(),
                }
            });
            if !is_revoked && !is_ended {
                return self.fail(record, "it was rejected before anything had ended it");
            }
        }
        Ok(())
    }

    /// Checks that no password was refused before a call had set another one. A call whose answer was
    /// lost may have, so that its client still presents the old one.
    fn refusals(&self) -> Result<(), Failure> {
        for record in self.records.iter().filter(|record| record.outcome == Outcome::Refused) {
            let (Op::Login { password, .. } | Op::ChangePassword { present: password, .. }) =
                &record.op
            else {
                return self.fail(record, "a password was refused that was not presented");
            };
            let is_replaced = self.all_revoking().any(|by| match &by.op {
                Op::SetPassword { new, .. } | Op::ChangePassword { new, .. } => {
                    new != password && by.start < record.end
                }
                _ => false,
            });
            if !is_replaced {
                return self.fail(record, "its password was refused before another was set");
            }
        }
        Ok(())
    }

    /// Checks that no bump is lost among others, and none takes effect later than allowed.
    fn revocations(&self, terms: &Terms) -> Result<(), Failure> {
        let mut versions = HashSet::new();
        // Links too.
        let handed =
            || self.records.iter().filter_map(|record| Some((record, record.handed.as_ref()?)));
        for by in self.revoking() {
            let before = handed().filter(|(record, _)| record.end < by.start);
            let before = before.map(|(_, claims)| claims.ver).max();
            let after = handed().filter(|(record, _)| record.start > by.end);
            let after = after.map(|(_, claims)| claims.ver).min();
            if let (Some(before), Some(after)) = (before, after)
                && before >= after
            {
                return self.fail(by, "the version did not move with it");
            }
            if let Some(claims) = &by.handed
                && !versions.insert(claims.ver)
            {
                return self.fail(by, "two of these were given one version");
            }
        }
        let ends: HashMap<SessionKey, u64> = self
            .handed()
            .filter(|(record, ..)| !matches!(record.op, Op::Refresh { .. }))
            .filter_map(|(record, claims, _)| Some((claims.session()?, record.end)))
            .collect();
        for record in &self.records {
            let Op::Authenticate { fresh, .. } = record.op else { continue };
            let given = record.given.as_ref().and_then(Claims::session);
            let (Outcome::Done, Some(key)) = (&record.outcome, given) else { continue };
            let Some(handed) = ends.get(&key) else { continue };
            let log_outs = self.records.iter().copied().filter(|by| {
                matches!((&by.op, &by.outcome), (Op::LogOut { .. }, Outcome::Is(_)))
                    && by.given.as_ref().and_then(Claims::session).as_ref() == Some(&key)
            });
            let bumps = self.revoking().filter(|by| by.start > *handed);
            for by in bumps.chain(log_outs) {
                let may_be_stale = !fresh && by.node != record.node;
                let allowance = if may_be_stale { terms.staleness } else { 0 };
                if record.start > by.end + allowance {
                    return self.fail(record, &format!("accepted after {by:?}"));
                }
            }
        }
        Ok(())
    }

    /// Checks that no refresh token has two successors, and none is ahead of the row.
    fn chains(&self) -> Result<(), Failure> {
        let mut tokens: HashMap<(&Claims, u64), &str> = HashMap::new();
        let mut newest: HashMap<&str, u64> = HashMap::new();
        for (record, claims, _) in self.handed() {
            let Outcome::Tokens { refresh, .. } = &record.outcome else { continue };
            let seq = claims.seq.ok_or("a refresh token without a seq")?;
            if *tokens.entry((claims, seq)).or_insert(refresh) != refresh {
                return self.fail(record, "the chain was forked");
            }
            if let Some(sid) = claims.sid.as_deref().filter(|_| claims.ver == self.row.version) {
                let newest = newest.entry(sid).or_default();
                *newest = seq.max(*newest);
            }
        }
        let unknown: HashSet<_> = self
            .records
            .iter()
            .filter(|record| matches!(record.op, Op::Refresh { .. }) && record.outcome.is_unknown())
            .filter_map(|record| Some(record.given.as_ref()?.session()?.1))
            .collect();
        for (sid, stored) in &self.row.sessions {
            let Some(seq) = newest.get(&**sid) else { continue };
            let is_right = stored == seq || (*stored == seq + 1 && unknown.contains(sid));
            if !is_right {
                let text = format!("{}: {sid} is at {stored}, and {seq} was given", self.id);
                return Err(text.into());
            }
        }
        Ok(())
    }

    /// Checks that each link was used at most once, and those still valid work.
    async fn links(&self, counts: &mut Counts) -> Result<(), Failure> {
        let mut winners: HashMap<i64, usize> = HashMap::new();
        let mut perhaps = HashSet::new();
        let of = |record: &Record| record.given.as_ref().and_then(|claims| claims.lane);
        for record in self.records.iter().filter(|record| matches!(record.op, Op::Consume { .. })) {
            let lane = of(record).ok_or("a link without a lane")?;
            if record.outcome == Outcome::Done {
                *winners.entry(lane).or_default() += 1;
                if lane >= self.row.lane {
                    return self.fail(record, "the link was used up, and the row says it was not");
                }
            }
            if record.outcome.is_unknown() {
                perhaps.insert(lane);
            }
        }
        for record in &self.records {
            let (Outcome::Link(link), Some(claims)) = (&record.outcome, &record.handed) else {
                continue;
            };
            counts.links += 1;
            let lane = claims.lane.ok_or("a link without a lane")?;
            let wins = winners.get(&lane).copied().unwrap_or(0);
            if wins > 1 {
                return self.fail(record, "the link worked twice");
            }
            if lane < self.row.lane && wins == 0 && !perhaps.contains(&lane) {
                return self.fail(record, "the link is used up by nobody");
            }
            let link = Token::<MagicLink>::new(link.as_str());
            let is_good = self.site.service.peek(&link).await.is_ok();
            let must_be = lane == self.row.lane && claims.ver == self.row.version;
            if is_good && self.revoking().any(|by| by.start > record.end) {
                return self.fail(record, "the link outlived a bump");
            }
            if is_good != must_be {
                return self.fail(record, if is_good { "it works still" } else { "it is void" });
            }
        }
        Ok(())
    }

    /// Checks that the password is one after which no other was set.
    async fn password(&self) -> Result<(), Failure> {
        let sets: Vec<_> = self
            .all_revoking()
            .filter_map(|record| match &record.op {
                Op::SetPassword { new, .. } | Op::ChangePassword { new, .. } => Some((record, new)),
                _ => None,
            })
            .collect();
        let is_replaced =
            |start: u64| sets.iter().any(|(by, _)| !by.outcome.is_unknown() && by.start > start);
        let mut candidates: Vec<&str> = sets
            .iter()
            .filter(|(record, _)| !is_replaced(record.end))
            .map(|(_, new)| new.as_str())
            .collect();
        if sets.iter().all(|(record, _)| record.outcome.is_unknown()) {
            candidates.push(FIRST_PASSWORD);
        }
        for password in candidates.iter().rev() {
            let mut users = self.site.store.read(UserKey::Id(&self.id)).await?;
            let row = users.take().ok_or("the user is gone")?;
            let hash = row.columns.password_hash.clone();
            let hasher = relatch::password::PasswordHasher::new();
            if hasher.verify(password, hash.as_deref())?.is_some() {
                return Ok(());
            }
        }
        Err(format!("{}: none of {candidates:?} is the password", self.id).into())
    }

    fn fail<T>(&self, record: &Record, why: &str) -> Result<T, Failure> {
        let Row { version, sessions, lane } = &self.row;
        let row = format!("version {version}, lane {lane}, sessions {sessions:?}");
        Err(format!("{}: {why}: {record:?}; the row: {row}", self.id).into())
    }
}
