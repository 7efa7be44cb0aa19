//! Session identifiers: the claim `sid`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{counter::MAX_COUNT, error::ParseError};

/// The identifier of one session of a user: the claim `sid` (OpenID Connect Front-Channel Logout
/// §3), in the form `slot.generation`.
///
/// It is not secret: a page that lists the user's devices contains it, and the form that logs one
/// out sends it back. It proves nothing.
///
/// # Example
///
/// ```
/// use relatch::sessions::SessionId;
///
/// let id: SessionId = "3.1800000000000".parse()?;
/// assert_eq!(id.to_string(), "3.1800000000000");
/// # Ok::<_, relatch::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    pub(crate) slot: u16,
    /// Within the range of i64.
    pub(crate) generation: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl FromStr for SessionId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (slot, generation) = text.split_once('.').ok_or(NOT_AN_ID)?;
        // Accept only the text that `Display` writes: no sign, no leading zero.
        let is_canonical = |number: &str| number == "0" || number.starts_with(|c| c > '0');
        if !is_canonical(slot) || !is_canonical(generation) {
            return Err(NOT_AN_ID);
        }
        let slot = slot.parse().map_err(|_| NOT_AN_ID)?;
        match generation.parse() {
            Ok(generation @ ..=MAX_COUNT) => Ok(Self { slot, generation }),
            _ => Err(NOT_AN_ID),
        }
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = SessionId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a session's id, `slot.generation`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SessionId, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

const NOT_AN_ID: ParseError =
    ParseError::new("not a session's id: it has the form `slot.generation`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_text_is_an_id() {
        for good in ["0.0", "15.1800000000000", "65535.9223372036854775807"] {
            assert_eq!(good.parse::<SessionId>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            ".",
            "0",
            "0.",
            ".0",
            "0.0.0",
            "00.0",
            "0.00",
            "+0.0",
            "0.+1",
            "-1.0",
            "0.-1",
            " 0.0",
            "0.0 ",
            "65536.0",
            "0.9223372036854775808",
            "0,0",
            "٠.0",
            "0x1.0",
            "1e1.0",
        ] {
            assert_eq!(bad.parse::<SessionId>(), Err(NOT_AN_ID), "{bad}");
        }
    }
}
