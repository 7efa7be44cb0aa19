//! Known faults of other implementations: one test for each that concerns tokens, keys, sessions
//! or the cache. The table of them, with links, is in the guide: `src/guide/limits.md`.

use std::{convert::Infallible, sync::Mutex};

use jsonwebtoken11::Algorithm;
use relatch::{
    Access, IssueError, NoClaims, Reason, Token, VerifyError,
    sessions::EventKind,
    user::{Carried, Counter, Credential, CredentialError, KeyCache, RecordError},
};
use sha2::{Digest, Sha256};

use crate::common::{
    Account, Download, HASH, MagicLink, Reset, TestClock, account, authority, builder, copy, key,
    peek, present, reason, refresh_reason, verify,
};

/// ASP.NET Core #46185 and django-sesame's FAQ: a rehash at login changed the stamp, which logged
/// the user out.
#[test]
fn trap_rehash_at_login_logs_nobody_out() {
    let (authority, _) = authority();
    let mut before = account("alice");
    let token = authority.issue_for_user(&before).unwrap();
    let decision = authority.start_session(&before, "phone").unwrap();
    let phone = before.commit(decision);
    let old = Credential::from_password_hash(&before.password_hash).unwrap();
    let rehashed = "$argon2id$v=19$m=65536,t=3,p=1$other$other";
    let new = Credential::from_password_hash(rehashed).unwrap();
    let mut after = Account {
        password_hash: rehashed.to_owned(),
        carried: Some(Carried::rehash(None, &old, &new)),
        ..before
    };
    assert!(verify(&authority, &token, &after).is_ok());
    assert!(verify(&authority, phone.access(), &after).is_ok());
    let refreshed = present(&authority, &mut after, copy(phone.refresh())).unwrap();
    let phone = refreshed.into_tokens().unwrap();
    let since = authority.issue_for_user(&after).unwrap();
    assert!(verify(&authority, &since, &after).is_ok());

    // A new password revokes all tokens, even if the carried pair is not cleared.
    let changed = Account { password_hash: "$argon2id$changed".into(), ..after };
    for dead in [&token, &since, phone.access()] {
        assert_eq!(reason(verify(&authority, dead, &changed)), Reason::BadSignature);
    }
    let dead = copy(phone.refresh());
    assert_eq!(refresh_reason(&authority, &changed, dead), Reason::BadSignature);
}

/// Applications with version counters: a rehash at login overwrote a concurrent reset. The rehash
/// is a compare-and-set on the old hash. The statement is the application's; this is the one that
/// the example `quickstart` shows.
#[tokio::test]
async fn trap_rehash_at_login_does_not_overwrite_a_concurrent_reset() {
    let db = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
    let run = |sql: &'static str| sqlx::query(sql).execute(&db);
    run("CREATE TABLE users (id TEXT, password_hash TEXT, carried TEXT)").await.unwrap();
    run("INSERT INTO users VALUES ('alice', '$argon2id$old', NULL)").await.unwrap();

    // A login has read the old hash and is hashing when the reset is written.
    run("UPDATE users SET password_hash = '$argon2id$reset'").await.unwrap();
    let of = |hash| Credential::from_password_hash(hash).unwrap();
    let carried = Carried::rehash(None, &of("$argon2id$old"), &of("$argon2id$rehashed"));
    let rehash = sqlx::query(
        "UPDATE users SET password_hash = ?, carried = ? WHERE id = ? AND password_hash = ?",
    );
    let rehash = rehash.bind("$argon2id$rehashed").bind(carried.expose_text().as_str());
    let done = rehash.bind("alice").bind("$argon2id$old").execute(&db).await.unwrap();
    assert_eq!(done.rows_affected(), 0);
    let row: (String, Option<String>) =
        sqlx::query_as("SELECT password_hash, carried FROM users").fetch_one(&db).await.unwrap();
    assert_eq!(row, ("$argon2id$reset".to_owned(), None));
}

