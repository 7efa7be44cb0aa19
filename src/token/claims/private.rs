//! Private claims (RFC 7519 §4.3): the application's claims, in the same JSON object as the
//! registered ones.

use std::{borrow::Cow, collections::BTreeMap, error, fmt, marker::PhantomData};

use memchr::memchr;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        self, DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor,
        value::{BorrowedStrDeserializer, MapAccessDeserializer, StringDeserializer},
    },
};
use serde_json::Value;

use crate::{
    bytes::scan::Scan,
    token::claims::names::{is_registered, is_reserved, is_taken},
};

/// Appends the claims, as further members, to an object without its closing brace. It reads them back
/// as a verification will: what is signed must be readable, or its user could not use the token.
pub(crate) fn add<C>(json: &mut Vec<u8>, claims: &C) -> Result<(), ClaimsError>
where
    C: Serialize + DeserializeOwned,
{
    let start = json.len();
    append(json, claims)?;
    let Some(first) = json.get_mut(start) else {
        // A type without data, such as `NoClaims`, always serialises to the same.
        return match size_of::<C>() {
            0 => Ok(()),
            _ => read::<C>(None).map(drop).map_err(ClaimsError::Unreadable),
        };
    };
    // The text that a reader finds behind the registered claims.
    *first = b'{';
    json.push(b'}');
    let text = json.get(start..).and_then(|own| str::from_utf8(own).ok());
    let is_read = read::<C>(text).map(drop).map_err(ClaimsError::Unreadable);
    json.pop();
    if let Some(first) = json.get_mut(start) {
        *first = b',';
    }
    is_read
}

fn append<C: Serialize>(json: &mut Vec<u8>, claims: &C) -> Result<(), ClaimsError> {
    let start = json.len();
    serde_json::to_writer(&mut *json, claims).map_err(ClaimsError::Serialize)?;
    let own = &json[start..];
    if !are_plain(own) {
        check(own)?;
    }
    // A type of the application can write white space around its braces.
    json.truncate(json.trim_ascii_end().len());
    json.drain(start..json.len() - json[start..].trim_ascii_start().len());
    match &json[start..] {
        [b'{', inner @ .., b'}'] if inner.trim_ascii().is_empty() => json.truncate(start),
        [b'{', .., b'}'] => {
            json[start] = b',';
            json.pop();
        }
        _ => return Err(ClaimsError::NotAnObject),
    }
    Ok(())
}

/// Whether [`check`] would certainly pass.
fn are_plain(json: &[u8]) -> bool {
    // Names that begin with `$` can be internal names of `serde_json`.
    if memchr(b'$', json).is_some() {
        return false;
    }
    let scanned = Scan::new(json).and_then(|mut scan| {
        scan.members(b"{", is_taken, Scan::value)?;
        Some(scan.is_at_end())
    });
    scanned == Some(true)
}

/// Checks that the claims are an object that can be read back, with distinct names that are neither
/// registered nor reserved.
fn check(json: &[u8]) -> Result<(), ClaimsError> {
    let Names(mut names) = serde_json::from_slice(json).map_err(|error| match error.is_data() {
        true => ClaimsError::NotAnObject,
        false => ClaimsError::Unreadable(error),
    })?;
    if let Some(name) = names.iter().find(|name| is_registered(name.as_bytes())) {
        return Err(ClaimsError::Registered { name: name.clone() });
    }
    if let Some(name) = names.iter().find(|name| is_reserved(name.as_bytes())) {
        return Err(ClaimsError::Reserved { name: name.clone() });
    }
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ClaimsError::Twice { name: pair[0].clone() }),
        None => Ok(()),
    }
}

/// Reads the private claims from an object and skips registered claims. The object must be
/// authenticated, because `C` may not be safe with hostile input.
pub(crate) fn read<C: DeserializeOwned>(own: Option<&str>) -> Result<C, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(own.unwrap_or("{}"));
    let claims = deserializer.deserialize_map(Unregistered(PhantomData))?;
    deserializer.end()?;
    Ok(claims)
}

/// Whether there is any private claim.
pub(crate) fn has_any(own: Option<&str>) -> bool {
    read::<BTreeMap<String, IgnoredAny>>(own).map_or(true, |own| !own.is_empty())
}

/// Passes all members except the registered claims to `C`, so that `deny_unknown_fields` and maps
/// see only private claims.
struct Unregistered<C>(PhantomData<C>);

impl<'de, C: Deserialize<'de>> Visitor<'de> for Unregistered<C> {
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claims set")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<C, A::Error> {
        C::deserialize(MapAccessDeserializer::new(Filter(map)))
    }
}

