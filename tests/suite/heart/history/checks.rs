//! Comparison of the two verdicts.

use std::convert::Infallible;

use relatch::{
    Access, Purpose, Reason, RefreshToken, Rejection, VerifyError,
    authority::{RefreshError, Refreshed, Stage},
    sessions::{EventKind, SessionData, SessionId, SessionTable},
    token::RegisteredClaims,
};

use super::{
    World,
    reference::{Kind, No, Record, Refresh, Token},
};
use crate::common::{Account, EmailChange, MagicLink, Reset};

impl World {
    /// Compares the verdicts on every token ever issued.
    pub(super) fn check_all(&mut self) {
        let (row, record) = (self.row.clone(), self.reference.record.clone());
        for token in self.reference.tokens.clone() {
            self.check(&token, &row, &record);
        }
    }

    /// Compares the lists of sessions, and checks the table's size limit. Checks that one of the
    /// sessions, by turns, is listed exactly if its newest refresh token is accepted.
    pub(super) fn check_list(&self) {
        let listed = self.authority.sessions(&self.row).unwrap();
        let expected = self.reference.listed(&self.reference.record);
        assert_eq!(listed.len(), expected.len(), "{listed:?}, {expected:?}");
        for (info, session) in listed.iter().zip(&expected) {
            assert_eq!(info.id(), self.ids[&session.began]);
            assert_eq!(info.label(), session.new.label);
            assert_eq!(info.data().map(SessionData::as_str), session.new.data);
            assert_eq!(info.policy(), session.new.policy);
            assert_eq!(info.ends_at(), session.new.ends_at.map(|end| self.clock.at(end)));
            assert_eq!(info.started_at(), self.clock.at(session.started_at));
            assert_eq!(info.last_seen(), self.clock.at(session.last_seen));
            assert_eq!(info.expires_at(), self.clock.at(session.end(&self.reference.policy)));
        }
        let bytes = self.row.sessions.to_column().map_or(0, |column| column.len());
        assert!(bytes <= SessionTable::max_bytes(64, SessionData::MAX_BYTES));

        let sessions = &self.reference.record.sessions;
        let Some(session) = sessions.get(self.reference.tick % sessions.len().max(1)) else {
            return;
        };
        let newest = session.links.last();
        let token = self.reference.tokens.iter().rev().find(|it| it.link.as_ref() == newest);
        let Some(token) = token else { return };
        let opened = self.authority.open_refresh(RefreshToken::new(&*token.text));
        let is_accepted = match opened.map_err(RefreshError::from) {
            // The key was removed or has retired; the clock was set back; or the policy became
            // longer after the token was issued.
            Err(RefreshError::Rejected(_)) => return,
            Ok(opened) => match opened.refresh(&self.row) {
                Ok(_) => true,
                Err(RefreshError::Rejected(_)) => false,
                Err(error) => panic!("{error:?}"),
            },
            Err(error) => panic!("{error:?}"),
        };
        let is_listed = listed.iter().any(|info| info.id() == self.ids[&session.began]);
        assert_eq!(is_listed, is_accepted, "{session:?}");
    }

    /// Compares the verdicts on this token with this record. Nothing is stored.
    pub(super) fn check(&mut self, token: &Token, row: &Account, record: &Record) {
        match token.kind {
            Kind::Refresh => self.check_refresh(token, row, record),
            Kind::Access => {
                let access = relatch::Token::<Access>::new(&*token.text);
                let seen = self.authority.verify(&access, |_| Ok::<_, Infallible>(Some(row)));
                let seen = seen.map(|session| session.registered().clone());
                self.compare(token, record, seen);
            }
            Kind::MagicLink => self.check_link::<MagicLink>(token, row, record),
            Kind::EmailChange => self.check_link::<EmailChange>(token, row, record),
            Kind::Reset => self.check_link::<Reset>(token, row, record),
        }
    }

    fn check_link<P: Purpose>(&self, token: &Token, row: &Account, record: &Record) {
        let link = relatch::Token::<P>::new(&*token.text);
        let seen = self.authority.peek(&link, |_| Ok::<_, Infallible>(Some(row)));
        self.compare(token, record, seen.map(|peeked| peeked.registered().clone()));
    }

