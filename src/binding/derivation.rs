//! The key derivation of format 1: keys, stamps and guards from a master key and a user's record.
//!
//! All integers are big-endian; HMAC is HMAC-SHA-256 (RFC 2104). `frame` writes the length of each
//! piece before it, so two different lists of pieces never give the same bytes. Every other message
//! has its fields of fixed length first and at most one of variable length, which is the last. The
//! format is specified for other implementers in `src/guide/format.md`.
//!
//! ```text
//! subkey(label) = HMAC(M, frame("relatch/1 " ‖ label, typ, issuer))
//! body          = D ‖ u64(version) ‖ frame(user id, outer, lane, context)
//!
//! user key      = HMAC(subkey("key"),   body)
//! guard         = HMAC(subkey("guard"), u64(exp) ‖ nonce ‖ user id)[..8]
//! refresh nonce = HMAC(subkey("nonce"), u16(slot) ‖ u64(generation) ‖ u64(seq) ‖ user id)[..8]
//! stamp         = HMAC(subkey("stamp"), frame(body) ‖ header part ‖ "." ‖ payload before the stamp)[..16]
//! server key    = subkey("server")
//! ```
//!
//! A [`ServerDerivation`] has the keys that belong to no type of token. In their subkeys `typ` is empty,
//! which no type is.

use std::borrow::Cow;

use hmac::Mac as _;
use sha2::digest::Update;
use zeroize::Zeroizing;

use crate::{
    binding::{context::Context, credential::Credential},
    bytes::{
        frame,
        hmac::{HmacSha256, keyed},
        inline::InlineBytes,
        mac::MacKey,
    },
    sessions::SessionId,
};

/// The derivations from one master key, for one type of token and one issuer.
pub(crate) struct Derivation {
    // The subkeys.
    key: MacKey,
    guard: MacKey,
    nonce: MacKey,
    stamp: HmacSha256,
    server: MacKey,
    id: [u8; 32],
}

impl Derivation {
    pub(crate) fn new(master: &HmacSha256, typ: &str, issuer: &str) -> Self {
        let subkey = |label: &[u8]| subkey(master, label, typ, issuer);
        Self {
            key: MacKey::new(&subkey(b"relatch/1 key")),
            guard: MacKey::new(&subkey(b"relatch/1 guard")),
            nonce: MacKey::new(&subkey(b"relatch/1 nonce")),
            stamp: keyed(&subkey(b"relatch/1 stamp")),
            server: MacKey::new(&subkey(b"relatch/1 server")),
            id: *subkey(b"relatch derivation"),
        }
    }

    /// An identifier, unique to this master key, type and issuer.
    pub(crate) const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The user's HS256 key.
    pub(crate) fn user_key(&self, body: &Body) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.sign(body.as_bytes()))
    }

    /// [`user_key`](Self::user_key), ready to sign.
    pub(crate) fn user_mac(&self, body: &Body) -> MacKey {
        MacKey::new(&self.user_key(body))
    }

    /// The guard, which a token must have in key mode to reach the lookup.
    pub(crate) fn guard(&self, user_id: &str, exp: u64, nonce: &[u8; 8]) -> [u8; 8] {
        first(self.guard.sign_pieces([&exp.to_be_bytes(), nonce, user_id.as_bytes()]))
    }

    /// The nonce of a refresh token. It is derived, so that a repeated refresh gives the same
    /// successor.
    pub(crate) fn refresh_nonce(&self, user_id: &str, session: SessionId, seq: u64) -> [u8; 8] {
        first(self.nonce.sign_pieces([
            &session.slot.to_be_bytes(),
            &session.generation.to_be_bytes(),
            &seq.to_be_bytes(),
            user_id.as_bytes(),
        ]))
    }

    /// The stamp, which binds a stamp-mode token to the user's record: the header, the whole payload
    /// before the stamp, and the body.
    pub(crate) fn stamp(&self, body: &Body, header: &str, payload: &[u8]) -> [u8; 16] {
        let mut mac = self.stamp.clone();
        frame::piece(&mut mac, body.as_bytes());
        mac = mac.chain_update(header).chain_update(b".").chain_update(payload);
        first(mac.finalize().into_bytes().into())
    }

    /// The server's HS256 key for stamp mode, ready to sign.
    pub(crate) const fn server_mac(&self) -> &MacKey {
        &self.server
    }
}

