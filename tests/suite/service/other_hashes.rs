//! Users whose hashes another program made.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use relatch::{
    NoClaims, Token,
    one_time::PasswordReset,
    password::{HashVerifier, PasswordError, PasswordHasher, PasswordPolicy, PasswordRefusal},
    service::{LoginRefusal, Service, ServiceError},
    store::UserKey,
};

use super::{ALICE, BOB, Backend, Column, PASSWORD, Profile, World, faulty::Faulty};
use crate::common::Role;

over_each_store! {
    a_login_replaces_a_hash_of_another_kind_and_logs_nobody_out,
    each_call_that_asks_for_a_password_takes_a_hash_of_another_kind,
    a_stronger_hash_is_kept,
    a_hash_of_a_password_as_typed_is_replaced,
    only_new_passwords_are_checked_by_the_policy,
    a_password_that_cannot_be_hashed_is_refused_before_the_read,
    a_panic_in_the_applications_own_check_is_the_servers_fault,
    a_wrong_password_is_verified_in_one_turn,
}

/// Hashes of an older program: the text itself, behind a prefix.
#[derive(Clone, Default)]
struct Legacy {
    /// The number of times that its work was done.
    worked: Arc<AtomicUsize>,
}

const LEGACY: &str = "legacy$18$Xy";

impl HashVerifier for Legacy {
    fn recognises(&self, stored: &str) -> bool {
        stored.starts_with(LEGACY)
    }

    fn verify(&self, password: &str, stored: &str) -> Result<bool, PasswordError> {
        self.work(password);
        Ok(stored.strip_prefix(LEGACY) == Some(&password.replace(' ', "_")))
    }

    fn work(&self, _: &str) {
        self.worked.fetch_add(1, Ordering::SeqCst);
    }
}

fn legacy(password: &str) -> String {
    format!("{LEGACY}{}", password.replace(' ', "_"))
}

/// A service that verifies such hashes, over a store in which Alice has this one.
async fn with_hash<B: Backend>(db: B, hash: &str) -> (World<B>, Service<Profile, Role>) {
    let world = World::new(db).await;
    world.db.write(ALICE, Column::PasswordHash, Some(hash)).await;
    let hasher = PasswordHasher::new().also_verifies(Legacy::default());
    let service = world.another(|settings| settings.hasher(hasher));
    (world, service)
}

async fn reset_link(service: &Service<Profile, Role>) -> Token<PasswordReset> {
    let user = service.find(UserKey::Id(ALICE)).await.unwrap().unwrap();
    service.authority().issue::<PasswordReset>(&user, &NoClaims {}).sign().unwrap()
}

async fn a_login_replaces_a_hash_of_another_kind_and_logs_nobody_out<B: Backend>(db: B) {
    let (world, service) = with_hash(db, &legacy(PASSWORD)).await;
    let before = world.start("before").await;
    let refused = world.service.login("alice", PASSWORD, "x").await;
    let unsupported = LoginRefusal::UnsupportedHash;
    assert!(matches!(refused, Err(ServiceError::LoginRefused(why)) if why == unsupported));
    let wrong = service.login("alice", "a wrong password", "x").await;
    let why = LoginRefusal::WrongPassword;
    assert!(matches!(wrong, Err(ServiceError::LoginRefused(found)) if found == why));

    let login = service.login("alice", PASSWORD, "rehashing").await.unwrap();
    let columns = world.columns(ALICE).await;
    let hash = columns.password_hash.clone().unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(columns.carried.is_some());
    world.assert_alive(&before).await;
    world.assert_alive(&login).await;
    // Now a service without the verifier accepts it too, and changes nothing.
    drop(world.service.login("alice", PASSWORD, "later").await.unwrap());
    assert_eq!(world.columns(ALICE).await.password_hash, Some(hash));
    world.assert_alive(&before).await;
}

