//! Decisions, made and stored by the library and by the reference.

use std::convert::Infallible;

use relatch::{
    Access, Authority, IssueError, NoClaims, Purpose, RefreshToken, SessionTokens, VerifyError,
    authority::{Decision, RefreshError, Refreshed},
    sessions::{NewSession, SessionData},
};
use time::OffsetDateTime;

use super::{
    World,
    checks::agree,
    reference::{Kind, New, NotStarted, Record, Refresh, Session, Token, with, without},
    steps::{Act, Step, Which},
};
use crate::common::{Account, EmailChange, MagicLink, Reset};

impl World {
    /// Decides on the present record, makes a concurrent change (`meanwhile`), then stores.
    pub(super) fn act(&mut self, act: &Act, meanwhile: Option<&Step>) {
        let authority = self.authority.clone();
        let (row, record) = (self.row.clone(), self.reference.record.clone());
        match act {
            Act::LogIn(login) => {
                let now = self.reference.now;
                let new = New { ends_at: login.lasts.map(|seconds| now + seconds), ..login.new };
                let expected = self.reference.start(&record, new);
                let decision = match authority.start_session(&row, self.new_session(&new)) {
                    Err(IssueError::InactiveUser) => return assert!(!record.is_active),
                    Err(error) => {
                        let expected = expected.map(|_| ()).unwrap_err();
                        return assert_eq!(not_started(&error), expected);
                    }
                    Ok(decision) => decision,
                };
                assert!(record.is_active);
                let (next, session, evicted) = expected.unwrap();
                let minted = self.mint(&next, &session);
                let Some(tokens) = self.settle((&row, &record), decision, Some(next), meanwhile)
                else {
                    return;
                };
                assert_eq!(tokens.evicted().is_some(), evicted.is_some());
                if let (Some(info), Some(evicted)) = (tokens.evicted(), evicted) {
                    assert_eq!(info.id(), self.ids[&evicted.began]);
                }
                self.hand_out(&tokens, minted);
            }
            Act::Refresh(pick) => {
                let Some(token) = self.pick(pick, |kind| kind == Kind::Refresh) else { return };
                self.refresh(&token, (&row, &record), meanwhile);
            }
            Act::LogOut(pick) => {
                let Some((began, _)) = self.pick_session(pick) else { return };
                let decision = authority.log_out(&row, self.ids[&began]).unwrap();
                let is_there = record.sessions.iter().any(|session| session.began == began);
                let next = is_there.then(|| without(&record, |session| session.began == began));
                let outcome = self.settle((&row, &record), decision, next, meanwhile);
                assert!(outcome.is_none_or(|outcome| outcome == is_there));
            }
            Act::Revoke(pick) => {
                let Some(token) = self.pick(pick, |kind| kind == Kind::Refresh) else { return };
                self.revoke(&token, (&row, &record), meanwhile);
            }
            Act::Restart(pick) => {
                let Some(token) = self.pick(pick, |kind| kind == Kind::Access) else { return };
                self.restart(&token, (&row, &record), meanwhile);
            }
            Act::LogOutOthers { of, changes_password } => {
                let Some(token) = self.pick(of, |kind| kind == Kind::Access) else { return };
                let access = relatch::Token::<Access>::new(&*token.text);
                let expected = self.reference.verify(&token, &record);
                let verified = authority.verify(&access, |_| Ok::<_, Infallible>(Some(&row)));
                let verified = match verified {
                    Err(VerifyError::Rejected(rejection)) => {
                        return agree(expected, Err(rejection), &token);
                    }
                    other => other.unwrap(),
                };
                agree(expected, Ok(()), &token);
                let new = match changes_password {
                    true => Account { password_hash: self.new_hash(), ..row.clone() },
                    false => row.clone(),
                };
                let decided = match changes_password {
                    true => {
                        authority.issue::<Access>(&new, &NoClaims {}).change_password(&verified)
                    }
                    false => authority
                        .issue::<Access>(verified.user(), &NoClaims {})
                        .log_out_others(&verified),
                };
                let Some(id) = token.session else {
                    return assert!(matches!(decided, Err(IssueError::NoSession)));
                };
                let decision = decided.unwrap();
                let kept = self.reference.keep_only(&record, id, *changes_password);
                let (next, session) = kept.unwrap();
                let minted = self.mint(&next, &session);
                let stored = self.settle((&row, &record), decision, Some(next), meanwhile);
                if let Some(tokens) = stored {
                    self.row.password_hash = new.password_hash;
                    self.hand_out(&tokens, minted);
                }
            }
            Act::LogOutEverywhere => {
                let decision = authority.log_out_everywhere(&row).unwrap();
                let next = without(&self.reference.bump(&record), |_| true);
                self.settle((&row, &record), decision, Some(next), meanwhile);
            }
            Act::RevokeWhere(which) => {
                let now = self.reference.now;
                let is_out = |label: &str, started_at: i64, last_seen: i64| match which {
                    Which::All => true,
                    Which::None => false,
                    Which::Labelled(it) => label == *it,
                    Which::UnusedFor(seconds) => last_seen < now - seconds,
                    Which::StartedBefore(seconds) => started_at < now - seconds,
                };
                let clock = self.clock.clone();
                let since = |at: OffsetDateTime| (at - clock.at(0)).whole_seconds();
                let decision = authority.log_out_where(&row, |info| {
                    is_out(info.label(), since(info.started_at()), since(info.last_seen()))
                });
                let listed = self.reference.listed(&record);
                let out = |session: &Session| {
                    is_out(session.new.label, session.started_at, session.last_seen)
                        && listed.contains(session)
                };
                let ended = listed.iter().filter(|session| out(session)).count();
                let next = (ended > 0).then(|| without(&record, out));
                let stored = self.settle((&row, &record), decision.unwrap(), next, meanwhile);
                assert!(stored.is_none_or(|stored| stored == ended));
            }
            Act::SetData(pick, data) => {
                let Some((began, _)) = self.pick_session(pick) else { return };
                let set = data.map(read_data);
                let decision = match authority.set_session_data(&row, self.ids[&began], set) {
                    Err(IssueError::SessionData { .. }) => {
                        return assert!(!self.reference.has_room_for(*data));
                    }
                    other => other.unwrap(),
                };
                assert!(self.reference.has_room_for(*data));
                let found = record.sessions.iter().find(|session| session.began == began);
                let next = found.map(|session| {
                    let new = New { data: *data, ..session.new };
                    with(&record, &Session { new, ..session.clone() })
                });
                let (is_there, next) = (next.is_some(), next.filter(|next| *next != record));
                let outcome = self.settle((&row, &record), decision, next, meanwhile);
                assert!(outcome.is_none_or(|outcome| outcome == is_there));
            }
            Act::Supersede(kind) => match kind {
                Kind::MagicLink => self.supersede::<MagicLink>(*kind, meanwhile),
                _ => self.supersede::<EmailChange>(*kind, meanwhile),
            },
            Act::Consume(pick) => {
                let is_link = |kind| !matches!(kind, Kind::Access | Kind::Refresh);
                let Some(token) = self.pick(pick, is_link) else { return };
                match token.kind {
                    Kind::MagicLink => self.consume::<MagicLink>(&token, meanwhile),
                    Kind::EmailChange => self.consume::<EmailChange>(&token, meanwhile),
                    _ => self.consume::<Reset>(&token, meanwhile),
                }
            }
        }
    }

