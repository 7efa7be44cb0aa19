//! Making a token's text, whatever it is for.

use super::{Authority, builder::BindingMode, issue::IssueError, kind::Kind, record::Record};
use crate::{
    context::Context,
    derivation, jws,
    payload::{Audience, Bytes16, Counts, Payload},
    secret::MasterKey,
    slots::SessionId,
    token::Token,
};

/// What a token is to say.
pub(super) struct Draft<'a> {
    pub(super) kind: Kind,
    pub(super) user_id: &'a str,
    pub(super) record: &'a Record,
    pub(super) context: &'a Context,
    pub(super) audience: Vec<String>,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) session: Option<SessionId>,
    /// Of refresh tokens alone.
    pub(super) seq: Option<u64>,
    /// The application's claims, as members of a JSON object.
    pub(super) own: &'a str,
}

impl Authority {
    /// Signs under the current key.
    pub(super) fn mint<P>(&self, draft: Draft<'_>) -> Result<Token<P>, IssueError> {
        let key = self.keys.current();
        let scope = self.scope(draft.kind);
        let jti = self.token_id(key, &draft)?;
        let body = draft.record.body(draft.user_id, draft.context);
        let stamp = match draft.kind.mode {
            BindingMode::Key => None,
            _ => Some(derivation::stamp(key.mac(), scope, &body, &jws::encode(&jti), draft.exp)),
        };
        let payload = Payload {
            issuer: self.settings.issuer.clone(),
            subject: draft.user_id.to_owned(),
            audience: Audience(draft.audience),
            exp: draft.exp,
            iat: draft.iat,
            jti: Bytes16(jti),
            ver: draft.record.version,
            epochs: Counts(draft.record.outer.clone()),
            session: draft.session,
            seq: draft.seq,
            lane: draft.record.lane,
            stamp: stamp.map(Bytes16),
        };
        let header = draft.kind.pinned_header(key).ok_or(IssueError::Signing)?;
        let mut token = format!("{header}.{}", jws::encode(payload.join(draft.own)?.as_bytes()));
        let signature = match draft.kind.mode {
            BindingMode::Key => {
                let key = derivation::user_key(key.mac(), scope, &body);
                jws::encode(&derivation::hs256(&key, token.as_bytes()))
            }
            BindingMode::StampHs256 => {
                let key = derivation::server_key(key.mac(), scope);
                jws::encode(&derivation::hs256(&key, token.as_bytes()))
            }
            #[cfg(feature = "asymmetric")]
            BindingMode::StampAsymmetric => {
                let key = key.signing_key().ok_or(IssueError::Signing)?;
                jws::encode(&key.sign(token.as_bytes()).ok_or(IssueError::Signing)?)
            }
        };
        token.push('.');
        token.push_str(&signature);
        let max = self.settings.max_token_bytes;
        match token.len() <= max {
            true => Ok(Token::new(token)),
            false => Err(IssueError::TooLong { bytes: token.len(), max }),
        }
    }

    /// Eight bytes and the guard over them in key mode, sixteen random ones otherwise. The eight
    /// are random too, but for a refresh token's.
    fn token_id(&self, key: &MasterKey, draft: &Draft<'_>) -> Result<[u8; 16], IssueError> {
        let mut jti = [0; 16];
        if draft.kind.mode != BindingMode::Key {
            self.settings.entropy.fill(&mut jti)?;
            return Ok(jti);
        }
        let scope = self.scope(draft.kind);
        let mut nonce = [0; 8];
        match (draft.session, draft.seq) {
            (Some(id), Some(seq)) => {
                nonce = derivation::refresh_nonce(key.mac(), scope, draft.user_id, id, seq);
            }
            _ => self.settings.entropy.fill(&mut nonce)?,
        }
        let guard = derivation::guard(key.mac(), scope, draft.user_id, draft.exp, &nonce);
        jti[..8].copy_from_slice(&nonce);
        jti[8..].copy_from_slice(&guard);
        Ok(jti)
    }
}
