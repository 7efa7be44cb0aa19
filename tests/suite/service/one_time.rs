//! One-time links.

use relatch::{
    Context, IssueError, NoClaims, Purpose, Reason, Token, User,
    one_time::{EmailConfirmation, Invitation, MagicLink, PasswordReset},
    password::PasswordRefusal,
    service::{Service, ServiceError},
    store::{StoredUser, UserKey},
    token::Usage,
};

use time::Duration;

use super::{ALICE, BOB, Backend, Column, PASSWORD, Profile, World, faulty::Faulty};
use crate::common::{Role, copy};

over_each_store! {
    a_magic_link_logs_in_once,
    of_two_who_use_a_link_at_once_one_wins,
    a_link_that_is_looked_at_is_not_used_up,
    a_reset_takes_a_new_password,
    a_reset_is_void_once_the_password_has_changed,
    a_new_password_by_a_link_of_a_lane_logs_out_everywhere,
    an_address_is_confirmed_by_its_own_link_alone,
    nobody_gets_a_link_who_is_not_there,
    a_bump_voids_all_links,
    an_invited_user_sets_a_first_password,
    a_link_has_the_lifetime_and_the_audience_of_its_call,
    a_newer_link_supersedes_the_older_ones,
    a_context_is_made_from_the_record_at_each_step,
    a_link_goes_to_the_address_of_the_record,
    a_used_link_gives_the_user_back,
    a_link_that_logs_in_gives_back_the_claims_that_were_made_from_the_record,
}

async fn link<P: Purpose<Claims = NoClaims>>(
    service: &Service<Profile, Role>,
    key: UserKey<'_>,
) -> Token<P> {
    let issued = service.issue::<P>(key, &NoClaims {}).sign().await.unwrap();
    issued.expect("an active user").1
}

const BY_ID: UserKey<'static> = UserKey::Id(ALICE);

async fn a_magic_link_logs_in_once<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let before = world.start("before").await;
    let first = link::<MagicLink>(service, UserKey::Login("alice")).await;
    let second = link::<MagicLink>(service, BY_ID).await;
    let invitation = link::<Invitation>(service, BY_ID).await;
    let tokens = service.one_time(copy(&first)).login("tablet").await.unwrap();
    world.assert_alive(&tokens).await;
    world.assert_alive(&before).await;
    assert_eq!(world.labels().await, ["before", "tablet"]);
    for used_up in [first, second] {
        let again = service.one_time(copy(&used_up)).login("thief").await.unwrap_err();
        assert_eq!(again.reason(), Some(Reason::RevokedByLane));
        let again = service.one_time(used_up).consume().await.unwrap_err();
        assert_eq!(again.reason(), Some(Reason::RevokedByLane));
    }
    // Another purpose's lane is unchanged.
    let used = service.one_time(invitation).consume().await.unwrap();
    assert_eq!(used.registered().subject(), ALICE);
    assert_eq!(world.labels().await, ["before", "tablet"]);
}

async fn of_two_who_use_a_link_at_once_one_wins<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let magic = link::<MagicLink>(service, BY_ID).await;
    let use_up = || service.one_time(copy(&magic)).consume();
    let (a, b, c, d) = tokio::join!(use_up(), use_up(), use_up(), use_up());
    assert_eq!([a, b, c, d].iter().filter(|outcome| outcome.is_ok()).count(), 1);

    let reset = link::<PasswordReset>(service, BY_ID).await;
    let set = |new| service.one_time(copy(&reset)).set_password(new).consume();
    let (a, b) = tokio::join!(set("the first password"), set("the second password"));
    assert!(a.is_ok() != b.is_ok());
    let [winner, loser] = if a.is_ok() {
        ["the first password", "the second password"]
    } else {
        ["the second password", "the first password"]
    };
    drop(service.login("alice", winner, "phone").await.unwrap());
    assert!(service.login("alice", loser, "phone").await.is_err());
}

async fn a_link_that_is_looked_at_is_not_used_up<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let (magic, reset) =
        (link::<MagicLink>(service, BY_ID).await, link::<PasswordReset>(service, BY_ID).await);
    for _ in 0..3 {
        assert_eq!(service.peek(&magic).await.unwrap().user().id(), ALICE);
        service.peek(&reset).await.unwrap();
    }
    drop(service.one_time(copy(&magic)).consume().await.unwrap());
    assert_eq!(service.peek(&magic).await.unwrap_err().reason(), Some(Reason::RevokedByLane));
    service.peek(&reset).await.unwrap();
}

