//! The lifetime and the audience of access tokens, made for each session.

use relatch::{
    IssueError, NoClaims, one_time::MagicLink, service::ServiceError, store::UserKey,
    token::TokenOptions,
};
use time::Duration;

use super::{ALICE, Backend, PASSWORD, Tokens, World, again};
use crate::common::AUDIENCE;

over_each_store! {
    each_access_token_has_the_options_of_its_session,
    a_lifetime_out_of_its_range_fails_the_login,
}

const FILES: &str = "https://files.example";

impl<B: Backend> World<B> {
    /// The lifetime of the access token in seconds, and its audience.
    async fn options(&self, tokens: &Tokens) -> (i64, Vec<String>) {
        let verified = self.service.authenticate(tokens.access()).await.unwrap();
        let registered = verified.registered();
        let lifetime = registered.expires_at() - registered.issued_at().unwrap();
        let audience = registered.audience().map(str::to_owned).collect();
        (lifetime.whole_seconds(), audience)
    }
}

async fn each_access_token_has_the_options_of_its_session<B: Backend>(db: B) {
    let world = World::with(db, |settings| {
        settings.access_options(|user, session| {
            assert_eq!(user.login(), Some("alice"));
            match session.map(|session| session.label()) {
                Some("support") => {
                    TokenOptions::new().lifetime(Duration::seconds(60)).audience(FILES)
                }
                _ => TokenOptions::new(),
            }
        })
    });
    let world = world.await;
    let service = &world.service;
    let (default, _) = world.options(&world.start("phone").await).await;
    assert!(default > 60);
    let short = (60, vec![FILES.to_owned(), AUDIENCE.to_owned()]);

    let issued = service.issue::<MagicLink>(UserKey::Id(ALICE), &NoClaims {}).sign().await;
    let (_, link) = issued.unwrap().unwrap();
    let by_link = service.one_time(link).login("support").await.unwrap();
    let tokens = service.login("alice", PASSWORD, "support").await.unwrap();
    let restarted = service.reauthenticate(tokens.access(), PASSWORD).await.unwrap();
    let alone = service.log_out_others(restarted.access()).await.unwrap();
    let new = "another battery staple";
    assert_eq!(world.options(&alone).await, short, "after the logout of the others");
    let changed = service.change_password(alone.access(), PASSWORD, new).await.unwrap();
    assert_eq!(world.options(&changed).await, short, "after a new password");
    let refreshed = service.refresh(again(&changed)).await.unwrap();
    assert_eq!(world.options(&refreshed).await, short, "after a refresh");
    for (call, tokens) in [("a link", by_link), ("a login", tokens), ("a step-up", restarted)] {
        let opened = service.authority().open(tokens.access()).unwrap().expires_at();
        assert_eq!((opened - world.clock.at(0)).whole_seconds(), 60, "{call}");
    }
    let started = service.start_session(ALICE, "support").await.unwrap();
    assert_eq!(world.options(&started).await, short, "after a start");
}

async fn a_lifetime_out_of_its_range_fails_the_login<B: Backend>(db: B) {
    let none = |settings: super::Settings| {
        settings.access_options(|_, _| TokenOptions::new().lifetime(Duration::ZERO))
    };
    let world = World::with(db, none).await;
    let error = world.service.start_session(ALICE, "phone").await.unwrap_err();
    assert!(matches!(error, ServiceError::Issue(IssueError::Lifetime)), "{error:?}");
}
