//! Device sessions, refresh tokens and one-time links: a phone, a laptop and a thief, with an
//! existing users table in an embedded SQLite file.
//!
//! `cargo run --example devices` prints each step and exits non-zero if a step gives another
//! result.

use std::{
    env::temp_dir,
    error::Error,
    fs,
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc::{self, Receiver},
    },
    time::Duration as StdDuration,
};

use relatch::{
    AccessToken, Authority, Context, Fingerprint, MasterKey, NoClaims, Purpose, Reason,
    RefreshToken, SessionPolicy, SessionTokens, Token, User,
    one_time::{EmailConfirmation, MagicLink, PasswordReset},
    password::PasswordHasher,
    service::{Client, LoginRefusal, ServiceError},
    sessions::{EventKind, SessionEvent},
    store::{SqliteStore, StoreError, StoreErrorKind, StoredUser, UserKey, UsersTable},
};
use serde::Deserialize;
use sqlx::AssertSqlSafe;
use time::{Duration, OffsetDateTime};
use tokio::time::sleep;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type Outcome<T> = std::result::Result<T, ServiceError>;
type Service = relatch::service::Service<Profile>;

/// Further columns of a user's row that this application uses in its requests.
#[derive(Clone, Deserialize)]
struct Profile {
    email: String,
    /// Not confirmed yet.
    new_email: Option<String>,
}

#[tokio::main]
async fn main() -> Result {
    let folder = temp_dir().join(format!("relatch-devices-{}", process::id()));
    fs::create_dir(&folder)?;
    let outcome = tour(&folder.join("app.sqlite")).await;
    fs::remove_dir_all(&folder)?;
    outcome
}

/// A users table from before the application used this library, with one user.
async fn accounts(file: &Path, hash: &str) -> Result<SqliteStore<Profile>> {
    let table = UsersTable::named("accounts")
        .id("account_id")
        .login("email")
        .password_hash("pass")
        .fields::<Profile>(["email", "new_email"]);
    let users = SqliteStore::open(file, table).await?;
    let create = "CREATE TABLE accounts (
        account_id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, new_email TEXT, pass TEXT NOT NULL
    )";
    sqlx::query(create).execute(users.pool()).await?;
    let insert = "INSERT INTO accounts VALUES ('a-17', 'alice@example.com', NULL, ?)";
    sqlx::query(insert).bind(hash).execute(users.pool()).await?;
    // Adds the missing columns and leaves the existing ones unchanged.
    users.migrate().await?;
    Ok(users)
}

