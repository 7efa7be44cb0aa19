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
    AccessToken, Authority, Binding, Carried, Counter, Credential, MasterKey, Reason, Session,
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
    let clock = Arc::new(AtomicI64::new(0));
    let offset = Arc::clone(&clock);
    let now = move || OffsetDateTime::now_utc() + Duration::seconds(offset.load(Ordering::SeqCst));
    // Yours is kept outside the database, `MasterKey::from_env`: this one is gone with the process.
    let key = MasterKey::generate("2026-10")?;
    let authority = Authority::builder(key, "https://login.example.com", "https://api.example.com")
        .clock(now.clone())
        .build()?;
    let hasher = PasswordHasher::new();
    let mut app = App { db: Db::create(path).await?, authority, hasher };

    title("Alice registers, and logs in on two devices");
    app.register("alice", "correct horse").await?;
    let phone = log_in(&app, "alice", "correct horse").await?;
    let laptop = log_in(&app, "alice", "correct horse").await?;
    alive(&app, "her phone's token", &phone).await?;
    alive(&app, "her laptop's token", &laptop).await?;
    ensure("a wrong password gives none", app.log_in("alice", "wrong").await?.is_none())?;
    ensure("an unknown name gives none", app.log_in("bob", "correct horse").await?.is_none())?;

    title("Somebody changes the token's text");
    let subject = tamper(&phone, "\"sub\":\"alice\"", "\"sub\":\"admin\"")?;
    dead_without_lookup(&app, "another subject", &subject, Reason::Forged).await?;
    let expiry = tamper(&phone, "\"exp\":1", "\"exp\":9")?;
    dead_without_lookup(&app, "a later expiry", &expiry, Reason::Forged).await?;
    let role = tamper(&phone, "\"ver\":", "\"role\":\"admin\",\"ver\":")?;
    dead(&app, "one more claim, looked up and refused", &role, Reason::BadSignature).await?;

    title("Alice changes her password: every token of hers is dead, with no counter moved");
    app.change_password("alice", "battery staple").await?;
    dead(&app, "her phone's token", &phone, Reason::BadSignature).await?;
    dead(&app, "her laptop's token", &laptop, Reason::BadSignature).await?;

    title("She logs in again, then logs out everywhere: one counter is bumped");
    let phone = log_in(&app, "alice", "battery staple").await?;
    alive(&app, "the new token", &phone).await?;
    app.log_out_everywhere("alice").await?;
    dead(&app, "the new token", &phone, Reason::RevokedByVersion).await?;

    title("The hash's cost is raised: her next login rehashes, and logs nobody out");
    let phone = log_in(&app, "alice", "battery staple").await?;
    app.hasher = PasswordHasher::with_cost(24 * 1024, 2, 1)?;
    let laptop = log_in(&app, "alice", "battery staple").await?;
    let tablet = log_in(&app, "alice", "battery staple").await?;
    let account = app.db.find("alice").await?.ok_or("alice is gone")?;
    ensure("her stored hash is a new one", account.password_hash.contains("m=24576"))?;
    alive(&app, "her phone's token, of before", &phone).await?;
    alive(&app, "her laptop's token, of the login that rehashed", &laptop).await?;
    alive(&app, "her tablet's token, of since", &tablet).await?;

    title("The server's key is rotated; the old one retires in 5 minutes");
    let deadline = now() + Duration::minutes(5);
    let ring = app.authority.keys().clone().rotate(MasterKey::generate("2026-11")?, deadline)?;
    app.authority = app.authority.with_keys(ring)?;
    let tablet = log_in(&app, "alice", "battery staple").await?;
    alive(&app, "a token under the old key", &phone).await?;
    alive(&app, "a token under the new key", &tablet).await?;
    clock.store(301, Ordering::SeqCst);
    println!("  … 301 seconds later");
    dead(&app, "a token under the old key", &phone, Reason::RetiredKey).await?;
    alive(&app, "a token under the new key", &tablet).await?;

    title("Alice's account is deleted");
    app.db.delete("alice").await?;
    dead(&app, "her last token", &tablet, Reason::UnknownUser).await?;

    title("The database fails: an error of its own, and nobody is told \"invalid token\"");
    app.register("carol", "hunter22").await?;
    let carol = log_in(&app, "carol", "hunter22").await?;
    app.db.pool.close().await;
    match app.authenticate(&carol).await {
        Err(VerifyError::Lookup(error)) => println!("  ✓ carol's token: store error: {error}"),
        Err(other) => return Err(format!("expected a store error, got {other:?}").into()),
        Ok(_) => return Err("expected a store error, got a session".into()),
    }
    println!("\nAll as promised.");
    Ok(())
}

// ---- The application: logins and requests --------------------------------------------------

struct App {
    db: Db,
    authority: Authority,
    hasher: PasswordHasher,
}

impl App {
    async fn register(&self, id: &str, password: &str) -> Result {
        let hash = self.hash(password).await?;
        Ok(self.db.insert(id, &hash).await?)
    }

    /// A token, or `None` if there is no such user or the password is wrong.
    async fn log_in(&self, id: &str, password: &str) -> Result<Option<AccessToken>> {
        let account = self.db.find(id).await?;
        let stored = account.as_ref().map(|account| account.password_hash.clone());
        let (hasher, text) = (self.hasher.clone(), password.to_owned());
        let check = move || hasher.verify(&text, stored.as_deref());
        let matched = tokio::task::spawn_blocking(check).await??;
        let (Some(account), Some(matched)) = (account, matched) else { return Ok(None) };
        if matched.needs_rehash() {
            let new = self.hash(password).await?;
            let carried = Carried::rehash(
                account.carried(),
                &Credential::from_password_hash(&account.password_hash)?,
                &Credential::from_password_hash(&new)?,
            );
            self.db.rehash(&account, &new, &carried).await?;
        }
        // For the very record whose password was verified, never for one that is read again: if
        // the password was changed meanwhile, this token is dead from the start.
        Ok(Some(self.authority.issue_for_user(&account)?))
    }

