//! The key derivation of format 1: keys, stamps and guards from a master key and a user's record.
//!
//! All integers are big-endian; HMAC is HMAC-SHA-256 (RFC 2104). `frame` writes the length of each
//! piece before it, so two different lists of pieces never give the same bytes. The format is
//! specified for other implementers in `src/guide/format.md`.

use std::borrow::Cow;

use hmac::Mac;
use sha2::{
    Sha256,
    digest::{Output, Update},
};
use zeroize::Zeroizing;

use crate::{
    binding::{context::Context, credential::Credential},
    bytes::{
        frame,
        hmac::{HmacSha256, hs256},
    },
    sessions::SessionId,
};

/// The values that a token is bound to: `frame(user_id, D, outer, u64(version), lane, context)`.
pub(crate) struct Body<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) credential: &'a Credential,
    pub(crate) outer: &'a [(Cow<'a, str>, u64)],
    pub(crate) version: u64,
    pub(crate) lane: Option<u64>,
    pub(crate) context: &'a Context,
}

/// The derivations from one master key, for one type of token and one issuer.
///
/// Each field is the state of `HMAC(M, …)` after `head(label)`, the first part of the message.
pub(crate) struct Derivation {
    key: HmacSha256,
    guard: HmacSha256,
    nonce: HmacSha256,
    stamp: HmacSha256,
    server: HmacSha256,
    id: [u8; 32],
}

impl Derivation {
    pub(crate) fn new(master: &HmacSha256, typ: &str, issuer: &str) -> Self {
        let head = |label: &[u8]| {
            let mut mac = master.clone();
            frame::piece(&mut mac, label);
            frame::piece(&mut mac, typ.as_bytes());
            frame::piece(&mut mac, issuer.as_bytes());
            mac
        };
        Self {
            key: head(b"relatch/1 key"),
            guard: head(b"relatch/1 guard"),
            nonce: head(b"relatch/1 nonce"),
            stamp: head(b"relatch/1 stamp"),
            server: head(b"relatch/1 server"),
            id: head(b"relatch derivation").finalize().into_bytes().into(),
        }
    }

    /// An identifier, unique to this master key, type and issuer.
    pub(crate) const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The user's HS256 key.
    pub(crate) fn user_key(&self, body: &Body<'_>) -> Zeroizing<[u8; 32]> {
        let mut mac = self.key.clone();
        body.feed(&mut mac);
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// [`user_key`](Self::user_key) as an HMAC state, ready to sign.
    pub(crate) fn user_mac(&self, body: &Body<'_>) -> HmacSha256 {
        hs256(&self.user_key(body))
    }

    /// The guard, which a token must have in key mode to reach the lookup.
    pub(crate) fn guard(&self, user_id: &str, exp: u64, nonce: &[u8; 8]) -> [u8; 8] {
        let mut mac = self.guard.clone();
        frame::piece(&mut mac, user_id.as_bytes());
        frame::piece(&mut mac, &exp.to_be_bytes());
        frame::piece(&mut mac, nonce);
        first(&mac.finalize().into_bytes())
    }

    /// The nonce of a refresh token. It is derived, so that a repeated refresh gives the same
    /// successor.
    pub(crate) fn refresh_nonce(&self, user_id: &str, session: SessionId, seq: u64) -> [u8; 8] {
        let mut mac = self.nonce.clone();
        frame::piece(&mut mac, user_id.as_bytes());
        frame::piece(&mut mac, &session.slot.to_be_bytes());
        frame::piece(&mut mac, &session.generation.to_be_bytes());
        frame::piece(&mut mac, &seq.to_be_bytes());
        first(&mac.finalize().into_bytes())
    }

    /// The stamp, which binds a stamp-mode token to the user's record.
    pub(crate) fn stamp(&self, body: &Body<'_>, jti: &str, exp: u64) -> [u8; 16] {
        let mut mac = self.stamp.clone();
        body.feed(&mut mac);
        frame::piece(&mut mac, jti.as_bytes());
        frame::piece(&mut mac, &exp.to_be_bytes());
        first(&mac.finalize().into_bytes())
    }

    /// The server's HS256 key for stamp mode.
    pub(crate) fn server_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.server.clone().finalize().into_bytes().into())
    }
}

impl Body<'_> {
    fn feed(&self, mac: &mut impl Update) {
        frame::piece(mac, self.user_id.as_bytes());
        frame::piece(mac, self.credential.as_bytes());
        frame::nested(
            mac,
            self.outer
                .iter()
                .map(|(name, _)| frame::piece_len(name.len()) + frame::piece_len(8))
                .sum(),
        );
        for (name, counter) in self.outer {
            frame::piece(mac, name.as_bytes());
            frame::piece(mac, &counter.to_be_bytes());
        }
        frame::piece(mac, &self.version.to_be_bytes());
        match self.lane {
            Some(lane) => frame::piece(mac, &lane.to_be_bytes()),
            None => frame::piece(mac, b""),
        }
        frame::nested(
            mac,
            self.context
                .iter()
                .map(|(k, v)| frame::piece_len(k.len()) + frame::piece_len(v.len()))
                .sum(),
        );
        for (kind, value) in self.context.iter() {
            frame::piece(mac, kind.as_bytes());
            frame::piece(mac, value);
        }
    }
}

fn first<const N: usize>(mac: &Output<Sha256>) -> [u8; N] {
    std::array::from_fn(|i| mac[i])
}

#[cfg(test)]
mod tests {
    use crate::bytes::frame::tests::{Bytes, frame};

    use super::*;

    fn fed(body: &Body<'_>) -> Vec<u8> {
        let mut out = Bytes::default();
        body.feed(&mut out);
        out.0
    }

    #[test]
    fn the_body_is_the_frame_of_its_parts() {
        let credential = Credential::from_secrets([b"hash"]).unwrap();
        let context = Context::new().with("b", "2").with("a", "1");
        let body = Body {
            user_id: "alice",
            credential: &credential,
            outer: &[("realm".into(), 3), ("tenant:acme".into(), 4)],
            version: 9,
            lane: Some(1),
            context: &context,
        };
        let u64_of = |n: u64| n.to_be_bytes().to_vec();
        let outer = frame(&[b"realm".to_vec(), u64_of(3), b"tenant:acme".to_vec(), u64_of(4)]);
        let context = frame(&[b"a".to_vec(), b"1".to_vec(), b"b".to_vec(), b"2".to_vec()]);
        let parts = [
            b"alice".to_vec(),
            credential.as_bytes().to_vec(),
            outer,
            u64_of(9),
            u64_of(1),
            context,
        ];
        assert_eq!(fed(&body), frame(&parts));
    }

    #[test]
    fn empty_parts_are_empty_pieces() {
        let credential = Credential::from_secrets([b"hash"]).unwrap();
        let context = Context::new();
        let (outer, version, lane) = (&[][..], 0, None);
        let body =
            Body { user_id: "u", credential: &credential, outer, version, lane, context: &context };
        let digest = credential.as_bytes().to_vec();
        assert_eq!(fed(&body), frame(&[b"u".to_vec(), digest, vec![], vec![0; 8], vec![], vec![]]));
    }
}
