//! Devices, and links that work once: a phone, a laptop and a thief, on an embedded SQLite file.
//!
//! `cargo run --example devices` prints the story, and exits non-zero if anything happens
//! otherwise. The application that it happens to is in `app.rs`, its database in `db.rs`.

mod app;
mod db;

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
    time::Instant,
};

use relatch::{
    AccessToken, Authority, Context, EventKind, Fingerprint, MasterKey, Reason, RefreshToken,
    SessionEvent, SessionPolicy, SessionTokens, Token,
    one_time::{MagicLink, PasswordReset},
    password::PasswordHasher,
};
use time::{Duration, OffsetDateTime};
use tokio::task::yield_now;

use crate::{
    app::{App, Failure},
    db::Db,
};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result {
    let file = temp_dir().join(format!("relatch-devices-{}.sqlite", process::id()));
    let outcome = story(&file).await;
    if file.exists() {
        fs::remove_file(&file)?;
    }
    outcome
}

async fn story(file: &Path) -> Result {
    let clock = Clock::default();
    let policy = SessionPolicy::new().grace(Duration::seconds(10));
    let (issuer, audience) = ("https://login.example.com", "https://api.example.com");
    // Yours is kept outside the database, `MasterKey::from_env`: this one is gone with the process.
    let authority = Authority::builder(MasterKey::generate("2026-12")?, issuer, audience)
        .clock(clock.reader())
        .sessions(policy)
        .build()?;
    let (sender, events) = mpsc::channel();
    let db = Db::create(file).await?;
    let mut app = App { db, authority, hasher: PasswordHasher::new(), events: sender };

    title("Alice registers, and logs in on her phone and on her laptop");
    app.register("alice", "alice@example.com", "correct horse").await?;
    let phone = log_in(&app, "correct horse", "phone").await?;
    let laptop = log_in(&app, "correct horse", "laptop").await?;
    let wrong = app.log_in(("alice", "wrong"), "phone", Context::new()).await?;
    ensure("a wrong password starts no session", wrong.is_none())?;
    devices(&app, &laptop, "laptop (this one), phone").await?;
    devices(&app, &phone, "laptop, phone (this one)").await?;

    title("The phone refreshes: fresh tokens, and the old refresh token is used up");
    let (old_access, old_refresh) = phone.into_parts();
    let used = copy(&old_refresh);
    let phone = app.refresh(old_refresh).await?;
    alive(&app, "the new access token", phone.access()).await?;
    alive(&app, "the old one, of the same session, until it expires", &old_access).await?;
    ensure("the refresh token is another one", phone.refresh().expose() != used.expose())?;
    ensure("nothing to alarm on", events.try_recv().is_err())?;

    title("A response is lost: within the grace the phone asks again with the token it has");
    clock.pass(5);
    let again = app.refresh(used).await?;
    same("the successor is the same, byte for byte", again.refresh(), phone.refresh())?;
    alive(&app, "the access token that came along", again.access()).await?;
    heard(&events, EventKind::GraceHit, "phone")?;

    title("Two tabs of the laptop refresh at once, with the same token");
    let (one, other) = (copy(laptop.refresh()), copy(laptop.refresh()));
    let (laptop, second) = at_once(&app, app.refresh(one), app.refresh(other)).await?;
    let (laptop, second) = (laptop?, second?);
    alive(&app, "the first tab", laptop.access()).await?;
    alive(&app, "the second tab", second.access()).await?;
    same("the chain is not forked", laptop.refresh(), second.refresh())?;
    heard(&events, EventKind::GraceHit, "laptop")?;
    devices(&app, &laptop, "laptop (this one), phone").await?;

    title("A thief copies the phone's refresh token and uses it first; Alice's phone comes later");
    let stolen = copy(phone.refresh());
    let thief = app.refresh(stolen).await?;
    alive(&app, "the thief", thief.access()).await?;
    clock.pass(11);
    refused("Alice's phone", app.refresh(copy(phone.refresh())).await, Reason::RefreshReused)?;
    heard(&events, EventKind::Reuse, "phone")?;
    dead(&app, "the thief", thief.access(), Reason::SessionEnded).await?;
    refused("the thief's refresh", app.refresh(thief.into_parts().1).await, Reason::SessionEnded)?;
    devices(&app, &laptop, "laptop (this one)").await?;
    let laptop = app.refresh(laptop.into_parts().1).await?;
    alive(&app, "the laptop, refreshed once more", laptop.access()).await?;

    title("The thief may as well be the one who comes later: it is the same");
    let phone = log_in(&app, "correct horse", "phone").await?;
    let stolen = copy(phone.refresh());
    let phone = app.refresh(phone.into_parts().1).await?;
    clock.pass(11);
    refused("the thief", app.refresh(stolen).await, Reason::RefreshReused)?;
    heard(&events, EventKind::Reuse, "phone")?;
    dead(&app, "the phone", phone.access(), Reason::SessionEnded).await?;
    alive(&app, "the laptop", laptop.access()).await?;

    title("From her laptop Alice logs her old phone out, alone");
    let old_phone = log_in(&app, "correct horse", "old phone").await?;
    let phone = log_in(&app, "correct horse", "phone").await?;
    devices(&app, &laptop, "phone, old phone, laptop (this one)").await?;
    let session = app.authenticate(laptop.access()).await?;
    ensure("there is such a device", app.log_out(&session, old_phone.session().id()).await?)?;
    dead(&app, "the old phone", old_phone.access(), Reason::SessionEnded).await?;
    alive(&app, "the phone", phone.access()).await?;
    ensure("a second time there is none", !app.log_out(&session, old_phone.session().id()).await?)?;

    title("She logs all others out, and stays, with fresh tokens");
    let kept = app.log_out_others(laptop.access()).await?;
    alive(&app, "her laptop", kept.access()).await?;
    dead(&app, "her phone", phone.access(), Reason::RevokedByVersion).await?;
    dead(&app, "copies of her laptop's token", laptop.access(), Reason::RevokedByVersion).await?;
    let laptop = app.refresh(kept.into_parts().1).await?;
    devices(&app, &laptop, "laptop (this one)").await?;

    title("She changes her password on her laptop, which alone stays");
    let phone = log_in(&app, "correct horse", "phone").await?;
    let laptop = app.change_password(laptop.access(), "correct horse battery").await?;
    alive(&app, "her laptop, with fresh tokens", laptop.access()).await?;
    dead(&app, "her phone", phone.access(), Reason::RevokedByVersion).await?;
    devices(&app, &laptop, "laptop (this one)").await?;

    title("The hash's cost is raised: the next login rehashes, in the statement of its session");
    app.hasher = PasswordHasher::with_cost(24 * 1024, 2, 1)?;
    let phone = log_in(&app, "correct horse battery", "phone").await?;
    let hash = app.db.find("alice").await?.ok_or("alice is gone")?.password_hash;
    ensure("the stored hash is a new one", hash.contains("m=24576"))?;
    alive(&app, "the phone, whose login rehashed", phone.access()).await?;
    let laptop = app.refresh(laptop.into_parts().1).await?;
    alive(&app, "the laptop, of before, and refreshed", laptop.access()).await?;

    title("She logs out everywhere");
    app.log_out_everywhere(&app.authenticate(phone.access()).await?).await?;
    dead(&app, "the phone", phone.access(), Reason::RevokedByVersion).await?;
    refused("its refresh", app.refresh(phone.into_parts().1).await, Reason::RevokedByVersion)?;
    dead(&app, "the laptop", laptop.access(), Reason::RevokedByVersion).await?;
    no_devices(&app).await?;

    title("She forgot her password: a link by mail, good once");
    let phone = log_in(&app, "correct horse battery", "phone").await?;
    let link = app.link::<PasswordReset>("alice").await?.ok_or("no link")?;
    let other = app.link::<PasswordReset>("alice").await?.ok_or("no link")?;
    ensure(
        "the page asks for a new password",
        app.look_at::<PasswordReset>(&link).await? == "alice",
    )?;
    alive(&app, "the phone: looking changes nothing", phone.access()).await?;
    app.reset_password(&link, "battery staple").await?;
    dead(&app, "the phone", phone.access(), Reason::RevokedByVersion).await?;
    no_devices(&app).await?;
    let reset = app.reset_password(&link, "hunter22").await;
    refused("the link, a second time", reset, Reason::RevokedByVersion)?;
    let reset = app.reset_password(&other, "hunter22").await;
    refused("another link of before", reset, Reason::RevokedByVersion)?;
    let old = app.log_in(("alice", "correct horse battery"), "phone", Context::new()).await?;
    ensure("the old password starts no session", old.is_none())?;
    let laptop = log_in(&app, "battery staple", "laptop").await?;
    alive(&app, "the laptop, by the new password", laptop.access()).await?;

    title(
        "A link that logs in: a mail scanner opens it three times, then Alice sends its form twice",
    );
    let link = app.link::<MagicLink>("alice").await?.ok_or("no link")?;
    for visit in ["once", "twice", "three times"] {
        let whose = app.look_at::<MagicLink>(&link).await?;
        ensure(&format!("looked at {visit}, and still good"), whose == "alice")?;
    }
    let post = || app.log_in_by_link(&link, "tablet");
    let (first, second) = at_once(&app, post(), post()).await?;
    let (tablet, loser) = match first {
        Ok(tokens) => (tokens, second),
        Err(error) => (second?, Err(error)),
    };
    alive(&app, "one of the two starts a session", tablet.access()).await?;
    refused("the other", loser, Reason::RevokedByLane)?;
    let look = app.look_at::<MagicLink>(&link).await;
    refused("the link from now on", look, Reason::RevokedByLane)?;
    devices(&app, &tablet, "tablet (this one), laptop").await?;

    title("A new e-mail address is confirmed, mistyped at first");
    let session = app.authenticate(laptop.access()).await?;
    let mistyped = app.change_email(&session, "alcie@example.org").await?;
    let right = app.change_email(&session, "alice@example.org").await?;
    let stranger = app.confirm_email(&mistyped).await;
    refused("the link in the stranger's mail", stranger, Reason::BadSignature)?;
    app.confirm_email(&right).await?;
    let account = app.db.find("alice").await?.ok_or("alice is gone")?;
    ensure("her address is the new one", account.email == "alice@example.org")?;
    refused("the link, a second time", app.confirm_email(&right).await, Reason::RevokedByLane)?;
    alive(&app, "her laptop, which all this leaves alone", laptop.access()).await?;

    title("Tokens bound to a hardened cookie, in a browser whose scripts leak them");
    let cookie = Fingerprint::generate()?;
    let here = || Context::new().with_fingerprint(&cookie);
    let browser = app.log_in(("alice", "battery staple"), "browser", here()).await?;
    let browser = browser.ok_or("the login of a genuine user failed")?;
    let arrived = || copy(browser.access()).in_context(here());
    alive(&app, "with the cookie", &arrived()).await?;
    dead(&app, "a thief without it", browser.access(), Reason::BadSignature).await?;
    let guessed = Context::new().with_fingerprint(&Fingerprint::generate()?);
    let thief = copy(browser.access()).in_context(guessed);
    dead(&app, "a thief with a cookie of his own", &thief, Reason::BadSignature).await?;
    let thief = app.refresh(copy(browser.refresh())).await;
    refused("the thief's refresh", thief, Reason::BadSignature)?;
    let fresh = app.refresh(copy(browser.refresh()).in_context(here())).await?;
    alive(&app, "the browser, refreshed", &copy(fresh.access()).in_context(here())).await?;
    ensure("nothing to alarm on: the thief used nothing up", events.try_recv().is_err())?;

    title("Her sessions' column is damaged: a store error of its own, and nothing is overwritten");
    let good = sessions_column(&app).await?;
    set_sessions_column(&app, "{\"format\":1,\"gener").await?;
    store_error("a request", app.authenticate(laptop.access()).await)?;
    store_error("a refresh", app.refresh(copy(laptop.refresh())).await)?;
    let login = app.log_in(("alice", "battery staple"), "phone", Context::new()).await;
    store_error("a login", login)?;
    let damaged = sessions_column(&app).await?;
    ensure("the column is as it was", damaged == "{\"format\":1,\"gener")?;
    set_sessions_column(&app, &good).await?;
    alive(&app, "the laptop, once the column is restored", laptop.access()).await?;

    println!("\nAll as promised.");
    Ok(())
}

