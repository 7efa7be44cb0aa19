//! The notice of a login on a new device, and the link "this was not me".

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};

use relatch::{
    NoClaims, Purpose, Reason, Token, User,
    one_time::{Invitation, MagicLink, NotMe, PasswordReset},
    service::{Client, ServiceError},
    sessions::SessionId,
    store::UserKey,
    throttle::{DeviceToken, Throttle},
};
use time::Duration;

use super::{ALICE, BOB, Backend, PASSWORD, Settings, Tokens, World};
use crate::common::copy;

over_each_store! {
    a_login_on_a_new_device_is_told,
    a_device_is_known_to_its_own_user_alone,
    a_known_device_is_a_new_one_after_a_year,
    each_way_of_login_is_told_and_an_exchange_is_not,
    a_login_that_is_refused_is_not_told,
    a_panic_of_the_callback_does_not_fail_the_login,
    a_reported_login_ends_and_those_before_it_stay,
    a_stranger_who_logs_in_again_or_restarts_the_session_is_out_too,
    a_report_ends_all_devices_of_the_user,
    of_two_who_report_at_once_one_wins,
    a_link_that_is_looked_at_is_not_used_up,
    a_new_password_revokes_the_link,
    a_link_lives_for_seven_days,
}

/// What a callback has received.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    user: String,
    session: SessionId,
    label: String,
    address: Option<IpAddr>,
    link: String,
}

#[derive(Clone, Default)]
struct Mails(Arc<Mutex<Vec<Told>>>);

impl Mails {
    fn hear(&self, settings: Settings) -> Settings {
        let mails = self.clone();
        settings.on_new_device(move |login| {
            mails.0.lock().unwrap().push(Told {
                user: login.user().id().to_owned(),
                session: login.session().id(),
                label: login.session().label().to_owned(),
                address: login.address(),
                link: login.link().expose().to_owned(),
            });
        })
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// The link of the only notice since the last call.
    #[track_caller]
    fn link(&self) -> Token<NotMe> {
        let told = self.take();
        assert_eq!(told.len(), 1, "{told:?}");
        Token::new(&*told[0].link)
    }
}

async fn told<B: Backend>(db: B) -> (World<B>, Mails) {
    let mails = Mails::default();
    let world = World::with(db, |settings| mails.hear(settings)).await;
    (world, mails)
}

async fn log_in<B: Backend>(world: &World<B>, client: impl Into<Client>) -> Tokens {
    world.service.login("alice", PASSWORD, client).await.unwrap()
}

fn device<B: Backend>(world: &World<B>, tokens: &Tokens) -> DeviceToken {
    world.service.device_token(tokens, None).unwrap()
}

/// Characters that encode most of the device's id, which follows the code of 16 bytes.
fn id_of(token: &DeviceToken) -> &str {
    &token.expose()[22..42]
}

async fn a_login_on_a_new_device_is_told<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let tokens = log_in(&world, Client::new("phone").address(address)).await;
    let heard = mails.take();
    let [Told { link, .. }] = &heard[..] else { panic!("{heard:?}") };
    let expected = Told {
        user: ALICE.to_owned(),
        session: tokens.session().id(),
        label: "phone".to_owned(),
        address: Some(address),
        link: link.clone(),
    };
    assert_eq!(heard, [expected]);
    // The next login there is on a known device, also with a renewed token.
    let known = device(&world, &tokens);
    let again = log_in(&world, Client::new("phone").device(known.clone())).await;
    let renewed = world.service.device_token(&again, Some(&known)).unwrap();
    assert_eq!(id_of(&renewed), id_of(&known));
    let _tokens = log_in(&world, Client::new("phone").device(renewed)).await;
    assert_eq!(mails.take(), []);
    // Neither a new password nor a logout makes it a new one.
    world.service.set_password(ALICE, PASSWORD).await.unwrap();
    world.service.log_out_everywhere(ALICE).await.unwrap();
    let _tokens = log_in(&world, Client::new("phone").device(known)).await;
    assert_eq!(mails.take(), []);
    let _tokens = log_in(&world, "phone").await;
    assert_eq!(mails.take().len(), 1);
    let _tokens = log_in(&world, Client::new("phone").without_notice()).await;
    assert_eq!(mails.take(), []);
}

