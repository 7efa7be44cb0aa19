//! The check of a second factor: at a login, and before a change.

use relatch::service::ServiceError;
use serde::Deserialize;
use webauthn_rs::prelude::PublicKeyCredential;

use crate::{Site, factors::Factors, pages::Dialogue};

/// One of a user's second factors, as a form sends it.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Given {
    Passkey {
        ceremony: String,
        /// A `PublicKeyCredential` as JSON.
        credential: String,
    },
    /// A code of the app, or a recovery code.
    Code { code: String },
}

/// Whether the factor is right. It is used up by this: of two requests with one code or with one answer
/// of a passkey, one succeeds. Count an attempt first.
pub(super) async fn is_right(
    site: &Site,
    user_id: &str,
    factors: &Factors,
    given: &Given,
) -> Result<bool, ServiceError> {
    match given {
        Given::Code { code } => {
            let is_of_app = match &factors.totp {
                Some(totp) => site.factors.use_code(user_id, totp, code).await?,
                None => false,
            };
            Ok(is_of_app || site.factors.use_recovery_code(user_id, code).await?)
        }
        Given::Passkey { ceremony, credential } => {
            let begun = site.passkey_logins.finish(ceremony, user_id);
            let answer = serde_json::from_str::<PublicKeyCredential>(credential).ok();
            let result = begun.zip(answer).and_then(|(begun, answer)| {
                site.webauthn.finish_passkey_authentication(&answer, &begun).ok()
            });
            match result {
                // The passkey may have been removed since the dialogue began.
                Some(result) if factors.has(result.cred_id()) => {
                    site.factors.count(factors, &result).await
                }
                _ => Ok(false),
            }
        }
    }
}

/// The passkey dialogue of a user who has passkeys.
pub(super) fn dialogue(site: &Site, user_id: &str, factors: &Factors) -> Option<Dialogue> {
    let passkeys = factors.passkeys();
    if passkeys.is_empty() {
        return None;
    }
    // After an error, which `webauthn-rs` logs, the user has the recovery codes.
    let (options, state) = site.webauthn.start_passkey_authentication(&passkeys).ok()?;
    Dialogue::new(site.passkey_logins.begin(user_id, state), &options).ok()
}