async fn a_reset_takes_a_new_password<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    let reset = link::<PasswordReset>(service, BY_ID).await;
    let before = world.columns(ALICE).await;
    for outcome in [
        service.one_time(copy(&reset)).consume().await.map(drop),
        service.one_time(copy(&reset)).login("phone").await.map(drop),
    ] {
        assert!(matches!(outcome, Err(ServiceError::NewPasswordRequired)), "{outcome:?}");
    }
    let long = service.one_time(copy(&reset)).set_password(&"x".repeat(2000)).consume().await;
    assert!(
        matches!(long, Err(ServiceError::PasswordRefused(PasswordRefusal::TooLong))),
        "{long:?}"
    );
    let short = service.one_time(copy(&reset)).set_password("too short").consume().await;
    let too_short = PasswordRefusal::TooShort { min_chars: 15 };
    assert!(matches!(short, Err(ServiceError::PasswordRefused(why)) if why == too_short));
    assert!(world.columns(ALICE).await == before, "nothing was used up");
    world.assert_alive(&phone).await;

    let both =
        service.one_time(copy(&reset)).set_password("another battery staple").login("laptop");
    let laptop = both.await.unwrap();
    world.assert_alive(&laptop).await;
    world.assert_dead(&phone).await;
    assert_eq!(world.labels().await, ["laptop"]);
    let again = service
        .one_time(reset)
        .set_password("the thief's new password")
        .consume()
        .await
        .unwrap_err();
    assert!(matches!(again, ServiceError::Rejected(_)), "{again:?}");
    assert!(service.login("alice", PASSWORD, "x").await.is_err());
    drop(service.login("alice", "another battery staple", "x").await.unwrap());
}

async fn a_reset_is_void_once_the_password_has_changed<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let slow = world.over(store.clone(), |settings| settings);
    let reset = link::<PasswordReset>(&slow, BY_ID).await;
    let (service, phone) = (world.service.clone(), world.start("phone").await);
    store.before_next_write(async move {
        drop(
            service
                .change_password(phone.access(), PASSWORD, "the owner's new password")
                .await
                .unwrap(),
        );
    });
    let late =
        slow.one_time(reset).set_password("the thief's new password").consume().await.unwrap_err();
    assert!(matches!(late, ServiceError::Rejected(_)), "{late:?}");
    drop(world.service.login("alice", "the owner's new password", "x").await.unwrap());
}

async fn a_new_password_by_a_link_of_a_lane_logs_out_everywhere<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    let magic = link::<MagicLink>(service, BY_ID).await;
    let used =
        service.one_time(copy(&magic)).set_password("another battery staple").login("laptop");
    let laptop = used.await.unwrap();
    world.assert_alive(&laptop).await;
    world.assert_dead(&phone).await;
    assert_eq!(world.labels().await, ["laptop"]);
    let again = service.one_time(magic).consume().await.unwrap_err();
    assert!(matches!(again, ServiceError::Rejected(_)));
    drop(service.login("alice", "another battery staple", "x").await.unwrap());
}

async fn an_address_is_confirmed_by_its_own_link_alone<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let address = |address: &str| Context::new().with_email(address);
    let pending = |user: &relatch::store::StoredUser<Profile>| {
        Context::new().with_email(user.fields().email.as_deref().unwrap_or_default())
    };
    world.db.write(ALICE, Column::Email, Some("new@example.com")).await;
    let issue = async |to| {
        let issued = service
            .issue::<EmailConfirmation>(BY_ID, &NoClaims {})
            .context(address(to))
            .sign()
            .await;
        issued.unwrap().unwrap().1
    };
    let (confirmation, other) = (issue("new@example.com").await, issue("evil@example.com").await);
    let without = service.issue::<EmailConfirmation>(BY_ID, &NoClaims {}).sign().await;
    assert!(matches!(without, Err(ServiceError::Issue(_))), "{without:?}");

    let error = service.one_time(copy(&confirmation)).consume().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::BadSignature));
    let error = service.one_time(other).in_context(pending).consume().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::BadSignature));
    let there = copy(&confirmation).in_context(address("new@example.com"));
    service.peek(&there).await.unwrap();

    // The address changes again before the link is opened.
    world.db.write(ALICE, Column::Email, Some("newer@example.com")).await;
    let stale = service.one_time(copy(&confirmation)).in_context(pending).consume().await;
    assert_eq!(stale.unwrap_err().reason(), Some(Reason::BadSignature));
    world.db.write(ALICE, Column::Email, Some("new@example.com")).await;
    drop(service.one_time(copy(&confirmation)).in_context(pending).consume().await.unwrap());
    let again = service.one_time(confirmation).in_context(pending).consume().await.unwrap_err();
    assert_eq!(again.reason(), Some(Reason::RevokedByLane));
}

