//! The default bump of the version: a loop of reads and compare-and-sets.

use std::time::Duration;

use tokio::time::sleep;

use super::{Key, StoreError, Update, UserStore};

/// The number of attempts if other changes are faster.
const ATTEMPTS: u32 = 16;

/// The default of [`UserStore::bump_version`].
pub(super) async fn bump_by_compare_and_set<S: UserStore + ?Sized>(
    store: &S,
    id: &str,
    at_least: i64,
) -> Result<bool, StoreError> {
    for attempt in 0..ATTEMPTS {
        let Some(mut row) = store.read(Key::Id(id)).await? else { return Ok(false) };
        let old = row.columns.clone();
        if !row.bump(at_least) {
            return Ok(false);
        }
        let update = Update { id: row.id, old, new: row.columns, revokes: true };
        if store.compare_and_set(&update).await? {
            return Ok(true);
        }
        sleep(Duration::from_millis(u64::from(attempt))).await;
    }
    Err(StoreError::unreachable("the user's row was changed again and again"))
}
