//! The second factors of the users.
//!
//! The column `secret` of the user's row names them: it is `<set id>`, or `<set id>.<TOTP secret>`. The
//! id is random, and the table `passkeys` has a row for it. Each change of the factors stores a row
//! under a new id, then switches to it by `Web::change_secret`, in one statement that logs the other
//! devices out. If the site stops between the two, the former factors stay as they were.
//!
//! What was used up is in the table `used`, and no token is bound to it: the time step of the last code,
//! and the recovery codes that are left.

use relatch::{
    password::PasswordError,
    recovery_codes::RecoveryCodes,
    service::ServiceError,
    store::{SqliteStore, StoreError, UserKey, UserStore},
    user::Credential,
};
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{AuthenticationResult, CredentialID, Passkey};

use crate::{Profile, totp};

#[derive(Clone)]
pub(crate) struct FactorStore(SqliteStore<Profile>);

/// The second factors of one user.
#[derive(Clone, Default)]
pub(crate) struct Factors {
    set_id: String,
    /// The TOTP secret, as base32 text.
    pub(crate) totp: Option<String>,
    pub(crate) passkeys: Vec<NamedPasskey>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NamedPasskey {
    /// The name that the user has chosen.
    pub(crate) name: String,
    pub(crate) passkey: Passkey,
}

impl Factors {
    pub(crate) const fn is_empty(&self) -> bool {
        self.totp.is_none() && self.passkeys.is_empty()
    }

    pub(crate) fn passkeys(&self) -> Vec<Passkey> {
        self.passkeys.iter().map(|named| named.passkey.clone()).collect()
    }

    pub(crate) fn has(&self, passkey: &CredentialID) -> bool {
        self.passkeys.iter().any(|named| named.passkey.cred_id() == passkey)
    }
}

impl FactorStore {
    pub(crate) async fn open(users: SqliteStore<Profile>) -> crate::Result<Self> {
        let tables = "CREATE TABLE IF NOT EXISTS passkeys \
                          (set_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, passkeys TEXT NOT NULL);
                      CREATE TABLE IF NOT EXISTS used (user_id TEXT PRIMARY KEY, \
                          last_step INTEGER NOT NULL DEFAULT 0, recovery_codes TEXT NOT NULL DEFAULT '')";
        sqlx::raw_sql(tables).execute(users.pool()).await?;
        Ok(Self(users))
    }

    /// The user's factors: none at all is a login by the password alone.
    pub(crate) async fn of(&self, user_id: &str) -> Result<Factors, ServiceError> {
        let row = self.0.read(UserKey::Id(user_id)).await?.ok_or(ServiceError::NoSuchUser)?;
        match row.columns.secret.as_deref().filter(|secret| !secret.is_empty()) {
            Some(secret) => self.named_by(secret).await,
            None => Ok(Factors::default()),
        }
    }

    /// The factors that this secret names.
    pub(crate) async fn named_by(&self, secret: &str) -> Result<Factors, ServiceError> {
        let (set_id, totp) = parts(secret);
        let query =
            sqlx::query_scalar("SELECT passkeys FROM passkeys WHERE set_id = ?").bind(set_id);
        // A missing row is an error: it must not become a login without a second factor.
        let passkeys: String = query.fetch_one(self.0.pool()).await.map_err(failed)?;
        let passkeys = serde_json::from_str(&passkeys).map_err(damaged)?;
        Ok(Factors { set_id: set_id.to_owned(), totp: totp.map(str::to_owned), passkeys })
    }

    /// Stores the factors as a new set, and returns the secret that names them; `None` if there are none. They count
    /// as soon as that secret is in the user's row.
    pub(crate) async fn insert(
        &self,
        user_id: &str,
        factors: &Factors,
    ) -> Result<Option<String>, ServiceError> {
        if factors.is_empty() {
            return Ok(None);
        }
        let set_id = Credential::generate_secret().map_err(PasswordError::Entropy)?;
        let passkeys = serde_json::to_string(&factors.passkeys).map_err(damaged)?;
        let query =
            sqlx::query("INSERT INTO passkeys (set_id, user_id, passkeys) VALUES (?, ?, ?)");
        let query = query.bind(set_id.as_str()).bind(user_id).bind(passkeys);
        query.execute(self.0.pool()).await.map_err(failed)?;
        Ok(Some(match &factors.totp {
            Some(totp) => format!("{}.{totp}", *set_id),
            None => set_id.to_string(),
        }))
    }

