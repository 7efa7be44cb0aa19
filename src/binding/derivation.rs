//! The key derivation of format 1: keys, stamps and guards from a master key and a user's record.
//!
//! All integers are big-endian; HMAC is HMAC-SHA-256 (RFC 2104). `frame` writes the length of each
//! piece before it, so two different lists of pieces never give the same bytes. The format is
//! specified for other implementers in `tests/vectors/README.md`.

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{
    Digest, Sha256,
    digest::{Output, Update},
};
use zeroize::{Zeroizing, optimization_barrier};

use crate::{
    binding::{context::Context, credential::Credential},
    sessions::SessionId,
};

pub(crate) type HmacSha256 = Hmac<Sha256>;

/// The values that a token is bound to: `frame(user_id, D, outer, u64(version), lane, context)`.
pub(crate) struct Body<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) credential: &'a Credential,
    pub(crate) outer: &'a [(Cow<'a, str>, u64)],
    pub(crate) version: u64,
    pub(crate) lane: Option<u64>,
    pub(crate) context: &'a Context,
}

/// `D`: the digest of a user's secrets.
pub(crate) fn credential<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = <Sha256 as Digest>::new();
    piece(&mut hash, b"relatch/1 credential");
    for secret in secrets {
        piece(&mut hash, secret);
    }
    hash.finalize().into()
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
            piece(&mut mac, label);
            piece(&mut mac, typ.as_bytes());
            piece(&mut mac, issuer.as_bytes());
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
        piece(&mut mac, user_id.as_bytes());
        piece(&mut mac, &exp.to_be_bytes());
        piece(&mut mac, nonce);
        first(&mac.finalize().into_bytes())
    }

    /// The nonce of a refresh token. It is derived, so that a repeated refresh gives the same
    /// successor.
    pub(crate) fn refresh_nonce(&self, user_id: &str, session: SessionId, seq: u64) -> [u8; 8] {
        let mut mac = self.nonce.clone();
        piece(&mut mac, user_id.as_bytes());
        piece(&mut mac, &session.slot.to_be_bytes());
        piece(&mut mac, &session.generation.to_be_bytes());
        piece(&mut mac, &seq.to_be_bytes());
        first(&mac.finalize().into_bytes())
    }

    /// The stamp, which binds a stamp-mode token to the user's record.
    pub(crate) fn stamp(&self, body: &Body<'_>, jti: &str, exp: u64) -> [u8; 16] {
        let mut mac = self.stamp.clone();
        body.feed(&mut mac);
        piece(&mut mac, jti.as_bytes());
        piece(&mut mac, &exp.to_be_bytes());
        first(&mac.finalize().into_bytes())
    }

    /// The server's HS256 key for stamp mode.
    pub(crate) fn server_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.server.clone().finalize().into_bytes().into())
    }
}

/// The HS256 (RFC 7518 §3.2) state of a derived key.
pub(crate) fn hs256(key: &[u8; 32]) -> HmacSha256 {
    // RFC 2104 pads a short key with zeros to the block length of 64 bytes.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mac = HmacSha256::new((&block).into());
    block.fill(0);
    optimization_barrier(&block);
    mac
}

/// The HS256 signature of `signing_input`.
pub(crate) fn sign(mac: HmacSha256, signing_input: &str) -> [u8; 32] {
    mac.chain_update(signing_input).finalize().into_bytes().into()
}

impl Body<'_> {
    fn feed(&self, mac: &mut impl Update) {
        piece(mac, self.user_id.as_bytes());
        piece(mac, self.credential.as_bytes());
        nested(mac, self.outer.iter().map(|(name, _)| framed(name.len()) + framed(8)).sum());
        for (name, counter) in self.outer {
            piece(mac, name.as_bytes());
            piece(mac, &counter.to_be_bytes());
        }
        piece(mac, &self.version.to_be_bytes());
        match self.lane {
            Some(lane) => piece(mac, &lane.to_be_bytes()),
            None => piece(mac, b""),
        }
        nested(mac, self.context.iter().map(|(k, v)| framed(k.len()) + framed(v.len())).sum());
        for (kind, value) in self.context.iter() {
            piece(mac, kind.as_bytes());
            piece(mac, value);
        }
    }
}

/// One piece of a frame: `u32(len) ‖ bytes`.
fn piece(sink: &mut impl Update, bytes: &[u8]) {
    nested(sink, bytes.len());
    sink.update(bytes);
}

/// The length prefix of a nested frame, which follows.
fn nested(sink: &mut impl Update, len: usize) {
    // The length always fits: every input has a limit far below 4 GiB.
    sink.update(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

/// The length of a piece of `len` bytes within a frame.
const fn framed(len: usize) -> usize {
    4 + len
}

fn first<const N: usize>(mac: &Output<Sha256>) -> [u8; N] {
    std::array::from_fn(|i| mac[i])
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Default)]
    struct Bytes(Vec<u8>);

    impl Update for Bytes {
        fn update(&mut self, data: &[u8]) {
            self.0.extend_from_slice(data);
        }
    }

    fn frame(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Bytes::default();
        pieces.iter().for_each(|p| piece(&mut out, p));
        out.0
    }

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

    proptest! {
        #[test]
        fn distinct_inputs_give_distinct_frames(
            a in vec(vec(any::<u8>(), 0..6), 0..5),
            b in vec(vec(any::<u8>(), 0..6), 0..5),
        ) {
            prop_assert_eq!(a == b, frame(&a) == frame(&b));
        }

        /// The classic mistake: bytes that move from one field to its neighbour.
        #[test]
        fn moving_a_border_changes_the_frame(text in vec(any::<u8>(), 2..20), x in 0_usize..20, y in 0_usize..20) {
            let (x, y) = (x % text.len(), y % text.len());
            prop_assume!(x != y);
            let split = |at: usize| frame(&[text[..at].to_vec(), text[at..].to_vec()]);
            prop_assert_ne!(split(x), split(y));
        }
    }
}
