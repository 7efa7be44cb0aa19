//! What only a service knows of its database.

use relatch::{
    Authority, MasterKey,
    authority::Adoption,
    service::Service,
    store::{GroupsTable, MemoryStore, SqliteStore},
};
use time::{Duration, OffsetDateTime};

use super::{
    super::databases::{Directory, run_sqlite},
    PROBLEM, WARNING, described, one, table,
};

fn authority(kinds: &[&str]) -> Authority {
    let key = MasterKey::generate("k").unwrap();
    let builder = Authority::builder(key, "https://i", "https://a");
    let builder = kinds.iter().fold(builder, |builder, kind| builder.user_epoch(*kind));
    builder.build().unwrap()
}

#[tokio::test]
async fn epochs_that_differ_from_the_authoritys() {
    let directory = Directory::new();
    let pool = directory.pool().await;
    let accounts = table("accounts", "secret", "TEXT, tenant TEXT");
    run_sqlite(&pool, accounts + "; CREATE TABLE tenants (id TEXT PRIMARY KEY, epoch BIGINT)")
        .await;
    let groups = GroupsTable::named("tenants");
    let grouped = described("accounts").user_epoch("tenant", "tenant", groups);
    let store = SqliteStore::new(pool, grouped).unwrap();
    let report =
        async |kinds: &[&str]| Service::new(authority(kinds), store.clone()).check().await.unwrap();
    assert!(report(&["tenant"]).await.findings().is_empty());
    for kinds in [&[][..], &["realm"], &["tenant", "realm"]] {
        one(&report(kinds).await, PROBLEM, "user_epoch", "no user's record is usable");
    }
}

#[tokio::test]
async fn an_adoption_whose_deadline_has_passed() {
    let now = OffsetDateTime::now_utc();
    for (until, warns) in [(now - Duration::MINUTE, true), (now + Duration::MINUTE, false)] {
        let key = MasterKey::generate("k").unwrap();
        let adoption = Adoption::hs256(b"the secret of the old setup", 0, until);
        let authority = Authority::builder(key, "https://i", "https://a").adopt(adoption).build();
        let report =
            Service::new(authority.unwrap(), MemoryStore::<()>::new()).check().await.unwrap();
        match warns {
            true => _ = one(&report, WARNING, "adoption", "remove the adoption"),
            false => assert!(report.findings().is_empty(), "{report}"),
        }
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::time::Duration;

    use relatch::{
        service::{CachePolicy, Service},
        store::PostgresStore,
    };
    use tokio::time::sleep;

    use super::{
        super::{
            super::databases::{postgres, run_postgres, unique},
            WARNING, described, one, table,
        },
        authority,
    };

    #[tokio::test]
    async fn a_cache_without_a_listener() {
        let Some(pool) = postgres().await else { return };
        let name = unique("checked");
        run_postgres(&pool, table(&name, "", "")).await;
        let store = PostgresStore::new(pool, described(&name)).unwrap();
        store.migrate_triggers().await.unwrap();
        let plain = Service::new(authority(&[]), store.clone());
        assert!(plain.check().await.unwrap().findings().is_empty(), "no cache, no bound");

        let policy = CachePolicy::new(time::Duration::seconds(40), 100).unwrap();
        let cached = Service::builder(authority(&[]), store.clone()).cache(policy).build();
        one(&cached.check().await.unwrap(), WARNING, "listener", "bound of 40 seconds");
        let listener = store.listen(cached.changes());
        while !listener.is_connected() {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(cached.check().await.unwrap().findings().is_empty());
        drop(listener);
        sleep(Duration::from_millis(100)).await;
        one(&cached.check().await.unwrap(), WARNING, "listener", "bound of 40 seconds");
    }
}
