//! The accounts, passwords and tokens of the old application: plain `jsonwebtoken`, `bcrypt`, and opaque
//! refresh tokens in rows. The new application keeps this code until the end of the switch.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::{AnyPool, AssertSqlSafe};
use time::OffsetDateTime;
use tokio::task::spawn_blocking;

use crate::{Failure, instance::Config};

/// The cost of `bcrypt` in a test. An application takes 12 or more.
pub const COST: u32 = 4;

/// The tables of the old application.
pub const TABLES: &str = "
CREATE TABLE accounts (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE refresh_tokens (
    token_hash TEXT PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts (id),
    expires_at BIGINT NOT NULL
);";

const REFRESH_SECONDS: i64 = 30 * 24 * 60 * 60;

pub struct Plain {
    pool: AnyPool,
    secret: Vec<u8>,
    access_seconds: i64,
}

#[derive(Serialize, Deserialize)]
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: String,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    iat: i64,
    exp: i64,
}

impl Plain {
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        sqlx::any::install_default_drivers();
        let pool = AnyPool::connect(&config.url).await?;
        let secret = config.secret.clone().into_bytes();
        Ok(Self { pool, secret, access_seconds: config.access_seconds })
    }

    /// Inserts an account, and returns its id; `None` if the address is taken.
    pub async fn insert(&self, email: &str, hash: &str) -> Result<Option<String>, Failure> {
        let id = random()?;
        let insert = "INSERT INTO accounts (id, email, password_hash, created_at)
                      VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let query = sqlx::query(insert).bind(&id).bind(email).bind(hash).bind(now());
        let inserted = query.execute(&self.pool).await?.rows_affected();
        Ok((inserted == 1).then_some(id))
    }

    /// The id of the account with this address and password.
    pub async fn log_in(&self, email: &str, password: &str) -> Result<Option<String>, Failure> {
        let find = "SELECT id, password_hash FROM accounts WHERE email = $1";
        let found: Option<(String, String)> =
            sqlx::query_as(find).bind(email).fetch_optional(&self.pool).await?;
        match found {
            Some((id, hash)) if matches(password, &hash).await? => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    pub async fn issue(&self, id: &str) -> Result<Tokens, Failure> {
        let (refresh_token, iat) = (random()?, now());
        let claims = Claims { sub: id.to_owned(), iat, exp: iat + self.access_seconds };
        let key = EncodingKey::from_secret(&self.secret);
        let access_token = encode(&Header::new(Algorithm::HS256), &claims, &key)?;
        let insert = "INSERT INTO refresh_tokens VALUES ($1, $2, $3)";
        let query = sqlx::query(insert).bind(digest(&refresh_token)).bind(id);
        query.bind(iat + REFRESH_SECONDS).execute(&self.pool).await?;
        Ok(Tokens { access_token, refresh_token })
    }

    /// The account of an access token. There is no revocation: the token is good until it expires.
    pub fn verify(&self, token: &str) -> Option<String> {
        let key = DecodingKey::from_secret(&self.secret);
        let claims = decode::<Claims>(token, &key, &Validation::new(Algorithm::HS256));
        Some(claims.ok()?.claims.sub)
    }

    /// The account of a refresh token.
    pub async fn owner(&self, token: &str) -> Result<Option<String>, Failure> {
        let find =
            "SELECT account_id FROM refresh_tokens WHERE token_hash = $1 AND expires_at > $2";
        let query = sqlx::query_scalar(find).bind(digest(token)).bind(now());
        Ok(query.fetch_optional(&self.pool).await?)
    }

    /// Deletes a refresh token, and returns whether it was there.
    pub async fn delete(&self, token: &str) -> Result<bool, Failure> {
        let delete = "DELETE FROM refresh_tokens WHERE token_hash = $1";
        let query = sqlx::query(delete).bind(digest(token));
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Exchanges a refresh token for new tokens; `None` if it is not good.
    pub async fn rotate(&self, token: &str) -> Result<Option<Tokens>, Failure> {
        match self.owner(token).await? {
            Some(id) if self.delete(token).await? => Ok(Some(self.issue(&id).await?)),
            _ => Ok(None),
        }
    }

    /// Changes the password, deletes all refresh tokens, and gives new tokens to the caller; `None` if the
    /// present password is wrong.
    pub async fn change_password(
        &self,
        id: &str,
        present: &str,
        new: &str,
    ) -> Result<Option<Tokens>, Failure> {
        let find = "SELECT password_hash FROM accounts WHERE id = $1";
        let stored: Option<String> =
            sqlx::query_scalar(find).bind(id).fetch_optional(&self.pool).await?;
        let Some(stored) = stored else { return Ok(None) };
        if !matches(present, &stored).await? {
            return Ok(None);
        }
        let change = "UPDATE accounts SET password_hash = $1 WHERE id = $2";
        let query = sqlx::query(change).bind(hash(new).await?).bind(id);
        query.execute(&self.pool).await?;
        let delete = "DELETE FROM refresh_tokens WHERE account_id = $1";
        sqlx::query(delete).bind(id).execute(&self.pool).await?;
        Ok(Some(self.issue(id).await?))
    }

    /// Whether relatch has changed the account's row: only it knows then what is valid. `column` is
    /// `id` or `email`.
    pub async fn is_relatchs(&self, column: &'static str, value: &str) -> Result<bool, Failure> {
        let find = format!(
            "SELECT count(*) FROM accounts WHERE {column} = $1 AND
             (token_version IS NOT NULL OR sessions IS NOT NULL OR password_hash NOT LIKE '$2%')"
        );
        let query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(find)).bind(value);
        Ok(query.fetch_one(&self.pool).await? > 0)
    }
}

pub async fn hash(password: &str) -> Result<String, Failure> {
    let password = password.to_owned();
    Ok(spawn_blocking(move || bcrypt::hash(password, COST)).await??)
}

async fn matches(password: &str, stored: &str) -> Result<bool, Failure> {
    let (password, stored) = (password.to_owned(), stored.to_owned());
    Ok(spawn_blocking(move || bcrypt::verify(password, &stored)).await?.unwrap_or(false))
}

/// 32 random bytes in hexadecimal.
fn random() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

fn digest(token: &str) -> String {
    hex(&Sha256::digest(token))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}
