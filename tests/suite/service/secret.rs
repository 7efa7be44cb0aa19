//! The secret of a second factor, to which tokens are bound beside the password's hash.

use relatch::{
    IssueError, Reason, User,
    password::PasswordHasher,
    service::{Service, ServiceError},
    user::{Credential, CredentialError, RecordError},
};

use super::{ALICE, BOB, Backend, PASSWORD, Profile, Tokens, World};
use crate::common::Role;

over_each_store! {
    a_new_secret_logs_the_others_out_and_keeps_this_device,
    a_secret_is_replaced_and_removed,
    a_carried_credential_ends_with_a_new_secret,
    a_secret_that_binds_nothing_is_refused,
    an_administrator_s_change_logs_out_everywhere,
    a_session_that_is_over_changes_no_secret,
}

const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

async fn change(
    service: &Service<Profile, Role>,
    tokens: &Tokens,
    secret: Option<&str>,
) -> Result<Tokens, ServiceError> {
    service.change_secret(tokens.access(), secret).await
}

#[track_caller]
fn refusal<T>(outcome: Result<T, ServiceError>) -> CredentialError {
    match outcome.err() {
        Some(ServiceError::Record(RecordError::Credential(error))) => error,
        other => panic!("{other:?}"),
    }
}

async fn a_new_secret_logs_the_others_out_and_keeps_this_device<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (phone, laptop) = (world.start("phone").await, world.start("laptop").await);
    let own = change(&world.service, &phone, Some(SECRET)).await.unwrap();
    assert_eq!(own.session().label(), "phone");
    assert_eq!(world.columns(ALICE).await.secret.as_deref(), Some(SECRET));
    world.assert_alive(&own).await;
    assert_eq!(world.assert_dead(&laptop).await, Reason::RevokedByVersion);
    assert_eq!(world.assert_dead(&phone).await, Reason::RevokedByVersion);
    assert_eq!(world.labels().await, ["phone"]);
    // The password is the same, and the second step has the secret.
    let login = world.service.verify_login("alice", PASSWORD, "laptop").await.unwrap();
    let pending = login.pending().unwrap();
    let pending = world.service.second_step(pending, "laptop").await.unwrap();
    assert_eq!(pending.user().id(), ALICE);
    assert_eq!(pending.expose_secret(), Some(SECRET));
}

async fn a_secret_is_replaced_and_removed<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    let first = change(&world.service, &phone, Some(SECRET)).await.unwrap();
    let other = world.start("other").await;
    let new = Credential::generate_secret().unwrap();
    let second = change(&world.service, &first, Some(&new)).await.unwrap();
    world.assert_dead(&other).await;
    world.assert_dead(&first).await;
    let other = world.start("other").await;
    let third = change(&world.service, &second, None).await.unwrap();
    assert_eq!(world.columns(ALICE).await.secret, None);
    world.assert_dead(&other).await;
    world.assert_alive(&third).await;
}

async fn a_carried_credential_ends_with_a_new_secret<B: Backend>(db: B) {
    let world = World::new(db).await;
    let before = world.start("before").await;
    let hasher = PasswordHasher::with_cost(20_480, 2, 1).unwrap();
    let costly = world.another(|settings| settings.hasher(hasher));
    let login = costly.login("alice", PASSWORD, "phone").await.unwrap();
    assert!(world.columns(ALICE).await.carried.is_some());
    let own = change(&costly, &login, Some(SECRET)).await.unwrap();
    assert_eq!(world.columns(ALICE).await.carried, None);
    world.assert_dead(&before).await;
    world.assert_alive(&own).await;
}

async fn a_secret_that_binds_nothing_is_refused<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    let bobs = world.service.start_session(BOB, "phone").await.unwrap();
    let (before, bob) = (world.columns(ALICE).await, world.columns(BOB).await);
    let long = "x".repeat(Credential::MAX_SECRET_BYTES + 1);
    for (secret, error) in [
        ("", CredentialError::Empty),
        ("fifteen bytes..", CredentialError::TooShort),
        (&*long, CredentialError::TooLong),
    ] {
        let refused = change(&world.service, &phone, Some(secret)).await;
        assert_eq!(refusal(refused), error);
        assert_eq!(refusal(world.service.set_secret(ALICE, Some(secret)).await), error);
    }
    // Bob has no password, so nothing would be left.
    assert_eq!(refusal(change(&world.service, &bobs, None).await), CredentialError::Empty);
    assert_eq!(refusal(world.service.set_secret(BOB, None).await), CredentialError::Empty);
    // The secret that is there already would log nobody out.
    for (tokens, same) in [(&phone, None), (&bobs, bob.secret.as_deref())] {
        let same = change(&world.service, tokens, same).await;
        assert!(matches!(same, Err(ServiceError::Issue(IssueError::SameCredential))), "{same:?}");
    }
    assert_eq!((world.columns(ALICE).await, world.columns(BOB).await), (before, bob));
    let _own = change(&world.service, &phone, Some("sixteen bytes...")).await.unwrap();
}

async fn an_administrator_s_change_logs_out_everywhere<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    let version = world.service.set_secret(ALICE, Some(SECRET)).await.unwrap();
    let columns = world.columns(ALICE).await;
    assert_eq!(columns.secret.as_deref(), Some(SECRET));
    assert_eq!(columns.version, Some(version.get()));
    world.assert_dead(&phone).await;
    let phone = world.start("phone").await;
    world.service.set_secret(ALICE, None).await.unwrap();
    assert_eq!(world.columns(ALICE).await.secret, None);
    world.assert_dead(&phone).await;
    assert!(world.labels().await.is_empty());
    let unknown = world.service.set_secret("nobody", Some(SECRET)).await;
    assert!(matches!(unknown, Err(ServiceError::NoSuchUser)));
}

async fn a_session_that_is_over_changes_no_secret<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    world.service.log_out_everywhere(ALICE).await.unwrap();
    let over = change(&world.service, &phone, Some(SECRET)).await;
    assert!(matches!(over, Err(ServiceError::Rejected(_))), "{over:?}");
    assert_eq!(world.columns(ALICE).await.secret, None);
}
