//! The writer of payloads.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::{
    bytes::base64url,
    sessions::SessionId,
    token::claims::{
        canonical::{Pinned, is_plain},
        private::ClaimsError,
    },
};

/// The registered claims of a new token, in the order in which they are written, without the stamp.
#[derive(Serialize)]
pub(crate) struct NewClaims<'a> {
    #[serde(rename = "iss")]
    pub(crate) issuer: &'a str,
    #[serde(rename = "sub")]
    pub(crate) subject: &'a str,
    #[serde(rename = "aud", serialize_with = "one_or_several")]
    pub(crate) audience: &'a [&'a str],
    pub(crate) exp: u64,
    pub(crate) iat: u64,
    pub(crate) jti: Bytes16,
    pub(crate) ver: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty", serialize_with = "counts")]
    pub(crate) epochs: &'a [(Cow<'a, str>, u64)],
    #[serde(rename = "sid", skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lane: Option<u64>,
}

/// Appends the private claims to an object.
pub(crate) type AddOwn<'a> = dyn Fn(&mut Vec<u8>) -> Result<(), ClaimsError> + 'a;

impl NewClaims<'_> {
    /// The text of the payload, without its closing brace: these claims, then the private claims,
    /// which `own` appends.
    ///
    /// With the pinned beginning of the authority's tokens, usual claims are written faster.
    pub(crate) fn write(
        &self,
        pinned: Option<&Pinned>,
        own: &AddOwn<'_>,
    ) -> Result<Vec<u8>, ClaimsError> {
        let mut json = Vec::with_capacity(TYPICAL_BYTES);
        match pinned.filter(|pinned| self.is_usual(pinned)) {
            Some(pinned) => self.write_usual(pinned, &mut json),
            None => {
                serde_json::to_writer(&mut json, self).map_err(ClaimsError::Serialize)?;
                json.pop();
            }
        }
        own(&mut json)?;
        Ok(json)
    }

    /// Whether the claims are for the authority's audience, without epochs and escapes.
    fn is_usual(&self, pinned: &Pinned) -> bool {
        self.epochs.is_empty() && pinned.is_for(self.audience) && is_plain(self.subject)
    }

    /// Writes the same bytes as the serialiser.
    fn write_usual(&self, pinned: &Pinned, json: &mut Vec<u8>) {
        fn number(json: &mut Vec<u8>, name: &[u8], number: u64) {
            json.extend_from_slice(name);
            json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }

        json.extend_from_slice(pinned.start());
        json.extend_from_slice(self.subject.as_bytes());
        number(json, pinned.addressed(), self.exp);
        number(json, br#","iat":"#, self.iat);
        json.extend_from_slice(br#","jti":""#);
        json.extend_from_slice(base64url::encode_16(&self.jti.0, &mut [0; _]).as_bytes());
        number(json, br#"","ver":"#, self.ver);
        if let Some(id) = self.session {
            number(json, br#","sid":""#, id.slot.into());
            number(json, b".", id.generation);
            json.push(b'"');
        }
        if let Some(seq) = self.seq {
            number(json, br#","seq":"#, seq);
        }
        if let Some(lane) = self.lane {
            number(json, br#","lane":"#, lane);
        }
    }
}

/// A length that most payloads fit into.
const TYPICAL_BYTES: usize = 384;

fn one_or_several<S: Serializer>(audience: &[&str], serializer: S) -> Result<S::Ok, S::Error> {
    match audience {
        [one] => serializer.serialize_str(one),
        several => several.serialize(serializer),
    }
}

fn counts<S: Serializer>(epochs: &[(Cow<'_, str>, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(epochs.iter().map(|(name, count)| (name, count)))
}

/// Sixteen bytes as canonical base64url.
#[derive(Clone, Copy)]
pub(crate) struct Bytes16(pub(crate) [u8; 16]);

impl Serialize for Bytes16 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(base64url::encode_16(&self.0, &mut [0; _]))
    }
}
