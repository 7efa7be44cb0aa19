//! Changes of users in the application's own transaction.

#[cfg(feature = "postgres")]
use relatch::store::{NewUser, UserStore as _};
use relatch::{
    Context, NoClaims, Purpose, Reason, Token,
    authority::Used,
    one_time::{EmailConfirmation, MagicLink, PasswordReset},
    service::{OneTime, Service, ServiceError, Uncommitted},
    store::{StoredUser, UserKey},
    user::Counter,
};

#[cfg(feature = "postgres")]
use super::backends::Postgres;
use super::{ALICE, BOB, Backend, PASSWORD, Profile, Tokens, World, backends::Sqlite};
#[cfg(feature = "postgres")]
use crate::common::in_time;
use crate::common::{Role, copy};

over_each_database! {
    a_link_is_used_up_with_the_applications_own_change,
    a_rollback_undoes_the_change,
    a_reset_link_takes_a_new_password_in_a_transaction,
    a_password_is_set_in_a_transaction,
    a_transaction_that_holds_the_row_can_revoke,
    a_refused_link_leaves_the_transaction_as_it_was,
    of_two_transactions_that_use_a_link_one_wins,
    a_change_of_an_unknown_user_fails,
}

type Consumed<P> = Uncommitted<(StoredUser<Profile>, Used<<P as Purpose>::Claims>)>;

/// A store with transactions of the application's.
trait Transactional: Backend {
    type Transaction: Send;

    async fn begin(&self) -> Self::Transaction;

    async fn commit(transaction: Self::Transaction);

    /// The application's own change.
    async fn set_email(&self, transaction: &mut Self::Transaction, id: &str, email: &str);

    async fn consume<P: Purpose>(
        &self,
        transaction: &mut Self::Transaction,
        link: OneTime<'_, P, Profile, Role>,
    ) -> Result<Consumed<P>, ServiceError>;

    async fn revoke(
        &self,
        transaction: &mut Self::Transaction,
        service: &Service<Profile, Role>,
        id: &str,
    ) -> Result<Uncommitted<Counter>, ServiceError>;

    async fn set_password(
        &self,
        transaction: &mut Self::Transaction,
        service: &Service<Profile, Role>,
        id: &str,
        new: &str,
    ) -> Result<Uncommitted<Counter>, ServiceError>;
}

macro_rules! transactional {
    ($backend:ty, $database:ty, $begin:literal) => {
        impl Transactional for $backend {
            type Transaction = sqlx::Transaction<'static, $database>;

            async fn begin(&self) -> Self::Transaction {
                self.store().pool().begin_with($begin).await.unwrap()
            }

            async fn commit(transaction: Self::Transaction) {
                transaction.commit().await.unwrap();
            }

            async fn set_email(&self, transaction: &mut Self::Transaction, id: &str, email: &str) {
                let sql = format!("UPDATE {} SET email = $1 WHERE id = $2", self.table());
                let query = sqlx::query(sqlx::AssertSqlSafe(sql));
                let query = query.bind(email.to_owned()).bind(id.to_owned());
                let query = query.persistent(false);
                assert_eq!(query.execute(&mut **transaction).await.unwrap().rows_affected(), 1);
            }

            async fn consume<P: Purpose>(
                &self,
                transaction: &mut Self::Transaction,
                link: OneTime<'_, P, Profile, Role>,
            ) -> Result<Consumed<P>, ServiceError> {
                self.store().consume_in(transaction, link).await
            }

            async fn revoke(
                &self,
                transaction: &mut Self::Transaction,
                service: &Service<Profile, Role>,
                id: &str,
            ) -> Result<Uncommitted<Counter>, ServiceError> {
                self.store().revoke_in(transaction, service, id).await
            }

            async fn set_password(
                &self,
                transaction: &mut Self::Transaction,
                service: &Service<Profile, Role>,
                id: &str,
                new: &str,
            ) -> Result<Uncommitted<Counter>, ServiceError> {
                self.store().set_password_in(transaction, service, id, new).await
            }
        }
    };
}

transactional!(Sqlite, sqlx::Sqlite, "BEGIN IMMEDIATE");
#[cfg(feature = "postgres")]
transactional!(Postgres, sqlx::Postgres, "BEGIN");

async fn link<P: Purpose<Claims = NoClaims>>(
    service: &Service<Profile, Role>,
    context: Context,
) -> Token<P> {
    let issued = service.issue::<P>(UserKey::Id(ALICE), &NoClaims {}).context(context).sign().await;
    issued.unwrap().expect("an active user").1
}