    /// Deletes the rows of the user's former factors.
    pub(crate) async fn delete_former(
        &self,
        user_id: &str,
        secret: Option<&str>,
    ) -> Result<(), ServiceError> {
        let set_id = secret.map_or("", |secret| parts(secret).0);
        let query = sqlx::query("DELETE FROM passkeys WHERE user_id = ? AND set_id <> ?");
        let query = query.bind(user_id).bind(set_id);
        query.execute(self.0.pool()).await.map_err(failed)?;
        Ok(())
    }

    /// Whether the code of the app is right, and none of its time step was used before. It is used up
    /// by this (RFC 6238 §5.2).
    pub(crate) async fn use_code(
        &self,
        user_id: &str,
        totp: &str,
        code: &str,
    ) -> Result<bool, ServiceError> {
        let Some(step) = totp::step_of(totp, code).map_err(damaged)? else { return Ok(false) };
        let query = sqlx::query(
            "INSERT INTO used (user_id, last_step) VALUES (?1, ?2) ON CONFLICT (user_id) \
             DO UPDATE SET last_step = ?2 WHERE last_step < ?2",
        );
        let done = query.bind(user_id).bind(step).execute(self.0.pool()).await.map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    /// Whether this is one of the user's recovery codes. It is used up by this.
    pub(crate) async fn use_recovery_code(
        &self,
        user_id: &str,
        code: &str,
    ) -> Result<bool, ServiceError> {
        let stored = self.recovery_codes(user_id).await?;
        let Some(left) = RecoveryCodes::use_up(&stored, code).map_err(damaged)? else {
            return Ok(false);
        };
        let query = sqlx::query(
            "UPDATE used SET recovery_codes = ?3 WHERE user_id = ?1 AND recovery_codes = ?2",
        );
        let query = query.bind(user_id).bind(stored).bind(left);
        // If another request has used a code meanwhile, this one did not count.
        Ok(query.execute(self.0.pool()).await.map_err(failed)?.rows_affected() == 1)
    }

    async fn recovery_codes(&self, user_id: &str) -> Result<String, ServiceError> {
        let query = sqlx::query_scalar("SELECT recovery_codes FROM used WHERE user_id = ?");
        let found = query.bind(user_id).fetch_optional(self.0.pool()).await.map_err(failed)?;
        Ok(found.unwrap_or_default())
    }

    /// Replaces the user's recovery codes, and returns the new ones, to be shown once.
    pub(crate) async fn replace_recovery_codes(
        &self,
        user_id: &str,
    ) -> Result<RecoveryCodes, ServiceError> {
        let codes = RecoveryCodes::generate().map_err(PasswordError::Entropy)?;
        let query = sqlx::query(
            "INSERT INTO used (user_id, recovery_codes) VALUES (?1, ?2) ON CONFLICT (user_id) \
             DO UPDATE SET recovery_codes = ?2",
        );
        let query = query.bind(user_id).bind(codes.to_column());
        query.execute(self.0.pool()).await.map_err(failed)?;
        Ok(codes)
    }

    /// Stores the sign count after a login with a passkey. `false` if another request has changed it
    /// meanwhile.
    pub(crate) async fn count(
        &self,
        factors: &Factors,
        result: &AuthenticationResult,
    ) -> Result<bool, ServiceError> {
        let old = serde_json::to_string(&factors.passkeys).map_err(damaged)?;
        let mut passkeys = factors.passkeys.clone();
        for named in &mut passkeys {
            // It changes the passkey with the id of the result alone.
            named.passkey.update_credential(result);
        }
        let new = serde_json::to_string(&passkeys).map_err(damaged)?;
        let query =
            sqlx::query("UPDATE passkeys SET passkeys = ? WHERE set_id = ? AND passkeys = ?");
        let query = query.bind(new).bind(factors.set_id.as_str()).bind(old);
        Ok(query.execute(self.0.pool()).await.map_err(failed)?.rows_affected() == 1)
    }
}

/// The id of the set, and the TOTP secret.
fn parts(secret: &str) -> (&str, Option<&str>) {
    secret.split_once('.').map_or((secret, None), |(set, totp)| (set, Some(totp)))
}

fn failed(error: sqlx::Error) -> ServiceError {
    match error {
        sqlx::Error::RowNotFound => damaged("its row of passkeys is missing"),
        error => ServiceError::Store(StoreError::unreachable(error)),
    }
}

fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ServiceError {
    ServiceError::Store(StoreError::damaged("secret", error))
}
