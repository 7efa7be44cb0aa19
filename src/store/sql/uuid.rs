//! UUIDs in the one form that is an id: RFC 9562 §4, in lower case.

pub(super) fn is_uuid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == b'-',
            _ => matches!(c, b'0'..=b'9' | b'a'..=b'f'),
        })
}

pub(super) fn bytes_of_uuid(id: &str) -> Option<[u8; 16]> {
    let number = is_uuid(id).then(|| id.replace('-', ""))?;
    u128::from_str_radix(&number, 16).ok().map(u128::to_be_bytes)
}

/// The UUID of these digits; other text stays as it is.
pub(super) fn uuid_of_hex(hex: &str) -> String {
    let mut uuid = hex.to_owned();
    if hex.len() == 32 && hex.is_ascii() {
        for at in [8, 13, 18, 23] {
            uuid.insert(at, '-');
        }
    }
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_one_form() {
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert!(is_uuid(uuid));
        for other in [
            &uuid.to_uppercase(),
            &uuid.replace('-', ""),
            &format!("{{{uuid}}}"),
            &uuid[1..],
            &uuid.replace("44-", "4g-"),
            "",
        ] {
            assert!(!is_uuid(other), "{other}");
            assert!(bytes_of_uuid(other).is_none(), "{other}");
        }
    }

    #[test]
    fn bytes_and_back() {
        let uuid = "00e55044-10b1-426f-9247-bb680e5fe0c8";
        let bytes = bytes_of_uuid(uuid).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(uuid_of_hex(&hex), uuid);
        for other in ["", "00", "é", &hex[1..]] {
            assert_eq!(uuid_of_hex(other), other);
        }
    }
}