/// The subkey with this label for a type of token and an issuer.
fn subkey(master: &HmacSha256, label: &[u8], typ: &str, issuer: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = master.clone();
    for piece in [label, typ.as_bytes(), issuer.as_bytes()] {
        frame::piece(&mut mac, piece);
    }
    Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()))
}

/// The derivations from one master key that belong to no type of token.
#[cfg(feature = "service")]
pub(crate) struct ServerDerivation<'a> {
    master: &'a HmacSha256,
    issuer: &'a str,
}

#[cfg(feature = "service")]
impl<'a> ServerDerivation<'a> {
    pub(crate) const fn new(master: &'a HmacSha256, issuer: &'a str) -> Self {
        Self { master, issuer }
    }

    /// The code of a device token:
    /// `HMAC(subkey("device"), device id ‖ u64(exp) ‖ u64(lane) ‖ user id)[..16]`.
    pub(crate) fn device(&self, said: &[u8]) -> [u8; 16] {
        let key = MacKey::new(&self.subkey(b"relatch/1 device"));
        first(key.sign(said))
    }

    /// The key that chooses the counters of password attempts: `subkey("limits")`.
    pub(crate) fn limits(&self) -> Zeroizing<[u8; 32]> {
        self.subkey(b"relatch/1 limits")
    }

    fn subkey(&self, label: &[u8]) -> Zeroizing<[u8; 32]> {
        subkey(self.master, label, "", self.issuer)
    }
}

/// The values that a token is bound to, as one byte string:
/// `D ‖ u64(version) ‖ frame(user id, outer, lane, context)`.
pub(crate) struct Body(InlineBytes<256>);

/// The values of a [`Body`].
pub(crate) struct Bound<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) credential: &'a Credential,
    pub(crate) outer: &'a [(Cow<'a, str>, u64)],
    pub(crate) version: u64,
    pub(crate) lane: Option<u64>,
    pub(crate) context: &'a Context,
}

