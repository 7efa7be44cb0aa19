//! The time during which a token is valid.

use time::OffsetDateTime;

use crate::rejection::{Reason, Rejection, Stage};

/// Checks that `now` is before `exp` (exclusive) and not before `iat` or `nbf` (inclusive), with
/// the leeway. All are in seconds.
pub(crate) fn check_validity(
    exp: u64,
    not_before: Option<u64>,
    now: OffsetDateTime,
    leeway: u64,
) -> Result<(), Rejection> {
    let now = i128::from(now.unix_timestamp());
    if now >= i128::from(exp) + i128::from(leeway) {
        return Err(Rejection::new(Stage::Validity, Reason::Expired));
    }
    if not_before.is_some_and(|start| i128::from(start) > now + i128::from(leeway)) {
        return Err(Rejection::new(Stage::Validity, Reason::NotYetValid));
    }
    Ok(())
}
