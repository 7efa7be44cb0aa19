//! Credentials: digests of the secrets in a user's record.

use std::{borrow::Cow, error, fmt, str::FromStr};

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    bytes::{base64url, constant_time, frame},
    entropy::{Entropy, EntropyError, SystemEntropy},
    error::ParseError,
};

/// The digest of a user's secrets. Tokens are bound to it.
///
/// It covers each whole secret with a length prefix, so neither a prefix of a secret nor the border
/// between two secrets is ambiguous. A cache or a second process can hold this digest in place of
/// the password hash.
///
/// # Security
///
/// It is still a secret: together with the master key it can forge tokens. It is zeroized on drop,
/// and its `Debug` output is redacted.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Credential([u8; 32]);

impl Credential {
    /// The greatest length of one secret, in bytes.
    pub const MAX_SECRET_BYTES: usize = 1 << 20;

    /// The least length of a new secret that a service stores, in bytes.
    pub const MIN_SECRET_BYTES: usize = 16;

    /// The credential of a whole password hash, as stored in the database: a PHC string, or a hash of any
    /// other format.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Empty`], [`CredentialError::TooLong`], and [`CredentialError::Placeholder`] for a
    /// text that cannot be a hash.
    pub fn from_password_hash(hash: &str) -> Result<Self, CredentialError> {
        check(hash.as_bytes())?;
        if !can_be_password_hash(hash) {
            return Err(CredentialError::Placeholder);
        }
        Ok(Self(digest([hash.as_bytes()])))
    }

    /// The credential of several secrets together, in this order: a change of any one changes it.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Empty`] if there is no secret, or if one is empty, and
    /// [`CredentialError::TooLong`].
    pub fn from_secrets<S: AsRef<[u8]>>(
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, CredentialError> {
        let secrets: Vec<S> = secrets.into_iter().collect();
        // An empty secret first: it rejects the token, and a long one is a fault of the record.
        if secrets.is_empty() || secrets.iter().any(|secret| secret.as_ref().is_empty()) {
            return Err(CredentialError::Empty);
        }
        secrets.iter().try_for_each(|secret| check(secret.as_ref()))?;
        Ok(Self(digest(secrets.iter().map(AsRef::as_ref))))
    }

    /// A new random secret of 32 bytes as base64url, for a user without a password (passkey,
    /// OAuth). Store it with the account and pass it to
    /// [`Binding::secret`](crate::Binding::secret).
    ///
    /// # Errors
    ///
    /// [`EntropyError`] if the operating system returns no random bytes.
    pub fn generate_secret() -> Result<Zeroizing<String>, EntropyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemEntropy.fill(&mut *bytes)?;
        Ok(Zeroizing::new(base64url::encode(&*bytes)))
    }

    /// The credential of nobody: no secrets have this digest.
    pub(crate) const fn stand_in() -> Self {
        Self([0; 32])
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// `D`: the digest of a user's secrets.
fn digest<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = <Sha256 as Digest>::new();
    frame::piece(&mut hash, b"relatch/1 credential");
    for secret in secrets {
        frame::piece(&mut hash, secret);
    }
    hash.finalize().into()
}

/// Whether a text can be a password hash, of whatever format. Applications write a placeholder for a user
/// without a password: `!`, `*`, `oauth`, `no password`, Django's `!` with a random text. Such a text is
/// known to everybody, so it must not bind tokens.
///
/// In a hash there is a word with the characters of a digest's encoding: at least the 13 of crypt(3)'s
/// oldest format, a digit or both small and capital letters, and at least 5 different characters. Fewer
/// than 1 of 20 000 hashes of 13 characters miss that, and of 16 hexadecimal digits (half an MD5) 1 of
/// 2 million. White space may be around the word: a column of a fixed length is padded. shadow(5) and
/// Django lock a password by `!` or `*` at the beginning; but MySQL's `PASSWORD` writes `*` and 40
/// hexadecimal digits.
pub(crate) fn can_be_password_hash(text: &str) -> bool {
    let is_mysql =
        |digits: &str| digits.len() == 40 && digits.bytes().all(|c| c.is_ascii_hexdigit());
    let is_locked = match text.strip_prefix('*') {
        Some(rest) => !is_mysql(rest.trim_end()),
        None => text.starts_with('!'),
    };
    let mut words = text.split(|c: char| c.is_whitespace() || c.is_control());
    !is_locked && words.any(can_be_digest)
}

fn can_be_digest(word: &str) -> bool {
    let has = |class: fn(char) -> bool| word.contains(class);
    let different = word.char_indices().filter(|&(at, char)| !word[..at].contains(char));
    word.len() >= 13
        && (has(|c| c.is_ascii_digit())
            || (has(|c| c.is_ascii_lowercase()) && has(|c| c.is_ascii_uppercase())))
        && different.take(5).count() == 5
}

fn check(secret: &[u8]) -> Result<(), CredentialError> {
    match secret.len() {
        0 => Err(CredentialError::Empty),
        1..=Credential::MAX_SECRET_BYTES => Ok(()),
        _ => Err(CredentialError::TooLong),
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential([redacted])")
    }
}

/// A credential that outlives a rehash of the same password.
///
/// When a login rehashes the password with a higher cost, the stored hash changes, which would
/// revoke all tokens of the user. So the record then carries this pair: the digest that tokens are
/// bound to, and the digest of the secrets for which it stands. It applies only while the second
/// digest equals the digest of the current secrets. Any change of the password, by any path, makes
/// it void, even if it is not removed.
///
/// Store it as text ([`expose_text`](Self::expose_text), [`FromStr`]) beside the hash, in the
/// same `UPDATE … WHERE password_hash = :old` that writes the new hash, and return it from
/// [`User::carried`](crate::User::carried).
///
/// # Example
///
/// ```
/// use relatch::user::{Carried, Credential};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let old = Credential::from_password_hash("$argon2id$v=19$m=19456,t=2,p=1$…$old")?;
/// let new = Credential::from_password_hash("$argon2id$v=19$m=65536,t=3,p=1$…$new")?;
/// let carried = Carried::rehash(None, &old, &new);
/// let stored = carried.expose_text();
/// let loaded: Carried = stored.parse()?;
/// # let _ = loaded;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, ZeroizeOnDrop)]
pub struct Carried {
    digest: Credential,
    stands_for: Credential,
}

impl Carried {
    /// The pair to store with the new hash of the same password.
    ///
    /// `present` is the pair in the record before the rehash, if there is one; `old` and `new` are
    /// the credentials of the secrets before and after the rehash.
    #[must_use]
    pub fn rehash(present: Option<&Self>, old: &Credential, new: &Credential) -> Self {
        let digest = effective(Cow::Borrowed(old), present).into_owned();
        Self { digest, stands_for: new.clone() }
    }

