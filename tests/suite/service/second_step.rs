//! Login in two steps: the password, then a second factor.

use std::sync::{Arc, Mutex};

use relatch::{
    Context, NoClaims, Reason, SessionPolicy, Token, User,
    one_time::SecondStep,
    password::PasswordHasher,
    service::{Client, LoginRefusal, NewDevice, Service, ServiceError},
    sessions::{SessionData, WhenFull},
    store::{NewUser, UserKey},
};

use super::{
    ALICE, BOB, Backend, PASSWORD, Profile, Tokens, World, hash, refused, settings, settings_of,
};
use crate::common::{Role, copy};

over_each_store! {
    the_second_step_starts_the_session_and_the_password_does_not,
    a_refused_first_step_has_the_answers_of_a_login,
    a_first_step_replaces_a_due_hash_and_writes_nothing_else,
    a_user_without_a_second_factor_gets_a_session_after_the_password,
    a_revocation_ends_a_verified_login_that_has_not_started,
    a_revocation_ends_a_pending_login,
    a_pending_login_works_once_and_ends_the_others,
    of_two_that_finish_at_once_one_wins,
    no_device_is_evicted_before_the_second_step,
    a_pending_login_is_bound_to_its_context,
    a_pending_login_lasts_five_minutes,
    a_first_step_of_the_application_s_own_has_the_same_second_step,
    a_new_device_is_noticed_when_the_login_is_finished,
}

async fn pending(service: &Service<Profile, Role>, label: &str) -> Token<SecondStep> {
    service.verify_login("alice", PASSWORD, label).await.unwrap().pending().unwrap()
}

async fn finish(
    service: &Service<Profile, Role>,
    pending: &Token<SecondStep>,
    label: &str,
) -> Result<Tokens, ServiceError> {
    service.second_step(copy(pending), label).await?.start_session().await
}

#[track_caller]
fn rejected<T>(outcome: Result<T, ServiceError>) -> Reason {
    match outcome.err() {
        Some(ServiceError::Rejected(rejection)) => rejection.reason(),
        other => panic!("not rejected: {other:?}"),
    }
}

async fn the_second_step_starts_the_session_and_the_password_does_not<B: Backend>(db: B) {
    let world = World::new(db).await;
    let before = world.columns(ALICE).await;
    let login = world.service.verify_login("alice", PASSWORD, "phone").await.unwrap();
    assert_eq!(login.user().id(), ALICE);
    let pending = login.pending().unwrap();
    // A wrong code changes nothing, and the client tries again with the same token.
    let wrong = world.service.second_step(copy(&pending), "phone").await.unwrap();
    assert_eq!(wrong.user().id(), ALICE);
    drop(wrong);
    assert_eq!(world.columns(ALICE).await, before);
    assert!(world.labels().await.is_empty());

    let tokens = finish(&world.service, &pending, "phone").await.unwrap();
    let verified = world.service.authenticate(tokens.access()).await.unwrap();
    assert_eq!((verified.user().id(), verified.claims().role.as_str()), (ALICE, "guest"));
    assert_eq!(world.labels().await, ["phone"]);
}

async fn a_refused_first_step_has_the_answers_of_a_login<B: Backend>(db: B) {
    let world = World::new(db).await;
    world.db.insert(NewUser::with_password_hash("3", "carol", hash())).await;
    world.service.disable("3").await.unwrap();
    for (login, password, refusal) in [
        ("alice", "a wrong passphrase", LoginRefusal::WrongPassword),
        ("alice", "", LoginRefusal::InvalidPassword),
        ("nobody", PASSWORD, LoginRefusal::UnknownLogin),
        ("bob", PASSWORD, LoginRefusal::NoPassword),
        ("carol", PASSWORD, LoginRefusal::InactiveUser),
        ("carol", "a wrong passphrase", LoginRefusal::WrongPassword),
    ] {
        let error = world.service.verify_login(login, password, "phone").await.unwrap_err();
        let ServiceError::LoginRefused(found) = error else { panic!("{login}: {error:?}") };
        assert_eq!(found, refusal, "{login}");
    }
}

