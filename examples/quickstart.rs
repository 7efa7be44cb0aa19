//! The library in one story, on real users in an embedded SQLite file.
//!
//! `cargo run --example quickstart` prints it, and exits non-zero if anything happens otherwise.

use std::{
    env,
    error::Error,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use relatch::{
    AccessToken, Authority, Binding, Carried, Counter, Credential, KeyRing, MasterKey, Reason,
    User, VerifyError, password::PasswordHasher,
};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use time::{Duration, OffsetDateTime};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result {
    let path = env::temp_dir().join(format!("relatch-quickstart-{}.sqlite", std::process::id()));
    let outcome = story(&path).await;
    if path.exists() {
        fs::remove_file(&path)?;
    }
    outcome
}

async fn story(path: &Path) -> Result {
    let db = Db::create(path).await?;
    let hasher = PasswordHasher::new();
    let clock = Arc::new(AtomicI64::new(0));
    let offset = Arc::clone(&clock);
    let now = move || OffsetDateTime::now_utc() + Duration::seconds(offset.load(Ordering::SeqCst));
    let ring = KeyRing::new(MasterKey::generate("2026-10")?);
    let authority =
        Authority::builder(ring, "https://login.example.com", "https://api.example.com")
            .clock(now.clone())
            .build()?;
    let app = App { db: &db, authority };

    title("Alice registers, and logs in on two devices");
    db.register("alice", "correct horse", &hasher).await?;
    let phone = app.log_in("alice", "correct horse", &hasher).await?;
    let laptop = app.log_in("alice", "correct horse", &hasher).await?;
    app.alive("her phone's token", &phone).await?;
    app.alive("her laptop's token", &laptop).await?;
    ensure("a wrong password", app.log_in("alice", "wrong", &hasher).await.is_err())?;
    ensure("an unknown name, at the same cost", app.log_in("bob", "x", &hasher).await.is_err())?;

    title("Somebody changes the token's text");
    let subject = tamper(&phone, "\"sub\":\"alice\"", "\"sub\":\"admin\"")?;
    app.dead_without_lookup("another subject", &subject, Reason::Forged).await?;
    let expiry = tamper(&phone, "\"exp\":1", "\"exp\":9")?;
    app.dead_without_lookup("a later expiry", &expiry, Reason::Forged).await?;
    let role = tamper(&phone, "\"ver\":", "\"role\":\"admin\",\"ver\":")?;
    app.dead("one more claim, looked up and refused", &role, Reason::BadSignature).await?;

    title("Alice changes her password: every token of hers is dead, with no counter moved");
    db.change_password("alice", "battery staple", &hasher).await?;
    app.dead("her phone's token", &phone, Reason::BadSignature).await?;
    app.dead("her laptop's token", &laptop, Reason::BadSignature).await?;

    title("She logs in again, then logs out everywhere: one counter is bumped");
    let phone = app.log_in("alice", "battery staple", &hasher).await?;
    app.alive("the new token", &phone).await?;
    db.bump_version("alice").await?;
    app.dead("the new token", &phone, Reason::RevokedByVersion).await?;

    title("The hash's cost is raised: her next login rehashes, and logs nobody out");
    let phone = app.log_in("alice", "battery staple", &hasher).await?;
    let stronger = PasswordHasher::with_cost(24 * 1024, 2, 1)?;
    let laptop = app.log_in("alice", "battery staple", &stronger).await?;
    ensure("her stored hash is a new one", db.hash_of("alice").await?.contains("m=24576"))?;
    app.alive("her phone's token, of before", &phone).await?;
    app.alive("her laptop's token, of since", &laptop).await?;

    title("The server's key is rotated; the old one retires in 5 minutes");
    let deadline = now() + Duration::minutes(5);
    let ring = app.authority.keys().clone().rotate(MasterKey::generate("2026-11")?, deadline)?;
    let app = App { db: &db, authority: app.authority.with_keys(ring)? };
    let tablet = app.log_in("alice", "battery staple", &stronger).await?;
    app.alive("a token under the old key", &phone).await?;
    app.alive("a token under the new key", &tablet).await?;
    clock.store(301, Ordering::SeqCst);
    println!("  … 301 seconds later");
    app.dead("a token under the old key", &phone, Reason::RetiredKey).await?;
    app.alive("a token under the new key", &tablet).await?;

    title("Alice's account is deleted");
    db.delete("alice").await?;
    app.dead("her last token", &tablet, Reason::UnknownUser).await?;

    title("The database fails: an error of its own, and nobody is told \"invalid token\"");
    db.register("carol", "hunter22", &stronger).await?;
    let carol = app.log_in("carol", "hunter22", &stronger).await?;
    db.pool.close().await;
    match app.verify(&carol).await {
        Err(VerifyError::Lookup(error)) => println!("  ✓ carol's token: store error: {error}"),
        other => return Err(format!("expected a store error, got {other:?}").into()),
    }
    println!("\nAll as promised.");
    Ok(())
}

// ---- The application: its users ------------------------------------------------------------

/// A row of the application's own users' table.
struct Account {
    id: String,
    password_hash: String,
    token_version: i64,
    carried: Option<Carried>,
}

impl User for Account {
    fn id(&self) -> &str {
        &self.id
    }
    fn binding(&self) -> Binding<'_> {
        Binding::password_hash(&self.password_hash).version(self.token_version)
    }
    fn carried(&self) -> Option<&Carried> {
        self.carried.as_ref()
    }
}