    fn refresh(&mut self, token: &Token, read: (&Account, &Record), meanwhile: Option<&Step>) {
        let expected = self.reference.refresh(token, read.1);
        let authority = self.authority.clone();
        let opened = authority.open_refresh(RefreshToken::new(&*token.text));
        let decided = opened.map_err(RefreshError::from).and_then(|it| it.refresh(read.0));
        let decision = match (decided, &expected) {
            (Err(RefreshError::Rejected(rejection)), Refresh::No(no)) => {
                return agree(Some(*no), Err(rejection), token);
            }
            (decided, _) => decided.unwrap(),
        };
        let (next, minted) = match &expected {
            Refresh::No(no) => panic!("decided, in spite of {no:?}: {token:?}"),
            Refresh::Rotated(record, session) => {
                (Some(record.clone()), Some(self.mint(record, session)))
            }
            Refresh::Repeated(record, session) | Refresh::RepeatedLate(record, session) => {
                (record.clone(), Some(self.mint(read.1, session)))
            }
            Refresh::Reused { record, .. } => (Some(record.clone()), None),
            Refresh::Ahead(..) => (None, None),
        };
        let at = self.reference.now;
        let Some(outcome) = self.settle(read, decision, next, meanwhile) else { return };
        self.judge(token, &outcome, &expected, at);
        if let Refreshed::Rotated(tokens) | Refreshed::Repeated(tokens, _) = &outcome {
            self.hand_out(tokens, minted.unwrap());
        }
    }