async fn nobody_gets_a_link_who_is_not_there<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let issue = async |key| {
        let issued = service.issue::<MagicLink>(key, &NoClaims {}).sign().await;
        issued.unwrap().is_some()
    };
    assert!(issue(BY_ID).await);
    assert!(!issue(UserKey::Login("nobody")).await);
    assert!(!issue(UserKey::Id("alice")).await);
    let before = link::<MagicLink>(service, BY_ID).await;
    service.disable(ALICE).await.unwrap();
    assert!(!issue(BY_ID).await);
    let error = service.one_time(copy(&before)).login("x").await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::InactiveUser));
    service.delete(ALICE).await.unwrap();
    let error = service.one_time(before).login("x").await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::UnknownUser));
}

async fn a_bump_voids_all_links<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let (magic, reset) =
        (link::<MagicLink>(service, BY_ID).await, link::<PasswordReset>(service, BY_ID).await);
    let of_bob = link::<MagicLink>(service, UserKey::Id(BOB)).await;
    service.log_out_everywhere(ALICE).await.unwrap();
    let error = service.one_time(magic).login("x").await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::RevokedByVersion));
    let error =
        service.one_time(reset).set_password("another battery staple").consume().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::RevokedByVersion));
    drop(service.one_time(of_bob).login("x").await.unwrap());
}

async fn an_invited_user_sets_a_first_password<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let invitation = link::<Invitation>(service, UserKey::Id(BOB)).await;
    let first = service.one_time(invitation).set_password("another battery staple").login("phone");
    let first = first.await.unwrap();
    world.assert_alive(&first).await;
    drop(service.login("bob", "another battery staple", "laptop").await.unwrap());
}

async fn a_link_has_the_lifetime_and_the_audience_of_its_call<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let issue = || service.issue::<MagicLink>(BY_ID, &NoClaims {});
    let short = issue().lifetime(Duration::seconds(60)).sign().await.unwrap().unwrap().1;
    let other = issue().audience("https://other.example").sign().await.unwrap().unwrap().1;
    let both = issue().audience("https://other.example").audience(crate::common::AUDIENCE);
    let both = both.sign().await.unwrap().unwrap().1;
    let opened = service.peek(&both).await.unwrap();
    let audience: Vec<_> = opened.registered().audience().collect();
    assert_eq!(audience, ["https://other.example", crate::common::AUDIENCE]);
    let error = service.peek(&other).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::WrongAudience));
    for lifetime in [Duration::ZERO, Duration::days(100_000)] {
        let error = issue().lifetime(lifetime).sign().await.unwrap_err();
        assert!(matches!(error, ServiceError::Issue(IssueError::Lifetime)), "{error:?}");
    }
    let error = issue().audience("").sign().await.unwrap_err();
    assert!(matches!(error, ServiceError::Issue(IssueError::Audience)), "{error:?}");
    service.peek(&short).await.unwrap();
    world.clock.set(3600);
    assert_eq!(service.peek(&short).await.unwrap_err().reason(), Some(Reason::Expired));
}

async fn a_newer_link_supersedes_the_older_ones<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    let older = link::<MagicLink>(service, BY_ID).await;
    let of_bob = link::<MagicLink>(service, UserKey::Id(BOB)).await;
    let supersede = |key| service.issue::<MagicLink>(key, &NoClaims {}).supersede();
    let (user, newer) = supersede(UserKey::Login("alice")).await.unwrap().unwrap();
    assert_eq!(user.id(), ALICE);
    assert_eq!(service.peek(&older).await.unwrap_err().reason(), Some(Reason::RevokedByLane));
    service.peek(&newer).await.unwrap();
    service.peek(&of_bob).await.unwrap();
    world.assert_alive(&phone).await;
    assert!(supersede(UserKey::Login("nobody")).await.unwrap().is_none());
    service.disable(BOB).await.unwrap();
    assert!(supersede(UserKey::Id(BOB)).await.unwrap().is_none());
}

