//! A tour of the library: login, forged tokens, logout, revocation and key rotation, with users in
//! an embedded SQLite file.
//!
//! `cargo run --example quickstart` prints each step and exits non-zero if a step gives another
//! result.

use std::{
    env,
    error::Error,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use relatch::{
    AccessToken, Authority, MasterKey, Reason, SessionTokens, User,
    authority::Stage,
    password::PasswordHasher,
    service::{LoginRefusal, Service, ServiceError},
    store::{NewUser, SqliteStore, UserKey, UsersTable},
};
use time::{Duration, OffsetDateTime};

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result {
    let path = env::temp_dir().join(format!("relatch-quickstart-{}", std::process::id()));
    fs::create_dir(&path)?;
    let outcome = tour(&path.join("users.sqlite")).await;
    fs::remove_dir_all(&path)?;
    outcome
}

async fn tour(path: &Path) -> Result {
    let ahead = Arc::new(AtomicI64::new(0));
    let seconds = Arc::clone(&ahead);
    let now = move || OffsetDateTime::now_utc() + Duration::seconds(seconds.load(Ordering::SeqCst));
    // For this run only. In production, keep the key outside the database: `MasterKey::from_env`.
    let key = MasterKey::generate("2026-10")?;
    let authority = Authority::builder(key, "https://login.example.com", "https://api.example.com")
        .clock(now.clone())
        .build()?;

    // A new table. For an existing one, use `UsersTable::named("accounts")`.
    let users = SqliteStore::open(path, UsersTable::ready()).await?;
    users.migrate().await?;
    let service = Service::new(authority, users.clone());

    title("Alice registers, and logs in on two devices");
    let hash = service.hash_password("correct horse battery").await?;
    users.insert(NewUser::with_password_hash("1", "alice", hash)).await?;
    let phone = service.login("alice", "correct horse battery", "phone").await?;
    let laptop = service.login("alice", "correct horse battery", "laptop").await?;
    alive(&service, "her phone", &phone).await?;
    alive(&service, "her laptop", &laptop).await?;
    let wrong = service.login("alice", "wrong", "phone").await;
    refused("a wrong password", wrong, LoginRefusal::WrongPassword)?;
    let unknown = service.login("bob", "correct horse battery", "phone").await;
    refused("an unknown name", unknown, LoginRefusal::UnknownLogin)?;

    title("An attacker modifies the token");
    let subject = tamper(phone.access(), "\"sub\":\"1\"", "\"sub\":\"0\"")?;
    forged(&service, "another subject", &subject).await?;
    let expiry = tamper(phone.access(), "\"exp\":1", "\"exp\":9")?;
    forged(&service, "a later expiry", &expiry).await?;
    let role = tamper(phone.access(), "\"ver\":", "\"role\":\"admin\",\"ver\":")?;
    dead(&service, "an added claim, refused after the lookup", &role, Reason::BadSignature).await?;

    title("Alice logs her phone out, from her laptop");
    let verified = service.authenticate(laptop.access()).await?;
    service.log_out_device(&verified, phone.session().id()).await?;
    dead(&service, "her phone", phone.access(), Reason::SessionEnded).await?;
    alive(&service, "her laptop", &laptop).await?;

    title("She changes her password: all older tokens are dead, and her laptop gets new ones");
    let phone = service.login("alice", "correct horse battery", "phone").await?;
    let before = laptop;
    let laptop = service
        .change_password(before.access(), "correct horse battery", "another battery staple")
        .await?;
    dead(&service, "her phone", phone.access(), Reason::RevokedByVersion).await?;
    dead(&service, "a copy of her laptop's token", before.access(), Reason::RevokedByVersion)
        .await?;
    alive(&service, "her laptop", &laptop).await?;

    title("She logs out everywhere: her version counter increases");
    service.log_out_everywhere(verified.user().id()).await?;
    dead(&service, "her laptop", laptop.access(), Reason::RevokedByVersion).await?;

    title("The hashing cost is raised: her next login rehashes, and all devices stay logged in");
    let phone = service.login("alice", "another battery staple", "phone").await?;
    let stronger = PasswordHasher::with_cost(24 * 1024, 2, 1)?;
    let service = Service::builder(service.authority(), users.clone()).hasher(stronger).build();
    let laptop = service.login("alice", "another battery staple", "laptop").await?;
    let tablet = service.login("alice", "another battery staple", "tablet").await?;
    alive(&service, "her phone, logged in before the rehash", &phone).await?;
    alive(&service, "her laptop, whose login rehashed", &laptop).await?;
    alive(&service, "her tablet, logged in after it", &tablet).await?;

    title("The master key is rotated; the old key retires in 5 minutes");
    let authority = service.authority();
    let deadline = now() + Duration::minutes(5);
    let ring = authority.keys().clone().rotate(MasterKey::generate("2026-11")?, deadline)?;
    service.replace_authority(authority.with_keys(ring)?);
    let tablet = service.login("alice", "another battery staple", "tablet").await?;
    alive(&service, "a token under the old key", &phone).await?;
    alive(&service, "a token under the new key", &tablet).await?;
    ahead.store(301, Ordering::SeqCst);
    println!("  … 301 seconds later");
    dead(&service, "a token under the old key", phone.access(), Reason::RetiredKey).await?;
    alive(&service, "a token under the new key", &tablet).await?;

    title("Alice is disabled; enabling her again does not revive old tokens");
    service.disable("1").await?;
    dead(&service, "her tablet", tablet.access(), Reason::InactiveUser).await?;
    service.enable("1").await?;
    dead(&service, "her tablet", tablet.access(), Reason::RevokedByVersion).await?;

    title("Her account is deleted");
    let tablet = service.login("alice", "another battery staple", "tablet").await?;
    service.delete("1").await?;
    dead(&service, "her last token", tablet.access(), Reason::UnknownUser).await?;

    title("The database fails: a separate error, never \"invalid token\"");
    let carol = NewUser::without_password("2", "carol")?;
    users.insert(carol).await?;
    let carol = service.start_session("2", "a passkey").await?;
    users.pool().close().await;
    match service.authenticate(carol.access()).await {
        Err(error) if error.is_unavailable() => println!("  ✓ carol's token: {error}"),
        Err(other) => return Err(format!("expected a store error, got {other:?}").into()),
        Ok(_) => return Err("expected a store error, got a verified token".into()),
    }
    match service.find(UserKey::Login("carol")).await {
        Err(error) if error.is_unavailable() => println!("  ✓ carol's record: {error}"),
        other => return Err(format!("expected a store error, got {other:?}").into()),
    }
    println!("\nAll steps gave the expected results.");
    Ok(())
}

// ---- Helpers --------------------------------------------------------------------------------

fn title(text: &str) {
    println!("\n{text}");
}

async fn alive(service: &Service, what: &str, tokens: &SessionTokens) -> Result {
    match service.authenticate(tokens.access()).await {
        Ok(verified) => println!("  ✓ {what}: alive, it is {}", verified.user().id()),
        Err(error) => return Err(format!("{what}: expected alive, got {error:?}").into()),
    }
    Ok(())
}

async fn dead(service: &Service, what: &str, token: &AccessToken, reason: Reason) -> Result {
    match service.authenticate(token).await {
        Err(error) if error.reason() == Some(reason) => println!("  ✓ {what}: dead ({reason})"),
        Err(other) => return Err(format!("{what}: expected {reason}, got {other:?}").into()),
        Ok(_) => return Err(format!("{what}: expected {reason}, and it is alive").into()),
    }
    Ok(())
}

/// Expects a rejection before the lookup.
async fn forged(service: &Service, what: &str, token: &AccessToken) -> Result {
    match service.authenticate(token).await {
        Err(ServiceError::Rejected(rejection)) if rejection.stage() < Stage::Lookup => {
            println!("  ✓ {what}, no lookup: dead ({})", rejection.reason());
            Ok(())
        }
        other => {
            Err(format!("{what}: expected a rejection before the lookup, got {other:?}").into())
        }
    }
}

fn refused(
    what: &str,
    login: std::result::Result<SessionTokens, ServiceError>,
    refusal: LoginRefusal,
) -> Result {
    match login {
        Err(error @ ServiceError::LoginRefused(found)) if found == refusal => {
            println!("  ✓ {what}: {error} ({refusal})");
            Ok(())
        }
        other => Err(format!("{what}: expected {refusal}, got {other:?}").into()),
    }
}

/// The token with one part of its payload replaced.
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
