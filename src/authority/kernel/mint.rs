//! The mint: it writes and signs the text of a token of any kind.

use super::{core::Core, kind::Kind, record::Record};
use crate::{
    authority::{error::IssueError, kernel::settings::BindingMode},
    binding::{context::Context, derivation::Derivation},
    bytes::hmac,
    sessions::SessionId,
    token::{
        Token,
        claims::{
            stamp,
            write::{AddOwn, Bytes16, NewClaims},
        },
        compact,
    },
};

/// The contents of a token to be signed.
pub(crate) struct Draft<'a> {
    pub(crate) kind: Kind,
    pub(crate) user_id: &'a str,
    pub(crate) record: &'a Record<'a>,
    pub(crate) context: &'a Context,
    pub(crate) audience: &'a [&'a str],
    pub(crate) iat: u64,
    pub(crate) exp: u64,
    pub(crate) session: Option<SessionId>,
    /// Only in refresh tokens.
    pub(crate) seq: Option<u64>,
    /// Adds the private claims.
    pub(crate) own: &'a AddOwn<'a>,
}

impl Core {
    /// Signs a token under the current key.
    pub(crate) fn mint<P>(&self, draft: Draft<'_>) -> Result<Token<P>, IssueError> {
        let key = self.current_key(draft.kind)?;
        let derivation = key.derivation();
        let jti = self.jti(derivation, &draft)?;
        let body = draft.record.body(draft.user_id, draft.context);
        let claims = NewClaims {
            issuer: &self.settings.issuer,
            subject: draft.user_id,
            audience: draft.audience,
            exp: draft.exp,
            iat: draft.iat,
            jti: Bytes16(jti),
            ver: draft.record.version,
            epochs: &draft.record.outer,
            session: draft.session,
            seq: draft.seq,
            lane: draft.record.lane,
        };
        let header = key.header().ok_or(IssueError::Signing)?;
        let mut payload = claims.write(key.claims(), draft.own)?;
        match draft.kind.mode {
            BindingMode::Key => payload.push(b'}'),
            _ => {
                let stamp = derivation.stamp(&body, header, &payload);
                stamp::append(&mut payload, &stamp);
            }
        }
        let mut token = String::with_capacity(compact::compact_len(header, &payload));
        token.push_str(header);
        compact::push_part(&mut token, &payload);
        match draft.kind.mode {
            BindingMode::Key => {
                let keys = draft.record.keys;
                let signature = keys
                    .and_then(|keys| keys.sign(derivation, &body, &token))
                    .unwrap_or_else(|| hmac::sign(derivation.user_mac(&body), &token));
                compact::push_part(&mut token, &signature);
            }
            BindingMode::StampHs256 => {
                let signature = hmac::sign(derivation.server_mac().clone(), &token);
                compact::push_part(&mut token, &signature);
            }
            #[cfg(feature = "asymmetric")]
            BindingMode::StampAsymmetric => {
                let key = key.signing_key().ok_or(IssueError::Signing)?;
                let signature = key.sign(token.as_bytes()).ok_or(IssueError::Signing)?;
                compact::push_part(&mut token, &signature);
            }
        }
        let max = self.settings.max_token_bytes;
        match token.len() <= max {
            true => Ok(Token::new(token)),
            false => Err(IssueError::TooLong { bytes: token.len(), max }),
        }
    }

    /// The bytes of the `jti`. In key mode: a nonce of 8 bytes and the guard over it; the nonce is
    /// random, except in a refresh token, where it is derived. In stamp mode: 16 random bytes.
    fn jti(&self, derivation: &Derivation, draft: &Draft<'_>) -> Result<[u8; 16], IssueError> {
        let mut jti = [0; 16];
        if draft.kind.mode != BindingMode::Key {
            self.settings.entropy.fill(&mut jti)?;
            return Ok(jti);
        }
        let mut nonce = [0; 8];
        match (draft.session, draft.seq) {
            (Some(id), Some(seq)) => {
                nonce = derivation.refresh_nonce(draft.user_id, id, seq);
            }
            _ => self.settings.entropy.fill(&mut nonce)?,
        }
        let guard = derivation.guard(draft.user_id, draft.exp, &nonce);
        jti[..8].copy_from_slice(&nonce);
        jti[8..].copy_from_slice(&guard);
        Ok(jti)
    }
}