async fn tour(file: &Path) -> Result {
    let clock = Clock::default();
    let policy = SessionPolicy::new().grace(Duration::seconds(10));
    let (issuer, audience) = ("https://login.example.com", "https://api.example.com");
    // For this run only. In production, keep the key outside the database: `MasterKey::from_env`.
    let authority = Authority::builder(MasterKey::generate("2026-12")?, issuer, audience)
        .clock(clock.reader())
        .sessions(policy)
        .build()?;
    let users = accounts(file, &PasswordHasher::new().hash("correct horse battery")?).await?;
    let (sender, events) = mpsc::channel();
    let first_sender = sender.clone();
    let app = Service::builder(authority.clone(), users.clone())
        .on_event(move |event| {
            // The refresh does not depend on a receiver.
            let _ = first_sender.send(event.clone());
        })
        .build();

    title("Alice, a user of the existing table, logs in on her phone and on her laptop");
    let phone = log_in(&app, "correct horse battery", "phone").await?;
    let laptop = log_in(&app, "correct horse battery", "laptop").await?;
    login_refused("a wrong password", app.login(ALICE, "wrong", "phone").await)?;
    devices(&app, &laptop, "laptop (this one), phone").await?;
    devices(&app, &phone, "laptop, phone (this one)").await?;

    title("The phone refreshes: it gets new tokens, and the old refresh token is used up");
    let (old_access, old_refresh) = phone.into_parts();
    let used = copy(&old_refresh);
    let phone = app.refresh(old_refresh).await?;
    alive(&app, "the new access token", phone.access()).await?;
    alive(&app, "the old one, valid for the same session until it expires", &old_access).await?;
    ensure("the refresh token is a new one", phone.refresh().expose() != used.expose())?;
    ensure("no security event", events.try_recv().is_err())?;

    title("A response is lost: the phone retries with its old token, within the grace");
    clock.pass(5);
    let again = app.refresh(used).await?;
    same("the new refresh token is the same, byte for byte", again.refresh(), phone.refresh())?;
    alive(&app, "the access token of the same response", again.access()).await?;
    expect_event(&events, EventKind::GraceHit, "phone")?;

    title("Two tabs of the laptop refresh at the same time, with the same token");
    let (one, other) = (copy(laptop.refresh()), copy(laptop.refresh()));
    let (laptop, second) = concurrently(&users, app.refresh(one), app.refresh(other)).await?;
    let (laptop, second) = (laptop?, second?);
    alive(&app, "the first tab", laptop.access()).await?;
    alive(&app, "the second tab", second.access()).await?;
    same("both tabs get the same refresh token", laptop.refresh(), second.refresh())?;
    expect_event(&events, EventKind::GraceHit, "laptop")?;
    devices(&app, &laptop, "laptop (this one), phone").await?;

    title(
        "A thief copies the phone's refresh token and uses it first; Alice's phone uses it later",
    );
    let stolen = copy(phone.refresh());
    let thief = app.refresh(stolen).await?;
    alive(&app, "the thief", thief.access()).await?;
    clock.pass(11);
    refused("Alice's phone", app.refresh(copy(phone.refresh())).await, Reason::RefreshReused)?;
    expect_event(&events, EventKind::Reuse, "phone")?;
    dead(&app, "the thief", thief.access(), Reason::SessionEnded).await?;
    refused("the thief's refresh", app.refresh(thief.into_parts().1).await, Reason::SessionEnded)?;
    devices(&app, &laptop, "laptop (this one)").await?;
    let laptop = app.refresh(laptop.into_parts().1).await?;
    alive(&app, "the laptop, refreshed again", laptop.access()).await?;

    title("The thief uses the token second: the result is the same");
    let phone = log_in(&app, "correct horse battery", "phone").await?;
    let stolen = copy(phone.refresh());
    let phone = app.refresh(phone.into_parts().1).await?;
    clock.pass(11);
    refused("the thief", app.refresh(stolen).await, Reason::RefreshReused)?;
    expect_event(&events, EventKind::Reuse, "phone")?;
    dead(&app, "the phone", phone.access(), Reason::SessionEnded).await?;
    alive(&app, "the laptop", laptop.access()).await?;

    title("Alice logs only her old phone out, from her laptop");
    let old_phone = log_in(&app, "correct horse battery", "old phone").await?;
    let phone = log_in(&app, "correct horse battery", "phone").await?;
    devices(&app, &laptop, "phone, old phone, laptop (this one)").await?;
    let verified = app.authenticate(laptop.access()).await?;
    ensure(
        "the device was logged in",
        app.log_out_device(&verified, old_phone.session().id()).await?,
    )?;
    dead(&app, "the old phone", old_phone.access(), Reason::SessionEnded).await?;
    alive(&app, "the phone", phone.access()).await?;
    ensure(
        "a second call finds no such device",
        !app.log_out_device(&verified, old_phone.session().id()).await?,
    )?;

    title("She logs out all other devices; her laptop stays logged in, with new tokens");
    let kept = app.log_out_others(laptop.access()).await?;
    alive(&app, "her laptop", kept.access()).await?;
    dead(&app, "her phone", phone.access(), Reason::RevokedByVersion).await?;
    dead(&app, "copies of her laptop's token", laptop.access(), Reason::RevokedByVersion).await?;
    let laptop = app.refresh(kept.into_parts().1).await?;
    devices(&app, &laptop, "laptop (this one)").await?;

    title("She changes her password on her laptop; only the laptop stays logged in");
    let phone = log_in(&app, "correct horse battery", "phone").await?;
    let guess = app.change_password(laptop.access(), "guess", "another horse battery").await;
    login_refused("a guess at the current password", guess)?;
    let laptop = app
        .change_password(laptop.access(), "correct horse battery", "another horse battery")
        .await?;
    alive(&app, "her laptop, with new tokens", laptop.access()).await?;
    dead(&app, "her phone", phone.access(), Reason::RevokedByVersion).await?;
    devices(&app, &laptop, "laptop (this one)").await?;

    title("The hashing cost is raised: the next login rehashes, in one statement with its session");
    let stronger = PasswordHasher::with_cost(24 * 1024, 2, 1)?;
    let app = Service::builder(authority, users.clone())
        .hasher(stronger)
        .on_event(move |event| {
            let _ = sender.send(event.clone());
        })
        .build();
    let phone = log_in(&app, "another horse battery", "phone").await?;
    let hash = column(&users, "pass").await?;
    ensure("the stored hash is new", hash.contains("m=24576"))?;
    alive(&app, "the phone, whose login rehashed", phone.access()).await?;
    let laptop = app.refresh(laptop.into_parts().1).await?;
    alive(&app, "the laptop, logged in before the rehash and now refreshed", laptop.access())
        .await?;

    title("She logs out everywhere");
    app.log_out_everywhere(app.authenticate(phone.access()).await?.user().id()).await?;
    dead(&app, "the phone", phone.access(), Reason::RevokedByVersion).await?;
    refused("its refresh", app.refresh(phone.into_parts().1).await, Reason::RevokedByVersion)?;
    dead(&app, "the laptop", laptop.access(), Reason::RevokedByVersion).await?;
    no_devices(&app).await?;

    title("She forgot her password: a link by e-mail, which works once");
    let phone = log_in(&app, "another horse battery", "phone").await?;
    let link = issue_link::<PasswordReset>(&app).await?;
    let other = issue_link::<PasswordReset>(&app).await?;
    ensure(
        "the link opens the form for a new password",
        app.peek(&link).await?.user().id() == "a-17",
    )?;
    alive(&app, "the phone: opening the link changes nothing", phone.access()).await?;
    let reset = |link, new| app.one_time::<PasswordReset>(link).set_password(new).consume();
    let _ = reset(copy(&link), "another battery staple").await?;
    dead(&app, "the phone", phone.access(), Reason::RevokedByVersion).await?;
    no_devices(&app).await?;
    let again = reset(link, "hunter22").await;
    refused("the link, a second time", again, Reason::RevokedByVersion)?;
    let late = reset(other, "hunter22").await;
    refused("another link, sent before", late, Reason::RevokedByVersion)?;
    login_refused("the old password", app.login(ALICE, "another horse battery", "phone").await)?;
    let laptop = log_in(&app, "another battery staple", "laptop").await?;
    alive(&app, "the laptop, with the new password", laptop.access()).await?;

    title("A login link: a mail scanner opens it three times, then Alice submits its form twice");
    let link = issue_link::<MagicLink>(&app).await?;
    for visit in ["once", "twice", "three times"] {
        let is_hers = app.peek(&link).await?.user().id() == "a-17";
        ensure(&format!("opened {visit}, and still valid"), is_hers)?;
    }
    let post = || app.one_time(copy(&link)).login("tablet");
    let (first, second) = concurrently(&users, post(), post()).await?;
    let (tablet, loser) = match first {
        Ok(tokens) => (tokens, second),
        Err(error) => (second?, Err(error)),
    };
    alive(&app, "one of the two requests starts a session", tablet.access()).await?;
    refused("the other", loser, Reason::RevokedByLane)?;
    refused("the link, afterwards", app.peek(&link).await, Reason::RevokedByLane)?;
    devices(&app, &tablet, "tablet (this one), laptop").await?;

    title("She confirms a new e-mail address, after a typing error");
    let mistyped = change_email(&app, &users, "alcie@example.org").await?;
    let right = change_email(&app, &users, "alice@example.org").await?;
    let stranger = confirm_email(&app, &users, mistyped).await;
    refused("the link sent to the mistyped address", stranger, Reason::BadSignature)?;
    confirm_email(&app, &users, copy(&right)).await?;
    let alice = app.find(UserKey::Id("a-17")).await?.ok_or("alice is gone")?;
    ensure("the new address is stored", alice.fields().email == "alice@example.org")?;
    let again = confirm_email(&app, &users, right).await;
    refused("the link, a second time", again, Reason::RevokedByLane)?;
    alive(&app, "her laptop, not affected by any of this", laptop.access()).await?;

    title("Tokens bound to a fingerprint cookie, in a browser whose scripts leak the tokens");
    let cookie = Fingerprint::generate()?;
    let here = || Context::new().with_fingerprint(&cookie);
    let client = Client::new("browser").in_context(here());
    let browser = app.login("alice@example.org", "another battery staple", client).await?;
    let arrived = || copy(browser.access()).in_context(here());
    alive(&app, "with the cookie", &arrived()).await?;
    dead(&app, "a thief without the cookie", browser.access(), Reason::BadSignature).await?;
    let guessed = Context::new().with_fingerprint(&Fingerprint::generate()?);
    let thief = copy(browser.access()).in_context(guessed);
    dead(&app, "a thief with another cookie", &thief, Reason::BadSignature).await?;
    let thief = app.refresh(copy(browser.refresh())).await;
    refused("the thief's refresh", thief, Reason::BadSignature)?;
    let fresh = app.refresh(copy(browser.refresh()).in_context(here())).await?;
    alive(&app, "the browser, refreshed", &copy(fresh.access()).in_context(here())).await?;
    ensure(
        "no security event: the thief did not use up the refresh token",
        events.try_recv().is_err(),
    )?;

    title("The sessions column is damaged: a separate store error, and nothing is overwritten");
    let good = column(&users, "sessions").await?;
    let damaged = "{\"format\":1,\"gener";
    set_sessions(&users, damaged).await?;
    store_error("a request", app.authenticate(laptop.access()).await)?;
    store_error("a refresh", app.refresh(copy(laptop.refresh())).await)?;
    let login = app.login("alice@example.org", "another battery staple", "phone").await;
    store_error("a login", login)?;
    ensure("the column is unchanged", column(&users, "sessions").await? == damaged)?;
    set_sessions(&users, &good).await?;
    alive(&app, "the laptop, once the column is restored", laptop.access()).await?;

    println!("\nAll steps gave the expected results.");
    Ok(())
}

