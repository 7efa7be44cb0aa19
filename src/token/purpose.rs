//! Purposes: the types of tokens, such as access tokens or download links.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::Duration;

/// The purpose of a token, part of its Rust type and of its key derivation. A token of one purpose
/// is never accepted for another: both its header and its key differ.
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
    /// The private claims in tokens of this purpose: a type that serialises to a JSON object.
    type Claims: Serialize + DeserializeOwned;

    /// The JOSE `typ` (RFC 7515 §4.1.9), by convention ending in `+jwt`: 1 to 64 characters of
    /// `A–Z a–z 0–9 ! # $ & - ^ _ . +` (RFC 6838 §4.2). Any other value is a compile error.
    ///
    /// # Security
    ///
    /// Each purpose needs a different `typ`. With the `typ` of another purpose, above all the
    /// `at+jwt` of [`Access`], its tokens *are* tokens of that purpose. The `rt+jwt` of refresh
    /// tokens is a compile error.
    ///
    /// Media types are compared without regard to case (RFC 2045 §5.1), so the `typ`s of two purposes
    /// must not differ only in case. A `typ` that differs only in case from one of relatch's own is a
    /// compile error. If it differs only in case from that of another purpose that the same authority
    /// has used, tokens of this purpose are neither issued nor accepted.
    const TYP: &'static str;

    /// The lifetime of a token if the issuing call sets none: 1 second to
    /// [`MAX_LIFETIME`](crate::token::MAX_LIFETIME). `None` means the authority's default.
    const LIFETIME: Option<Duration> = None;

    /// How often a token can be used. Check a one-time token with
    /// [`Authority::peek`](crate::Authority::peek) and use it with
    /// [`Authority::open_once`](crate::Authority::open_once);
    /// [`verify`](crate::Authority::verify) of it is a compile error.
    const USAGE: Usage = Usage::Many;

    /// Whether the purpose is *portable*: its tokens are in the binding mode of the authority, as
    /// access tokens are. By default they are in key mode under every authority.
    ///
    /// # Security
    ///
    /// In stamp mode, services that have only the published key can verify the tokens of a
    /// portable purpose. Many JWT libraries ignore `typ`, so such a service may take them for access
    /// tokens. As it sees no revocations, it also cannot see whether a one-time token was used.
    const PORTABLE: bool = false;

    /// The kinds of [`Context`](crate::Context) that are required to issue a token of this purpose.
    const CONTEXT: &'static [&'static str] = &[];
}

/// How often a token of a [`Purpose`] can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Usage {
    /// Any number of times, until it expires or is revoked.
    Many,
    /// Once, because using it changes the user's credential, to which it is bound. This also logs
    /// the user out everywhere. A password reset is rejected as soon as the new hash is stored.
    OnceByCredential,
    /// Once, by the user's counter for this purpose ([`User::lane`](crate::User::lane)), which each
    /// use increases. There is one counter per user and purpose, so using one token revokes all
    /// other tokens of that user and purpose, and no other tokens.
    OnceByLane,
}

/// The purpose of access tokens (RFC 9068 `at+jwt`), with the private claims `C`.
///
/// Full conformance with RFC 9068 also requires the claim `client_id`, which this release does not
/// write ([`RESERVED_CLAIMS`](crate::token::RESERVED_CLAIMS)).
#[derive(Clone, Copy, Debug)]
pub struct Access<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for Access<C> {
    type Claims = C;
    const TYP: &'static str = ACCESS_TYP;
    const PORTABLE: bool = true;
}

/// The JOSE `typ` of access tokens (RFC 9068 §2.1).
pub(crate) const ACCESS_TYP: &str = "at+jwt";

/// The type of refresh tokens (RFC 6749 §1.5), used in [`RefreshToken`](crate::RefreshToken).
///
/// It is not a [`Purpose`]: a refresh token is issued with a session, and its only use is
/// [`OpenedOnce::refresh`](crate::authority::OpenedOnce::refresh), which uses it up.
#[derive(Clone, Copy, Debug)]
pub struct Refresh(());

/// The JOSE `typ` of refresh tokens.
pub(crate) const REFRESH_TYP: &str = "rt+jwt";

/// No private claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoClaims {}

/// Checks a purpose at compile time.
pub(crate) const fn check<P: Purpose>() {
    assert!(is_typ(P::TYP), "Purpose::TYP takes 1 to 64 of A-Z a-z 0-9 ! # $ & - ^ _ . +");
    assert!(
        !P::TYP.eq_ignore_ascii_case(REFRESH_TYP),
        "rt+jwt is the typ of relatch's own refresh tokens"
    );
    assert!(
        is_own_or_distinct(P::TYP),
        "Purpose::TYP differs only in case from a typ of relatch's own"
    );
    assert!(
        P::PORTABLE || !is_same(P::TYP, ACCESS_TYP),
        "tokens with the typ at+jwt are access tokens: Purpose::PORTABLE must be true"
    );
}

/// The `typ`s of relatch's own tokens.
const OWN_TYPS: [&str; 8] = [
    ACCESS_TYP,
    REFRESH_TYP,
    "reset+jwt",
    "email+jwt",
    "magic+jwt",
    "invite+jwt",
    "not-me+jwt",
    "csrf+jwt",
];

/// Whether the `typ` is one of relatch's own, or differs from each in more than case.
const fn is_own_or_distinct(typ: &str) -> bool {
    let mut own = OWN_TYPS.as_slice();
    while let [first, rest @ ..] = own {
        if typ.eq_ignore_ascii_case(first) {
            return is_same(typ, first);
        }
        own = rest;
    }
    true
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

/// Whether the text is an RFC 6838 §4.2 restricted name, which needs no escape in JSON.
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

    #[test]
    fn no_typ_differs_from_one_of_relatchs_own_only_in_case() {
        use crate::one_time::{EmailConfirmation, Invitation, MagicLink, NotMe, PasswordReset};
        let links = [
            PasswordReset::<NoClaims>::TYP,
            EmailConfirmation::<NoClaims>::TYP,
            MagicLink::<NoClaims>::TYP,
            Invitation::<NoClaims>::TYP,
            NotMe::TYP,
        ];
        assert!(links.iter().all(|typ| OWN_TYPS.contains(typ)));
        #[cfg(feature = "axum")]
        assert!(OWN_TYPS.contains(&crate::axum::Csrf::TYP));
        for typ in OWN_TYPS {
            assert!(is_own_or_distinct(typ));
            assert!(!is_own_or_distinct(&typ.to_uppercase()), "{typ}");
            assert!(!is_own_or_distinct(&typ.replace('t', "T")), "{typ}");
            assert!(is_own_or_distinct(&format!("{typ}2")), "{typ}");
        }
    }
}
