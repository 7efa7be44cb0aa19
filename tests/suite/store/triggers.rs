//! The application's own triggers: a column that a statement names counts as changed for them.

#[cfg(feature = "postgres")]
use relatch::store::PostgresStore;
use relatch::{
    Authority, MasterKey,
    service::Service,
    store::{NewUser, SqliteStore, UserKey, UserStore, UsersTable},
};

use super::databases::{Directory, run_sqlite};
#[cfg(feature = "postgres")]
use super::databases::{postgres, run_postgres, unique};

fn table(name: &str) -> UsersTable {
    UsersTable::named(name).secret("secret").active("is_active")
}

/// Logs in, refreshes, logs out and revokes in each way. None of it changes a password, and each write
/// names what it changes alone.
async fn keeps_the_password<S: UserStore<Fields = ()> + Clone>(store: S, hash: &str) {
    let key = MasterKey::generate("k").unwrap();
    let authority = Authority::builder(key, "https://i", "https://a").build().unwrap();
    let service = Service::new(authority, store.clone());
    let stored = async || store.read(UserKey::Id("1")).await.unwrap().unwrap().columns;
    let first = stored().await;
    assert_eq!(first.password_hash.as_deref(), Some(hash), "as it was inserted");

    let tokens = service.login("ada", crate::service::PASSWORD, "phone").await.unwrap();
    let tokens = service.refresh(tokens.into_parts().1).await.unwrap();
    assert!(service.authenticate(tokens.access()).await.is_ok());
    let user = service.authenticate(tokens.access()).await.unwrap();
    service.log_out(&user).await.unwrap();
    let other = service.login("ada", crate::service::PASSWORD, "laptop").await.unwrap();
    service.log_out_everywhere("1").await.unwrap();
    assert!(service.authenticate(other.access()).await.is_err());
    service.disable("1").await.unwrap();
    service.enable("1").await.unwrap();
    let _ = service.login("ada", crate::service::PASSWORD, "phone").await.unwrap();
    assert_eq!(stored().await.password_hash, first.password_hash);
    assert_eq!(stored().await.secret, first.secret);
}

#[tokio::test]
async fn a_trigger_on_the_password_column_does_not_run_in_sqlite() {
    let directory = Directory::new();
    let store = SqliteStore::open(directory.file(), table("accounts")).await.unwrap();
    let sql = "CREATE TABLE accounts (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT,
                                      secret TEXT);
               CREATE TRIGGER hashes AFTER UPDATE OF password_hash, secret ON accounts BEGIN
                   UPDATE accounts SET password_hash = 'hashed ' || NEW.password_hash
                       WHERE id = NEW.id;
               END";
    run_sqlite(store.pool(), sql).await;
    store.migrate().await.unwrap();
    let hash = crate::service::hash();
    assert!(store.insert(NewUser::with_password_hash("1", "ada", hash)).await.unwrap());
    keeps_the_password(store, hash).await;
}

/// Such a trigger hashes a password that it takes for plain text.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_trigger_on_the_password_column_does_not_run_in_postgres() {
    let Some(pool) = postgres().await else { return };
    let name = unique("hashes");
    let store = PostgresStore::new(pool.clone(), table(&name)).unwrap();
    let sql = format!(
        "CREATE TABLE {name} (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT, secret TEXT);
         CREATE FUNCTION {name}_hash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.password_hash := md5(NEW.password_hash);
             RETURN NEW;
         END $$;
         CREATE TRIGGER hashes BEFORE UPDATE OF password_hash, secret ON {name}
             FOR EACH ROW EXECUTE FUNCTION {name}_hash()"
    );
    run_postgres(&pool, sql).await;
    store.migrate().await.unwrap();
    let hash = crate::service::hash();
    assert!(store.insert(NewUser::with_password_hash("1", "ada", hash)).await.unwrap());
    keeps_the_password(store, hash).await;
}