// ---- The application ------------------------------------------------------------------------

/// The token of the link that is sent by e-mail.
async fn issue_link<P: Purpose<Claims = NoClaims>>(app: &Service) -> Result<Token<P>> {
    let issued = app.issue::<P>(UserKey::Login(ALICE), &NoClaims {}).sign().await?;
    let (_, token) = issued.ok_or("alice is gone")?;
    Ok(token)
}

/// The token of the link sent to the new address. The row holds the address until it is confirmed.
async fn change_email(
    app: &Service,
    users: &SqliteStore<Profile>,
    address: &str,
) -> Result<Token<EmailConfirmation>> {
    let update = "UPDATE accounts SET new_email = ? WHERE account_id = 'a-17'";
    sqlx::query(update).bind(address).execute(users.pool()).await?;
    let context = Context::new().with_email(address);
    let issued = app
        .issue::<EmailConfirmation>(UserKey::Id("a-17"), &NoClaims {})
        .context(context)
        .sign()
        .await?;
    let (_, token) = issued.ok_or("alice is gone")?;
    Ok(token)
}

/// Handles `POST`: confirms the address in the row, if the link was made for that address.
async fn confirm_email(
    app: &Service,
    users: &SqliteStore<Profile>,
    link: Token<EmailConfirmation>,
) -> Outcome<()> {
    let pending = |user: &StoredUser<Profile>| user.fields().new_email.clone().unwrap_or_default();
    let used = app
        .one_time(link)
        .in_context(|user| Context::new().with_email(&pending(user)))
        .consume()
        .await?;
    let update = "UPDATE accounts SET email = new_email, new_email = NULL WHERE account_id = ?";
    let query = sqlx::query(update).bind(used.registered().subject().to_owned());
    match query.execute(users.pool()).await {
        Ok(_) => Ok(()),
        Err(error) => Err(ServiceError::Store(StoreError::unreachable(error))),
    }
}