    async fn authenticate(
        &self,
        token: &AccessToken,
    ) -> std::result::Result<Session<Account>, VerifyError<sqlx::Error>> {
        self.authority.verify_async(token, async |id| self.db.find(&id).await).await
    }

    async fn change_password(&self, id: &str, new: &str) -> Result {
        let hash = self.hash(new).await?;
        Ok(self.db.change_password(id, &hash).await?)
    }

    async fn log_out_everywhere(&self, id: &str) -> Result {
        Ok(self.db.bump_version(id).await?)
    }

    /// argon2 takes its time and memory on purpose, so it runs off the async threads.
    async fn hash(&self, password: &str) -> Result<String> {
        let (hasher, password) = (self.hasher.clone(), password.to_owned());
        Ok(tokio::task::spawn_blocking(move || hasher.hash(&password)).await??)
    }
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
    async fn create(path: &Path) -> sqlx::Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let pool = SqlitePoolOptions::new().connect_with(options).await?;
        sqlx::query(
            "CREATE TABLE users (
                 id TEXT PRIMARY KEY,
                 password_hash TEXT NOT NULL,
                 token_version BIGINT NOT NULL,
                 carried TEXT
             )",
        )
        .execute(&pool)
        .await?;
        Ok(Self { pool, lookups: AtomicUsize::new(0) })
    }

    async fn find(&self, id: &str) -> sqlx::Result<Option<Account>> {
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

    /// A new user's version starts at the time, so that a re-created id repeats no value.
    async fn insert(&self, id: &str, hash: &str) -> sqlx::Result<()> {
        let sql = "INSERT INTO users (id, password_hash, token_version) VALUES (?, ?, ?)";
        sqlx::query(sql).bind(id).bind(hash).bind(now_ms()).execute(&self.pool).await?;
        Ok(())
    }

    /// The carried credential goes with the old password.
    async fn change_password(&self, id: &str, hash: &str) -> sqlx::Result<()> {
        let sql = "UPDATE users SET password_hash = ?, carried = NULL WHERE id = ?";
        sqlx::query(sql).bind(hash).bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// Replaces the hash of the same password, unless it was changed meanwhile: then no row is,
    /// and nothing is lost.
    async fn rehash(&self, old: &Account, new: &str, carried: &Carried) -> sqlx::Result<()> {
        let sql =
            "UPDATE users SET password_hash = ?, carried = ? WHERE id = ? AND password_hash = ?";
        let query = sqlx::query(sql).bind(new).bind(carried.expose_text().to_string());
        query.bind(&old.id).bind(&old.password_hash).execute(&self.pool).await?;
        Ok(())
    }

    async fn bump_version(&self, id: &str) -> sqlx::Result<()> {
        let sql = "UPDATE users SET token_version = max(token_version + 1, ?) WHERE id = ?";
        sqlx::query(sql).bind(now_ms()).bind(id).execute(&self.pool).await?;
        Ok(())
    }

    async fn delete(&self, id: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM users WHERE id = ?").bind(id).execute(&self.pool).await?;
        Ok(())
    }
}

fn now_ms() -> i64 {
    Counter::INITIAL.next(OffsetDateTime::now_utc()).unwrap_or_default().get()
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

async fn log_in(app: &App, id: &str, password: &str) -> Result<AccessToken> {
    Ok(app.log_in(id, password).await?.ok_or("the login of a genuine user failed")?)
}

async fn alive(app: &App, what: &str, token: &AccessToken) -> Result {
    match app.authenticate(token).await {
        Ok(session) => println!("  ✓ {what}: alive, it is {}", session.user().id),
        Err(error) => return Err(format!("{what}: expected alive, got {error:?}").into()),
    }
    Ok(())
}

async fn dead(app: &App, what: &str, token: &AccessToken, reason: Reason) -> Result {
    match app.authenticate(token).await {
        Err(error) if error.reason() == Some(reason) => println!("  ✓ {what}: dead ({reason})"),
        Err(other) => return Err(format!("{what}: expected {reason}, got {other:?}").into()),
        Ok(_) => return Err(format!("{what}: expected {reason}, and it is alive").into()),
    }
    Ok(())
}

async fn dead_without_lookup(app: &App, what: &str, token: &AccessToken, reason: Reason) -> Result {
    let before = app.db.lookups.load(Ordering::SeqCst);
    dead(app, &format!("{what}, no lookup"), token, reason).await?;
    match app.db.lookups.load(Ordering::SeqCst) == before {
        true => Ok(()),
        false => Err(format!("{what}: the user was looked up").into()),
    }
}

/// The token with one text of its payload replaced.
fn tamper(token: &AccessToken, from: &str, to: &str) -> Result<AccessToken> {
    let [header, payload, signature] =
        token.expose().split('.').collect::<Vec<_>>().try_into().map_err(|_| "not a token")?;
    let json = String::from_utf8(URL_SAFE_NO_PAD.decode(payload)?)?;
    if !json.contains(from) {
        return Err(format!("{from} is not in the token").into());
    }
    let payload = URL_SAFE_NO_PAD.encode(json.replacen(from, to, 1));
    Ok(AccessToken::new(format!("{header}.{payload}.{signature}")))
}