/// Applications that read the record again: the password was changed while a login with the old one
/// was hashing, and the login received a valid token. A token for the record that was verified is
/// rejected from the start.
#[test]
fn trap_a_login_that_a_password_change_overtakes_gives_a_dead_token() {
    let (authority, _) = authority();
    let verified = account("alice");
    let present =
        Account { password_hash: "$argon2id$changed-meanwhile".into(), ..verified.clone() };
    let token = authority.issue_for_user(&verified).unwrap();
    assert_eq!(reason(verify(&authority, &token, &present)), Reason::BadSignature);
}

/// simplejwt #927: the access token was checked against the hash, the refresh token was not.
#[test]
fn trap_every_purpose_dies_with_the_password() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let decision = authority.start_session(&alice, "phone").unwrap();
    let phone = alice.commit(decision);
    let changed = Account { password_hash: "$argon2id$changed".into(), ..alice.clone() };
    let refresh = copy(phone.refresh());
    assert_eq!(refresh_reason(&authority, &changed, refresh), Reason::BadSignature);
    assert_eq!(reason(verify(&authority, phone.access(), &changed)), Reason::BadSignature);
    let access = authority.issue::<Access>(&alice, &NoClaims {}).sign().unwrap();
    let download = authority.issue::<Download>(&alice, &NoClaims {}).sign().unwrap();
    let link = authority.issue::<MagicLink>(&alice, &NoClaims {}).sign().unwrap();
    assert_eq!(reason(verify(&authority, &access, &changed)), Reason::BadSignature);
    assert_eq!(reason(verify(&authority, &download, &changed)), Reason::BadSignature);
    assert_eq!(reason(peek(&authority, &link, &changed)), Reason::BadSignature);
    let reset = authority.issue::<Reset>(&alice, &NoClaims {}).sign().unwrap();
    assert_eq!(reason(peek(&authority, &reset, &changed)), Reason::BadSignature);
}

/// Devise's `authenticatable_salt`: a prefix of the hash was bound, which with argon2 is only its
/// parameters.
#[test]
fn trap_the_whole_hash_is_bound_to_its_last_character() {
    let (authority, _) = authority();
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    for at in 0..HASH.len() {
        let mut other = HASH.as_bytes().to_vec();
        other[at] = if other[at] == b'x' { b'y' } else { b'x' };
        let other = String::from_utf8(other).unwrap();
        let changed = Account { password_hash: other, ..alice.clone() };
        assert_eq!(reason(verify(&authority, &token, &changed)), Reason::BadSignature, "{at}");
    }
}

/// Django's reset tokens and Spring's remember-me: fields were joined without their lengths.
#[test]
fn trap_fields_do_not_run_into_each_other() {
    let authority = builder(&TestClock::new()).user_epoch("tenant").build().unwrap();
    let member =
        |id: &str, tenant: &str| Account { tenant: Some((tenant.to_owned(), 1)), ..account(id) };
    let no_context = relatch::Context::new();
    let key_of =
        |user: &Account| *authority.danger_expose_key::<Access>(user, &no_context).unwrap();
    assert_ne!(key_of(&member("alice1", "acme")), key_of(&member("alice", "1acme")));
    let hash =
        |hash: &str, id: &str| Account { password_hash: hash.to_owned(), ..member(id, "acme") };
    assert_ne!(key_of(&hash("b$argon2id$hash", "a")), key_of(&hash("$argon2id$hash", "ab")));
    // Adjacent fields of variable length, without one of fixed length between them.
    let in_context = |kind, value| {
        let context = relatch::Context::new().with(kind, value);
        *authority.danger_expose_key::<Access>(&member("alice", "acme"), &context).unwrap()
    };
    assert_ne!(in_context("ab", "c"), in_context("a", "bc"));
}

