//! Changes in the application's own transaction: both are stored, or neither.

use super::{OneTime, Service, ServiceError, Uncommitted, transact::Proposal};
use crate::{
    authority::{Used, decision::Committed},
    counter::Counter,
    store::{InTransaction, Record, StoreError, StoredUser, UserKey},
    token::purpose::Purpose,
    user::{RecordError, User},
};

/// Implements for `$store` the calls in a transaction of `$database`.
macro_rules! in_transaction {
    ($store:ident, $database:ident, $begin:literal) => {
        impl<F: Clone + Send + Sync + 'static> crate::store::$store<F> {
            /// Uses up a one-time token in the application's own transaction. It locks the user's row,
            /// and returns the user and the token's claims. Make `link` with [`Service::one_time`], and
            /// set its context or a new password as usual. `self` must be the service's own store.
            ///
            /// The row stays locked until the transaction ends. The service hashes a new password before
            /// it locks the row. The transaction is one of `sqlx` 0.9, the version that this crate uses.
            /// In SQLite, begin it with `pool.begin_with("BEGIN IMMEDIATE")`. A plain `begin` fails if
            /// another connection writes between a read of this transaction and this call.
            ///
            /// Do not make other calls of the service for the same user before the transaction ends: a
            /// call that changes the user waits for the transaction, and fails at its timeout.
            ///
            /// # Errors
            ///
            /// Those of [`OneTime::consume`]. After [`ServiceError::Rejected`] nothing was written, and
            /// the transaction may continue. After any other error, roll back. If the error
            /// [`is_unavailable`](ServiceError::is_unavailable), run the whole transaction again: for
            /// example, it conflicted with another one at the isolation level `REPEATABLE READ`.
            ///
            /// # Example
            ///
            /// ```
            /// use relatch::{Context, Token, one_time::EmailConfirmation, service::Service};
            #[doc = concat!("use relatch::store::", stringify!($store), ";")]
            ///
            /// async fn confirm(
            ///     service: &Service,
            #[doc = concat!("    users: &", stringify!($store), ",")]
            ///     link: Token<EmailConfirmation>,
            ///     address: &str,
            /// ) -> Result<(), Box<dyn std::error::Error>> {
            ///     let link = link.in_context(Context::new().with_email(address));
            #[doc = concat!("    let mut transaction = users.pool().", $begin, ".await?;")]
            ///     let used = users.consume_in(&mut transaction, service.one_time(link)).await?;
            ///     let id = used.1.registered().subject().to_owned();
            ///     let confirm = "UPDATE accounts SET email = $1 WHERE id = $2";
            ///     let query = sqlx::query(confirm).bind(address.to_owned()).bind(id);
            ///     query.execute(&mut *transaction).await?;
            ///     transaction.commit().await?;
            ///     let (_user, _used) = used.committed();
            ///     Ok(())
            /// }
            /// ```
            pub async fn consume_in<P: Purpose, C>(
                &self,
                transaction: &mut sqlx::Transaction<'_, sqlx::$database>,
                link: OneTime<'_, P, F, C>,
            ) -> Result<Uncommitted<(StoredUser<F>, Used<P::Claims>)>, ServiceError> {
                link.consume_in(self.within(transaction)).await
            }

            /// Does what [`Service::log_out_everywhere`] does, in the application's own transaction. It
            /// locks the user's row, and returns the new version. For the rules of the transaction see
            /// [`consume_in`](Self::consume_in). Send the version to others only after the commit.
            ///
            /// # Errors
            ///
            /// [`ServiceError::NoSuchUser`], [`ServiceError::Store`] and [`ServiceError::Record`].
            pub async fn revoke_in<C>(
                &self,
                transaction: &mut sqlx::Transaction<'_, sqlx::$database>,
                service: &Service<F, C>,
                user_id: &str,
            ) -> Result<Uncommitted<Counter>, ServiceError> {
                service.log_out_in(self.within(transaction), user_id).await
            }

            /// Does what [`Service::set_password`] does, in the application's own transaction: sets a
            /// new password, logs the user out everywhere, and returns the new version. It hashes the
            /// password, then locks the user's row. For the rules of the transaction see
            /// [`consume_in`](Self::consume_in).
            ///
            /// # Errors
            ///
            /// Those of [`revoke_in`](Self::revoke_in), [`ServiceError::PasswordRefused`] and
            /// [`ServiceError::Busy`].
            pub async fn set_password_in<C>(
                &self,
                transaction: &mut sqlx::Transaction<'_, sqlx::$database>,
                service: &Service<F, C>,
                user_id: &str,
                new: &str,
            ) -> Result<Uncommitted<Counter>, ServiceError> {
                let turn = service.0.passwords.turn_for(new).await?;
                let read = Record::bare(self.within(transaction).read(UserKey::Id(user_id)).await);
                if read?.is_none() {
                    return Err(ServiceError::NoSuchUser);
                }
                let hash = service.0.passwords.hash_in(turn, new).await?;
                service.set_hash_in(self.within(transaction), user_id, &hash).await
            }
        }
    };
}

#[cfg(feature = "sqlite")]
in_transaction!(SqliteStore, Sqlite, r#"begin_with("BEGIN IMMEDIATE")"#);
#[cfg(feature = "postgres")]
in_transaction!(PostgresStore, Postgres, "begin()");

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Works for a damaged row too.
    async fn log_out_in(
        &self,
        mut transaction: impl InTransaction<F>,
        user_id: &str,
    ) -> Result<Uncommitted<Counter>, ServiceError> {
        if let Some(version) = transaction.bump_version(user_id, self.now_ms()).await? {
            return Ok(Uncommitted::new(version.into(), self.changes(), user_id));
        }
        match Record::bare(transaction.lock(UserKey::Id(user_id)).await)? {
            Some(read) if read.user().has_version_left() => Err(unchanged()),
            Some(_) => Err(ServiceError::Record(RecordError::Exhausted)),
            None => Err(ServiceError::NoSuchUser),
        }
    }

    /// Without the application's fields, which it does not need.
    async fn set_hash_in(
        &self,
        mut transaction: impl InTransaction<F>,
        user_id: &str,
        hash: &str,
    ) -> Result<Uncommitted<Counter>, ServiceError> {
        let read = Record::bare(transaction.lock(UserKey::Id(user_id)).await)?;
        let read = read.ok_or(ServiceError::NoSuchUser)?;
        let edited = read.with_password(hash)?;
        let decision = self.authority().log_out_everywhere(edited.user())?;
        self.commit_in(transaction, &read, Proposal { decision, edited }).await
    }

    /// Writes what was decided on this record, which is locked.
    pub(super) async fn commit_in<T, G: Clone>(
        &self,
        mut transaction: impl InTransaction<F>,
        read: &Record<G>,
        proposal: Proposal<T, G>,
    ) -> Result<Uncommitted<T>, ServiceError> {
        let Proposal { decision, edited } = proposal;
        let update = decision.change().map(|change| read.update(&edited, change)).transpose()?;
        let store = async |_| match &update {
            Some(update) => transaction.compare_and_set(update).await,
            None => Ok(true),
        };
        match decision.commit_async(store).await? {
            Committed::Stored(outcome) => {
                Ok(Uncommitted::new(outcome, self.changes(), read.user().id()))
            }
            Committed::RecordChanged => Err(unchanged()),
        }
    }
}

fn unchanged() -> ServiceError {
    let text = "no row was changed although it is locked: does row-level security allow SELECT and not \
                UPDATE, or does a trigger skip the change?";
    StoreError::misconfigured(text).into()
}