// ---- The application: its database ---------------------------------------------------------

struct Db {
    pool: SqlitePool,
    lookups: AtomicUsize,
}

impl Db {
    async fn create(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let pool = SqlitePoolOptions::new().connect_with(options).await?;
        sqlx::query(
            "CREATE TABLE users (
                 id TEXT PRIMARY KEY,
                 password_hash TEXT NOT NULL,
                 token_version INTEGER NOT NULL,
                 carried TEXT
             )",
        )
        .execute(&pool)
        .await?;
        Ok(Self { pool, lookups: AtomicUsize::new(0) })
    }

    async fn find(&self, id: &str) -> std::result::Result<Option<Account>, sqlx::Error> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        let sql = "SELECT password_hash, token_version, carried FROM users WHERE id = ?";
        let row: Option<(String, i64, Option<String>)> =
            sqlx::query_as(sql).bind(id).fetch_optional(&self.pool).await?;
        Ok(row.map(|(password_hash, token_version, carried)| Account {
            id: id.to_owned(),
            password_hash,
            token_version,
            // A damaged one is as good as none: it logs out.
            carried: carried.and_then(|text| text.parse().ok()),
        }))
    }

    async fn register(&self, id: &str, password: &str, hasher: &PasswordHasher) -> Result {
        sqlx::query("INSERT INTO users (id, password_hash, token_version) VALUES (?, ?, ?)")
            .bind(id)
            .bind(hash(hasher, password).await?)
            .bind(version_now()?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The carried credential goes with the old password.
    async fn change_password(&self, id: &str, new: &str, hasher: &PasswordHasher) -> Result {
        sqlx::query("UPDATE users SET password_hash = ?, carried = NULL WHERE id = ?")
            .bind(hash(hasher, new).await?)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Replaces the hash of the same password, unless it was changed meanwhile, and carries the
    /// credential over so that nobody is logged out.
    async fn rehash(&self, account: &Account, password: &str, hasher: &PasswordHasher) -> Result {
        let new = hash(hasher, password).await?;
        let carried = Carried::rehash(
            account.carried(),
            &Credential::from_password_hash(&account.password_hash)?,
            &Credential::from_password_hash(&new)?,
        );
        sqlx::query(
            "UPDATE users SET password_hash = ?, carried = ? WHERE id = ? AND password_hash = ?",
        )
        .bind(new)
        .bind(carried.expose_text().as_str())
        .bind(&account.id)
        .bind(&account.password_hash)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn bump_version(&self, id: &str) -> Result {
        sqlx::query("UPDATE users SET token_version = max(token_version + 1, ?) WHERE id = ?")
            .bind(version_now()?)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result {
        sqlx::query("DELETE FROM users WHERE id = ?").bind(id).execute(&self.pool).await?;
        Ok(())
    }

    async fn hash_of(&self, id: &str) -> Result<String> {
        let query = sqlx::query_scalar("SELECT password_hash FROM users WHERE id = ?").bind(id);
        Ok(query.fetch_one(&self.pool).await?)
    }
}

/// The time in milliseconds, from which a new user's version starts: so a re-created id repeats
/// no value. A bump takes it too, where it is above the present version and one.
fn version_now() -> Result<i64> {
    let version = Counter::INITIAL.next(OffsetDateTime::now_utc());
    Ok(version.ok_or("the clock is beyond the counter's range")?.get())
}

/// argon2 takes its time and memory on purpose, so it runs off the async threads.
async fn hash(hasher: &PasswordHasher, password: &str) -> Result<String> {
    let (hasher, password) = (hasher.clone(), password.to_owned());
    Ok(tokio::task::spawn_blocking(move || hasher.hash(&password)).await??)
}

// ---- The application: login and requests ---------------------------------------------------

struct App<'a> {
    db: &'a Db,
    authority: Authority,
}

impl App<'_> {
    async fn log_in(
        &self,
        id: &str,
        password: &str,
        hasher: &PasswordHasher,
    ) -> Result<AccessToken> {
        let account = self.db.find(id).await?;
        let stored = account.as_ref().map(|account| account.password_hash.clone());
        let (worker, text) = (hasher.clone(), password.to_owned());
        let check = move || worker.verify(&text, stored.as_deref());
        let matched = tokio::task::spawn_blocking(check).await??;
        let (Some(account), Some(matched)) = (account, matched) else {
            return Err("the name or the password is wrong".into());
        };
        if matched.needs_rehash() {
            self.db.rehash(&account, password, hasher).await?;
        }
        let account = self.db.find(id).await?.ok_or("the user is gone")?;
        Ok(self.authority.issue_for_user(&account)?)
    }

    async fn verify(
        &self,
        token: &AccessToken,
    ) -> std::result::Result<String, VerifyError<sqlx::Error>> {
        let lookup = async |id: String| self.db.find(&id).await;
        let session = self.authority.verify_async(token, lookup).await?;
        Ok(session.into_user().id)
    }

    async fn alive(&self, what: &str, token: &AccessToken) -> Result {
        match self.verify(token).await {
            Ok(id) => println!("  ✓ {what}: alive, it is {id}"),
            Err(error) => return Err(format!("{what}: expected alive, got {error:?}").into()),
        }
        Ok(())
    }

    async fn dead(&self, what: &str, token: &AccessToken, reason: Reason) -> Result {
        match self.verify(token).await {
            Err(error) if error.reason() == Some(reason) => println!("  ✓ {what}: dead ({reason})"),
            other => return Err(format!("{what}: expected {reason}, got {other:?}").into()),
        }
        Ok(())
    }

    async fn dead_without_lookup(&self, what: &str, token: &AccessToken, reason: Reason) -> Result {
        let before = self.db.lookups.load(Ordering::SeqCst);
        self.dead(&format!("{what}, no lookup"), token, reason).await?;
        match self.db.lookups.load(Ordering::SeqCst) == before {
            true => Ok(()),
            false => Err(format!("{what}: the user was looked up").into()),
        }
    }
}

// ---- The story's own -----------------------------------------------------------------------

fn title(text: &str) {
    println!("\n{text}");
}

fn ensure(what: &str, holds: bool) -> Result {
    match holds {
        true => println!("  ✓ {what}"),
        false => return Err(format!("{what}: not so").into()),
    }
    Ok(())
}

/// The token with one text of its payload replaced.
fn tamper(token: &AccessToken, from: &str, to: &str) -> Result<AccessToken> {
    let [header, payload, signature] =
        token.expose().split('.').collect::<Vec<_>>().try_into().map_err(|_| "not a token")?;
    let json = String::from_utf8(URL_SAFE_NO_PAD.decode(payload)?)?;
    ensure_contains(&json, from)?;
    let payload = URL_SAFE_NO_PAD.encode(json.replacen(from, to, 1));
    Ok(AccessToken::new(format!("{header}.{payload}.{signature}")))
}

fn ensure_contains(json: &str, text: &str) -> Result {
    match json.contains(text) {
        true => Ok(()),
        false => Err(format!("{text} is not in the token").into()),
    }
}