// ---- The story's own -----------------------------------------------------------------------

/// The system's clock, and what the story puts it forward by.
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
        return Err(format!("{what}: not so").into());
    }
    println!("  ✓ {what}");
    Ok(())
}

/// A second one of the same text, as a thief or another tab has it.
fn copy<P>(token: &Token<P>) -> Token<P> {
    Token::new(token.expose())
}

async fn log_in(app: &App, password: &str, device: &str) -> Result<SessionTokens> {
    let tokens = app.log_in(("alice", password), device, Context::new()).await?;
    tokens.ok_or_else(|| "the login of a genuine user failed".into())
}

/// Two requests neither of which writes before both have read: until then the story holds the
/// database's lock on writing.
async fn at_once<T>(
    app: &App,
    one: impl Future<Output = T>,
    other: impl Future<Output = T>,
) -> Result<(T, T)> {
    let counts = || (app.db.reads.load(Ordering::SeqCst), app.db.lost.load(Ordering::SeqCst));
    let (reads, lost) = counts();
    let lock = app.db.pool.begin_with("BEGIN IMMEDIATE").await?;
    let patience = Instant::now() + std::time::Duration::from_secs(3);
    let unlock = async {
        while counts().0 < reads + 2 && Instant::now() < patience {
            yield_now().await;
        }
        lock.rollback().await
    };
    let (one, other, unlocked) = tokio::join!(one, other, unlock);
    unlocked?;
    ensure("both read, then both wrote: one lost the compare-and-set", counts().1 == lost + 1)?;
    Ok((one, other))
}

