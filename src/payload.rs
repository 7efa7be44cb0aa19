//! The payload: what relatch itself reads and writes in a token's JSON, and in which form.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    application::ClaimsError,
    claims::{MAX_NUMERIC_DATE, Registered, is_registered, numeric_date},
    counter::Counter,
    jws,
    slots::SessionId,
};

/// The registered claims as they stand in a payload, in the order in which they are written.
///
/// Reading checks their form alone; nothing of it is to be believed before the signature is.
#[derive(Clone, Serialize)]
pub(crate) struct Payload {
    #[serde(rename = "iss")]
    pub(crate) issuer: String,
    #[serde(rename = "sub")]
    pub(crate) subject: String,
    #[serde(rename = "aud")]
    pub(crate) audience: Audience,
    pub(crate) exp: u64,
    pub(crate) iat: u64,
    pub(crate) jti: Bytes16,
    pub(crate) ver: u64,
    #[serde(skip_serializing_if = "Counts::is_empty")]
    pub(crate) epochs: Counts,
    #[serde(rename = "sid", skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lane: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stamp: Option<Bytes16>,
}

impl Payload {
    /// `None` if a claim is missing, given twice, unknown to this version or not in its form.
    pub(crate) fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The payload's text: these claims, then the members of the application's own.
    pub(crate) fn join(&self, own: &str) -> Result<String, ClaimsError> {
        let mut json = serde_json::to_string(self).map_err(ClaimsError::Serialize)?;
        if !own.is_empty() {
            json.pop();
            json.push(',');
            json.push_str(own);
            json.push('}');
        }
        Ok(json)
    }

    pub(crate) fn into_registered(self) -> Registered {
        Registered {
            token_id: Some(jws::encode(&self.jti.0)),
            issuer: Some(self.issuer),
            subject: self.subject,
            audience: self.audience.0,
            expires_at: numeric_date(self.exp),
            issued_at: Some(numeric_date(self.iat)),
            version: i64::try_from(self.ver).map_or(Counter::INITIAL, Counter::from),
            session_id: self.session,
        }
    }
}

/// `aud` (RFC 7519 §4.1.3): one string, or an array of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audience(pub(crate) Vec<String>);

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = Audience;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_str<E: de::Error>(self, one: &str) -> Result<Audience, E> {
                Ok(Audience(vec![one.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Audience, A::Error> {
                let mut several = Vec::new();
                while let Some(one) = seq.next_element()? {
                    several.push(one);
                }
                Ok(Audience(several))
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Payload;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a claims set")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
                let (mut iss, mut sub, mut aud, mut exp, mut iat) = (None, None, None, None, None);
                let (mut jti, mut ver, mut epochs) = (None, None, None);
                let (mut sid, mut seq, mut lane, mut stamp) = (None, None, None, None);
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
                        "stamp" => once(&mut stamp, &mut map)?,
                        other if is_registered(other) => {
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
                Ok(Payload {
                    issuer: required(iss)?,
                    subject: required(sub)?,
                    audience: required(aud)?,
                    exp: required(exp.map(|NumericDate(seconds)| seconds))?,
                    iat: required(iat.map(|NumericDate(seconds)| seconds))?,
                    jti: required(jti)?,
                    ver: required(ver.map(|Count(count)| count))?,
                    epochs: epochs.unwrap_or_default(),
                    session: sid,
                    seq: seq.map(|Count(count)| count),
                    lane: lane.map(|Count(count)| count),
                    stamp,
                })
            }
        }

        deserializer.deserialize_map(Members)
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

/// Text that is borrowed from the payload unless an escape stands in it.
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;

        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Borrow)
    }
}

/// Whole seconds from 1970 up to the year 9999; no fraction, no exponent, no sign.
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
        let count = u64::deserialize(deserializer)?;
        i64::try_from(count).map_err(|_| de::Error::custom("a counter out of range"))?;
        Ok(Self(count))
    }
}

/// An object of counters, each name once.
#[derive(Clone, Default)]
pub(crate) struct Counts(pub(crate) Vec<(String, u64)>);

impl Counts {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, count)| (name, count)))
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Counts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of counters")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counts, A::Error> {
                let mut counts: Vec<(String, u64)> = Vec::new();
                while let Some((name, Count(count))) = map.next_entry::<String, _>()? {
                    // Few enough in any authority that comparing each pair costs nothing; the cap
                    // keeps it so for a forged payload.
                    if counts.len() == MAX_EPOCHS || counts.iter().any(|(known, _)| *known == name)
                    {
                        return Err(de::Error::custom("an epoch given twice, or too many"));
                    }
                    counts.push((name, count));
                }
                Ok(Counts(counts))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// How many outer epochs an authority can have.
pub(crate) const MAX_EPOCHS: usize = 16;

/// Sixteen bytes as canonical base64url.
#[derive(Clone, Copy)]
pub(crate) struct Bytes16(pub(crate) [u8; 16]);