struct Filter<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Filter<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(Text(name)) = self.0.next_key()? {
            if is_registered(name.as_bytes()) {
                self.0.next_value::<IgnoredAny>()?;
                continue;
            }
            return match name {
                Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
                Cow::Owned(name) => seed.deserialize(StringDeserializer::new(name)),
            }
            .map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// Text that is borrowed from the JSON unless it contains an escape.
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

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

/// The names of an object's members.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                // Read the values too, so that the parser refuses now what it would refuse later.
                while let Some((name, _)) = map.next_entry::<_, Value>()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// Why private claims cannot be written into a token.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClaimsError {
    /// The claims do not serialise to a JSON object.
    NotAnObject,
    /// A name is one of the [registered claims](crate::token::REGISTERED_CLAIMS).
    Registered {
        /// The name.
        name: String,
    },
    /// A name is one of the [reserved claims](crate::token::RESERVED_CLAIMS).
    Reserved {
        /// The name.
        name: String,
    },
    /// A name occurs twice.
    Twice {
        /// The name.
        name: String,
    },
    /// Serialising the claims failed.
    Serialize(serde_json::Error),
    /// The claims serialise to JSON that a verification cannot read back as their type. The source names
    /// the field. Two causes are a field that is skipped (`skip_serializing_if`) and has no
    /// `default`, and more than 127 levels of nesting.
    Unreadable(serde_json::Error),
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("the claims do not serialise to a JSON object"),
            Self::Registered { name } => {
                write!(f, "the claim {name:?} is a registered one and relatch's to set: rename it")
            }
            Self::Reserved { name } => write!(
                f,
                "the claim {name:?} is reserved for a later release of relatch: rename it"
            ),
            Self::Twice { name } => write!(f, "the claim {name:?} occurs twice"),
            Self::Serialize(_) => f.write_str("the claims could not be serialised"),
            Self::Unreadable(_) => f.write_str(
                "the claims that are written cannot be read back as their type: does a field with \
                 `skip_serializing_if` lack `default`?",
            ),
        }
    }
}