fn same(what: &str, one: &RefreshToken, other: &RefreshToken) -> Result {
    ensure(what, one.expose() == other.expose())
}

async fn alive(app: &App, what: &str, token: &AccessToken) -> Result {
    let session = app.authenticate(token).await.map_err(|error| format!("{what}: {error}"))?;
    println!("  ✓ {what}: alive, it is {}", session.user().id);
    Ok(())
}

async fn dead(app: &App, what: &str, token: &AccessToken, reason: Reason) -> Result {
    rejected(app.authenticate(token).await, reason, what, "dead")
}

fn refused<T>(what: &str, outcome: app::Result<T>, reason: Reason) -> Result {
    rejected(outcome, reason, what, "refused")
}

fn rejected<T>(outcome: app::Result<T>, reason: Reason, what: &str, said: &str) -> Result {
    match outcome {
        Err(Failure::Refused(rejection)) if rejection.reason() == reason => {
            println!("  ✓ {what}: {said} ({reason})");
            Ok(())
        }
        Err(other) => Err(format!("{what}: expected {reason}, got {other}").into()),
        Ok(_) => Err(format!("{what}: expected {reason}, and it is accepted").into()),
    }
}

fn store_error<T>(what: &str, outcome: app::Result<T>) -> Result {
    match outcome {
        Err(error @ Failure::Store(_)) => println!("  ✓ {what}: {error}"),
        Err(other) => return Err(format!("{what}: expected a store error, got {other}").into()),
        Ok(_) => return Err(format!("{what}: expected a store error, got through").into()),
    }
    Ok(())
}

