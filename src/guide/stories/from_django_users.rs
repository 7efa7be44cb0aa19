// The test of the section: a table and a user that Django 5.2.19 has made.

use std::error::Error;

const DJANGO: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/stories/django_user.sql"));
/// A user without a password.
const BOB: &str = "INSERT INTO auth_user VALUES (2, '!unusable0123456789012345678901234567890', NULL, 0, 'bob', '', 'bob@example.com', 0, 1, '2026-11-30 16:53:17', '')";

async fn story() -> Result<(), Box<dyn Error>> {
    let file =
        std::env::temp_dir().join(format!("relatch-guide-users-{}.sqlite", std::process::id()));
    let store = SqliteStore::open(&file, users()).await?;
    sqlx::raw_sql(DJANGO).execute(store.pool()).await?;
    sqlx::query(BOB).execute(store.pool()).await?;
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