    /// The pair as text for a column of the users' table: 86 characters of base64url.
    ///
    /// # Security
    ///
    /// Both digests are as secret as the password hash.
    #[must_use]
    pub fn expose_text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new([*self.digest.as_bytes(), *self.stands_for.as_bytes()].concat());
        Zeroizing::new(base64url::encode(&bytes))
    }
}

impl FromStr for Carried {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: Zeroizing<[u8; 64]> = Zeroizing::new(
            base64url::decode_array(text)
                .ok_or(ParseError::new("the stored text is not a carried credential"))?,
        );
        let mut pair = Self { digest: Credential([0; 32]), stands_for: Credential([0; 32]) };
        pair.digest.0.copy_from_slice(&bytes[..32]);
        pair.stands_for.0.copy_from_slice(&bytes[32..]);
        Ok(pair)
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carried([redacted])")
    }
}

impl Zeroize for Credential {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// The credential that tokens are bound to: the carried digest while it stands for the current
/// secrets, otherwise the digest of the current secrets.
pub(crate) fn effective<'a>(
    present: Cow<'a, Credential>,
    carried: Option<&'a Carried>,
) -> Cow<'a, Credential> {
    match carried {
        Some(pair) if constant_time::equal(&pair.stands_for.0, &present.0) => {
            Cow::Borrowed(&pair.digest)
        }
        _ => present,
    }
}

/// Why a credential could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialError {
    /// There is no secret, or one is empty: tokens would be bound to nothing.
    Empty,
    /// A secret is longer than [`Credential::MAX_SECRET_BYTES`].
    TooLong,
    /// A new secret is shorter than [`Credential::MIN_SECRET_BYTES`].
    TooShort,
    /// The text cannot be a password hash: it is a placeholder, such as `!` or `oauth`, which everybody
    /// knows.
    Placeholder,
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => {
                "a token cannot be bound to an empty secret: give a user without a password a \
                 random one with `Credential::generate_secret`"
            }
            Self::TooLong => "a secret is longer than 1 MiB",
            Self::TooShort => "a new secret is shorter than 16 bytes, so it could be guessed",
            Self::Placeholder => {
                "a token cannot be bound to a placeholder in place of a password hash: give a user \
                 without a password a random secret with `Credential::generate_secret`"
            }
        })
    }
}