    fn revoke(&mut self, token: &Token, read: (&Account, &Record), meanwhile: Option<&Step>) {
        let authority = self.authority.clone();
        let expected = self.reference.bind(token, read.1);
        let opened = authority.open_refresh(RefreshToken::new(&*token.text));
        let decision = match opened.map_err(RefreshError::from).and_then(|it| it.log_out(read.0)) {
            Err(RefreshError::Rejected(rejection)) => {
                return agree(expected, Err(rejection), token);
            }
            other => other.unwrap(),
        };
        agree(expected, Ok(()), token);
        let is_of =
            |session: &Session| Some(session.began) == token.session.map(|(began, _)| began);
        let is_there = read.1.sessions.iter().any(is_of);
        let next = is_there.then(|| without(read.1, is_of));
        let outcome = self.settle(read, decision, next, meanwhile);
        assert!(outcome.is_none_or(|outcome| outcome == is_there));
    }

    fn restart(&mut self, token: &Token, read: (&Account, &Record), meanwhile: Option<&Step>) {
        let authority = self.authority.clone();
        let access = relatch::Token::<Access>::new(&*token.text);
        let expected = self.reference.verify(token, read.1);
        let verified = authority.verify(&access, |_| Ok::<_, Infallible>(Some(read.0)));
        let verified = match verified {
            Err(VerifyError::Rejected(rejection)) => return agree(expected, Err(rejection), token),
            other => other.unwrap(),
        };
        agree(expected, Ok(()), token);
        let decided =
            authority.issue::<Access>(verified.user(), &NoClaims {}).restart_session(&verified);
        let Some(id) = token.session else {
            return assert!(matches!(decided, Err(IssueError::NoSession)));
        };
        let (next, session) = self.reference.restart(read.1, id).unwrap();
        let minted = self.mint(&next, &session);
        if let Some(tokens) = self.settle(read, decided.unwrap(), Some(next), meanwhile) {
            assert!(tokens.evicted().is_none());
            self.hand_out(&tokens, minted);
        }
    }

    fn supersede<P: Purpose<Claims = NoClaims>>(&mut self, kind: Kind, meanwhile: Option<&Step>) {
        let (row, record) = (self.row.clone(), self.reference.record.clone());
        let decision = match self.authority.issue::<P>(&row, &NoClaims {}).supersede() {
            Err(IssueError::InactiveUser) => return assert!(!record.is_active),
            other => other.unwrap(),
        };
        assert!(record.is_active);
        let next = self.reference.use_up(&record, kind);
        let minted = self.draft(&next, kind);
        if let Some(token) = self.settle((&row, &record), decision, Some(next), meanwhile) {
            self.reference.remember(Token { text: token.expose().to_owned(), ..minted });
        }
    }

    fn consume<P: Purpose>(&mut self, token: &Token, meanwhile: Option<&Step>) {
        let (row, record) = (self.row.clone(), self.reference.record.clone());
        let authority = self.authority.clone();
        let expected = self.reference.bind(token, &record);
        let opened = match authority.open_once(relatch::Token::<P>::new(&*token.text)) {
            Err(rejection) => return agree(expected, Err(rejection), token),
            Ok(opened) => opened,
        };
        let decision = match opened.consume(&row) {
            Err(VerifyError::Rejected(rejection)) => {
                return agree(expected, Err(rejection), token);
            }
            other => other.unwrap(),
        };
        agree(expected, Ok(()), token);
        let hash = self.new_hash();
        let mut next = self.reference.use_up(&record, token.kind);
        if token.kind == Kind::Reset {
            next = without(&self.reference.bump(&next), |_| true);
        }
        let stored = self.settle((&row, &record), decision, Some(next), meanwhile);
        if stored.is_some() && token.kind == Kind::Reset {
            self.row.password_hash = hash;
        }
    }

