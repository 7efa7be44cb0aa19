//! Recipes for rows that are no users any more.

use relatch::store::UsersTable;

use super::*;

const DELETION: &str = "Soft deletion";
const FLAG_SQLITE: &str = "SQLite, with a flag";
#[cfg(feature = "postgres")]
const FLAG_POSTGRES: &str = "PostgreSQL, with a flag";
const STATUS: &str = "A status that the application computes";

/// How the application's own SQL ends the account `a-1`, and undoes it.
struct Ending {
    end: &'static str,
    undo: &'static str,
}

const BY_TIME: Ending = Ending {
    end: "UPDATE accounts SET deleted_at = CURRENT_TIMESTAMP WHERE id = 'a-1'",
    undo: "UPDATE accounts SET deleted_at = NULL WHERE id = 'a-1'",
};
const BY_FLAG: Ending = Ending {
    end: "UPDATE accounts SET is_deleted = TRUE WHERE id = 'a-1'",
    undo: "UPDATE accounts SET is_deleted = FALSE WHERE id = 'a-1'",
};
const BY_STATUS: Ending = Ending {
    end: "UPDATE accounts SET status = 'suspended' WHERE id = 'a-1'",
    undo: "UPDATE accounts SET status = 'active' WHERE id = 'a-1'",
};

fn by_time() -> UsersTable {
    on_page!(DELETION, UsersTable::named("accounts").login("email").deleted_at("deleted_at"))
}

fn by_flag() -> UsersTable {
    on_page!(DELETION, UsersTable::named("accounts").login("email").is_deleted("is_deleted"))
}

fn by_status() -> UsersTable {
    on_page!(STATUS, UsersTable::named("accounts").login("email").is_deleted("is_suspended"))
}

async fn is_nobody(service: &Service) {
    assert_refused(service, "ada").await;
    let gone = [
        service.log_out_everywhere("a-1").await.map(drop),
        service.set_password("a-1", PASSWORD).await.map(drop),
        service.delete("a-1").await,
    ];
    for done in gone {
        assert!(matches!(done, Err(ServiceError::NoSuchUser)), "{done:?}");
    }
}

/// The account ends, and comes back. Its old tokens come back too, unless it was logged out.
async fn ends(service: &Service, run: &impl AsyncFn(&str), by: &Ending) {
    run(ADA).await;
    for is_logged_out in [false, true] {
        let session = Session::start(service, "ada").await;
        if is_logged_out {
            service.log_out_everywhere("a-1").await.unwrap();
        }
        run(by.end).await;
        let error = service.authenticate(&session.access).await.unwrap_err();
        assert_eq!(error.status(), 401, "{error:?}");
        is_nobody(service).await;
        run(by.undo).await;
        if is_logged_out {
            session.assert_is_dead(service).await;
        } else {
            session.assert_lives(service, "a-1").await;
        }
    }
}

/// An address signs up again while the row of its deleted account is there.
async fn signs_up_again(service: &Service, run: &impl AsyncFn(&str), by: &Ending) {
    let old = Session::start(service, "ada").await;
    run(by.end).await;
    run(&ADA.replace("a-1", "a-2")).await;
    let new = Session::start(service, "ada").await;
    new.assert_lives(service, "a-2").await;
    old.assert_is_dead(service).await;
    assert_clean(service).await;
    serves(service, &["ada"]).await;
    is_nobody(service).await;
    run(by.undo).await;
    serves(service, &["ada"]).await;
}

#[tokio::test]
async fn deletes_softly_in_sqlite() {
    for (comment, table, by) in [(BOTH, by_time(), BY_TIME), (FLAG_SQLITE, by_flag(), BY_FLAG)] {
        let db = Sqlite::with(sql(DELETION, comment)).await;
        let service = db.service(table).await;
        let run = async |sql: &str| db.run(sql).await;
        ends(&service, &run, &by).await;
        signs_up_again(&service, &run, &by).await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn deletes_softly_in_postgres() {
    for (comment, table, by) in [(BOTH, by_time(), BY_TIME), (FLAG_POSTGRES, by_flag(), BY_FLAG)] {
        let Some(db) = Postgres::with(sql(DELETION, comment)).await else { return };
        let service = db.service(table).await;
        let run = async |sql: &str| db.run(sql).await;
        ends(&service, &run, &by).await;
        signs_up_again(&service, &run, &by).await;
        db.end().await;
    }
}

#[tokio::test]
async fn suspends_by_a_status_in_sqlite() {
    let db = Sqlite::with(sql(STATUS, BOTH)).await;
    let service = db.service(by_status()).await;
    ends(&service, &async |sql: &str| db.run(sql).await, &BY_STATUS).await;
    serves(&service, &["ada"]).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn suspends_by_a_status_in_postgres() {
    let Some(db) = Postgres::with(sql(STATUS, BOTH)).await else { return };
    let service = db.service(by_status()).await;
    ends(&service, &async |sql: &str| db.run(sql).await, &BY_STATUS).await;
    serves(&service, &["ada"]).await;
    db.end().await;
}