async fn a_link_is_used_up_with_the_applications_own_change<B: Transactional>(db: B) {
    let world = World::new(db).await;
    let (service, db) = (&world.service, &world.db);
    let address = || Context::new().with_email("new@example.com");
    let token = link::<EmailConfirmation>(service, address()).await;
    let mut transaction = db.begin().await;
    db.set_email(&mut transaction, ALICE, "new@example.com").await;
    // The context is that of the row as this transaction sees it.
    let context = |user: &StoredUser<Profile>| {
        Context::new().with_email(user.fields().email.as_deref().unwrap_or_default())
    };
    let one_time = service.one_time(copy(&token)).in_context(context);
    let used = db.consume(&mut transaction, one_time).await.unwrap();
    assert_eq!(used.0.fields().email.as_deref(), Some("new@example.com"));
    // Nobody else sees it yet.
    service.peek(&copy(&token).in_context(address())).await.unwrap();
    B::commit(transaction).await;
    let (_, used) = used.committed();
    assert_eq!(used.registered().subject(), ALICE);

    let again = service.one_time(token.in_context(address())).consume().await.unwrap_err();
    assert_eq!(again.reason(), Some(Reason::RevokedByLane));
    let user = service.find(UserKey::Id(ALICE)).await.unwrap().unwrap();
    assert_eq!(user.fields().email.as_deref(), Some("new@example.com"));
}

async fn a_rollback_undoes_the_change<B: Transactional>(db: B) {
    let world = World::new(db).await;
    let (service, db) = (&world.service, &world.db);
    let (phone, magic) =
        (world.start("phone").await, link::<MagicLink>(service, Context::new()).await);
    let before = world.columns(ALICE).await;
    let mut transaction = db.begin().await;
    let used = db.consume(&mut transaction, service.one_time(copy(&magic))).await.unwrap();
    let revoked = db.revoke(&mut transaction, service, ALICE).await.unwrap();
    drop((transaction, used, revoked));
    assert!(world.columns(ALICE).await == before);
    world.assert_alive(&phone).await;
    drop(service.one_time(magic).consume().await.unwrap());
}

const NEW_PASSWORD: &str = "another battery staple";

/// The new password works, and neither the old one nor a session from before does.
async fn has_new_password<B: Transactional>(world: &World<B>, before: &Tokens) {
    world.assert_dead(before).await;
    assert!(world.service.login("alice", PASSWORD, "x").await.is_err());
    drop(world.service.login("alice", NEW_PASSWORD, "x").await.unwrap());
}

async fn a_reset_link_takes_a_new_password_in_a_transaction<B: Transactional>(db: B) {
    let world = World::new(db).await;
    let (service, db) = (&world.service, &world.db);
    let phone = world.start("phone").await;
    let reset = link::<PasswordReset>(service, Context::new()).await;
    let mut transaction = db.begin().await;
    let without = db.consume(&mut transaction, service.one_time(copy(&reset))).await;
    assert!(matches!(without, Err(ServiceError::NewPasswordRequired)));
    let with = service.one_time(reset).set_password(NEW_PASSWORD);
    let used = db.consume(&mut transaction, with).await.unwrap();
    db.set_email(&mut transaction, ALICE, "proven@example.com").await;
    B::commit(transaction).await;
    drop(used.committed());
    has_new_password(&world, &phone).await;
}

async fn a_password_is_set_in_a_transaction<B: Transactional>(db: B) {
    let world = World::new(db).await;
    let (service, db) = (&world.service, &world.db);
    let phone = world.start("phone").await;
    let mut transaction = db.begin().await;
    let set = db.set_password(&mut transaction, service, ALICE, NEW_PASSWORD).await.unwrap();
    world.assert_alive(&phone).await;
    B::commit(transaction).await;
    set.committed();
    has_new_password(&world, &phone).await;
}

async fn a_transaction_that_holds_the_row_can_revoke<B: Transactional>(db: B) {
    let world = World::new(db).await;
    let (service, db) = (&world.service, &world.db);
    let phone = world.start("phone").await;
    let mut transaction = db.begin().await;
    db.set_email(&mut transaction, ALICE, "moved@example.com").await;
    let revoked = db.revoke(&mut transaction, service, ALICE).await.unwrap();
    B::commit(transaction).await;
    let version = revoked.committed().get();
    assert_eq!(world.columns(ALICE).await.version, Some(version));
    world.assert_dead(&phone).await;
}