impl Body {
    pub(crate) fn of(bound: &Bound<'_>) -> Self {
        let Bound { user_id, credential, outer, version, lane, context } = *bound;
        let outer_len = outer_len(outer);
        let context_len = context
            .iter()
            .map(|(k, v)| frame::piece_len(k.len()) + frame::piece_len(v.len()))
            .sum();
        let lane = lane.map(u64::to_be_bytes);
        let lane = lane.as_ref().map_or(&[][..], |counter| counter);

        let pieces = [user_id.len(), outer_len, lane.len(), context_len];
        let len = pieces.map(frame::piece_len).iter().sum::<usize>() + 32 + 8;
        let mut bytes = InlineBytes::with_capacity(len);
        bytes.update(credential.as_bytes());
        bytes.update(&version.to_be_bytes());
        frame::piece(&mut bytes, user_id.as_bytes());
        write_outer(&mut bytes, outer);
        frame::piece(&mut bytes, lane);
        frame::nested(&mut bytes, context_len);
        for (kind, value) in context.iter() {
            frame::piece(&mut bytes, kind.as_bytes());
            frame::piece(&mut bytes, value);
        }
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Writes the outer epochs as one piece, `frame(name_1, u64(counter_1), …)`: outermost first, empty if
/// there are none.
pub(crate) fn write_outer(sink: &mut impl Update, outer: &[(Cow<'_, str>, u64)]) {
    frame::nested(sink, outer_len(outer));
    for (name, counter) in outer {
        frame::piece(sink, name.as_bytes());
        frame::piece(sink, &counter.to_be_bytes());
    }
}

fn outer_len(outer: &[(Cow<'_, str>, u64)]) -> usize {
    outer.iter().map(|(name, _)| frame::piece_len(name.len()) + frame::piece_len(8)).sum()
}

fn first<const N: usize>(mac: [u8; 32]) -> [u8; N] {
    std::array::from_fn(|i| mac[i])
}

#[cfg(test)]
mod tests {
    use hmac::KeyInit;

    use super::*;
    use crate::bytes::frame::tests::frame;

    #[test]
    fn the_body_is_its_fixed_part_and_the_frame_of_the_others() {
        let credential = Credential::from_secrets([b"hash"]).unwrap();
        let context = Context::new().with("b", "2").with("a", "1");
        let body = Body::of(&Bound {
            user_id: "alice",
            credential: &credential,
            outer: &[("realm".into(), 3), ("tenant:acme".into(), 4)],
            version: 9,
            lane: Some(1),
            context: &context,
        });
        let u64_of = |n: u64| n.to_be_bytes().to_vec();
        let outer = frame(&[b"realm".to_vec(), u64_of(3), b"tenant:acme".to_vec(), u64_of(4)]);
        let context = frame(&[b"a".to_vec(), b"1".to_vec(), b"b".to_vec(), b"2".to_vec()]);
        let parts = [
            credential.as_bytes().to_vec(),
            u64_of(9),
            frame(&[b"alice".to_vec(), outer, u64_of(1), context]),
        ];
        assert_eq!(body.as_bytes(), parts.concat());
    }

    #[test]
    fn empty_parts_are_empty_pieces() {
        let body = Body::of(&bound("u", &credential(), &Context::new()));
        let pieces = frame(&[b"u".to_vec(), vec![], vec![], vec![]]);
        let digest = credential().as_bytes().to_vec();
        assert_eq!(body.as_bytes(), [digest, vec![0; 8], pieces].concat());
    }

    /// The messages, written out once more.
    #[test]
    fn each_value_is_the_mac_of_its_message_under_its_subkey() {
        let hmac = |key: &[u8], message: &[&[u8]]| {
            let mac = HmacSha256::new_from_slice(key).unwrap();
            mac.chain_update(message.concat()).finalize().into_bytes().to_vec()
        };
        let master = [7; 32];
        let derivation =
            Derivation::new(&HmacSha256::new_from_slice(&master).unwrap(), "at+jwt", "issuer");
        let subkey = |label: &str| {
            let label = format!("relatch/1 {label}").into_bytes();
            hmac(&master, &[&frame(&[label, b"at+jwt".to_vec(), b"issuer".to_vec()])])
        };
        let (credential, context) = (credential(), Context::new().with("kind", [1; 300]));
        let body = Body::of(&bound("alice", &credential, &context));

        let key = hmac(&subkey("key"), &[body.as_bytes()]);
        assert_eq!(*derivation.user_key(&body), *key);
        assert_eq!(derivation.user_mac(&body).sign(b"x"), *hmac(&key, &[b"x"]));
        assert_eq!(derivation.server_mac().sign(b"x"), *hmac(&subkey("server"), &[b"x"]));

        let guard = hmac(&subkey("guard"), &[&5_u64.to_be_bytes(), &[1; 8], b"alice"]);
        assert_eq!(derivation.guard("alice", 5, &[1; 8]), guard[..8]);
        let numbers: [&[u8]; 3] = [&[0, 3], &17_u64.to_be_bytes(), &9_u64.to_be_bytes()];
        let nonce = hmac(&subkey("nonce"), &[&numbers.concat(), b"alice"]);
        assert_eq!(derivation.refresh_nonce("alice", "3.17".parse().unwrap(), 9), nonce[..8]);
        let framed = frame(&[body.as_bytes().to_vec()]);
        let stamp = hmac(&subkey("stamp"), &[&framed, b"header", b".", br#"{"a":1"#]);
        assert_eq!(derivation.stamp(&body, "header", br#"{"a":1"#), stamp[..16]);
    }

    fn credential() -> Credential {
        Credential::from_secrets([b"hash"]).unwrap()
    }

    fn bound<'a>(user_id: &'a str, credential: &'a Credential, context: &'a Context) -> Bound<'a> {
        Bound { user_id, credential, outer: &[], version: 0, lane: None, context }
    }
}