async fn each_call_that_asks_for_a_password_takes_a_hash_of_another_kind<B: Backend>(db: B) {
    let (world, service) = with_hash(db, &legacy(PASSWORD)).await;
    let phone = world.start("phone").await;
    let laptop = world.start("laptop").await;
    service.check_password(phone.access(), PASSWORD).await.unwrap();
    let wrong = service.check_password(phone.access(), "a wrong password").await;
    assert!(matches!(wrong, Err(ServiceError::WrongPassword(LoginRefusal::WrongPassword))));
    let is_legacy = world.columns(ALICE).await.password_hash == Some(legacy(PASSWORD));
    assert!(is_legacy, "a check changes nothing");

    let phone = service.reauthenticate(phone.access(), PASSWORD).await.unwrap();
    assert!(world.columns(ALICE).await.password_hash.clone().unwrap().starts_with("$argon2id$"));
    world.assert_alive(&phone).await;
    world.assert_alive(&laptop).await;

    world.db.write(ALICE, Column::PasswordHash, Some(&legacy(PASSWORD))).await;
    let phone = world.start("phone").await;
    let new = "another battery staple";
    let phone = service.change_password(phone.access(), PASSWORD, new).await.unwrap();
    world.assert_alive(&phone).await;
    drop(service.login("alice", new, "x").await.unwrap());

    world.db.write(ALICE, Column::PasswordHash, Some(&legacy(PASSWORD))).await;
    let link = reset_link(&service).await;
    drop(service.one_time(link).set_password(new).consume().await.unwrap());
    assert!(service.login("alice", PASSWORD, "x").await.is_err());
    drop(service.login("alice", new, "x").await.unwrap());

    world.db.write(ALICE, Column::PasswordHash, Some(&legacy(PASSWORD))).await;
    service.set_password(ALICE, new).await.unwrap();
    assert!(service.login("alice", PASSWORD, "x").await.is_err());
    drop(service.login("alice", new, "x").await.unwrap());
}

async fn a_stronger_hash_is_kept<B: Backend>(db: B) {
    let stronger = PasswordHasher::with_cost(65_536, 3, 4).unwrap().hash(PASSWORD).unwrap();
    let (world, service) = with_hash(db, &stronger).await;
    drop(service.login("alice", PASSWORD, "x").await.unwrap());
    let columns = world.columns(ALICE).await;
    assert_eq!(columns.password_hash, Some(stronger));
    assert_eq!(columns.carried, None);
}

async fn a_hash_of_a_password_as_typed_is_replaced<B: Backend>(db: B) {
    let (composed, decomposed) = ("caf\u{e9} at the station", "cafe\u{301} at the station");
    let (world, service) = with_hash(db, &legacy(decomposed)).await;
    assert!(service.login("alice", composed, "x").await.is_err());
    drop(service.login("alice", decomposed, "x").await.unwrap());
    assert!(world.columns(ALICE).await.carried.is_some());
    drop(service.login("alice", composed, "x").await.unwrap());
    drop(world.service.login("alice", decomposed, "x").await.unwrap());
}

async fn only_new_passwords_are_checked_by_the_policy<B: Backend>(db: B) {
    let (world, service) = with_hash(db, &legacy("12345")).await;
    let phone = service.login("alice", "12345", "phone").await.unwrap();
    service.check_password(phone.access(), "12345").await.unwrap();
    let phone = service.reauthenticate(phone.access(), "12345").await.unwrap();

    let before = world.columns(ALICE).await;
    let link = reset_link(&service).await;
    let short = "fourteen chars";
    for refused in [
        service.hash_password(short).await.map(drop),
        service.change_password(phone.access(), "12345", short).await.map(drop),
        service.set_password(ALICE, short).await.map(drop),
        service.one_time(link).set_password(short).consume().await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.status(), 422);
        assert_eq!(error.to_string(), "choose a password of at least 15 characters");
        let too_short = PasswordRefusal::TooShort { min_chars: 15 };
        assert!(matches!(error, ServiceError::PasswordRefused(why) if why == too_short));
    }
    assert!(world.columns(ALICE).await == before);

    let policy = PasswordPolicy::with_second_factor().also(|password| match password {
        "password1" => Err("choose a password that is not known to everybody".to_owned()),
        _ => Ok(()),
    });
    let other = world.another(|settings| settings.password_policy(policy));
    let known = other.set_password(ALICE, "password1").await.unwrap_err();
    assert_eq!(known.to_string(), "choose a password that is not known to everybody");
    other.set_password(ALICE, short).await.unwrap();
}