// ---- Helpers --------------------------------------------------------------------------------

/// The system clock plus an offset, so that time can pass without waiting.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn reader(&self) -> impl Fn() -> OffsetDateTime + Send + Sync + 'static {
        let Self(ahead) = self.clone();
        move || OffsetDateTime::now_utc() + Duration::seconds(ahead.load(Ordering::SeqCst))
    }

    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
        println!("  … {seconds} seconds later");
    }
}

fn title(text: &str) {
    println!("\n{text}");
}

fn ensure(what: &str, holds: bool) -> Result {
    if !holds {
        return Err(format!("{what}: failed").into());
    }
    println!("  ✓ {what}");
    Ok(())
}

/// A copy of the token, as a thief or another tab has it.
fn copy<P>(token: &Token<P>) -> Token<P> {
    Token::new(token.expose())
}

const ALICE: &str = "alice@example.com";

async fn log_in(app: &Service, password: &str, device: &str) -> Outcome<SessionTokens> {
    app.login(ALICE, password, device).await
}

/// Two concurrent requests: this holds the write lock of the database until both have had time to
/// read.
async fn concurrently<T>(
    users: &SqliteStore<Profile>,
    one: impl Future<Output = T>,
    other: impl Future<Output = T>,
) -> Result<(T, T)> {
    let lock = users.pool().begin_with("BEGIN IMMEDIATE").await?;
    let unlock = async {
        sleep(StdDuration::from_millis(200)).await;
        lock.rollback().await
    };
    let (one, other, unlocked) = tokio::join!(one, other, unlock);
    unlocked?;
    Ok((one, other))
}

