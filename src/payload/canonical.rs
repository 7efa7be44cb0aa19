//! The shortcut: a payload in exactly the form in which relatch writes it is scanned. Every other
//! is left to the general reader, which would say the same of this one.

use memchr::memchr2;

use super::{Claims, MAX_EPOCHS};
use crate::{
    application,
    claims::MAX_NUMERIC_DATE,
    counter::MAX_COUNT,
    jws,
    span::{Audience, Span},
};

/// `None` says nothing of the payload, and leaves it as it was. Otherwise the comma in front of
/// the application's own claims is now the brace of an object that has them alone.
pub(super) fn read(json: &mut [u8]) -> Option<Claims> {
    let (claims, end) = registered(json)?;
    let own = match json.get_mut(end..)? {
        [b'}'] => Span::EMPTY,
        members @ [b',', ..] => {
            members[0] = b'{';
            if !application::are_plain(members) {
                members[0] = b',';
                return None;
            }
            Span::new(end, json.len())
        }
        _ => return None,
    };
    Some(Claims { own, ..claims })
}

/// The registered claims, and where they end.
fn registered(json: &[u8]) -> Option<(Claims, usize)> {
    let mut scan = Scan { json, at: 0 };
    let issuer = scan.text(br#"{"iss":""#)?;
    let subject = scan.text(br#","sub":""#)?;
    let audience = Audience::One(scan.text(br#","aud":""#)?);
    let exp = scan.number(br#","exp":"#, MAX_NUMERIC_DATE)?;
    let iat = scan.number(br#","iat":"#, MAX_NUMERIC_DATE)?;
    let token_id = scan.text(br#","jti":""#)?;
    let jti = jws::decode_array(scan.bytes(token_id))?;
    let ver = scan.number(br#","ver":"#, MAX_COUNT)?;
    if scan.skip(br#","epochs":{"#).is_some() {
        scan.epochs()?;
    }
    let mut claims = Claims {
        issuer,
        subject,
        audience,
        exp,
        iat,
        token_id,
        jti,
        ver,
        session: None,
        seq: None,
        lane: None,
        stamp: None,
        own: Span::EMPTY,
    };
    if scan.skip(br#","sid":"#).is_some() {
        let id = scan.text(b"\"")?;
        claims.session = Some(str::from_utf8(scan.bytes(id)).ok()?.parse().ok()?);
    }
    if scan.skip(br#","seq":"#).is_some() {
        claims.seq = Some(scan.number(b"", MAX_COUNT)?);
    }
    if scan.skip(br#","lane":"#).is_some() {
        claims.lane = Some(scan.number(b"", MAX_COUNT)?);
    }
    if scan.skip(br#","stamp":"#).is_some() {
        let stamp = scan.text(b"\"")?;
        claims.stamp = Some(jws::decode_array(scan.bytes(stamp))?);
    }
    Some((claims, scan.at))
}

struct Scan<'a> {
    json: &'a [u8],
    /// How far it has come, in bytes.
    at: usize,
}

impl<'a> Scan<'a> {
    fn skip(&mut self, literal: &[u8]) -> Option<()> {
        self.json.get(self.at..)?.starts_with(literal).then(|| self.at += literal.len())
    }

    fn bytes(&self, span: Span) -> &'a [u8] {
        span.of_bytes(self.json)
    }

    /// What stands between `opening` and a quote, without an escape.
    fn text(&mut self, opening: &[u8]) -> Option<Span> {
        self.skip(opening)?;
        let rest = self.json.get(self.at..)?;
        let len = memchr2(b'"', b'\\', rest)?;
        // All of them are looked at, which is quicker than to stop at the first.
        let controls = rest[..len].iter().fold(0, |count, byte| count + u32::from(*byte < b' '));
        if rest[len] != b'"' || controls > 0 {
            return None;
        }
        let span = Span::new(self.at, self.at + len);
        self.at += len + 1;
        Some(span)
    }

    /// Digits after `opening`, without a zero in front.
    fn number(&mut self, opening: &[u8], max: u64) -> Option<u64> {
        self.skip(opening)?;
        let rest = self.json.get(self.at..)?;
        let len = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        if len == 0 || (len > 1 && rest[0] == b'0') {
            return None;
        }
        let number = rest[..len].iter().try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        self.at += len;
        number.filter(|number| *number <= max)
    }

    /// At least one epoch, each once, and the brace after them. What they count is bound, not read.
    fn epochs(&mut self) -> Option<()> {
        let mut names = [&b""[..]; MAX_EPOCHS];
        for known in 0..MAX_EPOCHS {
            let name = self.text(b"\"")?;
            let name = self.bytes(name);
            if names[..known].contains(&name) {
                return None;
            }
            names[known] = name;
            self.number(b":", MAX_COUNT)?;
            if self.skip(b"}").is_some() {
                return Some(());
            }
            self.skip(b",")?;
        }
        None
    }
}
