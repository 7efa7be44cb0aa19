//! The application's data in a session.

use std::{error, fmt, str::FromStr};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// Data of the application in a session: a JSON object of at most [`MAX_BYTES`](Self::MAX_BYTES).
///
/// A login gives it to the session ([`NewSession::data`](super::NewSession::data)). It stays with the
/// session through refreshes and restarts, and is in the list of sessions
/// ([`SessionInfo::data`](super::SessionInfo::data)). Examples are the tenant that the user works
/// for, and the member of staff who acts as the user.
///
/// # Security
///
/// It is stored in the user's row as plain text. Do not put secrets into it.
///
/// # Example
///
/// ```
/// use relatch::sessions::SessionData;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Tenant {
///     tenant: String,
/// }
///
/// # fn main() -> Result<(), relatch::sessions::DataError> {
/// let data = SessionData::new(&Tenant { tenant: "acme".into() })?;
/// assert_eq!(data.as_str(), r#"{"tenant":"acme"}"#);
/// assert_eq!(data.read::<Tenant>()?.tenant, "acme");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SessionData(Box<RawValue>);

impl SessionData {
    /// The greatest length of the JSON text, in bytes. A policy can set a lower bound
    /// ([`SessionPolicy::max_data_bytes`](super::SessionPolicy::max_data_bytes)).
    pub const MAX_BYTES: usize = 512;

    /// The data as JSON without white space.
    ///
    /// # Errors
    ///
    /// [`DataError`] if it does not serialise to a JSON object of at most
    /// [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn new<T: Serialize + ?Sized>(data: &T) -> Result<Self, DataError> {
        Self::compact(&serde_json::to_string(data).map_err(DataError::Json)?)
    }

    /// Deserialises the data.
    ///
    /// # Errors
    ///
    /// [`DataError::Json`].
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        serde_json::from_str(self.as_str()).map_err(DataError::Json)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Data from a column: only text that a writer can have stored.
    pub(super) fn stored(json: Box<RawValue>) -> Option<Self> {
        let text = json.get();
        let is_fit = text.starts_with('{')
            && text.len() <= Self::MAX_BYTES
            && without_white_space(text).eq(text.chars());
        is_fit.then_some(Self(json))
    }

    pub(super) fn to_raw(&self) -> Box<RawValue> {
        self.0.clone()
    }

    fn compact(json: &str) -> Result<Self, DataError> {
        let text: String = without_white_space(json).collect();
        match text.len() {
            _ if !text.starts_with('{') => Err(DataError::NotAnObject),
            ..=Self::MAX_BYTES => RawValue::from_string(text).map(Self).map_err(DataError::Json),
            bytes => Err(DataError::TooLong { bytes, max: Self::MAX_BYTES }),
        }
    }
}

/// JSON without the white space outside its strings.
fn without_white_space(json: &str) -> impl Iterator<Item = char> {
    let (mut is_string, mut is_escaped) = (false, false);
    json.chars().filter(move |c| {
        let is_kept = is_string || !c.is_ascii_whitespace();
        is_string ^= *c == '"' && !is_escaped;
        is_escaped = is_string && *c == '\\' && !is_escaped;
        is_kept
    })
}

/// Reads JSON text, whose white space outside strings is removed.
impl FromStr for SessionData {
    type Err = DataError;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        let json: &RawValue = serde_json::from_str(json).map_err(DataError::Json)?;
        Self::compact(json.get())
    }
}

impl PartialEq for SessionData {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for SessionData {}

impl fmt::Debug for SessionData {
    /// Omits the data, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionData({} bytes)", self.as_str().len())
    }
}

/// Why data is not fit for a session, or could not be read from one.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// The data does not serialise to a JSON object.
    NotAnObject,
    /// The JSON text is too long.
    TooLong {
        /// Its length, in bytes.
        bytes: usize,
        /// The greatest length, in bytes.
        max: usize,
    },
    /// Serialising or deserialising failed.
    Json(serde_json::Error),
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("the session's data is not a JSON object"),
            Self::TooLong { bytes, max } => {
                write!(f, "the session's data has {bytes} bytes as JSON, and the bound is {max}")
            }
            Self::Json(_) => {
                f.write_str("the session's data could not be converted to or from JSON")
            }
        }
    }
}

impl error::Error for DataError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}

/// A session's data is longer than the policy's bound, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataTooLong {
    pub(crate) bytes: usize,
    pub(crate) max: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn white_space_goes_but_not_from_strings() {
        let data: SessionData =
            "\t{ \"a b\" : [ 1 , \"\\\" \\\\\" ] ,\r\n\"c\" : { } } ".parse().unwrap();
        assert_eq!(data.as_str(), r#"{"a b":[1,"\" \\"],"c":{}}"#);
    }

    #[test]
    fn only_an_object_within_the_bound_is_data() {
        for other in [json!([]), json!("{}"), json!(1), json!(null)] {
            assert!(matches!(SessionData::new(&other), Err(DataError::NotAnObject)), "{other}");
        }
        let of = |bytes: usize| SessionData::new(&json!({ "a": "x".repeat(bytes - 8) }));
        assert_eq!(of(512).unwrap().as_str().len(), 512);
        assert!(matches!(of(513), Err(DataError::TooLong { bytes: 513, max: 512 })));
        assert!(matches!("{".parse::<SessionData>(), Err(DataError::Json(_))));
        assert!(matches!("{}{}".parse::<SessionData>(), Err(DataError::Json(_))));
    }

    proptest! {
        #[test]
        fn any_object_reads_back(names in prop::collection::vec("\\PC{0,8}|.{0,8}", 0..5), value in ".{0,20}") {
            let object: serde_json::Map<String, Value> =
                names.into_iter().map(|name| (name, json!([value, { "x": value }]))).collect();
            if let Ok(data) = SessionData::new(&object) {
                prop_assert_eq!(data.read::<Value>().unwrap(), Value::Object(object));
                prop_assert_eq!(SessionData::stored(data.to_raw()), Some(data));
            }
        }
    }
}
