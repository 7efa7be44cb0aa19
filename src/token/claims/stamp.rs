//! The claim `stamp`: the last member of the payload of a stamp-mode token.
//!
//! The payload ends in exactly `,"stamp":"`, 22 characters of base64url and `"}`. The stamp
//! authenticates all bytes before this ending.

use crate::bytes::base64url;

/// The stamp's length, in bytes.
const STAMP_BYTES: usize = 16;

const OPENING: &[u8] = br#","stamp":""#;
const CLOSING: &[u8] = br#""}"#;

/// The length of the ending, in bytes: 34.
const ENDING_BYTES: usize = OPENING.len() + base64url::encoded_len(STAMP_BYTES) + CLOSING.len();

/// The bytes before the stamp, and the stamp; `None` if the payload does not end in one.
pub(crate) fn split(json: &[u8]) -> Option<(&[u8], [u8; STAMP_BYTES])> {
    let (before, ending) = json.split_at_checked(json.len().checked_sub(ENDING_BYTES)?)?;
    let encoded = ending.strip_prefix(OPENING)?.strip_suffix(CLOSING)?;
    Some((before, base64url::decode_array(encoded)?))
}

/// Takes the stamp out of a payload that ends in one, and returns the payload as an object without it.
/// Any other payload stays as it is.
///
/// The readers refuse a claim `stamp`. So after this, a stamp at another place, in another form or a
/// second one makes the payload malformed.
pub(super) fn take(json: &mut [u8]) -> (&mut [u8], Option<[u8; STAMP_BYTES]>) {
    let Some((before, stamp)) = split(json) else { return (json, None) };
    let end = before.len();
    // In place of the comma before the stamp.
    json[end] = b'}';
    (&mut json[..=end], Some(stamp))
}

/// Appends the stamp to a payload without its closing brace.
pub(crate) fn append(json: &mut Vec<u8>, stamp: &[u8; STAMP_BYTES]) {
    json.extend_from_slice(OPENING);
    json.extend_from_slice(base64url::encode_16(stamp, &mut [0; _]).as_bytes());
    json.extend_from_slice(CLOSING);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_taken_from_the_end_alone() {
        let mut json = br#"{"a":1"#.to_vec();
        append(&mut json, &[9; 16]);
        assert_eq!(json.len(), 6 + 34);
        assert_eq!(split(&json), Some((&br#"{"a":1"#[..], [9; 16])));
        let (object, stamp) = take(&mut json);
        assert_eq!((&*object, stamp), (&br#"{"a":1}"#[..], Some([9; 16])));

        for other in [
            "",
            "{}",
            r#"{"stamp":"CQkJCQkJCQkJCQkJCQkJCQ"}"#,
            r#"{"a":1,"stamp":"CQkJCQkJCQkJCQkJCQkJCQ"} "#,
            r#"{"a":1,"stamp":"CQkJCQkJCQkJCQkJCQkJCQ" }"#,
            r#"{"a":1, "stamp":"CQkJCQkJCQkJCQkJCQkJCQ"}"#,
            r#"{"a":1,"stamp": "CQkJCQkJCQkJCQkJCQkJCQ"}"#,
            r#"{"a":1,"stam\u0070":"CQkJCQkJCQkJCQkJCQkJCQ"}"#,
            r#"{"a":1,"stamp":"CQkJCQkJCQkJCQkJCQkJCR"}"#,
            r#"{"a":1,"stamp":"CQkJCQkJCQkJCQkJCQkJC"}"#,
            r#"{"a":1,"stamp":"CQkJCQkJCQkJCQkJCQkJCQ="}"#,
            r#"{"a":1,"Stamp":"CQkJCQkJCQkJCQkJCQkJCQ"}"#,
        ] {
            let mut json = other.as_bytes().to_vec();
            assert_eq!(split(&json), None, "{other}");
            let (same, stamp) = take(&mut json);
            assert_eq!((&*same, stamp), (other.as_bytes(), None), "{other}");
        }
    }
}