/// simplejwt #719: an unkeyed digest (MD5) of the hash was in the token, an offline oracle for the
/// password.
#[test]
fn trap_a_token_is_no_oracle_for_the_password_hash() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    for mode in [relatch::BindingMode::Key, relatch::BindingMode::StampHs256] {
        let authority = builder(&TestClock::new()).mode(mode).build().unwrap();
        let other = authority.with_keys(key("k1", 2)).unwrap();
        let alice = account("alice");
        let mut bytes = Vec::new();
        for part in authority.issue_for_user(&alice).unwrap().expose().split('.') {
            bytes.extend(B64.decode(part).unwrap());
        }
        let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        let framed = |label: &[u8]| {
            let mut hash = Sha256::new();
            for piece in [label, HASH.as_bytes()] {
                hash.update(u32::try_from(piece.len()).unwrap().to_be_bytes());
                hash.update(piece);
            }
            hash.finalize()
        };
        for digest in [Sha256::digest(HASH), framed(b"relatch/1 credential")] {
            assert!(!contains(&digest[..8]));
            assert!(!contains(B64.encode(digest).get(..10).unwrap().as_bytes()));
        }
        // The stamp depends on a key that an attacker who guesses passwords does not have.
        let no_context = relatch::Context::new();
        let stamp = |authority: &relatch::Authority| {
            let (header, payload) = ("header", r#"{"sub":"alice""#);
            authority.danger_expose_stamp::<Access>(&alice, &no_context, header, payload).unwrap()
        };
        assert_ne!(stamp(&authority), stamp(&other));
    }
}

/// firebase-admin-node #195: tokens of the same second survived a revocation. firebase-js-sdk #2201
/// and Keycloak #5990: a fresh login of the same second was rejected. Both compared times.
#[test]
fn trap_within_one_second_the_old_token_dies_and_the_new_one_lives() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let old = authority.issue_for_user(&alice).unwrap();
    alice.version = relatch::user::Counter::from(alice.version).next(clock.at(0)).unwrap().get();
    let new = authority.issue_for_user(&alice).unwrap();
    assert_eq!(reason(verify(&authority, &old, &alice)), Reason::RevokedByVersion);
    assert!(verify(&authority, &new, &alice).is_ok());
    let before = alice.version;
    alice.version = relatch::user::Counter::from(before).next(clock.at(0)).unwrap().get();
    assert!(alice.version > before, "a second bump in the same millisecond");
    assert_eq!(reason(verify(&authority, &new, &alice)), Reason::RevokedByVersion);
}

/// Keycloak #51279 (CVE-2026-18218): of two revocation times the newer was ignored, and revoked
/// tokens were accepted. Here each counter alone revokes, whatever the others are.
#[test]
fn trap_no_counter_hides_another() {
    let at = |realm| {
        let builder = builder(&TestClock::new()).epoch("realm", realm);
        builder.user_epoch("tenant").build().unwrap()
    };
    let member = |tenant, version| {
        let tenant = Some(("acme".to_owned(), tenant));
        Account { tenant, version, ..account("alice") }
    };
    for (realm, tenant, version) in [(5, 5, 5), (9, 5, 1), (1, 5, 9)] {
        let token = at(realm).issue_for_user(&member(tenant, version)).unwrap();
        let verify = |realm, tenant, version| {
            let verified = verify(&at(realm), &token, &member(tenant, version));
            verified.map(drop).map_err(|error| error.reason().unwrap())
        };
        assert_eq!(verify(realm, tenant, version), Ok(()));
        assert_eq!(verify(realm + 1, tenant, version), Err(Reason::BadSignature));
        assert_eq!(verify(realm, tenant + 1, version), Err(Reason::BadSignature));
        assert_eq!(verify(realm, tenant, version + 1), Err(Reason::RevokedByVersion));
    }
}