async fn a_first_step_replaces_a_due_hash_and_writes_nothing_else<B: Backend>(db: B) {
    let world = World::new(db).await;
    let before = world.start("before").await;
    let columns = world.columns(ALICE).await;
    let hasher = PasswordHasher::with_cost(20_480, 2, 1).unwrap();
    let costly = world.another(|settings| settings.hasher(hasher));
    let login = costly.verify_login("alice", PASSWORD, "phone").await.unwrap();
    let rehashed = world.columns(ALICE).await;
    assert_ne!(rehashed.password_hash, columns.password_hash);
    assert_eq!((&rehashed.sessions, &rehashed.lanes), (&columns.sessions, &columns.lanes));
    // Nobody is logged out, and the login is that of the new hash.
    world.assert_alive(&before).await;
    drop(finish(&costly, &login.pending().unwrap(), "phone").await.unwrap());
    let again = costly.verify_login("alice", PASSWORD, "laptop").await.unwrap();
    assert_eq!(world.columns(ALICE).await.password_hash, rehashed.password_hash);
    drop(again.start_session().await.unwrap());
    assert_eq!(world.labels().await, ["before", "laptop", "phone"]);
}

async fn a_user_without_a_second_factor_gets_a_session_after_the_password<B: Backend>(db: B) {
    let world = World::new(db).await;
    let login = world.service.verify_login("alice", PASSWORD, "phone").await.unwrap();
    // Another login meanwhile changes nothing.
    let other = world.start("other").await;
    let data = SessionData::new(&serde_json::json!({ "org": 7 })).unwrap();
    let login = login.map_client(|client| client.data(data));
    let tokens = login.start_session().await.unwrap();
    assert_eq!(tokens.session().data().unwrap().as_str(), r#"{"org":7}"#);
    world.assert_alive(&tokens).await;
    world.assert_alive(&other).await;
}

async fn a_revocation_ends_a_verified_login_that_has_not_started<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let login = async || service.verify_login("alice", PASSWORD, "phone").await.unwrap();
    let refusal = |outcome: Result<Tokens, ServiceError>| match outcome.err() {
        Some(ServiceError::LoginRefused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let verified = login().await;
    service.set_password(ALICE, PASSWORD).await.unwrap();
    assert_eq!(refusal(verified.start_session().await), LoginRefusal::WrongPassword);
    let verified = login().await;
    service.log_out_everywhere(ALICE).await.unwrap();
    assert_eq!(refusal(verified.start_session().await), LoginRefusal::WrongPassword);
    let verified = login().await;
    service.disable(ALICE).await.unwrap();
    assert_eq!(refusal(verified.start_session().await), LoginRefusal::InactiveUser);
    service.enable(ALICE).await.unwrap();
    let verified = login().await;
    service.delete(ALICE).await.unwrap();
    assert_eq!(refusal(verified.start_session().await), LoginRefusal::UnknownLogin);
}

async fn a_revocation_ends_a_pending_login<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let secret = "a second factor's secret";
    for (nth, reason) in [
        (0, Reason::RevokedByVersion),
        (1, Reason::RevokedByVersion),
        (2, Reason::RevokedByVersion),
        (3, Reason::InactiveUser),
    ] {
        let token = pending(service, "phone").await;
        // The code was checked already, on the record as it was before the revocation.
        let checked = service.second_step(copy(&token), "phone").await.unwrap();
        let revoked = match nth {
            0 => service.set_password(ALICE, PASSWORD).await,
            1 => service.log_out_everywhere(ALICE).await,
            2 => service.set_secret(ALICE, Some(secret)).await,
            _ => service.disable(ALICE).await,
        };
        revoked.unwrap();
        assert_eq!(rejected(checked.start_session().await), reason, "{nth}");
        assert_eq!(rejected(service.second_step(token, "phone").await), reason, "{nth}");
    }
    assert!(world.labels().await.is_empty());
}

async fn a_pending_login_works_once_and_ends_the_others<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let (first, second) = (pending(service, "phone").await, pending(service, "laptop").await);
    let late = service.second_step(copy(&second), "laptop").await.unwrap();
    let tokens = finish(service, &first, "phone").await.unwrap();
    for token in [first, second] {
        rejected(service.second_step(token, "phone").await);
    }
    rejected(late.start_session().await);
    world.assert_alive(&tokens).await;
    assert_eq!(world.labels().await, ["phone"]);
    // A login of another kind ends none.
    let third = pending(service, "tablet").await;
    let _other = world.start("other").await;
    let _tokens = finish(service, &third, "tablet").await.unwrap();
}

async fn of_two_that_finish_at_once_one_wins<B: Backend>(db: B) {
    let world = World::new(db).await;
    let token = pending(&world.service, "phone").await;
    let finish = || finish(&world.service, &token, "phone");
    let (one, other) = tokio::join!(finish(), finish());
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(world.labels().await, ["phone"]);
}

