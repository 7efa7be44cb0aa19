//! Device tokens: those that are issued, and those that are presented.

use std::num::NonZeroU32;

use relatch::{
    service::{Client, Service, ServiceError},
    store::{Lanes, MemoryStore, NewUser},
    throttle::{DeviceToken, Limit, Throttle},
};
use serde_json::Value;
use time::Duration;

use super::{DERIVATIONS, Fixed, from_hex, list, scenario, text};

#[tokio::test]
async fn each_device_token_is_issued_byte_for_byte() {
    for case in list(DERIVATIONS, "devices") {
        let (service, id) = service(&case, Some(Fixed(from_hex(text(&case["entropy"])))));
        let tokens = service.start_session(&id, "phone").await.unwrap();
        let issued = service.device_token(&tokens, None).unwrap();
        assert_eq!(issued.expose(), case["expect"], "{}", case["name"]);
        // A renewed one is that of the same device.
        let renewed = service.device_token(&tokens, Some(&issued)).unwrap();
        assert_eq!(renewed.expose(), issued.expose(), "{}", case["name"]);
    }
}

/// A token of a known device has a limit of its own.
#[tokio::test]
async fn each_device_token_is_that_of_a_known_device_or_is_not() {
    for case in list(DERIVATIONS, "known_devices") {
        let (service, id) = service(&case, None);
        let is_refused = async |client: Client| {
            let outcome = service.login(&id, "a wrong passphrase", client).await;
            matches!(outcome, Err(ServiceError::TooManyAttempts { .. }))
        };
        let device = || Client::new("phone").device(DeviceToken::new(text(&case["token"])));
        assert!(!is_refused(Client::new("phone")).await && is_refused(Client::new("phone")).await);
        assert_eq!(!is_refused(device()).await, case["expect"], "{}", case["name"]);
        assert!(is_refused(device()).await, "{}", case["name"]);
    }
}

/// A service with the user of the case, and the user's id. A name and a device each have one attempt.
fn service(case: &Value, entropy: Option<Fixed>) -> (Service, String) {
    let authority = scenario(case).authority();
    let authority = match entropy {
        Some(entropy) => authority.entropy(entropy),
        None => authority,
    };
    let (store, id) = (MemoryStore::new(), text(&case["record"]["id"]));
    assert!(store.insert(NewUser::without_password(id, id).unwrap(), ()));
    let mut lanes = Lanes::default();
    lanes.set("not-me+jwt", case["record"]["lane"].as_i64().unwrap().into());
    assert!(store.edit(id, |row| row.columns.lanes = lanes.to_column()));
    let one = Limit::new(NonZeroU32::MIN, Duration::DAY);
    let throttle = Throttle::danger_unlimited().per_account(one).per_device(one);
    let service = Service::builder(authority.build().unwrap(), store).throttle(throttle).build();
    (service, id.to_owned())
}