impl error::Error for CredentialError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: &str) -> Credential {
        Credential::from_secrets([secret]).unwrap()
    }

    #[test]
    fn an_empty_secret_is_refused_wherever_it_stands() {
        let none: [&str; 0] = [];
        assert_eq!(Credential::from_secrets(none).unwrap_err(), CredentialError::Empty);
        assert_eq!(Credential::from_secrets([""]).unwrap_err(), CredentialError::Empty);
        assert_eq!(Credential::from_secrets(["a", ""]).unwrap_err(), CredentialError::Empty);
        let long = vec![0; Credential::MAX_SECRET_BYTES + 1];
        assert_eq!(Credential::from_secrets([&long]).unwrap_err(), CredentialError::TooLong);
        let both = Credential::from_secrets([&long, &vec![]]);
        assert_eq!(both.unwrap_err(), CredentialError::Empty);
    }

    #[test]
    fn a_text_that_cannot_be_a_hash_is_no_password_hash() {
        for placeholder in [
            "!",
            "*",
            "x",
            "!!",
            "*LK*",
            "oauth",
            "unusable",
            "unusable_password",
            "no-password-set",
            "NOT APPLICABLE 1",
            "this account has no password: it logs in by OAuth 2",
            "*NO PASSWORD*",
            "*12AwfV4Us9BpHVPXTBwgPjNwmDM93KMd5YmQUJzq",
            "NO_PASSWORD_SET",
            "notapplicable",
            "0000000000000000",
            "aaaaaaaaaaaaaaaaaaaa1",
            "00000000-0000-0000-0000-000000000000",
            // Django's `make_password(None)`.
            "!12AwfV4Us9BpHVPXTBwgPjNwmDM93KMd5YmQUJzq",
            // A locked account in shadow(5).
            "!$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2",
        ] {
            let refused = Credential::from_password_hash(placeholder).unwrap_err();
            assert_eq!(refused, CredentialError::Placeholder, "{placeholder}");
        }
        assert_eq!(Credential::from_password_hash("").unwrap_err(), CredentialError::Empty);
    }

    #[test]
    fn a_hash_of_any_format_is_one() {
        for hash in [
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$aGFzaGhhc2hoYXNo",
            "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq",
            "pbkdf2_sha256$1000$seasalt2$vVHZGEs7v6quz+ZQJ3YUviKmZHPrpr5OATMMKlICjVY=",
            "pbkdf2:sha256:1000$8QIVf9KnWvvJpz0V$d95950db34ba12bc28f21ac99cd837a93fb07d8d",
            "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "AQAAAAEAACcQAAAAEJ9oBw0KqpIYq8s3jZ1t0r0m4Z5F3l7f",
            // DES crypt, MD5 and SHA-1.
            "rl.3StKT.4T8M",
            "5f4dcc3b5aa765d61d8327deb882cf99",
            "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8",
            // Half an MD5 digest: one in a hundred has fewer than 8 different digits, one in two
            // thousand has no letter.
            "7a57a5a744894a05",
            "6311947203458271",
            // MySQL's PASSWORD().
            "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
            // A column that the database pads, and others with white space.
            "5f4dcc3b5aa765d61d8327deb882cf99        ",
            "{\"salt\": \"Bq1\", \"hash\": \"W6ph5Mm5Pz8GgiULbPgzG37mj9g=\"}",
        ] {
            assert!(Credential::from_password_hash(hash).is_ok(), "{hash}");
        }
    }

    #[test]
    fn order_and_borders_of_several_secrets_matter() {
        let of = |s: &[&str]| *Credential::from_secrets(s).unwrap().as_bytes();
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(of(&["ab"]), of(&["a", "b"]));
    }

    #[test]
    fn a_carried_digest_counts_only_for_the_secrets_it_stands_for() {
        let (h1, h2, h3, other) = (of("h1"), of("h2"), of("h3"), of("other"));
        let effective = |present: &Credential, carried| {
            *effective(Cow::Borrowed(present), Some(carried)).as_bytes()
        };
        let once = Carried::rehash(None, &h1, &h2);
        assert_eq!(effective(&h2, &once), h1.0);
        assert_eq!(effective(&h1, &once), h1.0, "read before the rehash was written");
        assert_eq!(effective(&other, &once), other.0, "the password was changed since");

        let twice = Carried::rehash(Some(&once), &h2, &h3);
        assert_eq!(effective(&h3, &twice), h1.0, "a second rehash keeps the digest");

        let changed_then_rehashed = Carried::rehash(Some(&twice), &other, &h2);
        assert_eq!(effective(&h2, &changed_then_rehashed), other.0);
    }

    #[test]
    fn a_carried_pair_survives_its_text() {
        let pair = Carried::rehash(None, &of("h1"), &of("h2"));
        let text = pair.expose_text();
        assert_eq!(text.len(), 86);
        let back: Carried = text.parse().unwrap();
        assert_eq!(back.digest.0, pair.digest.0);
        assert_eq!(back.stands_for.0, pair.stands_for.0);
        for bad in ["", "AAAA", &text[..85], &format!("{}=", *text), &"é".repeat(43)] {
            assert!(bad.parse::<Carried>().is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_secrets_differ_and_bind() {
        let (a, b) =
            (Credential::generate_secret().unwrap(), Credential::generate_secret().unwrap());
        assert_ne!(of(&a).0, of(&b).0);
        assert_eq!(a.len(), 43);
    }
}