    /// Stores a decision that was made on the record as it was read, after the concurrent change.
    fn settle<T>(
        &mut self,
        (row, record): (&Account, &Record),
        decision: Decision<T>,
        next: Option<Record>,
        meanwhile: Option<&Step>,
    ) -> Option<T> {
        assert_eq!(decision.change().is_some(), next.is_some(), "whether anything is to be stored");
        if let Some(step) = meanwhile {
            self.step(step);
        }
        let is_stored = next.is_none() || self.reference.record.is_unchanged(record);
        if let Some(next) = next.filter(|_| is_stored) {
            self.reference.record = next.beside(&self.reference.record);
        }
        let store = |change: &_| Ok::<_, Infallible>(self.row.compare_and_set(row, change));
        let outcome = decision.commit(store).unwrap().stored();
        assert_eq!(outcome.is_some(), is_stored, "whether it was stored");
        outcome
    }

    /// The expected access and refresh token, without their texts.
    fn mint(&self, record: &Record, session: &Session) -> [Token; 2] {
        let end = session.end(&self.reference.policy);
        let of_session = |kind| Token {
            session: Some((session.began, session.slot)),
            ..self.draft(record, kind)
        };
        let access = of_session(Kind::Access);
        let link = session.links.last().copied();
        [
            Token { exp: access.exp.min(end), ..access },
            Token { iat: session.last_seen, exp: end, link, ..of_session(Kind::Refresh) },
        ]
    }

    fn draft(&self, record: &Record, kind: Kind) -> Token {
        let now = self.reference.now;
        let lifetime = match kind {
            Kind::MagicLink => 600,
            Kind::Reset => 1200,
            _ => self.reference.policy.lifetime,
        };
        Token {
            text: String::new(),
            kind,
            key: self.reference.keys.len() - 1,
            iat: now,
            exp: now + lifetime,
            bound_to: self.reference.bound(record, kind),
            session: None,
            link: None,
        }
    }

    pub(super) fn issued(&mut self, text: Result<String, IssueError>, kind: Kind) {
        let record = &self.reference.record;
        match text {
            Err(IssueError::InactiveUser) => assert!(!record.is_active),
            text => {
                assert!(record.is_active);
                let token = Token { text: text.unwrap(), ..self.draft(record, kind) };
                self.reference.remember(token);
            }
        }
    }

    /// Checks that the tokens are the expected ones, and records them.
    fn hand_out(&mut self, tokens: &SessionTokens, [access, refresh]: [Token; 2]) {
        let info = tokens.session();
        let (began, slot) = refresh.session.unwrap();
        match self.ids.get(&began) {
            Some(id) => assert_eq!(*id, info.id()),
            None => {
                assert!(!self.ids.values().any(|id| *id == info.id()), "an id was reused");
                self.ids.insert(began, info.id());
            }
        }
        assert!(info.id().to_string().starts_with(&format!("{slot}.")));
        assert_eq!(info.last_seen(), self.clock.at(refresh.iat));
        assert_eq!(info.expires_at(), self.clock.at(refresh.exp));
        let text = tokens.access().expose().to_owned();
        self.reference.remember(Token { text, ..access });
        let text = tokens.refresh().expose().to_owned();
        self.reference.remember(Token { text, ..refresh });
    }
}

impl World {
    fn new_session(&self, new: &New) -> NewSession {
        let mut session = NewSession::new(new.label);
        if let Some(data) = new.data {
            session = session.data(read_data(data));
        }
        if let Some(name) = new.policy {
            session = session.policy(name);
        }
        match new.ends_at {
            Some(end) => session.ends_at(self.clock.at(end)),
            None => session,
        }
    }
}

fn read_data(json: &str) -> SessionData {
    let data: serde_json::Value = serde_json::from_str(json).unwrap();
    let data = SessionData::new(&data).unwrap();
    assert_eq!(data.as_str(), json);
    data
}

fn not_started(error: &IssueError) -> NotStarted {
    match error {
        IssueError::UnknownPolicy { .. } => NotStarted::UnknownPolicy,
        IssueError::SessionData { .. } => NotStarted::Data,
        IssueError::SessionEnd => NotStarted::Ended,
        IssueError::SessionsFull(_) => NotStarted::Full,
        error => panic!("{error:?}"),
    }
}

pub(super) fn issue<P: Purpose<Claims = NoClaims>>(
    authority: &Authority,
    user: &Account,
) -> Result<String, IssueError> {
    let token = authority.issue::<P>(user, &NoClaims {}).sign()?;
    Ok(token.expose().to_owned())
}