async fn a_context_is_made_from_the_record_at_each_step<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let pending = |user: &relatch::store::StoredUser<Profile>| {
        Context::new().with_email(user.fields().email.as_deref().unwrap_or_default())
    };
    world.db.write(ALICE, Column::Email, Some("new@example.com")).await;
    let issued = service.issue::<EmailConfirmation>(BY_ID, &NoClaims {}).in_context(pending);
    let (user, token) = issued.sign().await.unwrap().unwrap();
    assert_eq!(user.fields().email.as_deref(), Some("new@example.com"));
    let opened = || service.one_time(copy(&token)).in_context(pending);
    assert_eq!(opened().peek().await.unwrap().user().id(), ALICE);
    let error = service.one_time(copy(&token)).peek().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::BadSignature));
    world.db.write(ALICE, Column::Email, Some("newer@example.com")).await;
    assert_eq!(opened().peek().await.unwrap_err().reason(), Some(Reason::BadSignature));
    world.db.write(ALICE, Column::Email, Some("new@example.com")).await;
    let (user, used) = opened().consume_with_user().await.unwrap();
    assert_eq!(user.fields().email.as_deref(), Some("new@example.com"));
    assert_eq!(used.registered().subject(), ALICE);
    assert_eq!(opened().peek().await.unwrap_err().reason(), Some(Reason::RevokedByLane));
}

async fn a_link_goes_to_the_address_of_the_record<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    for key in [BY_ID, UserKey::Login("alice")] {
        let issued = service.issue::<MagicLink>(key, &NoClaims {}).sign().await;
        assert_eq!(issued.unwrap().unwrap().0.login(), Some("alice"));
    }
    let phone = world.start("phone").await;
    let verified = service.authenticate(phone.access()).await.unwrap();
    assert_eq!(verified.user().login(), Some("alice"));
}

/// A login that a collation finds by another spelling.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_look_alike_that_finds_the_user_gets_no_link() {
    use relatch::store::{NewUser, SqliteStore, UsersTable};
    let directory = std::env::temp_dir().join(format!("relatch-look-alike-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("users.sqlite");
    let users: SqliteStore = SqliteStore::open(&path, UsersTable::named("accounts")).await.unwrap();
    let table = "CREATE TABLE accounts (id TEXT PRIMARY KEY,
                     login TEXT UNIQUE COLLATE NOCASE, password_hash TEXT)";
    sqlx::raw_sql(table).execute(users.pool()).await.unwrap();
    users.migrate().await.unwrap();
    let alice = NewUser::with_password_hash("1", "alice@example.com", super::hash());
    assert!(users.insert(alice).await.unwrap());
    let clock = crate::common::TestClock::new();
    let service = Service::new(crate::common::builder(&clock).build().unwrap(), users.clone());
    let typed = UserKey::Login("ALICE@example.com");
    let issued = service.issue::<PasswordReset>(typed, &NoClaims {}).sign().await;
    assert_eq!(issued.unwrap().unwrap().0.login(), Some("alice@example.com"));
    users.pool().close().await;
    std::fs::remove_dir_all(&directory).unwrap();
}

async fn a_used_link_gives_the_user_back<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let reset = link::<PasswordReset>(service, BY_ID).await;
    let used = service.one_time(reset).set_password("another battery staple").consume_with_user();
    let (user, _used) = used.await.unwrap();
    assert_eq!((user.id(), user.login()), (ALICE, Some("alice")));
    drop(service.login("alice", "another battery staple", "phone").await.unwrap());
}

struct Continue;

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Page {
    page: String,
}

impl Purpose for Continue {
    const TYP: &'static str = "continue+jwt";
    const USAGE: Usage = Usage::OnceByLane;
    type Claims = Page;
}

async fn a_link_that_logs_in_gives_back_the_claims_that_were_made_from_the_record<B: Backend>(
    db: B,
) {
    let world = World::new(db).await;
    let service = &world.service;
    let of_user = |user: &StoredUser<Profile>| Page { page: format!("/users/{}", user.id()) };
    let issue = |key| service.issue_with::<Continue>(key, of_user);
    let (_, first) = issue(UserKey::Login("alice")).sign().await.unwrap().unwrap();
    let (_, second) = issue(UserKey::Id(ALICE)).supersede().await.unwrap().unwrap();
    let error = service.one_time(first).login_with_user("phone").await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::RevokedByLane));
    let again = copy(&second);
    let (user, used, tokens) = service.one_time(second).login_with_user("phone").await.unwrap();
    assert_eq!((user.id(), user.login()), (ALICE, Some("alice")));
    assert_eq!(*used.claims(), Page { page: format!("/users/{ALICE}") });
    world.assert_alive(&tokens).await;
    assert!(service.one_time(again).login_with_user("phone").await.is_err());
}
