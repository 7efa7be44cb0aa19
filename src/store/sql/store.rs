//! The part of a store that is the same for each database.

/// Implements for `$store`, a newtype of `Engine<$driver, F>`, all but its constructors, its pool
/// and its `Debug`.
///
/// A macro, and not one generic type with two aliases: rustdoc shows an alias' methods by a script
/// only and its search does not find them, and the compiler's errors would name the generic type.
macro_rules! store_over_engine {
    ($store:ident, $driver:ty) => {
        impl<F: Clone + Send + Sync + 'static> $store<F> {
            /// Inserts a user, and returns whether there was none of this id or login before.
            /// Otherwise nothing changes.
            ///
            /// It writes the id, the login, the version, the hash and the secret. If a table of the
            /// application's own has other columns that must not be `NULL`, the application inserts
            /// its users itself.
            ///
            /// # Errors
            ///
            /// [`StoreError`](crate::store::StoreError): it is not known whether the user was
            /// inserted, unless the kind is
            /// [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured).
            pub async fn insert(
                &self,
                user: crate::store::NewUser,
            ) -> Result<bool, crate::store::StoreError> {
                self.0.insert(&user).await
            }

            /// The counts of password attempts in this database, for the processes that share it. Call
            /// [`migrate_limits`](Self::migrate_limits) first.
            #[must_use]
            pub fn limits(&self) -> crate::store::SqlLimits {
                self.0.limits()
            }

            /// Creates the table of [`limits`](Self::limits), unless it exists.
            ///
            /// # Errors
            ///
            /// [`StoreError`](crate::store::StoreError).
            pub async fn migrate_limits(&self) -> Result<(), crate::store::StoreError> {
                self.0.migrate_limits().await
            }

            /// The SQL of [`migrate_limits`](Self::migrate_limits), for the application's own migration
            /// tool. In PostgreSQL, the application's role needs `SELECT`, `INSERT`, `UPDATE` and
            /// `DELETE` on the table.
            #[must_use]
            pub fn limits_sql(&self) -> String {
                self.0.limits_sql()
            }

            pub(in crate::store::sql) const fn engine(
                &self,
            ) -> &crate::store::sql::Engine<$driver, F> {
                &self.0
            }
        }

        impl<F: Clone + Send + Sync + 'static> crate::store::UserStore for $store<F> {
            type Fields = F;

            async fn read(
                &self,
                key: crate::store::UserKey<'_>,
            ) -> Result<Option<crate::store::Row<F>>, crate::store::StoreError> {
                self.0.read(key).await
            }

            async fn compare_and_set(
                &self,
                update: &crate::store::Update,
            ) -> Result<bool, crate::store::StoreError> {
                self.0.compare_and_set(update).await
            }

            async fn lock(
                &self,
                key: crate::store::UserKey<'_>,
            ) -> Result<Option<crate::store::Locked<F>>, crate::store::StoreError> {
                self.0.lock(key).await
            }

            async fn delete(&self, id: &str) -> Result<bool, crate::store::StoreError> {
                self.0.delete(id).await
            }

            async fn bump_version(
                &self,
                id: &str,
                at_least: i64,
            ) -> Result<Option<i64>, crate::store::StoreError> {
                self.0.bump_version(id, at_least).await
            }

            async fn bump_epoch(
                &self,
                kind: &str,
                instance: &str,
                at_least: i64,
            ) -> Result<Option<i64>, crate::store::StoreError> {
                self.0.bump_epoch(kind, instance, at_least).await
            }

            async fn disable(
                &self,
                id: &str,
                at_least: i64,
            ) -> Result<Option<i64>, crate::store::StoreError> {
                self.0.disable(id, at_least).await
            }

            async fn enable(
                &self,
                id: &str,
                version: Option<i64>,
                at_least: i64,
            ) -> Result<Option<i64>, crate::store::StoreError> {
                self.0.enable(id, version, at_least).await
            }

            async fn check(&self) -> Result<crate::store::CheckReport, crate::store::StoreError> {
                self.check_table().await
            }
        }

        impl<F> Clone for $store<F> {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }
    };
}

pub(super) use store_over_engine;
