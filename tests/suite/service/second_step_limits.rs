//! Limits of the codes that are tried, under Tokio's paused clock.

use std::{num::NonZeroU32, time::Duration};

use relatch::{
    Token,
    one_time::SecondStep,
    service::{Client, Service, ServiceError},
    store::{MemoryStore, NewUser},
    throttle::{Limit, Throttle},
};
use tokio::time::advance;

use super::{PASSWORD, hash};
use crate::common::{TestClock, builder, copy};

fn limit(at_once: u32, seconds: i64) -> Limit {
    Limit::new(NonZeroU32::new(at_once).unwrap(), time::Duration::seconds(seconds))
}

/// Three codes of a user, and one more each hour.
fn three() -> Throttle {
    Throttle::new().per_second_step(limit(3, 3600))
}

fn service(throttle: Throttle) -> Service {
    let users = MemoryStore::new();
    assert!(users.insert(NewUser::with_password_hash("1", "alice", hash()), ()));
    assert!(users.insert(NewUser::with_password_hash("2", "carol", hash()), ()));
    let authority = builder(&TestClock::new()).build().unwrap();
    Service::builder(authority, users).throttle(throttle).build()
}

fn unlimited() -> Service {
    service(Throttle::danger_unlimited())
}

async fn pending(service: &Service, name: &str) -> Token<SecondStep> {
    service.verify_login(name, PASSWORD, "phone").await.unwrap().pending().unwrap()
}

/// A device on which this user has logged in.
async fn known(service: &Service, user_id: &str, label: &str) -> Client {
    let tokens = service.start_session(user_id, label).await.unwrap();
    Client::new(label).device(service.device_token(&tokens, None).unwrap())
}

/// The number of codes that this client can try with this token, one after another.
async fn tried(service: &Service, token: &Token<SecondStep>, client: &Client) -> usize {
    for n in 0..100 {
        match service.second_step(copy(token), client.clone()).await {
            Ok(_) => {}
            Err(error @ ServiceError::TooManyAttempts { .. }) => {
                assert_eq!(error.status(), 429);
                return n;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    100
}

#[tokio::test(start_paused = true)]
async fn the_codes_of_a_user_are_limited_however_often_the_login_begins() {
    let (service, phone) = (service(three()), Client::new("phone"));
    let first = pending(&service, "alice").await;
    assert_eq!(tried(&service, &first, &phone).await, 3);
    let again = pending(&service, "alice").await;
    assert_eq!(tried(&service, &again, &Client::new("laptop")).await, 0);
    // Another user's are another's.
    let other = pending(&service, "carol").await;
    assert_eq!(tried(&service, &other, &phone).await, 3);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(tried(&service, &again, &phone).await, 1);
}

#[tokio::test(start_paused = true)]
async fn the_default_is_10_codes_and_2_an_hour() {
    let (service, phone) = (service(Throttle::new()), Client::new("phone"));
    let token = pending(&service, "alice").await;
    assert_eq!(tried(&service, &token, &phone).await, 10);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(tried(&service, &token, &phone).await, 2);
    let unlimited = unlimited();
    let token = pending(&unlimited, "alice").await;
    assert_eq!(tried(&unlimited, &token, &phone).await, 100);
}

/// The attacker knows the password.
#[tokio::test(start_paused = true)]
async fn who_uses_up_the_limit_keeps_no_known_device_out() {
    let service = service(three());
    let token = pending(&service, "alice").await;
    assert_eq!(tried(&service, &token, &Client::new("attacker")).await, 3);
    let phone = known(&service, "1", "phone").await;
    assert_eq!(tried(&service, &token, &phone).await, 3);
    let other = known(&service, "1", "laptop").await;
    let finished = service.second_step(token, other).await.unwrap().start_session().await;
    assert!(finished.is_ok());
    // The device of another user is none.
    let token = pending(&service, "alice").await;
    let carols = known(&service, "2", "phone").await;
    assert_eq!(tried(&service, &token, &carols).await, 0);
}

/// Somebody who had the password before there was a second factor can have logged in many times, and so can
/// have many devices. Together they could try any number of codes.
#[tokio::test(start_paused = true)]
async fn a_device_from_before_the_second_factor_is_none() {
    let (service, attacker) = (service(three()), Client::new("attacker"));
    let early = known(&service, "1", "attacker").await;
    let phone = service.start_session("1", "phone").await.unwrap();
    let secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
    let phone = service.change_secret(phone.access(), Some(secret)).await.unwrap();
    let phone = Client::new("phone").device(service.device_token(&phone, None).unwrap());
    let token = pending(&service, "alice").await;
    assert_eq!(tried(&service, &token, &attacker).await, 3);
    assert_eq!(tried(&service, &token, &early).await, 0);
    assert_eq!(tried(&service, &token, &phone).await, 3);
    advance(Duration::from_secs(3 * 3600)).await;
    service.set_secret("1", Some("a secret of an administrator")).await.unwrap();
    let token = pending(&service, "alice").await;
    assert_eq!(tried(&service, &token, &attacker).await, 3);
    assert_eq!(tried(&service, &token, &phone).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_accepted_uses_nothing_up() {
    let (service, phone) = (service(three()), Client::new("phone"));
    let revoked = pending(&service, "alice").await;
    service.log_out_everywhere("1").await.unwrap();
    for _ in 0..20 {
        for text in [revoked.expose(), "not a token"] {
            let refused = service.second_step(Token::new(text), "phone").await.unwrap_err();
            assert!(matches!(refused, ServiceError::Rejected(_)), "{refused:?}");
        }
    }
    let token = pending(&service, "alice").await;
    assert_eq!(tried(&service, &token, &phone).await, 3);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_counted_in_the_second_step_too() {
    let service = service(Throttle::new().per_address(limit(4, 60)));
    let client = |last| Client::new("phone").address([192, 0, 2, last].into());
    let token = pending(&service, "alice").await;
    assert_eq!(tried(&service, &token, &client(1)).await, 4);
    let refused = service.verify_login("alice", PASSWORD, client(1)).await.unwrap_err();
    assert_eq!(refused.status(), 429);
    assert!(service.second_step(token, client(2)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_has_a_limit_of_its_own_for_codes() {
    let service = service(three());
    let (stolen, own) = (
        service.start_session("1", "stolen").await.unwrap(),
        service.start_session("1", "own").await.unwrap(),
    );
    let stolen = service.authenticate(stolen.access()).await.unwrap();
    for n in 0..5 {
        assert_eq!(service.admit_code(&stolen).await.is_ok(), n < 3, "{n}");
    }
    let own = service.authenticate(own.access()).await.unwrap();
    assert!(service.admit_code(&own).await.is_ok());
    let token = pending(&service, "alice").await;
    assert_eq!(tried(&service, &token, &Client::new("phone")).await, 3);
}

/// The thief of a session who has the password can replace the session's id, by a logout of the others.
#[tokio::test(start_paused = true)]
async fn a_new_id_of_a_session_gives_a_bounded_number_of_codes() {
    let service = service(three());
    let mut stolen = service.start_session("1", "stolen").await.unwrap();
    let mut tried = 0;
    for _ in 0..20 {
        let verified = service.authenticate(stolen.access()).await.unwrap();
        while service.admit_code(&verified).await.is_ok() {
            tried += 1;
        }
        stolen = service.log_out_others(stolen.access()).await.unwrap();
    }
    assert_eq!(tried, 12);
    let token = pending(&service, "alice").await;
    assert!(service.second_step(token, "phone").await.is_ok(), "a login has a limit of its own");
}
