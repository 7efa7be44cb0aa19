//! The application's own claims, beside the registered ones in the same JSON object.

use std::{collections::BTreeMap, error, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        self, DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor,
        value::MapAccessDeserializer,
    },
};

use serde_json::Value;

use crate::claims::is_registered;

/// The claims as the members of a JSON object, without its braces.
pub(crate) fn members<C: Serialize>(claims: &C) -> Result<String, ClaimsError> {
    let json = serde_json::to_string(claims).map_err(ClaimsError::Serialize)?;
    let Names(names) = serde_json::from_str(&json).map_err(|error| match error.is_data() {
        true => ClaimsError::NotAnObject,
        false => ClaimsError::Unreadable(error),
    })?;
    if let Some(name) = names.iter().find(|name| is_registered(name)) {
        return Err(ClaimsError::Registered { name: name.clone() });
    }
    let mut sorted = names;
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ClaimsError::Twice { name: pair[0].clone() });
    }
    let inner = json.trim().strip_prefix('{').and_then(|json| json.strip_suffix('}'));
    inner.map(|inner| inner.trim().to_owned()).ok_or(ClaimsError::NotAnObject)
}

/// The application's claims out of a payload's text, which must be authenticated: whatever
/// `C` does with hostile input happens here.
pub(crate) fn read<C: DeserializeOwned>(payload: &str) -> Result<C, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(payload);
    let claims = deserializer.deserialize_map(Unregistered(PhantomData))?;
    deserializer.end()?;
    Ok(claims)
}

/// Whether there is any claim of the application's own.
pub(crate) fn has_any(payload: &str) -> bool {
    read::<BTreeMap<String, IgnoredAny>>(payload).map_or(true, |own| !own.is_empty())
}

/// Hands all members but the registered ones to `C`, so that `deny_unknown_fields` and maps see
/// the application's own alone.
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
        while let Some(name) = self.0.next_key::<String>()? {
            if !is_registered(&name) {
                return seed.deserialize(de::value::StringDeserializer::new(name)).map(Some);
            }
            self.0.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
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
                // Values are read too, so that what the parser would refuse later it refuses now.
                while let Some((name, _)) = map.next_entry::<_, Value>()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// Why the application's claims cannot go into a token.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClaimsError {
    /// They do not serialise to a JSON object.
    NotAnObject,
    /// A name is one of the [registered ones](crate::REGISTERED_CLAIMS).
    Registered {
        /// The name.
        name: String,
    },
    /// A name occurs twice.
    Twice {
        /// The name.
        name: String,
    },
    /// Serialising them failed.
    Serialize(serde_json::Error),
    /// They serialise to JSON that no verification would read back, such as one that is nested
    /// more than 127 levels deep.
    Unreadable(serde_json::Error),
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("the claims do not serialise to a JSON object"),
            Self::Registered { name } => {
                write!(f, "the claim {name:?} is a registered one and relatch's to set: rename it")
            }
            Self::Twice { name } => write!(f, "the claim {name:?} occurs twice"),
            Self::Serialize(_) => f.write_str("the claims could not be serialised"),
            Self::Unreadable(_) => f.write_str("the claims are nested too deep to be read back"),
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
    use crate::purpose::NoClaims;

    #[test]
    fn members_go_between_braces() {
        assert_eq!(members(&NoClaims {}).unwrap(), "");
        assert_eq!(members(&json!({"a": 1, "b": [2]})).unwrap(), r#""a":1,"b":[2]"#);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for other in [json!(null), json!([]), json!("a"), json!(1)] {
            assert!(matches!(members(&other), Err(ClaimsError::NotAnObject)), "{other}");
        }
        let failing: HashMap<Vec<u8>, u8> = HashMap::from([(vec![1], 1)]);
        assert!(matches!(members(&failing), Err(ClaimsError::Serialize(_))));
    }

    /// What is issued verifies: the parser that reads it refuses at the same depth.
    #[test]
    fn claims_that_would_not_read_back_are_refused() {
        let nested =
            |levels: usize| (1..levels).fold(json!({ "a": 1 }), |inner, _| json!({ "a": inner }));
        let payload = |claims: &Value| Some(format!("{{\"iss\":\"i\",{}}}", members(claims).ok()?));
        let deepest = payload(&nested(127)).unwrap();
        assert!(read::<BTreeMap<String, Value>>(&deepest).is_ok());
        assert!(matches!(members(&nested(128)), Err(ClaimsError::Unreadable(_))));
        assert_eq!(payload(&nested(500)), None);
    }

    #[test]
    fn a_registered_name_is_refused() {
        for name in crate::claims::REGISTERED_CLAIMS {
            let error = members(&BTreeMap::from([(name, 1)])).unwrap_err();
            assert!(error.to_string().contains(name));
        }
        assert!(members(&json!({"subject": 1, "Sub": 1, "role": {"sub": 1}})).is_ok());
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
        assert!(matches!(members(&twice), Err(ClaimsError::Twice { .. })));
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
        let payload = r#"{"iss":"i","sub":"s","role":"admin","exp":2}"#;
        assert_eq!(read::<Strict>(payload).unwrap(), Strict { role: "admin".into() });
        let map: BTreeMap<String, Value> = read(payload).unwrap();
        assert_eq!(map, BTreeMap::from([("role".into(), json!("admin"))]));
        assert_eq!(read::<NoClaims>(payload).unwrap(), NoClaims {});
        let tagged = r#"{"iss":"i","Staff":{"level":3}}"#;
        assert_eq!(read::<Tagged>(tagged).unwrap(), Tagged::Staff { level: 3 });
        assert!(read::<Strict>(r#"{"role":1}"#).is_err());
        assert!(read::<NoClaims>(r#"{"role":1} x"#).is_err());
    }
}
