//! Many calls at once.

use std::future::Future;

use relatch::store::{NewUser, StoreError, UserStore};
use tokio::task::JoinSet;

use super::HASH;

pub(super) fn user(id: usize) -> NewUser {
    NewUser::with_password_hash(id.to_string(), format!("user {id}"), HASH)
}

/// Runs one call for each number at once, and returns the answers.
pub(super) async fn at_once<T, R>(
    count: usize,
    call: impl Fn(usize) -> R,
) -> Vec<Result<T, StoreError>>
where
    T: Send + 'static,
    R: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for number in 0..count {
        calls.spawn(call(number));
    }
    calls.join_all().await
}

pub(super) async fn bump_at_once<S: UserStore + Clone>(store: &S, count: usize) {
    let store = store.clone();
    let bumped = at_once(count, move |number| {
        let store = store.clone();
        async move { store.bump_version(&number.to_string(), 0).await }
    });
    for answer in bumped.await {
        assert!(answer.unwrap().is_some());
    }
}
