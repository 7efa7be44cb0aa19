//! Revocation by the text of a token (RFC 7009).

use super::{ALICE, BOB, Backend, World, again, faulty::Faulty, refused, settings, settings_of};
use crate::common::role;
use relatch::{
    Access, Context, NoClaims, Reason, Token,
    authority::Adoption,
    one_time::MagicLink,
    service::{Client, ServiceError},
    store::UserKey,
};

over_each_store! {
    either_token_ends_its_session_and_no_other,
    a_token_that_was_used_up_ends_its_session_and_is_no_reuse,
    a_session_that_is_over_is_not_ended_again,
    what_is_not_accepted_is_rejected_and_ends_nothing,
    a_token_is_revoked_in_its_context,
    a_token_without_a_session_has_none_to_end,
    a_plain_token_of_before_has_no_session_either,
    a_refresh_that_a_revocation_by_token_overtakes_gives_nothing,
    a_revocation_that_a_refresh_overtakes_ends_the_session,
}

/// Revokes the token's session. Returns whether there was one.
async fn revoke<P>(world: &World<impl Backend>, token: &Token<P>) -> Result<bool, ServiceError> {
    world.service.revoke(token.expose(), Context::new()).await
}

async fn either_token_ends_its_session_and_no_other<B: Backend>(db: B) {
    let world = World::new(db).await;
    let laptop = world.start("laptop").await;
    let bob = world.service.start_session(BOB, "bob's").await.unwrap();
    let phone = world.start("phone").await;
    assert!(revoke(&world, phone.access()).await.unwrap());
    assert_eq!(world.assert_dead(&phone).await, Reason::SessionEnded);
    let phone = world.start("phone").await;
    assert!(revoke(&world, phone.refresh()).await.unwrap());
    assert_eq!(world.assert_dead(&phone).await, Reason::SessionEnded);
    world.assert_alive(&laptop).await;
    world.assert_alive(&bob).await;
    assert_eq!(world.labels().await, ["laptop"]);
}

async fn a_token_that_was_used_up_ends_its_session_and_is_no_reuse<B: Backend>(db: B) {
    let world = World::new(db).await;
    let first = world.start("phone").await;
    let second = world.service.refresh(again(&first)).await.unwrap();
    let third = world.service.refresh(again(&second)).await.unwrap();
    world.clock.set(3600);
    assert!(revoke(&world, first.refresh()).await.unwrap());
    assert_eq!(world.assert_dead(&third).await, Reason::SessionEnded);
    assert!(world.events().is_empty());
}

async fn a_session_that_is_over_is_not_ended_again<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    assert!(revoke(&world, phone.refresh()).await.unwrap());
    // The slot has another session now.
    let laptop = world.start("laptop").await;
    let before = world.columns(ALICE).await;
    assert!(!revoke(&world, phone.refresh()).await.unwrap());
    let over = revoke(&world, phone.access()).await.unwrap_err();
    assert_eq!(over.reason(), Some(Reason::SessionEnded));
    assert!(world.columns(ALICE).await == before, "nothing is written");
    world.assert_alive(&laptop).await;
}

async fn what_is_not_accepted_is_rejected_and_ends_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let (phone, laptop) = (world.start("phone").await, world.start("laptop").await);
    let link = service.issue::<MagicLink>(UserKey::Id(ALICE), &NoClaims {}).sign().await;
    let link = link.unwrap().unwrap().1;
    let signed_as = |of: &str, signature: &str| {
        let (unsigned, _) = of.rsplit_once('.').unwrap();
        let (_, signature) = signature.rsplit_once('.').unwrap();
        format!("{unsigned}.{signature}")
    };
    let (access, refresh) = (phone.access().expose(), phone.refresh().expose());
    let other = laptop.refresh().expose();
    let why = async |text: &str| service.revoke(text, Context::new()).await.unwrap_err().reason();

    // Tokens of another server, and tokens without a session: no lookup.
    let reads = store.reads();
    for (text, reason) in [
        ("", Reason::Malformed),
        ("a.b.c", Reason::Malformed),
        (link.expose(), Reason::WrongType),
        (&"x".repeat(100_000), Reason::TooLong),
    ] {
        assert_eq!(why(text).await, Some(reason));
    }
    assert_eq!(store.reads(), reads);

    let before = world.columns(ALICE).await;
    assert_eq!(why(&signed_as(access, other)).await, Some(Reason::BadSignature));
    assert_eq!(why(&signed_as(refresh, other)).await, Some(Reason::BadSignature));
    assert!(world.columns(ALICE).await == before);
    world.assert_alive(&phone).await;

    // An expired access token ends nothing; the session's refresh token still does.
    world.clock.set(13 * 3600);
    assert_eq!(why(access).await, Some(Reason::Expired));
    assert_eq!(world.labels().await, ["laptop", "phone"]);
    assert!(service.revoke(refresh, Context::new()).await.unwrap());
    assert_eq!(world.labels().await, ["laptop"]);
    world.clock.set(15 * 86_400);
    assert_eq!(why(other).await, Some(Reason::Expired));

    world.clock.set(13 * 3600);
    service.disable(ALICE).await.unwrap();
    assert_eq!(why(other).await, Some(Reason::InactiveUser));
    service.delete(ALICE).await.unwrap();
    assert_eq!(why(other).await, Some(Reason::UnknownUser));
}