async fn no_device_is_evicted_before_the_second_step<B: Backend>(db: B) {
    let world = World::new(db).await;
    let policy = SessionPolicy::new().max_sessions(1);
    let with = |policy| {
        let authority = settings_of(&world.clock).sessions(policy).build().unwrap();
        settings(authority, world.db.store().clone()).build()
    };
    let (evicting, refusing) = (with(policy.clone()), with(policy.when_full(WhenFull::Refuse)));
    let phone = evicting.start_session(ALICE, "phone").await.unwrap();
    let token = pending(&refusing, "laptop").await;
    let full = finish(&refusing, &token, "laptop").await;
    assert!(matches!(full, Err(ServiceError::SessionsFull(_))), "{full:?}");
    assert_eq!(refused(&evicting, phone.access()).await, None);

    // The token was not used up.
    let checked = evicting.second_step(token, "laptop").await.unwrap();
    assert_eq!(refused(&evicting, phone.access()).await, None);
    let laptop = checked.start_session().await.unwrap();
    assert_eq!(laptop.evicted().unwrap().id(), phone.session().id());
    assert_eq!(refused(&evicting, phone.access()).await, Some(Reason::SessionEnded));
}

async fn a_pending_login_is_bound_to_its_context<B: Backend>(db: B) {
    let world = World::new(db).await;
    let client =
        |cookie: &str| Client::new("phone").in_context(Context::new().with("cookie", cookie));
    let login = world.service.verify_login("alice", PASSWORD, client("c1")).await.unwrap();
    let token = login.pending().unwrap();
    for elsewhere in [client("c2"), Client::new("phone")] {
        let stolen = world.service.second_step(copy(&token), elsewhere).await;
        assert_eq!(rejected(stolen), Reason::BadSignature);
    }
    let own = world.service.second_step(token, client("c1")).await.unwrap();
    let tokens = own.start_session().await.unwrap();
    assert_eq!(refused(&world.service, tokens.access()).await, Some(Reason::BadSignature));
    let presented = copy(tokens.access()).in_context(Context::new().with("cookie", "c1"));
    assert_eq!(refused(&world.service, &presented).await, None);
}

async fn a_pending_login_lasts_five_minutes<B: Backend>(db: B) {
    let world = World::new(db).await;
    let token = pending(&world.service, "phone").await;
    world.clock.set(299);
    let checked = world.service.second_step(copy(&token), "phone").await.unwrap();
    world.clock.set(300);
    assert_eq!(rejected(checked.start_session().await), Reason::Expired);
    assert_eq!(rejected(world.service.second_step(token, "phone").await), Reason::Expired);
    // No other token of the user is one.
    let tokens = world.start("phone").await;
    let other = Token::new(tokens.access().expose());
    rejected(world.service.second_step(other, "phone").await);
}

async fn a_first_step_of_the_application_s_own_has_the_same_second_step<B: Backend>(db: B) {
    let world = World::new(db).await;
    let issued = world.service.issue::<SecondStep>(UserKey::Id(BOB), &NoClaims {}).sign().await;
    let (_, token) = issued.unwrap().unwrap();
    let login = world.service.second_step(token, "phone").await.unwrap();
    let secret = world.columns(BOB).await.secret.clone().unwrap();
    assert_eq!(login.expose_secret(), Some(&*secret));
    assert!(!format!("{login:?}").contains(&secret));
    let tokens = login.start_session().await.unwrap();
    assert_eq!(refused(&world.service, tokens.access()).await, None);
}

async fn a_new_device_is_noticed_when_the_login_is_finished<B: Backend>(db: B) {
    let noticed = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&noticed);
    let notice = move |login: &NewDevice<'_, Profile>| {
        heard.lock().unwrap().push(login.session().label().to_owned());
    };
    let world = World::with(db, |settings| settings.on_new_device(notice)).await;
    let service = &world.service;
    let token = pending(service, "phone").await;
    drop(service.second_step(copy(&token), "phone").await.unwrap());
    assert!(noticed.lock().unwrap().is_empty());
    let tokens = finish(service, &token, "phone").await.unwrap();
    let one = service.verify_login("alice", PASSWORD, "laptop").await.unwrap();
    drop(one.start_session().await.unwrap());
    assert_eq!(*noticed.lock().unwrap(), ["phone", "laptop"]);
    let known = || {
        let device = service.device_token(&tokens, None).unwrap();
        Client::new("phone").device(device)
    };
    let token = pending(service, "phone").await;
    let again = service.second_step(token, known()).await.unwrap();
    drop(again.start_session().await.unwrap());
    assert_eq!(noticed.lock().unwrap().len(), 2);
}