/// A cached key outlived the bump: a cache that finds derived keys by the user's id accepts old
/// tokens for as long as it keeps them.
#[test]
fn trap_a_cached_key_does_not_outlive_the_bump() {
    let (authority, clock) = authority();
    let mut alice = Account { keys: Some(KeyCache::default()), ..account("alice") };
    let old = authority.issue_for_user(&alice).unwrap();
    for _ in 0..2 {
        assert!(verify(&authority, &old, &alice).is_ok());
    }
    // Changed in place: the old keys are still cached beside the record.
    alice.version = Counter::from(alice.version).next(clock.at(0)).unwrap().get();
    assert_eq!(reason(verify(&authority, &old, &alice)), Reason::RevokedByVersion);
    let new = authority.issue_for_user(&alice).unwrap();
    assert!(verify(&authority, &new, &alice).is_ok());
    // A thief of the old token's key signs a token of the new version.
    let before = Account { version: 0, keys: None, ..alice.clone() };
    let no_context = relatch::Context::new();
    let stolen = *authority.danger_expose_key::<Access>(&before, &no_context).unwrap();
    let signed = new.expose().rsplit_once('.').unwrap().0;
    let stolen = jsonwebtoken11::EncodingKey::from_secret(&stolen);
    let signature = jsonwebtoken11::crypto::sign(signed.as_bytes(), &stolen, Algorithm::HS256);
    let forged = Token::<Access>::new(format!("{signed}.{}", signature.unwrap()));
    assert_eq!(reason(verify(&authority, &forged, &alice)), Reason::BadSignature);
    // A new password moves no counter.
    alice.password_hash = "$argon2id$changed".into();
    assert_eq!(reason(verify(&authority, &new, &alice)), Reason::BadSignature);
}

/// Django #34384: rotating the secret logged everyone out.
#[test]
fn trap_rotating_the_server_s_key_logs_nobody_out_before_the_deadline() {
    let (authority, clock) = authority();
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    let ring = authority.keys().clone().rotate(key("k2", 2), clock.at(900)).unwrap();
    let authority = authority.with_keys(ring).unwrap();
    clock.set(899);
    assert!(verify(&authority, &token, &alice).is_ok());
}

/// Avoided in KaniCasino #140: enabling version counters logs everybody out, unless a missing
/// counter counts as zero. A column that is still NULL is the initial counter; `adoption.rs` tests
/// tokens issued before relatch.
#[test]
fn trap_a_counter_that_is_not_there_yet_is_the_initial_one() {
    #[derive(Clone)]
    struct Row(Option<i64>);
    impl relatch::User for Row {
        fn id(&self) -> &str {
            "alice"
        }
        fn binding(&self) -> relatch::Binding<'_> {
            relatch::Binding::password_hash(HASH).version(self.0)
        }
    }
    let (authority, _) = authority();
    let token = authority.issue_for_user(&Row(None)).unwrap();
    let with = |row| authority.verify(&token, |_| Ok::<_, Infallible>(Some(row)));
    assert!(with(Row(None)).is_ok());
    assert!(with(Row(Some(0))).is_ok(), "the column was back-filled");
    assert!(with(Row(Some(1))).is_err());
}

/// django-sesame's FAQ: a mail scanner's GET used the one-time link up. The page behind the link
/// peeks; only its form, sent by `POST`, consumes.
#[test]
fn trap_looking_at_a_one_time_link_does_not_use_it() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let link = authority.issue::<MagicLink>(&alice, &NoClaims {}).sign().unwrap();
    let before = alice.clone();
    for _ in 0..3 {
        assert!(peek(&authority, &link, &alice).is_ok());
    }
    assert_eq!(alice.lane, before.lane);
    let opened = authority.open_once(copy(&link)).unwrap();
    let _ = alice.commit(opened.consume(&before).unwrap());
    assert_eq!(reason(peek(&authority, &link, &alice)), Reason::RevokedByLane);
    assert_eq!(reason(opened.consume(&alice).map(drop)), Reason::RevokedByLane);
}

/// Hydra #1831: a response lost during rotation, or two tabs that refreshed at once, logged people
/// out. django-oauth-toolkit #1617: a long grace accepted refresh tokens several generations old.
#[test]
fn trap_rotation_races_log_nobody_out_and_only_the_predecessor_has_a_grace() {
    let (authority, clock) = authority();
    let mut alice = account("alice");
    let decision = authority.start_session(&alice, "phone").unwrap();
    let first = alice.commit(decision);
    let mut refresh = |token: &Token<_>| present(&authority, &mut alice, copy(token)).unwrap();
    let one_tab = refresh(first.refresh()).into_tokens().unwrap();
    clock.set(10);
    let other_tab = refresh(first.refresh()).into_tokens().unwrap();
    let lost_response = refresh(first.refresh()).into_tokens().unwrap();
    for again in [&other_tab, &lost_response] {
        assert_eq!(again.refresh().expose(), one_tab.refresh().expose(), "the chain does not fork");
    }
    let third = refresh(one_tab.refresh()).into_tokens().unwrap();
    assert!(refresh(one_tab.refresh()).into_tokens().is_ok());
    // Ten seconds after its own use, yet outside any grace: it is two generations behind.
    let reused = refresh(first.refresh());
    assert_eq!(reused.event().unwrap().kind(), EventKind::Reuse);
    assert_eq!(reason(verify(&authority, third.access(), &alice)), Reason::SessionEnded);
}