#[derive(Debug)]
struct Broken;

impl HashVerifier for Broken {
    fn recognises(&self, stored: &str) -> bool {
        stored.starts_with(LEGACY)
    }

    fn verify(&self, _: &str, _: &str) -> Result<bool, PasswordError> {
        panic!("the verifier is broken")
    }

    fn work(&self, _: &str) {}
}

/// The error is a 500: after a 503 the client would repeat the request, and the check would panic again.
async fn a_panic_in_the_applications_own_check_is_the_servers_fault<B: Backend>(db: B) {
    let world = World::new(db).await;
    let policy = PasswordPolicy::new().also(|_| panic!("the policy is broken"));
    let hasher = PasswordHasher::new().also_verifies(Broken);
    let service = world.another(|settings| settings.password_policy(policy).hasher(hasher));
    let new = "another battery staple";
    world.db.write(ALICE, Column::PasswordHash, Some("legacy$18$Xyother")).await;
    for broken in [
        service.hash_password(new).await.map(drop),
        service.set_password(ALICE, new).await.map(drop),
        service.login("alice", PASSWORD, "x").await.map(drop),
    ] {
        let error = broken.unwrap_err();
        assert!(matches!(error, ServiceError::Password(PasswordError::Panicked)), "{error:?}");
        assert_eq!((error.status(), error.is_unavailable()), (500, false));
    }
}

async fn a_password_that_cannot_be_hashed_is_refused_before_the_read<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let legacy = Legacy::default();
    let hasher = PasswordHasher::new().also_verifies(legacy.clone());
    let service = world.over(store.clone(), |settings| settings.hasher(hasher));
    for unhashable in ["", &*"x".repeat(1025), &*"\u{fdfa}".repeat(300)] {
        for login in ["alice", "bob", "nobody"] {
            let error = service.login(login, unhashable, "x").await.unwrap_err();
            let why = LoginRefusal::InvalidPassword;
            assert!(matches!(error, ServiceError::LoginRefused(found) if found == why));
        }
    }
    assert_eq!((store.reads(), legacy.worked.load(Ordering::SeqCst)), (0, 0));
}

/// Whatever is stored, also nothing and for a name that nobody has.
async fn a_wrong_password_is_verified_in_one_turn<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let legacy = Legacy::default();
    let hasher = PasswordHasher::new().also_verifies(legacy.clone());
    let service = world.over(store.clone(), |settings| settings.hasher(hasher));
    let argon2 = world.columns(ALICE).await.password_hash.clone().unwrap();
    let stored = [
        &*argon2,
        "legacy$18$Xyother",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "!",
        "",
    ];
    for (login, stored) in stored
        .map(|hash| ("alice", Some(hash)))
        .into_iter()
        .chain([("bob", None), ("nobody", None)])
    {
        if let Some(hash) = stored {
            world.db.write(ALICE, Column::PasswordHash, Some(hash)).await;
        }
        let reads = store.reads();
        assert!(service.login(login, "a wrong password", "x").await.is_err());
        assert_eq!(store.reads(), reads + 1, "{login} {stored:?}");
        assert_eq!(legacy.worked.swap(0, Ordering::SeqCst), 1, "{login} {stored:?}");
    }
    assert!(world.columns(BOB).await.password_hash.is_none());
}