    fn compare(
        &self,
        token: &Token,
        record: &Record,
        seen: Result<RegisteredClaims, VerifyError<Infallible>>,
    ) {
        let expected = self.reference.verify(token, record);
        match seen {
            Err(VerifyError::Rejected(rejection)) => agree(expected, Err(rejection), token),
            seen => {
                agree(expected, Ok(()), token);
                let registered = seen.unwrap();
                assert_eq!(registered.session_id(), self.id_of(token));
                assert_eq!(registered.expires_at(), self.clock.at(token.exp));
            }
        }
    }

    fn id_of(&self, token: &Token) -> Option<SessionId> {
        Some(self.ids[&token.session?.0])
    }

    fn check_refresh(&mut self, token: &Token, row: &Account, record: &Record) {
        let expected = self.reference.refresh(token, record);
        let opened = self.authority.open_refresh(RefreshToken::new(&*token.text));
        let decided = opened.map_err(RefreshError::from).and_then(|it| it.refresh(row));
        match (decided, &expected) {
            (Err(RefreshError::Rejected(rejection)), Refresh::No(no)) => {
                agree(Some(*no), Err(rejection), token);
            }
            (decided, _) => {
                let committed = decided.unwrap().commit(|_| Ok::<_, Infallible>(true));
                let outcome = committed.unwrap().stored().unwrap();
                self.judge(token, &outcome, &expected, self.reference.now);
            }
        }
    }

    /// Compares the outcome of presenting a refresh token, and its event.
    pub(super) fn judge(&self, token: &Token, outcome: &Refreshed, expected: &Refresh, at: i64) {
        let (kind, session, ended) = match (outcome, expected) {
            (Refreshed::Rotated(_), Refresh::Rotated(..)) => {
                return assert!(outcome.event().is_none());
            }
            (Refreshed::Repeated(..), Refresh::Repeated(_, session)) => {
                (EventKind::GraceHit, Some(session), 0)
            }
            (Refreshed::Repeated(..), Refresh::RepeatedLate(None, _)) => {
                return assert!(outcome.event().is_none());
            }
            (Refreshed::Repeated(..), Refresh::RepeatedLate(Some(_), session)) => {
                (EventKind::LateRepeat, Some(session), 0)
            }
            (Refreshed::Reused(_), Refresh::Reused { session, ended, .. }) => {
                (EventKind::Reuse, Some(session), *ended)
            }
            (Refreshed::Ahead(reason, _), Refresh::Ahead(expected, session)) => {
                assert_eq!(reason, expected);
                (EventKind::RolledBack, session.as_ref(), 0)
            }
            _ => panic!("{outcome:?}, expected {expected:?}: {token:?}"),
        };
        let event = outcome.event().unwrap();
        assert_eq!((event.kind(), event.user_id()), (kind, "alice"));
        assert_eq!(Some(event.session_id()), self.id_of(token));
        assert_eq!(event.label(), session.map(|session| session.new.label));
        assert_eq!(event.last_seen(), session.map(|session| self.clock.at(session.last_seen)));
        assert_eq!((event.at(), event.ended_sessions()), (self.clock.at(at), ended));
        let Some(session) = session else { return };
        let place = |link| session.links.iter().position(|it| Some(*it) == link);
        assert_eq!(event.current_seq(), place(session.links.last().copied()).map(|at| at as u64));
        if let Some(presented) = place(token.link) {
            assert_eq!(event.presented_seq(), presented as u64);
        }
    }
}

/// Compares the reference's verdict with the library's.
pub(super) fn agree(expected: Option<No>, seen: Result<(), Rejection>, token: &Token) {
    let is_same = match (expected, seen) {
        (None, Ok(())) => true,
        (Some(No::Because(reason)), Err(rejection)) => rejection.reason() == reason,
        (Some(No::Unbound), Err(rejection)) => {
            rejection.stage() == Stage::Binding && rejection.reason() != Reason::NoCredential
        }
        _ => false,
    };
    let seen = seen.map_err(|rejection| rejection.reason());
    assert!(is_same, "{seen:?}, expected {expected:?}: {token:?}");
}
