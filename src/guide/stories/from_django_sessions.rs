// The test of the section: a session that Django 5.2.19 has made, and the user of that time.

use std::error::Error;

use relatch::{
    Authority, MasterKey,
    service::{Service, ServiceError},
    store::{IdType, SqliteStore, UsersTable},
    user::{Carried, Credential},
};

const SECRET_KEY: &str = "django-insecure-the-secret-key-of-the-old-application";
const KEY: &str = "33cdvp0p7xbndzf3j9mvcyh9i12x7get";
const DJANGO: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/stories/django_user.sql"));
/// Apart from the expiry.
const SESSIONS: &str = r#"
CREATE TABLE "django_session" ("session_key" varchar(40) NOT NULL PRIMARY KEY, "session_data" text NOT NULL, "expire_date" datetime NOT NULL);
INSERT INTO django_session VALUES ('33cdvp0p7xbndzf3j9mvcyh9i12x7get', '.eJxVjMsOwiAUBf-FtSHQW7C4dO83kPsAqRqalHZl_HfbpAvdnpk5bxVxXUpcW5rjKOqirDr9boT8THUH8sB6nzRPdZlH0ruiD9r0bZL0uh7u30HBVrZ6sMZDSJazeOscdGSS6clRyCgJzgwdZgQvpnfAIIE4u2A2mtn7AdTnC-EXOC0:1xY4cw:32adL0CXy3i8dpcpfeZm8OpnxKqdV5EDd6vY1NDmRU0', '9999-12-31 00:00:00');
INSERT INTO django_session SELECT 'expired', session_data, '2020-01-01 00:00:00' FROM django_session;
ALTER TABLE auth_user ADD COLUMN django_password VARCHAR(128);
UPDATE auth_user SET django_password = password;
"#;

async fn story() -> Result<(), Box<dyn Error>> {
    let file =
        std::env::temp_dir().join(format!("relatch-guide-sessions-{}.sqlite", std::process::id()));
    let table = UsersTable::<()>::named("auth_user")
        .id_type(IdType::Integer)
        .login("username")
        .password_hash("password")
        .active("is_active");
    let store = SqliteStore::open(&file, table).await?;
    let pool = store.pool().clone();
    sqlx::raw_sql(DJANGO).execute(&pool).await?;
    sqlx::raw_sql(SESSIONS).execute(&pool).await?;
    let select = "SELECT password FROM auth_user";
    let of_django: String = sqlx::query_scalar(select).fetch_one(&pool).await?;
    store.migrate_columns().await?;
    let authority = Authority::new(
        MasterKey::from_bytes("test", &[7; 32])?,
        "https://a.example",
        "https://a.example",
    )?;
    let service: Service = Service::new(authority, store.clone());

    let found = async |key| AtLogin::find(&pool, SECRET_KEY, key).await;
    let is_served = async || {
        let login = found(KEY).await.unwrap().unwrap();
        let token = service.authority().issue_for_user(&login).unwrap();
        match service.authenticate(&token).await {
            Ok(verified) => verified.user().id() == "1",
            Err(ServiceError::Rejected(_)) => false,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(is_served().await);
    assert!(found("expired").await?.is_none());
    assert!(found("unknown").await?.is_none());
    assert!(AtLogin::find(&pool, "another secret key", KEY).await?.is_none());
    let text: String =
        sqlx::query_scalar("SELECT session_data FROM django_session").fetch_one(&pool).await?;
    assert!(read(SECRET_KEY, &text).is_some_and(|login| login.user_id == "1"));
    assert!(read(SECRET_KEY, &text.replace(".eJ", ".eK")).is_none());

    // A rehash at a login by relatch ends no old session.
    let argon2 = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$x8rdhNdTnMeMQHNjDBcUkdC2d9hEKpJtHxBVLfmvbVU";
    let (before, after) =
        (Credential::from_password_hash(&of_django)?, Credential::from_password_hash(argon2)?);
    let carried = Carried::rehash(None, &before, &after).expose_text().to_string();
    let update = "UPDATE auth_user SET password = $1, carried = $2";
    sqlx::query(update).bind(argon2).bind(carried).execute(&pool).await?;
    assert!(is_served().await);

    // Django's argon2, without its prefix in the row.
    let django = format!("argon2{argon2}");
    let salt = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash";
    let hash = salted_hmac(salt, SECRET_KEY, &django).unwrap().finalize().into_bytes();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = format!(r#"{{"_auth_user_id":"1","_auth_user_hash":"{hash}"}}"#);
    let signed = format!("{}:1xY4cw", BASE64_URL_SAFE_NO_PAD.encode(json));
    let mac =
        salted_hmac("django.contrib.sessions.SessionStoresigner", SECRET_KEY, &signed).unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    let insert = "INSERT INTO django_session VALUES ('argon2', $1, '9999-12-31 00:00:00')";
    sqlx::query(insert).bind(format!("{signed}:{signature}")).execute(&pool).await?;
    sqlx::query("UPDATE auth_user SET carried = NULL, django_password = $1")
        .bind(django)
        .execute(&pool)
        .await?;
    let login = found("argon2").await?.unwrap();
    let token = service.authority().issue_for_user(&login)?;
    assert!(service.authenticate(&token).await.is_ok());
    let back = "UPDATE auth_user SET password = $1, django_password = $1";
    sqlx::query(back).bind(of_django).execute(&pool).await?;

    // A new password does, and so does "log out everywhere".
    sqlx::query("UPDATE auth_user SET password = $1")
        .bind(argon2.replace("x8r", "y8r"))
        .execute(&pool)
        .await?;
    assert!(!is_served().await);
    sqlx::query("UPDATE auth_user SET password = django_password").execute(&pool).await?;
    assert!(is_served().await);
    service.log_out_everywhere("1").await?;
    assert!(!is_served().await);
    pool.close().await;
    std::fs::remove_file(file)?;
    Ok(())
}
