//! Purposes: what a token is for.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::Duration;

/// What a token is for, in its type and in its derivation: a token of one purpose can never be
/// taken for another, neither by its header nor by its key.
///
/// # Example
///
/// ```
/// use relatch::{NoClaims, Purpose};
/// use time::Duration;
///
/// /// A link that lets its holder download one report.
/// struct Download;
///
/// impl Purpose for Download {
///     type Claims = NoClaims;
///     const TYP: &'static str = "download+jwt";
///     const LIFETIME: Option<Duration> = Some(Duration::hours(1));
/// }
/// ```
pub trait Purpose {
    /// The application's own claims in tokens of this purpose: a type that serialises to a JSON
    /// object.
    type Claims: Serialize + DeserializeOwned;

    /// The JOSE `typ` (RFC 7515 §4.1.9), by custom ending in `+jwt`: 1 to 64 of
    /// `A–Z a–z 0–9 ! # $ & - ^ _ . +` (RFC 6838 §4.2). Another one fails the build.
    ///
    /// # Security
    ///
    /// Each purpose has its own: with the `typ` of another, above all with the `at+jwt` of
    /// [`Access`], its tokens *are* those of the other.
    const TYP: &'static str;

    /// How long a token lives where the call that issues it does not say, 1 second to
    /// [`MAX_LIFETIME`](crate::MAX_LIFETIME); the authority's own default if this is `None`.
    const LIFETIME: Option<Duration> = None;

    /// Whether tokens are also bound to the user's counter for this purpose
    /// ([`User::lane`](crate::User::lane)), which makes them single-use: using one moves the
    /// counter, and makes all of the user's tokens of this purpose void.
    ///
    /// # Security
    ///
    /// Verification uses nothing up. Whoever acts on such a token must first move the counter from
    /// the value that the record had (`UPDATE … SET lane = :next WHERE id = :id AND lane = :old`)
    /// and go on only if that changed a row: of two requests at once, one wins.
    const LANE: bool = false;
}

/// Access tokens (RFC 9068 `at+jwt`), with the application's claims `C`.
///
/// Full conformance with RFC 9068 also takes the claim `client_id`, which is the application's to
/// set among its own.
#[derive(Clone, Copy, Debug)]
pub struct Access<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for Access<C> {
    type Claims = C;
    const TYP: &'static str = ACCESS_TYP;
}

/// The JOSE `typ` of access tokens (RFC 9068 §2.1).
pub(crate) const ACCESS_TYP: &str = "at+jwt";

/// No claims of the application's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoClaims {}

/// A `typ` needs no escape in JSON (RFC 6838 §4.2 restricted names).
pub(crate) const fn is_typ(typ: &str) -> bool {
    let mut rest = typ.as_bytes();
    if rest.is_empty() || rest.len() > 64 {
        return false;
    }
    while let [b, tail @ ..] = rest {
        if !b.is_ascii_alphanumeric()
            && !matches!(b, b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+')
        {
            return false;
        }
        rest = tail;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typ_is_a_media_types_name() {
        assert!(is_typ(ACCESS_TYP));
        assert!(is_typ(&"a".repeat(64)));
        for other in ["", "a b", "a\"b", "a/b", "тип", &"a".repeat(65)] {
            assert!(!is_typ(other), "{other}");
        }
    }
}