/// better-auth #11073: a refresh that raced a revocation left a living session. It had read the
/// record before the reset, bump or logout was stored, and stored its successor afterwards.
#[test]
fn trap_a_refresh_that_races_a_revocation_leaves_no_living_token() {
    let (authority, _) = authority();
    let mut alice = account("alice");
    let decision = authority.start_session(&alice, "phone").unwrap();
    let phone = alice.commit(decision);
    let reset = Account { password_hash: "$argon2id$reset".into(), ..alice.clone() };
    let bumped = Account { version: alice.version + 1, ..alice.clone() };
    let log_out = authority.log_out(&alice, phone.session().id()).unwrap();
    let logged_out = alice.after(log_out.change().unwrap());
    for mut row in [reset, bumped, logged_out] {
        // The revocation comes between the refresh's read and its write.
        let opened = authority.open_refresh(copy(phone.refresh())).unwrap();
        let decision = opened.refresh(&alice).unwrap();
        let revoked = row.clone();
        let stored = decision.commit(|change| Ok::<_, ()>(row.compare_and_set(&alice, change)));
        assert!(stored.unwrap().stored().is_none());
        assert_eq!(row.sessions, revoked.sessions);
        assert!(opened.refresh(&row).is_err(), "a second try succeeded");

        // The refresh comes first: the revocation is stored after it, and revokes its tokens.
        let decision = opened.refresh(&alice).unwrap();
        let refreshed = alice.clone().commit(decision).into_tokens().unwrap();
        assert!(verify(&authority, refreshed.access(), &row).is_err());
        assert!(present(&authority, &mut row, copy(refreshed.refresh())).is_err());
    }
}

/// Laravel Socialite #592: an empty or shared hash bound nothing, and users without a password
/// could not be logged out elsewhere.
#[test]
fn trap_an_empty_hash_is_refused_and_a_random_one_is_each_user_s_own() {
    let (authority, _) = authority();
    let social = Account { password_hash: String::new(), ..account("alice") };
    let Err(IssueError::Record(error)) = authority.issue_for_user(&social) else {
        panic!("issued for an empty hash")
    };
    assert_eq!(error, RecordError::Credential(CredentialError::Empty));
    let secrets = [Credential::generate_secret(), Credential::generate_secret()];
    let [one, two] = secrets.map(|secret| secret.unwrap().to_string());
    let with = |secret: &str| Account { password_hash: secret.to_owned(), ..account("alice") };
    let token = authority.issue_for_user(&with(&one)).unwrap();
    assert!(verify(&authority, &token, &with(&one)).is_ok());
    assert!(verify(&authority, &token, &with(&two)).is_err());
}

/// A lookup under a case-insensitive collation found another user.
#[test]
fn trap_a_lookup_that_returns_somebody_else_is_no_session() {
    let (authority, _) = authority();
    let token = authority.issue_for_user(&account("alice")).unwrap();
    let asked = Mutex::new(Vec::new());
    let error = authority
        .verify(&token, |id| {
            asked.lock().unwrap().push(id.to_owned());
            Ok::<_, Infallible>(Some(account("ALICE")))
        })
        .unwrap_err();
    assert_eq!(*asked.lock().unwrap(), ["alice"]);
    assert!(matches!(error, VerifyError::Rejected(_)));
    assert_eq!(error.reason(), Some(Reason::UserMismatch));
}

