//! The general reader: a strict reader of any JSON payload.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    bytes::span::Span,
    clock::MAX_NUMERIC_DATE,
    counter::MAX_COUNT,
    sessions::SessionId,
    token::claims::{
        names::{MAX_EPOCHS, is_taken},
        private::Text,
        registered::Audience,
        spans::ClaimSpans,
    },
};

/// The claims, and the text that they are places in.
pub(crate) fn read(json: &str) -> Option<(String, ClaimSpans)> {
    let members: Members<'_> = serde_json::from_str(json).ok()?;
    let mut text = String::with_capacity(2 * json.len());
    let claims = ClaimSpans {
        issuer: Span::push(&mut text, &members.issuer.0),
        subject: Span::push(&mut text, &members.subject.0),
        audience: match members.audience {
            Addressees::One(one) => Audience::One(Span::push(&mut text, &one)),
            Addressees::Several(several) => Audience::Several(
                several.iter().map(|Text(one)| Span::push(&mut text, one)).collect(),
            ),
        },
        exp: members.exp,
        iat: members.iat,
        jti: Span::push(&mut text, &members.jti.0),
        ver: members.ver,
        session: members.session,
        seq: members.seq,
        lane: members.lane,
        own: Span::push(&mut text, json),
    };
    Some((text, claims))
}

/// The registered claims, as parsed.
struct Members<'de> {
    issuer: Text<'de>,
    subject: Text<'de>,
    audience: Addressees<'de>,
    exp: u64,
    iat: u64,
    jti: Text<'de>,
    ver: u64,
    session: Option<SessionId>,
    seq: Option<u64>,
    lane: Option<u64>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a claims set")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let (mut iss, mut sub, mut aud, mut exp, mut iat) = (None, None, None, None, None);
                let (mut jti, mut ver, mut epochs) = (None, None, None::<Epochs>);
                let (mut sid, mut seq, mut lane) = (None, None, None);
                let mut own = Vec::new();
                while let Some(Text(name)) = map.next_key()? {
                    match &*name {
                        "iss" => once(&mut iss, &mut map)?,
                        "sub" => once(&mut sub, &mut map)?,
                        "aud" => once(&mut aud, &mut map)?,
                        "exp" => once(&mut exp, &mut map)?,
                        "iat" => once(&mut iat, &mut map)?,
                        "jti" => once(&mut jti, &mut map)?,
                        "ver" => once(&mut ver, &mut map)?,
                        "epochs" => once(&mut epochs, &mut map)?,
                        "sid" => once(&mut sid, &mut map)?,
                        "seq" => once(&mut seq, &mut map)?,
                        "lane" => once(&mut lane, &mut map)?,
                        other if is_taken(other.as_bytes()) => {
                            return Err(de::Error::custom(
                                "a claim that this version cannot check",
                            ));
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            own.push(name);
                        }
                    }
                }
                own.sort_unstable();
                if own.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(de::Error::custom("a claim given twice"));
                }
                Ok(Members {
                    issuer: required(iss)?,
                    subject: required(sub)?,
                    audience: required(aud)?,
                    exp: required(exp.map(|NumericDate(seconds)| seconds))?,
                    iat: required(iat.map(|NumericDate(seconds)| seconds))?,
                    jti: required(jti)?,
                    ver: required(ver.map(|Count(count)| count))?,
                    session: sid,
                    seq: seq.map(|Count(count)| count),
                    lane: lane.map(|Count(count)| count),
                })
            }
        }

        deserializer.deserialize_map(Object)
    }
}

fn once<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    map: &mut A,
) -> Result<(), A::Error> {
    match slot.replace(map.next_value()?) {
        Some(_) => Err(de::Error::custom("a claim given twice")),
        None => Ok(()),
    }
}

fn required<T, E: de::Error>(claim: Option<T>) -> Result<T, E> {
    claim.ok_or_else(|| E::custom("a required claim is missing"))
}

/// The `aud` claim.
enum Addressees<'de> {
    One(Cow<'de, str>),
    Several(Vec<Text<'de>>),
}

impl<'de> Deserialize<'de> for Addressees<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Addressees<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E: de::Error>(self, one: &'de str) -> Result<Addressees<'de>, E> {
                Ok(Addressees::One(Cow::Borrowed(one)))
            }

            fn visit_str<E: de::Error>(self, one: &str) -> Result<Addressees<'de>, E> {
                Ok(Addressees::One(Cow::Owned(one.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Addressees<'de>, A::Error> {
                let mut several = Vec::new();
                while let Some(one) = seq.next_element()? {
                    several.push(one);
                }
                Ok(Addressees::Several(several))
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}

/// Whole seconds from 1970 to the year 9999, without fraction, exponent or sign.
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            seconds @ ..=MAX_NUMERIC_DATE => Ok(Self(seconds)),
            _ => Err(de::Error::custom("a time beyond the year 9999")),
        }
    }
}

/// A counter within the range of i64.
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            count @ ..=MAX_COUNT => Ok(Self(count)),
            _ => Err(de::Error::custom("a counter out of range")),
        }
    }
}

/// The `epochs` claim: counters with distinct names. The values are bound by the key, not read
/// here.
struct Epochs;

impl<'de> Deserialize<'de> for Epochs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Epochs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of counters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Epochs, A::Error> {
                let mut names: Vec<Cow<'de, str>> = Vec::new();
                while let Some((Text(name), Count(_))) = map.next_entry()? {
                    // An authority has so few epochs that comparing all pairs is cheap. The limit
                    // keeps it cheap for a forged payload.
                    if names.len() == MAX_EPOCHS || names.contains(&name) {
                        return Err(de::Error::custom("an epoch given twice, or too many"));
                    }
                    names.push(name);
                }
                Ok(Epochs)
            }
        }

        deserializer.deserialize_map(Members)
    }
}