impl Serialize for Bytes16 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&jws::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes16 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        let bytes = jws::decode_array(&text).ok_or_else(|| de::Error::custom("not 16 bytes"))?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str =
        r#"{"iss":"i","sub":"s","aud":"a","exp":2,"iat":1,"jti":"AAAAAAAAAAAAAAAAAAAAAA","ver":3}"#;

    fn with(from: &str, to: &str) -> String {
        assert!(PLAIN.contains(from), "{from}");
        PLAIN.replace(from, to)
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut payload = Payload::read(PLAIN).unwrap();
        assert_eq!(serde_json::to_string(&payload).unwrap(), PLAIN);
        payload.audience.0.push("b".to_owned());
        payload.epochs = Counts(vec![("realm".to_owned(), 1), ("tenant:acme".to_owned(), 2)]);
        payload.session = Some("3.17".parse().unwrap());
        payload.seq = Some(5);
        payload.lane = Some(4);
        payload.stamp = Some(Bytes16([0xff; 16]));
        let json = serde_json::to_string(&payload).unwrap();
        assert!(json.contains(
            r#""ver":3,"epochs":{"realm":1,"tenant:acme":2},"sid":"3.17","seq":5,"lane":4,"stamp":"_____________________w"}"#
        ));
        assert_eq!(serde_json::to_string(&Payload::read(&json).unwrap()).unwrap(), json);
    }

    #[test]
    fn every_required_claim_is_required_once() {
        for claim in PLAIN.trim_matches(['{', '}']).split(',') {
            let without =
                PLAIN.replace(claim, "").replace(",,", ",").replace("{,", "{").replace(",}", "}");
            assert!(serde_json::from_str::<serde_json::Value>(&without).is_ok(), "{without}");
            assert!(Payload::read(&without).is_none(), "{without}");
            let twice = PLAIN.replace(claim, &format!("{claim},{claim}"));
            assert!(Payload::read(&twice).is_none(), "{twice}");
        }
    }

    #[test]
    fn numbers_are_whole_positive_and_in_range() {
        for bad in [
            "2.0",
            "2e0",
            "\"2\"",
            "-2",
            "-0",
            "null",
            "true",
            "[2]",
            "18446744073709551616",
            "253402300800",
        ] {
            for (from, name) in [("\"exp\":2", "exp"), ("\"iat\":1", "iat")] {
                assert!(
                    Payload::read(&with(from, &format!("\"{name}\":{bad}"))).is_none(),
                    "{bad}"
                );
            }
        }
        assert!(Payload::read(&with("\"exp\":2", "\"exp\":253402300799")).is_some());
        assert!(Payload::read(&with("\"ver\":3", "\"ver\":9223372036854775807")).is_some());
        assert!(Payload::read(&with("\"ver\":3", "\"ver\":9223372036854775808")).is_none());
    }

    #[test]
    fn own_claims_are_passed_over_but_not_twice() {
        assert!(Payload::read(&with("}", r#","role":"admin","deep":[{"a":1}]}"#)).is_some());
        assert!(Payload::read(&with("}", r#","role":"a","x":1,"role":"b"}"#)).is_none());
        assert!(Payload::read(&with("}", r#","role":"a","\u0072ole":"b"}"#)).is_none());
    }

    #[test]
    fn a_claim_that_this_version_cannot_check_is_refused() {
        assert!(Payload::read(&with("}", r#","nbf":1}"#)).is_none());
    }

    #[test]
    fn a_session_is_named_in_one_way() {
        for good in [r#""sid":"0.1""#, r#""seq":0"#, r#""sid":"63.9","seq":9223372036854775807"#] {
            assert!(Payload::read(&with("}", &format!(",{good}}}"))).is_some(), "{good}");
        }
        for bad in [
            r#""sid":"0.01""#,
            r#""sid":0.1"#,
            r#""sid":null"#,
            r#""sid":["0.1"]"#,
            r#""seq":-1"#,
            r#""seq":"1""#,
            r#""seq":null"#,
            r#""seq":9223372036854775808"#,
            r#""sid":"0.1","sid":"0.1""#,
        ] {
            assert!(Payload::read(&with("}", &format!(",{bad}}}"))).is_none(), "{bad}");
        }
    }

    #[test]
    fn hostile_json_is_refused_without_harm() {
        let deep = with("}", &format!(",\"x\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000)));
        let _ = Payload::read(&deep);
        let many: String = (0..1000).map(|i| format!("\"e{i}\":1,")).collect();
        let many = with("}", &format!(",\"epochs\":{{{}}}}}", many.trim_end_matches(',')));
        assert!(Payload::read(&many).is_none());
        for bad in ["", "null", "[]", "{}", "0", "\"\"", &PLAIN[1..], &format!("{PLAIN}x")] {
            assert!(Payload::read(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_the_payload(issuer in ".*", subject in ".*", audience in ".*") {
            let payload = Payload {
                issuer: issuer.clone(), subject: subject.clone(), audience: Audience(vec![audience]),
                exp: 2, iat: 1, jti: Bytes16([9; 16]), ver: 0, epochs: Counts::default(), session: None, seq: None, lane: None, stamp: None,
            };
            let back = Payload::read(&serde_json::to_string(&payload).unwrap()).unwrap();
            prop_assert_eq!((back.issuer, back.subject, back.audience), (issuer, subject, payload.audience));
        }

        #[test]
        fn arbitrary_text_never_panics(json in ".*") {
            let _ = Payload::read(&json);
        }
    }
}
