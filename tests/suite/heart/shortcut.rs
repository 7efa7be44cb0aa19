//! The scan of canonical payloads accepts the same as the general JSON reader. A payload with a
//! space in front is the same JSON but not canonical, so the general reader reads it: signed with
//! the right key, both must have the same outcome. The fuzz target of the same name runs longer.

use std::{
    collections::BTreeMap, convert::Infallible, fmt::Debug, marker::PhantomData, sync::LazyLock,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use proptest::{collection::vec, prelude::*, sample::Index, sample::select};
use relatch::{
    Access, Authority, BindingMode, Context, Purpose, Reason, Token, VerifyError,
    authority::Stage,
    token::{RegisteredClaims, Usage},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::{
    common::{Account, EmailChange, Role, TestClock, account, builder},
    forge,
};

/// A one-time link with private claims of any type.
struct Link<C>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for Link<C> {
    type Claims = C;
    const TYP: &'static str = EmailChange::TYP;
    const USAGE: Usage = Usage::OnceByLane;
}

/// Private claims as the text that their deserialiser receives.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Exact(Box<RawValue>);

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// The key and the record for which a token is signed.
struct Place {
    authority: Authority,
    user: Account,
    typ: &'static str,
    key: Vec<u8>,
    is_stamped: bool,
    /// The payload that the server signed, without private claims, the stamp and the closing brace.
    payload: String,
}

impl Place {
    fn new<P: Purpose<Claims = BTreeMap<String, Value>>>(mode: BindingMode) -> Self {
        let authority = builder(&TestClock::new()).mode(mode).epoch("realm", 1).build().unwrap();
        let mut user = Account { email_lane: 5, version: 3, ..account("alice") };
        let started = authority.start_session(&user, "phone").unwrap();
        let tokens = user.commit(started);
        let token = authority.issue::<P>(&user, &BTreeMap::new()).sign().unwrap();
        let payload = B64.decode(token.expose().split('.').nth(1).unwrap()).unwrap();
        let mut payload = String::from_utf8(payload).unwrap();
        if P::TYP == Access::<()>::TYP {
            // After the epochs, whose brace is the first.
            let session = format!(r#"}},"sid":"{}""#, tokens.session().id());
            payload = payload.replacen('}', &session, 1);
        }
        let is_stamped = P::PORTABLE && mode != BindingMode::Key;
        let end = if is_stamped { STAMP_BYTES } else { "}".len() };
        payload.truncate(payload.len() - end);
        let key = match is_stamped {
            false => authority.danger_expose_key::<P>(&user, &Context::new()).unwrap().to_vec(),
            true => forge::server_key(P::TYP),
        };
        Self { authority, user, typ: P::TYP, key, is_stamped, payload }
    }

    /// A token with this payload, to which the stamp is added in stamp mode.
    fn sign(&self, payload: &[u8]) -> String {
        let before = str::from_utf8(payload).ok().and_then(|text| text.strip_suffix('}'));
        let Some(before) = before.filter(|_| self.is_stamped) else {
            return forge::sign(self.typ, payload, &self.key);
        };
        let (user, context, header) = (&self.user, Context::new(), forge::header(self.typ));
        let stamp =
            self.authority.danger_expose_stamp::<Access>(user, &context, &header, before).unwrap();
        forge::sign(self.typ, format!(r#"{before},"stamp":"{stamp}"}}"#), &self.key)
    }

    /// Checks that the payload has the same outcome with a space in front. Returns whether the two
    /// are accepted, with private claims of any form.
    fn accepts(&self, payload: &[u8]) -> bool {
        let texts = [payload, &[b" ", payload].concat()].map(|json| self.sign(json));
        match self.typ {
            EmailChange::TYP => {
                self.compare::<Link<Exact>>(&texts, payload);
                self.compare::<Link<Role>>(&texts, payload);
                self.compare::<Link<BTreeMap<String, Value>>>(&texts, payload)
            }
            _ => {
                self.compare::<Access<Exact>>(&texts, payload);
                self.compare::<Access<Role>>(&texts, payload);
                self.compare::<Access<BTreeMap<String, Value>>>(&texts, payload)
            }
        }
    }

    fn compare<P>(&self, texts: &[String; 2], payload: &[u8]) -> bool
    where
        P: Purpose<Claims: Clone + PartialEq + Debug>,
    {
        let [scanned, read] = texts.each_ref().map(|text| self.see::<P>(text));
        assert_eq!(scanned, read, "the scan, then the reader: {}", payload.escape_ascii());
        scanned.1.is_ok()
    }

    /// The id of the lookup, and everything that the accessors return.
    fn see<P: Purpose<Claims: Clone>>(&self, text: &str) -> (Option<String>, Seen<P::Claims>) {
        let mut looked_up = None;
        let outcome = self.authority.peek(&Token::<P>::new(text), |id| {
            looked_up = Some(id.to_owned());
            Ok::<_, Infallible>(Some(&self.user))
        });
        let seen = match outcome {
            Ok(peeked) => Ok((accessors(peeked.registered()), peeked.claims().clone())),
            Err(VerifyError::Rejected(rejection)) => Err((rejection.stage(), rejection.reason())),
            Err(other) => panic!("not a rejection: {other:?}"),
        };
        (looked_up, seen)
    }
}

/// The length of the stamp at the end of a payload, with the closing brace.
const STAMP_BYTES: usize = r#","stamp":"AAAAAAAAAAAAAAAAAAAAAA"}"#.len();

type Seen<C> = Result<(Vec<String>, C), (Stage, Reason)>;

/// The value of each accessor.
fn accessors(registered: &RegisteredClaims) -> Vec<String> {
    let mut values = vec![
        format!("{:?}", registered.issuer()),
        registered.subject().to_owned(),
        format!("{:?}", registered.jti()),
        format!("{:?} to {}", registered.issued_at(), registered.expires_at()),
        format!("{:?} {:?}", registered.version(), registered.session_id()),
        format!("{registered:?}"),
    ];
    values.extend(registered.audience().map(str::to_owned));
    values
}

static PLACES: LazyLock<[Place; 4]> = LazyLock::new(|| {
    [
        Place::new::<Access<_>>(BindingMode::Key),
        Place::new::<Access<_>>(BindingMode::StampHs256),
        Place::new::<Link<_>>(BindingMode::Key),
        Place::new::<Link<_>>(BindingMode::StampHs256),
    ]
});

/// Private claims in the form in which they are written.
const OWN: [&str; 8] = [
    "",
    r#","role":"admin""#,
    r#","n":[0,1,1844674407370955161],"b":true,"c":null"#,
    r#","deep":{"a":{"b":[[{"c":"}"}]]}}"#,
    r#","role":"é","":false"#,
    r#","a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"l":0,"m":0,"n":0,"o":0,"p":0"#,
    r#","a":[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]"#,
    r#","a":[[[[[[[[[[[[[[[[0]]]]]]]]]]]]]]]]"#,
];

/// Checks that accepted tokens are among the compared ones.
#[test]
fn canonical_payloads_are_accepted_by_either_reader() {
    for place in &*PLACES {
        for own in OWN {
            let payload = format!("{}{own}}}", place.payload);
            assert!(place.accepts(payload.as_bytes()), "{payload}");
        }
    }
}

/// One change to a payload.
#[derive(Clone, Debug)]
enum Edit {
    Insert(Index, &'static [u8]),
    /// Before the closing brace, or after it.
    Append(&'static [u8], bool),
    Remove(Index, usize),
    Replace(Index, u8),
    /// A copy of a piece of it, elsewhere.
    Copy(Index, usize, Index),
    /// A copy of the text between two commas, before the closing brace.
    Again(Index),
    /// Another number instead of the digits after a colon.
    Number(Index, &'static [u8]),
}

impl Edit {
    fn apply(&self, payload: &mut Vec<u8>) {
        let len = payload.len();
        let within = |at: &Index, bytes: usize| {
            let start = at.index(len + 1);
            start..len.min(start + bytes)
        };
        match self {
            Self::Insert(at, piece) => drop(payload.splice(within(at, 0), piece.iter().copied())),
            Self::Append(piece, is_behind) => {
                let at = len - usize::from(!is_behind && len > 0);
                payload.splice(at..at, piece.iter().copied());
            }
            Self::Remove(at, bytes) => drop(payload.drain(within(at, *bytes))),
            Self::Replace(at, byte) => drop(payload.splice(within(at, 1), [*byte])),
            Self::Copy(from, bytes, to) => {
                let piece = payload[within(from, *bytes)].to_vec();
                payload.splice(within(to, 0), piece);
            }
            Self::Number(which, number) => {
                let starts_here =
                    |at: &usize| payload[at - 1] == b':' && payload[*at].is_ascii_digit();
                let starts: Vec<_> = (1..len).filter(starts_here).collect();
                if !starts.is_empty() {
                    let start = *which.get(&starts);
                    let digits = payload[start..].iter().take_while(|byte| byte.is_ascii_digit());
                    let end = start + digits.count();
                    payload.splice(start..end, number.iter().copied());
                }
            }
            Self::Again(which) => {
                let inner = payload.get(1..len.saturating_sub(1)).unwrap_or_default();
                let members: Vec<_> = inner.split(|byte| *byte == b',').collect();
                let member = [b",", *which.get(&members)].concat();
                payload.splice(len.saturating_sub(1)..len.saturating_sub(1), member);
            }
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    prop_oneof![
        1 => (index(), select(&PIECES[..])).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        1 => (select(&PIECES[..]), any::<bool>()).prop_map(|(piece, at)| Edit::Append(piece, at)),
        2 => (select(&ENDS[..]), any::<bool>()).prop_map(|(end, at)| Edit::Append(end, at)),
        1 => (index(), 1..4_usize).prop_map(|(at, bytes)| Edit::Remove(at, bytes)),
        1 => (index(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        1 => (index(), select(&b"{}[]\":,\\ 019-e.\0\x1f\x7f"[..]))
            .prop_map(|(at, byte)| Edit::Replace(at, byte)),
        1 => (index(), 1..20_usize, index()).prop_map(|(from, n, to)| Edit::Copy(from, n, to)),
        1 => index().prop_map(Edit::Again),
        1 => (index(), select(&NUMBERS[..])).prop_map(|(which, number)| Edit::Number(which, number)),
    ]
}

/// For the end of the payload.
const ENDS: [&[u8]; 8] = [b",", b"}", b" ", b"x", b"\t", b"\n", b"\0", b",\"x\":tru"];

const PIECES: [&[u8]; 42] = [
    b" ",
    b"\t",
    b"\n",
    b",",
    b"0",
    b"9",
    b"-",
    b"\"",
    b"}",
    b"]",
    b"x",
    b"\0",
    b"\x01",
    b"\xff",
    b"\\u0061",
    b"\\n",
    b"\\\"",
    b"\\ud800",
    b".0",
    b"e3",
    b"00000000000000000000",
    b"18446744073709551616",
    b",\"role\":\"user\"",
    b",\"role\":1",
    b",\"role\":\"a\x01\"",
    b",\"r\\u006fle\":\"a\"",
    b",\"x\":01",
    b",\"x\":-0",
    b",\"x\":1e999",
    b",\"x\":tru",
    b",\"x\":{}",
    b",\"x\":[]",
    b",\"x\":[1,]",
    b",\"x\":{\"exp\":1,\"exp\":2}",
    b",\"exp\":1",
    b",\"nbf\":1",
    b",\"e\\u0078p\":1",
    b",\"epochs\":{\"a\":1,\"a\":1}",
    b",\"sid\":\"0.1\"",
    b",\"seq\":0",
    b",\"lane\":5",
    b",\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAA\"",
];

/// Numbers at the ends of ranges and in other forms; the last would wrap around to the version.
const NUMBERS: [&[u8]; 14] = [
    b"",
    b"0",
    b"00",
    b"03",
    b"-0",
    b"3.0",
    b"3e0",
    b"\"3\"",
    b"253402300799",
    b"253402300800",
    b"9223372036854775807",
    b"9223372036854775808",
    b"9999999999999999999",
    b"18446744073709551619",
];

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 10_000,
        ..ProptestConfig::with_cases(crate::support::cases(1200))
    })]

    #[test]
    fn the_two_readers_never_differ(
        place in any::<Index>(), own in select(&OWN[..]), edits in vec(edit(), 1..3),
    ) {
        let place = place.get(&*PLACES);
        let mut payload = format!("{}{own}}}", place.payload).into_bytes();
        edits.iter().for_each(|edit| edit.apply(&mut payload));
        place.accepts(&payload);
    }
}

/// The registered claims of two tokens are equal if each claim is, regardless of private claims and
/// of form.
#[test]
fn registered_claims_are_equal_wherever_they_stand() {
    let place = &PLACES[0];
    let registered = |own: &str, front: &str| {
        let payload = format!("{front}{}{own}}}", place.payload);
        let text = place.sign(payload.as_bytes());
        let token = Token::<Access<BTreeMap<String, Value>>>::new(text);
        let verified = place.authority.verify(&token, |_| Ok::<_, Infallible>(Some(&place.user)));
        verified.unwrap().registered().clone()
    };
    let plain = registered("", "");
    for (own, front) in [("", " "), (r#","role":"admin""#, ""), (r#","role":"admin""#, " ")] {
        let other = registered(own, front);
        assert_eq!(accessors(&plain), accessors(&other));
        assert_eq!(plain, other, "{own}, {front:?}");
    }
}