async fn a_device_is_known_to_its_own_user_alone<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let bobs = world.service.start_session(BOB, "phone").await.unwrap();
    assert_eq!(mails.take().len(), 1);
    let bobs = device(&world, &bobs);
    for token in [bobs.expose(), "", "AAAA", &bobs.expose()[1..]] {
        let _tokens = log_in(&world, Client::new("phone").device(DeviceToken::new(token))).await;
        assert_eq!(mails.take().len(), 1, "{token}");
    }
    let _tokens =
        world.service.start_session(BOB, Client::new("phone").device(bobs)).await.unwrap();
    assert_eq!(mails.take(), []);
}

async fn a_known_device_is_a_new_one_after_a_year<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let known = device(&world, &log_in(&world, "phone").await);
    mails.take();
    let year = 365 * 24 * 60 * 60;
    for (at, notices) in [(year - 1, 0), (year, 1)] {
        world.clock.set(at);
        let _tokens = log_in(&world, Client::new("phone").device(known.clone())).await;
        assert_eq!(mails.take().len(), notices, "{at}");
    }
    assert_eq!(DeviceToken::LIFETIME, Duration::seconds(year));
}

async fn each_way_of_login_is_told_and_an_exchange_is_not<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let service = &world.service;
    let _tokens = service.start_session(ALICE, "passkey").await.unwrap();
    world.service.not_me(mails.link()).await.unwrap();
    let magic = link::<MagicLink, _>(&world).await;
    let _tokens = service.one_time(magic).login("link").await.unwrap();
    assert_eq!(service.not_me(mails.link()).await.unwrap().ended(), 1);
    // The link of a login that sets a password is one of the record after it.
    let invitation = link::<Invitation, _>(&world).await;
    let invited = service.one_time(invitation).set_password("another passphrase");
    let known = device(&world, &invited.login("invited").await.unwrap());
    assert_eq!(service.not_me(mails.link()).await.unwrap().ended(), 1);
    let magic = link::<MagicLink, _>(&world).await;
    let _tokens = service.one_time(magic).login(Client::new("link").device(known)).await.unwrap();
    assert_eq!(mails.take().len(), 1, "a report has ended the device");
    // The client had a session before.
    let version = world.columns(BOB).await.version.unwrap_or(0);
    let _tokens = service.adopt_session(BOB, version, "old").await.unwrap();
    assert_eq!(mails.take(), []);
}

async fn link<P: Purpose<Claims = NoClaims>, B: Backend>(world: &World<B>) -> Token<P> {
    let issue = world.service.issue::<P>(UserKey::Id(ALICE), &NoClaims {});
    issue.sign().await.unwrap().expect("an active user").1
}

async fn a_login_that_is_refused_is_not_told<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let wrong = world.service.login("alice", "a wrong passphrase", "phone").await;
    assert!(matches!(wrong, Err(ServiceError::LoginRefused(_))));
    world.service.disable(ALICE).await.unwrap();
    let disabled = world.service.login("alice", PASSWORD, "phone").await;
    assert!(matches!(disabled, Err(ServiceError::LoginRefused(_))));
    assert_eq!(mails.take(), []);
}

async fn a_panic_of_the_callback_does_not_fail_the_login<B: Backend>(db: B) {
    let panicking = |settings: Settings| settings.on_new_device(|_| panic!("no mail server"));
    let world = World::with(db, panicking).await;
    let tokens = log_in(&world, "phone").await;
    world.assert_alive(&tokens).await;
}

async fn a_reported_login_ends_and_those_before_it_stay<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let before = log_in(&world, "laptop").await;
    mails.take();
    let strangers = log_in(&world, "stranger").await;
    let link = mails.link();
    let reported = world.service.not_me(copy(&link)).await.unwrap();
    assert_eq!((reported.user_id(), reported.ended()), (ALICE, 1));
    world.assert_dead(&strangers).await;
    world.assert_alive(&before).await;
    assert_eq!(world.labels().await, ["laptop"]);
    // It works once, and ends no later login of the owner.
    let after = log_in(&world, "laptop").await;
    let again = world.service.not_me(link).await.unwrap_err();
    assert_eq!(again.reason(), Some(Reason::RevokedByLane));
    world.assert_alive(&after).await;
    // That login's own link is good, also if the session has ended meanwhile.
    let verified = world.service.authenticate(after.access()).await.unwrap();
    world.service.log_out(&verified).await.unwrap();
    assert_eq!(world.service.not_me(mails.link()).await.unwrap().ended(), 0);
    world.assert_alive(&before).await;
}

