//! `verify_async` has no bound on the lookup, and its future is `Send` if the lookup's is. These
//! tests compile the ways in which applications call it.

use std::{convert::Infallible, future::Future, rc::Rc, sync::Arc};

use relatch::{AccessToken, Authority, User};

use crate::common::{Account, account, authority};

struct Db(Account);

impl Db {
    async fn find(&self, id: &str) -> Result<Option<Account>, Infallible> {
        tokio::task::yield_now().await;
        Ok((self.0.id == id).then(|| self.0.clone()))
    }
}

#[tokio::test]
async fn an_async_closure_that_borrows_the_database_is_spawned() {
    let (authority, _) = authority();
    let db = Arc::new(Db(account("alice")));
    let token = authority.issue_for_user(&db.0).unwrap();
    let task = tokio::spawn(async move {
        authority.verify_async(&token, async |id| db.find(&id).await).await.is_ok()
    });
    assert!(task.await.unwrap());
}

/// As a framework would write it: generic over the lookup and the user.
async fn authenticate<U, E, F>(
    authority: Authority,
    token: AccessToken,
    lookup: impl FnOnce(String) -> F + Send + 'static,
) -> bool
where
    U: User + Send + 'static,
    E: Send + 'static,
    F: Future<Output = Result<Option<U>, E>> + Send + 'static,
{
    let task = async move { authority.verify_async(&token, lookup).await.is_ok() };
    tokio::spawn(task).await.unwrap()
}

#[tokio::test]
async fn a_generic_caller_is_spawned() {
    let (authority, _) = authority();
    let db = Arc::new(Db(account("alice")));
    let token = authority.issue_for_user(&db.0).unwrap();
    assert!(authenticate(authority, token, async move |id: String| db.find(&id).await).await);
}

/// Without a `Send` bound, a lookup that stays on its thread is accepted.
#[tokio::test]
async fn a_lookup_that_is_not_send_is_awaited_in_place() {
    let (authority, _) = authority();
    let db = Rc::new(Db(account("alice")));
    let token = authority.issue_for_user(&db.0).unwrap();
    let session = authority.verify_async(&token, async |id| db.find(&id).await).await.unwrap();
    assert_eq!(session.user().id, "alice");
}

#[tokio::test]
async fn the_awaited_lookup_s_failure_is_its_own_error() {
    let (authority, _) = authority();
    let token = authority.issue_for_user(&account("alice")).unwrap();
    let failing = async |_| Err::<Option<Account>, _>(std::io::Error::other("gone"));
    let error = authority.verify_async(&token, failing).await.unwrap_err();
    assert!(matches!(error, relatch::VerifyError::Lookup(_)));
    let mapped = error.map_lookup(|error| error.to_string());
    assert_eq!(mapped, relatch::VerifyError::Lookup("gone".to_owned()));
}