impl error::Error for ClaimsError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Serialize(error) | Self::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;
    use crate::token::{
        claims::names::{REGISTERED_CLAIMS, RESERVED_CLAIMS},
        purpose::NoClaims,
    };

    fn added<C: Serialize>(claims: &C) -> Result<String, ClaimsError> {
        let mut json = br#"{"iss":"i""#.to_vec();
        append(&mut json, claims)?;
        json.push(b'}');
        Ok(String::from_utf8(json).unwrap())
    }

    #[test]
    fn claims_are_added_as_members() {
        assert_eq!(added(&NoClaims {}).unwrap(), r#"{"iss":"i"}"#);
        let claims = json!({"a": 1, "b": [2]});
        assert_eq!(added(&claims).unwrap(), r#"{"iss":"i","a":1,"b":[2]}"#);
    }

    /// And leaves the text as it was written.
    #[test]
    fn what_is_added_is_read_back() {
        let write = |claims: &Value| {
            let mut json = br#"{"iss":"i""#.to_vec();
            add(&mut json, claims).map(|()| String::from_utf8(json).unwrap())
        };
        assert_eq!(write(&json!({"a": 1, "b": "}"})).unwrap(), r#"{"iss":"i","a":1,"b":"}""#);
        assert_eq!(write(&json!({})).unwrap(), r#"{"iss":"i""#);
        let mut json = br#"{"iss":"i""#.to_vec();
        add(&mut json, &NoClaims {}).unwrap();
        assert_eq!(json, br#"{"iss":"i""#);
    }

    #[test]
    fn only_members_of_an_object_are_plain() {
        let several =
            |count: u8| json!((0..count).map(|i| (i.to_string(), i)).collect::<BTreeMap<_, _>>());
        for plain in [json!({"a": 1}), json!({"a": {"sub": 1}, "b": ["}"]}), several(16)] {
            assert!(are_plain(plain.to_string().as_bytes()), "{plain}");
        }
        for other in [
            "{}",
            "[]",
            "1",
            "",
            r#"{"sub":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"\u0061":1}"#,
            r#"{"a":1,}"#,
            r#"{"a":1}x"#,
            &several(17).to_string(),
        ] {
            assert!(!are_plain(other.as_bytes()), "{other}");
        }
        assert!(added(&several(17)).is_ok(), "they are only checked at more length");
    }

    /// White space around them is the type's own business.
    #[test]
    fn claims_that_write_their_own_json_are_added_too() {
        struct Raw(&'static str);

        impl Serialize for Raw {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let raw = serde_json::value::RawValue::from_string(self.0.to_owned());
                raw.map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
        }

        for (raw, expected) in [
            (" { \"a\" : 1 } ", Some(r#"{"iss":"i", "a" : 1 }"#)),
            ("{ }", Some(r#"{"iss":"i"}"#)),
            (" [{}] ", None),
            ("{\"sub\":1}", None),
            (r#"{"a":{"$serde_json::private::RawValue":"x"}}"#, None),
            (r#"{"a":"$5"}"#, Some(r#"{"iss":"i","a":"$5"}"#)),
            ("{\"s\\u0075b\":1}", None),
        ] {
            assert_eq!(added(&Raw(raw)).ok().as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for other in [json!(null), json!([]), json!("a"), json!(1)] {
            assert!(matches!(added(&other), Err(ClaimsError::NotAnObject)), "{other}");
        }
        let failing: HashMap<Vec<u8>, u8> = HashMap::from([(vec![1], 1)]);
        assert!(matches!(added(&failing), Err(ClaimsError::Serialize(_))));
    }

    /// What is issued verifies: the parser that reads it refuses at the same depth.
    #[test]
    fn claims_that_would_not_read_back_are_refused() {
        let nested =
            |levels: usize| (1..levels).fold(json!({ "a": 1 }), |inner, _| json!({ "a": inner }));
        let deepest = added(&nested(127)).unwrap();
        assert!(read::<BTreeMap<String, Value>>(Some(&deepest)).is_ok());
        assert!(matches!(added(&nested(128)), Err(ClaimsError::Unreadable(_))));
        assert!(matches!(added(&nested(500)), Err(ClaimsError::Unreadable(_))));
        let wide = json!({ "a": vec![json!([]); 500] });
        assert!(added(&wide).is_ok(), "many brackets are not deep");
    }

    #[test]
    fn a_registered_name_is_refused() {
        for name in REGISTERED_CLAIMS {
            let error = added(&BTreeMap::from([(name, 1)])).unwrap_err();
            assert!(matches!(&error, ClaimsError::Registered { name: refused } if refused == name));
            assert!(error.to_string().contains(name));
        }
        assert!(added(&json!({"subject": 1, "Sub": 1, "role": {"sub": 1}})).is_ok());
    }

    #[test]
    fn a_reserved_name_is_refused() {
        for name in RESERVED_CLAIMS {
            let error = added(&BTreeMap::from([(name, 1)])).unwrap_err();
            assert!(matches!(&error, ClaimsError::Reserved { name: refused } if refused == name));
            assert!(error.to_string().contains(name));
        }
        let escaped = serde_json::value::RawValue::from_string(r#"{"sc\u006fpe":1}"#.to_owned());
        assert!(matches!(added(&escaped.unwrap()), Err(ClaimsError::Reserved { .. })));
        assert!(added(&json!({"scopes": 1, "Scope": 1, "role": {"scope": 1}})).is_ok());
    }

    #[test]
    fn a_name_given_twice_is_refused() {
        #[derive(Serialize)]
        struct Twice {
            role: u8,
            #[serde(flatten)]
            more: BTreeMap<&'static str, u8>,
        }
        let twice = Twice { role: 1, more: BTreeMap::from([("role", 2)]) };
        assert!(matches!(added(&twice), Err(ClaimsError::Twice { .. })));
    }

    #[test]
    fn the_application_sees_its_own_claims_alone() {
        #[derive(Deserialize, PartialEq, Debug)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            role: String,
        }
        #[derive(Deserialize, PartialEq, Debug)]
        enum Tagged {
            Staff { level: u8 },
        }
        let payload = Some(r#"{"iss":"i","sub":"s","role":"admin","exp":2}"#);
        assert_eq!(read::<Strict>(payload).unwrap(), Strict { role: "admin".into() });
        let map: BTreeMap<String, Value> = read(payload).unwrap();
        assert_eq!(map, BTreeMap::from([("role".into(), json!("admin"))]));
        assert_eq!(read::<NoClaims>(payload).unwrap(), NoClaims {});
        assert_eq!(read::<NoClaims>(None).unwrap(), NoClaims {});
        let tagged = Some(r#"{"iss":"i","Staff":{"level":3}}"#);
        assert_eq!(read::<Tagged>(tagged).unwrap(), Tagged::Staff { level: 3 });
        assert!(read::<Strict>(Some(r#"{"role":1}"#)).is_err());
        assert!(read::<NoClaims>(Some(r#"{"role":1} x"#)).is_err());
    }
}