/// Many JWT libraries (RFC 8725 §2.1): the token's own header chose the algorithm or the key.
#[test]
fn trap_nothing_in_a_header_chooses_an_algorithm_or_a_key() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    let (authority, _) = authority();
    let alice = account("alice");
    let genuine = authority.issue_for_user(&alice).unwrap();
    let (_, rest) = genuine.expose().split_once('.').unwrap();
    for header in [
        r#"{"alg":"none","kid":"k1","typ":"at+jwt"}"#,
        r#"{"alg":"HS384","kid":"k1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","jku":"https://evil.example/","kid":"k1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"},"kid":"k1","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","kid":"../../dev/null","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false,"kid":"k1","typ":"at+jwt"}"#,
    ] {
        let token = Token::<Access>::new(format!("{}.{rest}", B64.encode(header)));
        let refused = reason(verify(&authority, &token, &alice));
        assert!(
            matches!(refused, Reason::Malformed | Reason::WrongAlgorithm | Reason::UnknownKey),
            "{header}: {refused}"
        );
    }
}

/// ASP.NET Core #51450 and Identity #1004: the stamp was checked every 30 minutes by default.
/// better-auth #6893: a cached session outlived its revocation for 5 minutes. Here the bound has no
/// default, and holds without any notification.
#[cfg(feature = "cache")]
#[tokio::test(start_paused = true)]
async fn trap_a_cached_lookup_outlives_the_bump_by_the_bound_at_most() {
    use relatch::service::{CachePolicy, Service};
    use relatch::store::{MemoryStore, NewUser};
    use time::Duration;
    use tokio::time::advance;

    let users = MemoryStore::new();
    users.insert(NewUser::with_password_hash("1", "alice", HASH), ());
    let bound = CachePolicy::new(Duration::seconds(30), 100).unwrap();
    let service = || {
        let (authority, _) = authority();
        Service::builder(authority, users.clone()).cache(bound).build()
    };
    let (here, elsewhere) = (service(), service());
    let phone = here.start_session("1", "phone").await.unwrap();
    here.authenticate(phone.access()).await.map(drop).unwrap();
    elsewhere.log_out_everywhere("1").await.unwrap();
    advance(std::time::Duration::from_millis(1)).await;

    // A sensitive route reads past the cache. Another machine has a cache of its own.
    let fresh = here.authenticate_fresh(phone.access()).await.map(drop).unwrap_err();
    assert_eq!(fresh.reason(), Some(Reason::RevokedByVersion));
    assert!(elsewhere.authenticate(phone.access()).await.is_err());
    assert!(here.refresh(copy(phone.refresh())).await.is_err());

    let laptop = here.start_session("1", "laptop").await.unwrap();
    here.authenticate(laptop.access()).await.map(drop).unwrap();
    elsewhere.log_out_everywhere("1").await.unwrap();
    advance(std::time::Duration::from_millis(29_999)).await;
    assert!(here.authenticate(laptop.access()).await.is_ok(), "within the stated bound");
    advance(std::time::Duration::from_millis(1)).await;
    let late = here.authenticate(laptop.access()).await.map(drop).unwrap_err();
    assert_eq!(late.reason(), Some(Reason::RevokedByVersion));
}

/// The opposite fault of a cache: it refuses a session that another machine has just started.
#[cfg(feature = "cache")]
#[tokio::test]
async fn trap_a_cached_lookup_refuses_no_login_of_another_machine() {
    use relatch::service::{CachePolicy, Service};
    use relatch::store::{MemoryStore, NewUser};
    use time::Duration;

    let users = MemoryStore::new();
    users.insert(NewUser::with_password_hash("1", "alice", HASH), ());
    let bound = CachePolicy::new(Duration::HOUR, 100).unwrap();
    let service = || {
        let (authority, _) = authority();
        Service::builder(authority, users.clone()).cache(bound).build()
    };
    let (here, elsewhere) = (service(), service());
    let phone = elsewhere.start_session("1", "phone").await.unwrap();
    here.authenticate(phone.access()).await.map(drop).unwrap();
    let laptop = elsewhere.start_session("1", "laptop").await.unwrap();
    here.authenticate(laptop.access()).await.map(drop).unwrap();
    elsewhere.log_out_everywhere("1").await.unwrap();
    let tablet = elsewhere.start_session("1", "tablet").await.unwrap();
    here.authenticate(tablet.access()).await.map(drop).unwrap();
}
