//! A bump of the version by a store that has no statement for it.

use std::time::Duration;

use tokio::time::sleep;

use super::{Key, StoreError, Update, UserStore};

/// How often a change is tried anew where somebody else was faster.
const ATTEMPTS: u32 = 16;

/// [`UserStore::bump_version`] of a store that has no statement for it.
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
