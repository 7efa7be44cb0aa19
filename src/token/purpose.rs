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
    /// [`Access`], its tokens *are* those of the other. The `rt+jwt` of refresh tokens fails the
    /// build.
    const TYP: &'static str;

    /// How long a token lives where the call that issues it does not say, 1 second to
    /// [`MAX_LIFETIME`](crate::MAX_LIFETIME); the authority's own default if this is `None`.
    const LIFETIME: Option<Duration> = None;

    /// How often a token can be used. What is used once is looked at with
    /// [`Authority::peek`](crate::Authority::peek) and used with
    /// [`Authority::open_once`](crate::Authority::open_once);
    /// [`verify`](crate::Authority::verify) of it does not build.
    const USE: Use = Use::Many;

    /// The kinds of [`Context`](crate::Context) without which no token of this purpose is issued.
    const CONTEXT: &'static [&'static str] = &[];
}

/// How often a token of a [`Purpose`] can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Use {
    /// Again and again, until it expires or is revoked.
    Many,
    /// Once, because its use changes the user's credential, which it is bound to, and logs the user
    /// out everywhere: a password reset is dead as soon as the new hash is stored.
    OnceByCredential,
    /// Once, by the user's counter for this purpose ([`User::lane`](crate::User::lane)), which its
    /// use moves. There is one counter per user and purpose, so using one token makes void all
    /// others of that user and purpose, and of no other.
    OnceByLane,
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

/// Refresh tokens (RFC 6749 §1.5): what [`RefreshToken`](crate::RefreshToken) is for.
///
/// It is no [`Purpose`]: a refresh token is made with a session and used up by
/// [`OpenedOnce::refresh`](crate::OpenedOnce::refresh), and nothing else can be done with it.
#[derive(Clone, Copy, Debug)]
pub struct Refresh(());

/// The JOSE `typ` of refresh tokens.
pub(crate) const REFRESH_TYP: &str = "rt+jwt";

/// No claims of the application's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoClaims {}

/// What is wrong with a purpose fails the build.
pub(crate) const fn check<P: Purpose>() {
    assert!(is_typ(P::TYP), "Purpose::TYP takes 1 to 64 of A-Z a-z 0-9 ! # $ & - ^ _ . +");
    assert!(!is_same(P::TYP, REFRESH_TYP), "rt+jwt is the typ of relatch's own refresh tokens");
}

const fn is_same(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let ([x, rest_a @ ..], [y, rest_b @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (rest_a, rest_b);
    }
    a.is_empty() && b.is_empty()
}

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
        assert!(is_same("rt+jwt", REFRESH_TYP));
        for other in ["", "rt+jw", "rt+jwtx", "RT+jwt"] {
            assert!(!is_same(other, REFRESH_TYP), "{other}");
        }
        for other in ["", "a b", "a\"b", "a/b", "тип", &"a".repeat(65)] {
            assert!(!is_typ(other), "{other}");
        }
    }
}