/// Alice's page "your devices", as the device with these tokens shows it.
async fn devices(app: &App, on: &SessionTokens, expected: &str) -> Result {
    let session = app.authenticate(on.access()).await?;
    let lines = app.devices(&session)?.into_iter().map(|(info, is_this)| match is_this {
        true => format!("{} (this one)", info.label()),
        false => info.label().to_owned(),
    });
    let list = lines.collect::<Vec<_>>().join(", ");
    ensure(&format!("your devices: {list}"), list == expected)
}

async fn no_devices(app: &App) -> Result {
    let alice = app.db.find("alice").await?.ok_or("alice is gone")?;
    ensure("the list of her devices is empty", app.authority.sessions(&alice)?.is_empty())
}

/// The one event that was reported since, with all that is known of it.
fn heard(events: &Receiver<SessionEvent>, kind: EventKind, label: &str) -> Result {
    let event = events.try_recv().map_err(|_| format!("expected an event: {kind}"))?;
    println!("  ! {event}");
    let ended = usize::from(kind == EventKind::Reuse);
    let is_so = event.kind() == kind
        && event.label() == Some(label)
        && event.ended_sessions() == ended
        && events.try_recv().is_err();
    ensure(&format!("it is reported: {kind}"), is_so)
}

async fn sessions_column(app: &App) -> Result<String> {
    let query = sqlx::query_scalar("SELECT sessions FROM users WHERE id = 'alice'");
    Ok(query.fetch_one(&app.db.pool).await?)
}

async fn set_sessions_column(app: &App, text: &str) -> Result {
    let query = sqlx::query("UPDATE users SET sessions = ? WHERE id = 'alice'").bind(text);
    query.execute(&app.db.pool).await?;
    Ok(())
}
