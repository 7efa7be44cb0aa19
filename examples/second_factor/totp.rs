//! Codes of authenticator apps: RFC 6238 with the parameters that all apps know, 6 digits of SHA-1
//! for each 30 seconds.

use relatch::authority::{Entropy, EntropyError, SystemEntropy};
use time::OffsetDateTime;
use totp_rs::{Builder, Secret, Totp};

use crate::{NAME, Result};

/// A new secret of 160 bits (RFC 4226 §4), as base32 text.
pub(crate) fn new_secret() -> std::result::Result<String, EntropyError> {
    let mut bytes = [0; 20];
    SystemEntropy.fill(&mut bytes)?;
    Ok(Secret::from(bytes).to_base32())
}

/// The time step of the code if it is right now, or one step early or late (RFC 6238 §5.2).
pub(crate) fn step_of(secret: &str, code: &str) -> Result<Option<i64>> {
    let code: String = code.chars().filter(|char| !char.is_whitespace()).collect();
    let now = OffsetDateTime::now_utc().unix_timestamp().try_into()?;
    Ok(of(secret, "")?.check(&code, now).map(i64::try_from).transpose()?)
}

/// A picture (PNG as base64) that authenticator apps scan. The user can also type the secret.
pub(crate) fn qr_code(secret: &str, user: &str) -> Option<String> {
    of(secret, &user.replace(':', " ")).ok()?.to_qr_base64().ok()
}

fn of(secret: &str, user: &str) -> Result<Totp> {
    let secret = Secret::try_from_base32(secret)?;
    let builder = Builder::new().with_secret(secret).with_account_name(user);
    Ok(builder.with_issuer(Some(NAME)).build()?)
}