async fn a_token_is_revoked_in_its_context<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let here = Context::new().with("fingerprint", "cookie");
    for is_access in [true, false] {
        let client = Client::new("phone").in_context(here.clone());
        let phone = service.start_session(ALICE, client).await.unwrap();
        let text = match is_access {
            true => phone.access().expose(),
            false => phone.refresh().expose(),
        };
        let without = service.revoke(text, Context::new()).await.unwrap_err();
        assert_eq!(without.reason(), Some(Reason::BadSignature));
        assert_eq!(world.labels().await, ["phone"]);
        assert!(service.revoke(text, here.clone()).await.unwrap());
        assert!(world.labels().await.is_empty());
    }
}

async fn a_token_without_a_session_has_none_to_end<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let alice = service.find(UserKey::Id(ALICE)).await.unwrap().unwrap();
    let plain = service.authority().issue::<Access<_>>(&alice, &role("bot")).sign().unwrap();
    assert!(matches!(revoke(&world, &plain).await, Err(ServiceError::NoSession)));
    assert_eq!(refused(service, &plain).await, None);
}

/// A token that stays valid must not be reported as revoked.
async fn a_plain_token_of_before_has_no_session_either<B: Backend>(db: B) {
    use jsonwebtoken11::{EncodingKey, Header, encode};
    let world = World::new(db).await;
    let version = world.columns(ALICE).await.version.unwrap_or(0);
    let secret = b"the secret of the old setup";
    let adoption = Adoption::hs256(secret, version, world.clock.at(3600));
    let authority = settings_of(&world.clock).adopt(adoption).build().unwrap();
    let adopting = settings(authority, world.db.store().clone()).build();
    let exp = world.clock.at(600).unix_timestamp();
    let claims = serde_json::json!({ "sub": ALICE, "exp": exp, "role": "guest" });
    let text = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret)).unwrap();
    assert_eq!(refused(&adopting, &Token::new(&*text)).await, None);
    let none = adopting.revoke(&text, Context::new()).await;
    assert!(matches!(none, Err(ServiceError::NoSession)), "{none:?}");
    // Refresh tokens can still be revoked during an adoption.
    let phone = adopting.start_session(ALICE, "phone").await.unwrap();
    assert!(adopting.revoke(phone.refresh().expose(), Context::new()).await.unwrap());
}

async fn a_refresh_that_a_revocation_by_token_overtakes_gives_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let slow = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let (service, text) = (world.service.clone(), again(&phone));
    store.before_next_write(async move {
        assert!(service.revoke(text.expose(), Context::new()).await.unwrap());
    });
    let lost = slow.refresh(again(&phone)).await.unwrap_err();
    assert_eq!(lost.reason(), Some(Reason::SessionEnded));
    assert!(world.labels().await.is_empty());
}

async fn a_revocation_that_a_refresh_overtakes_ends_the_session<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let slow = world.over(store.clone(), |settings| settings);
    for is_access in [true, false] {
        let phone = world.start("phone").await;
        let (service, token) = (world.service.clone(), again(&phone));
        let (send, refreshed) = tokio::sync::oneshot::channel();
        store.before_next_write(async move {
            assert!(send.send(service.refresh(token).await.unwrap()).is_ok());
        });
        let text = match is_access {
            true => phone.access().expose(),
            false => phone.refresh().expose(),
        };
        assert!(slow.revoke(text, Context::new()).await.unwrap());
        world.assert_dead(&refreshed.await.unwrap()).await;
        assert!(world.labels().await.is_empty());
    }
}
