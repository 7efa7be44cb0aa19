// The test of the section: tokens and rows that simplejwt 5.5.1 has made.

use std::error::Error;

use relatch::{
    AccessToken, User,
    service::Service,
    store::{MemoryStore, NewUser},
};

const SECRET_KEY: &[u8] = b"django-insecure-the-secret-key-of-the-old-application";
const ACCESS: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIiwiZXhwIjoxNzk2MTQ0MzU3LCJpYXQiOjE3OTYwNTc5NTcsImp0aSI6IjkwNGQzZjA0NDRjMTRhMTA4ZTIzNGM2NjIzMjZlN2ExIiwidXNlcl9pZCI6IjEifQ.CtUvl8hSqE00J-Lhx-u3ZlEE7ePsBRmzwwQKaiqdNZ8";
const REFRESH: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCIsImV4cCI6MTc5ODY0OTk1NywiaWF0IjoxNzk2MDU3OTU3LCJqdGkiOiJkYzc5ZTdmYTE5MmI0NGQxYjYxMDgwNjc4OGY0OTUyMSIsInVzZXJfaWQiOiIxIn0.uUstSmTRYFOAVmn2ElGbtFsfnAlwoMXy_jvsCZCWCfc";
const ROWS: &str = r#"
CREATE TABLE "token_blacklist_outstandingtoken" ("token" text NOT NULL, "created_at" datetime NULL, "expires_at" datetime NOT NULL, "user_id" integer NULL, "jti" varchar(255) NOT NULL UNIQUE, "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT);
CREATE TABLE "token_blacklist_blacklistedtoken" ("blacklisted_at" datetime NOT NULL, "token_id" bigint NOT NULL UNIQUE REFERENCES "token_blacklist_outstandingtoken" ("id") DEFERRABLE INITIALLY DEFERRED, "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT);
CREATE TABLE denied_tokens (jti TEXT PRIMARY KEY, expires_at BIGINT NOT NULL);
INSERT INTO token_blacklist_outstandingtoken VALUES ('…', '2026-11-30 16:53:18', '2026-12-30 16:53:18', 1, 'dc79e7fa192b44d1b610806788f49521', 1);
"#;

async fn story() -> Result<(), Box<dyn Error>> {
    let now = OffsetDateTime::from_unix_timestamp(1_796_057_600)?; // the clock stands here
    let until = now + time::Duration::days(60);
    let authority = |typ: &'static str| {
        let key = MasterKey::from_bytes("test", &[7; 32])?;
        Ok::<_, Box<dyn Error>>(authority(key, SECRET_KEY, typ, until)?)
    };
    let users = MemoryStore::new();
    users.insert(NewUser::without_password("1", "alice")?.initial_version(), ());
    let service: Service = Service::new(authority("access")?, users);
    let refresh = authority("refresh")?;

    let user = service.find(relatch::store::UserKey::Id("1")).await?;
    let jti = |authority: &Authority, token: &str| {
        let token = AccessToken::new(token);
        let verified = authority.open(&token).ok()?.verify(user.clone()).ok()?;
        assert!(verified.is_legacy() && verified.user().id() == "1");
        verified.registered().jti().map(str::to_owned)
    };
    assert!(jti(&service.authority(), ACCESS).is_some());
    assert!(jti(&service.authority(), REFRESH).is_none());
    assert!(jti(&refresh, ACCESS).is_none());
    let jti = jti(&refresh, REFRESH).unwrap();

    let pool = sqlx::sqlite::SqlitePoolOptions::new()
        .max_connections(1)
        .connect("sqlite::memory:")
        .await?;
    sqlx::raw_sql(ROWS).execute(&pool).await?;
    let is_denied = async || {
        let row = sqlx::query(IS_DENIED).bind(jti.clone()).fetch_optional(&pool).await;
        row.unwrap().is_some()
    };
    assert!(!is_denied().await);
    sqlx::query("INSERT INTO denied_tokens VALUES ($1, 0)")
        .bind(jti.clone())
        .execute(&pool)
        .await?;
    assert!(is_denied().await);
    sqlx::query("DELETE FROM denied_tokens").execute(&pool).await?;
    let blacklisted =
        "INSERT INTO token_blacklist_blacklistedtoken VALUES ('2026-11-30 16:53:18', 1, 1)";
    sqlx::query(blacklisted).execute(&pool).await?;
    assert!(is_denied().await);
    Ok(())
}
