// The test of the section: a table and a user that Django 5.2.19 has made.

use std::error::Error;

const DJANGO: &str = r#"
CREATE TABLE "auth_user" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "password" varchar(128) NOT NULL, "last_login" datetime NULL, "is_superuser" bool NOT NULL, "username" varchar(150) NOT NULL UNIQUE, "last_name" varchar(150) NOT NULL, "email" varchar(254) NOT NULL, "is_staff" bool NOT NULL, "is_active" bool NOT NULL, "date_joined" datetime NOT NULL, "first_name" varchar(150) NOT NULL);
INSERT INTO auth_user VALUES (1, 'pbkdf2_sha256$1000$Q2kNZfT8gJi8ASd5WQUFok$cd+tvm0kpFuxXHeXGpzPKneWd/HT9r4eKZxsW7zDhNA=', NULL, 0, 'alice', '', 'alice@example.com', 0, 1, '2026-11-30 16:53:17', '');
INSERT INTO auth_user VALUES (2, '!unusable0123456789012345678901234567890', NULL, 0, 'bob', '', 'bob@example.com', 0, 1, '2026-11-30 16:53:17', '');
"#;

async fn story() -> Result<(), Box<dyn Error>> {
    let file =
        std::env::temp_dir().join(format!("relatch-guide-users-{}.sqlite", std::process::id()));
    let store = SqliteStore::open(&file, users()).await?;
    sqlx::raw_sql(DJANGO).execute(store.pool()).await?;
    store.migrate_columns().await?;
    let authority = Authority::new(
        MasterKey::from_bytes("test", &[7; 32])?,
        "https://a.example",
        "https://a.example",
    )?;
    let hasher = PasswordHasher::new().also_verifies(Pbkdf2::sha256(1000)?);
    let service = Service::builder(authority, store.clone()).hasher(hasher).build();

    let laptop = service.login("alice", "correct horse battery", "laptop").await?;
    let select = "SELECT password FROM auth_user WHERE id = 1";
    let hash: String = sqlx::query_scalar(select).fetch_one(store.pool()).await?;
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    assert!(service.login("alice", "correct horse batterz", "laptop").await.is_err());
    assert!(service.login("bob", "!unusable0123456789", "laptop").await.is_err());
    service.login("alice", "correct horse battery", "phone").await?;
    assert!(service.authenticate(laptop.access()).await.is_ok(), "the rehash logged nobody out");
    drop((service, store));
    std::fs::remove_file(file)?;
    Ok(())
}
