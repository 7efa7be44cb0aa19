//! A private version of [`UserStore`] with boxed futures, so that a service is not generic over its
//! store.

use std::{future::Future, pin::Pin};

use super::{CheckReport, Locked, Row, StoreError, Update, UserKey, UserStore};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

pub(crate) trait ErasedStore<F>: Send + Sync + 'static {
    fn read<'a>(&'a self, key: UserKey<'a>) -> BoxFuture<'a, Option<Row<F>>>;
    fn compare_and_set<'a>(&'a self, update: &'a Update) -> BoxFuture<'a, bool>;
    fn lock<'a>(&'a self, key: UserKey<'a>) -> BoxFuture<'a, Option<Locked<F>>>;
    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, bool>;
    fn bump_version<'a>(&'a self, id: &'a str, at_least: i64) -> BoxFuture<'a, Option<i64>>;
    fn bump_epoch<'a>(
        &'a self,
        kind: &'a str,
        instance: &'a str,
        at_least: i64,
    ) -> BoxFuture<'a, Option<i64>>;
    fn disable<'a>(&'a self, id: &'a str, at_least: i64) -> BoxFuture<'a, Option<i64>>;
    fn enable<'a>(
        &'a self,
        id: &'a str,
        version: Option<i64>,
        at_least: i64,
    ) -> BoxFuture<'a, Option<i64>>;
    fn check(&self) -> BoxFuture<'_, CheckReport>;
}

impl<S: UserStore> ErasedStore<S::Fields> for S {
    fn read<'a>(&'a self, key: UserKey<'a>) -> BoxFuture<'a, Option<Row<S::Fields>>> {
        Box::pin(UserStore::read(self, key))
    }

    fn compare_and_set<'a>(&'a self, update: &'a Update) -> BoxFuture<'a, bool> {
        Box::pin(UserStore::compare_and_set(self, update))
    }

    fn lock<'a>(&'a self, key: UserKey<'a>) -> BoxFuture<'a, Option<Locked<S::Fields>>> {
        Box::pin(UserStore::lock(self, key))
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(UserStore::delete(self, id))
    }

    fn bump_version<'a>(&'a self, id: &'a str, at_least: i64) -> BoxFuture<'a, Option<i64>> {
        Box::pin(UserStore::bump_version(self, id, at_least))
    }

    fn bump_epoch<'a>(
        &'a self,
        kind: &'a str,
        instance: &'a str,
        at_least: i64,
    ) -> BoxFuture<'a, Option<i64>> {
        Box::pin(UserStore::bump_epoch(self, kind, instance, at_least))
    }

    fn disable<'a>(&'a self, id: &'a str, at_least: i64) -> BoxFuture<'a, Option<i64>> {
        Box::pin(UserStore::disable(self, id, at_least))
    }

    fn enable<'a>(
        &'a self,
        id: &'a str,
        version: Option<i64>,
        at_least: i64,
    ) -> BoxFuture<'a, Option<i64>> {
        Box::pin(UserStore::enable(self, id, version, at_least))
    }

    fn check(&self) -> BoxFuture<'_, CheckReport> {
        Box::pin(UserStore::check(self))
    }
}