async fn a_refused_link_leaves_the_transaction_as_it_was<B: Transactional>(db: B) {
    let world = World::new(db).await;
    let (service, db) = (&world.service, &world.db);
    let magic = link::<MagicLink>(service, Context::new()).await;
    drop(service.one_time(copy(&magic)).consume().await.unwrap());
    let mut transaction = db.begin().await;
    let again = db.consume(&mut transaction, service.one_time(magic)).await.map(drop);
    assert_eq!(again.unwrap_err().reason(), Some(Reason::RevokedByLane));
    db.set_email(&mut transaction, ALICE, "still@example.com").await;
    B::commit(transaction).await;
    let user = service.find(UserKey::Id(ALICE)).await.unwrap().unwrap();
    assert_eq!(user.fields().email.as_deref(), Some("still@example.com"));
}

async fn of_two_transactions_that_use_a_link_one_wins<B: Transactional>(db: B) {
    let world = World::new(db).await;
    let (service, db) = (&world.service, &world.db);
    let magic = link::<MagicLink>(service, Context::new()).await;
    let use_up = async || {
        let mut transaction = db.begin().await;
        let used = db.consume(&mut transaction, service.one_time(copy(&magic))).await?;
        B::commit(transaction).await;
        drop(used.committed());
        Ok::<_, ServiceError>(())
    };
    let (one, other) = tokio::join!(use_up(), use_up());
    let refused = one.as_ref().err().or(other.as_ref().err()).expect("one of them is refused");
    assert_eq!(refused.reason(), Some(Reason::RevokedByLane));
    assert!(one.is_ok() || other.is_ok());
}

async fn a_change_of_an_unknown_user_fails<B: Transactional>(db: B) {
    let world = World::new(db).await;
    let (service, db) = (&world.service, &world.db);
    let mut transaction = db.begin().await;
    for outcome in [
        db.revoke(&mut transaction, service, "nobody").await,
        db.set_password(&mut transaction, service, "nobody", PASSWORD).await,
    ] {
        assert!(matches!(outcome, Err(ServiceError::NoSuchUser)), "{outcome:?}");
    }
    let revoked = db.revoke(&mut transaction, service, BOB).await.unwrap();
    B::commit(transaction).await;
    revoked.committed();
}

/// In a cache with a long staleness a record stays until its user is published.
#[cfg(feature = "cache")]
#[tokio::test]
async fn the_cache_and_live_connections_are_notified_after_the_commit() {
    use relatch::service::CachePolicy;

    let policy = CachePolicy::new(time::Duration::hours(1), 100).unwrap();
    let world = World::with(Sqlite::new().await, |settings| settings.cache(policy)).await;
    let (service, db) = (&world.service, &world.db);
    for end in [|revoked: Uncommitted<Counter>| _ = revoked.committed(), |revoked| drop(revoked)] {
        let phone = world.start("phone").await;
        world.assert_alive(&phone).await;
        let mut transaction = db.begin().await;
        let revoked = db.revoke(&mut transaction, service, ALICE).await.unwrap();
        world.assert_alive(&phone).await;
        Sqlite::commit(transaction).await;
        end(revoked);
        world.assert_dead(&phone).await;
    }
}

/// The statement that notifies is part of the transaction.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn other_processes_are_notified_by_the_commit() {
    let Some(db) = Postgres::new().await else { return };
    let world = World::new(db).await;
    let (service, db) = (&world.service, &world.db);
    // A proxy that pools transactions passes no notifications on.
    let mut listener = sqlx::postgres::PgListener::connect_with(db.direct()).await.unwrap();
    listener.listen("relatch").await.unwrap();
    let ids = ["rolled back", "committed"].map(|name| format!("{name} in {}", db.table()));
    for id in &ids {
        let new = NewUser::without_password(&**id, &**id).unwrap();
        assert!(db.store().insert(new).await.unwrap());
        let mut transaction = db.begin().await;
        let revoked = db.revoke(&mut transaction, service, id).await.unwrap();
        if *id == ids[1] {
            Postgres::commit(transaction).await;
        } else {
            transaction.rollback().await.unwrap();
        }
        revoked.committed();
    }
    // Other tests notify on the same channel.
    let notified = loop {
        let notification = in_time(listener.recv()).await.unwrap();
        if let Some(id) = ids.iter().find(|id| *id == notification.payload()) {
            break id;
        }
    };
    assert_eq!(notified, &ids[1]);
    assert!(db.store().read(UserKey::Id(&ids[0])).await.unwrap().is_some());
}