fn same(what: &str, one: &RefreshToken, other: &RefreshToken) -> Result {
    ensure(what, one.expose() == other.expose())
}

async fn alive(app: &Service, what: &str, token: &AccessToken) -> Result {
    let verified = app.authenticate(token).await.map_err(|error| format!("{what}: {error}"))?;
    println!("  ✓ {what}: alive, it is {}", verified.user().id());
    Ok(())
}

async fn dead(app: &Service, what: &str, token: &AccessToken, reason: Reason) -> Result {
    rejected(app.authenticate(token).await, reason, what, "dead")
}

fn refused<T>(what: &str, outcome: Outcome<T>, reason: Reason) -> Result {
    rejected(outcome, reason, what, "refused")
}

fn rejected<T>(outcome: Outcome<T>, reason: Reason, what: &str, said: &str) -> Result {
    match outcome {
        Err(error) if error.reason() == Some(reason) => {
            println!("  ✓ {what}: {said} ({reason})");
            Ok(())
        }
        Err(other) => Err(format!("{what}: expected {reason}, got {other:?}").into()),
        Ok(_) => Err(format!("{what}: expected {reason}, but it was accepted").into()),
    }
}

fn login_refused<T>(what: &str, outcome: Outcome<T>) -> Result {
    match outcome {
        Err(
            error @ (ServiceError::LoginRefused(LoginRefusal::WrongPassword)
            | ServiceError::WrongPassword(_)),
        ) => {
            println!("  ✓ {what}: {error}");
            Ok(())
        }
        Err(other) => Err(format!("{what}: expected a refusal, got {other:?}").into()),
        Ok(_) => Err(format!("{what}: expected a refusal, but it was accepted").into()),
    }
}

fn store_error<T>(what: &str, outcome: Outcome<T>) -> Result {
    match outcome {
        Err(ServiceError::Store(error)) if error.kind() == StoreErrorKind::Damaged => {
            println!("  ✓ {what}: store error: {error}");
            Ok(())
        }
        Err(other) => Err(format!("{what}: expected a store error, got {other:?}").into()),
        Ok(_) => Err(format!("{what}: expected a store error, but it succeeded").into()),
    }
}

/// Alice's list of devices, as the device with these tokens shows it.
async fn devices(app: &Service, on: &SessionTokens, expected: &str) -> Result {
    let verified = app.authenticate(on.access()).await?;
    let sessions = app.sessions(&verified).await?.into_iter();
    let lines = sessions.map(|info| match Some(info.id()) == verified.session_id() {
        true => format!("{} (this one)", info.label()),
        false => info.label().to_owned(),
    });
    let list = lines.collect::<Vec<_>>().join(", ");
    ensure(&format!("your devices: {list}"), list == expected)
}

async fn no_devices(app: &Service) -> Result {
    let alice = app.find(UserKey::Login(ALICE)).await?.ok_or("alice is gone")?;
    ensure("the list of her devices is empty", app.authority().sessions(&alice)?.is_empty())
}

/// Expects exactly one event since the last check, of this kind and device.
fn expect_event(events: &Receiver<SessionEvent>, kind: EventKind, label: &str) -> Result {
    let event = events.try_recv().map_err(|_| format!("expected an event: {kind}"))?;
    println!("  ! {event}");
    let ended = usize::from(kind == EventKind::Reuse);
    let is_so = event.kind() == kind
        && event.label() == Some(label)
        && event.ended_sessions() == ended
        && events.try_recv().is_err();
    ensure(&format!("the event is reported: {kind}"), is_so)
}

async fn column(users: &SqliteStore<Profile>, column: &str) -> Result<String> {
    let query = format!("SELECT {column} FROM accounts WHERE account_id = 'a-17'");
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(users.pool()).await?)
}

async fn set_sessions(users: &SqliteStore<Profile>, text: &str) -> Result {
    let update = "UPDATE accounts SET sessions = ? WHERE account_id = 'a-17'";
    sqlx::query(update).bind(text).execute(users.pool()).await?;
    Ok(())
}