async fn a_stranger_who_logs_in_again_or_restarts_the_session_is_out_too<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let before = log_in(&world, "laptop").await;
    mails.take();
    let first = log_in(&world, "stranger").await;
    let link = mails.link();
    let known = device(&world, &first);
    let second = log_in(&world, Client::new("stranger again").device(known)).await;
    assert_eq!(mails.take(), []);
    let restarted = world.service.reauthenticate(first.access(), PASSWORD).await.unwrap();
    assert_eq!(world.service.not_me(link).await.unwrap().ended(), 2);
    for tokens in [&first, &second, &restarted] {
        world.assert_dead(tokens).await;
    }
    world.assert_alive(&before).await;
}

async fn a_report_ends_all_devices_of_the_user<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let laptop = device(&world, &log_in(&world, "laptop").await);
    let bobs = world.service.start_session(BOB, "bob").await.unwrap();
    let bobs = device(&world, &bobs);
    mails.take();
    let _tokens = log_in(&world, "stranger").await;
    world.service.not_me(mails.link()).await.unwrap();
    let again = log_in(&world, Client::new("laptop").device(laptop.clone())).await;
    assert_eq!(mails.take().len(), 1);
    // The token of that login is good again, and is that of a new device.
    let renewed = world.service.device_token(&again, Some(&laptop)).unwrap();
    assert_ne!(id_of(&renewed), id_of(&laptop));
    let _tokens = log_in(&world, Client::new("laptop").device(renewed)).await;
    let _tokens = world.service.start_session(BOB, Client::new("bob").device(bobs)).await.unwrap();
    assert_eq!(mails.take(), []);
}

async fn of_two_who_report_at_once_one_wins<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let _tokens = log_in(&world, "stranger").await;
    let link = mails.link();
    let report = || world.service.not_me(copy(&link));
    let (a, b, c, d) = tokio::join!(report(), report(), report(), report());
    let ended: usize = [a, b, c, d].into_iter().flatten().map(|one| one.ended()).sum();
    assert_eq!(ended, 1);
}

async fn a_link_that_is_looked_at_is_not_used_up<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let tokens = log_in(&world, "stranger").await;
    let link = mails.link();
    for _ in 0..2 {
        let peeked = world.service.peek(&link).await.unwrap();
        assert_eq!(peeked.user().id(), ALICE);
        assert_eq!(peeked.claims().session, tokens.session().id());
        world.assert_alive(&tokens).await;
    }
    world.service.not_me(copy(&link)).await.unwrap();
    assert!(world.service.peek(&link).await.is_err());
}

async fn a_new_password_revokes_the_link<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let _tokens = log_in(&world, "stranger").await;
    let link = mails.link();
    let reset = self::link::<PasswordReset, _>(&world).await;
    let set = world.service.one_time(reset).set_password("another passphrase");
    let _used = set.consume().await.unwrap();
    let late = world.service.not_me(link).await.unwrap_err();
    assert!(matches!(late, ServiceError::Rejected(_)), "{late:?}");
}

async fn a_link_lives_for_seven_days<B: Backend>(db: B) {
    let (world, mails) = told(db).await;
    let _tokens = log_in(&world, "stranger").await;
    let link = mails.link();
    world.clock.set(7 * 24 * 60 * 60 - 1);
    assert!(world.service.peek(&link).await.is_ok());
    world.clock.set(7 * 24 * 60 * 60);
    let late = world.service.not_me(link).await.unwrap_err();
    assert_eq!(late.reason(), Some(Reason::Expired));
}

/// The limits need no device tokens, and the notice does.
#[tokio::test]
async fn a_device_is_known_without_limits_too() {
    let mails = Mails::default();
    let set = |settings: Settings| mails.hear(settings.throttle(Throttle::danger_unlimited()));
    let world = World::with(super::backends::Memory::new(), set).await;
    let known = device(&world, &log_in(&world, "phone").await);
    assert_eq!(mails.take().len(), 1);
    let _tokens = log_in(&world, Client::new("phone").device(known)).await;
    assert_eq!(mails.take(), []);
}
