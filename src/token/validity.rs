//! The time during which a token is valid.

use crate::rejection::{Reason, Rejection, Stage};

/// Checks that `now` is before `exp` (exclusive) and not before `iat` or `nbf` (inclusive), with
/// the leeway. All are in seconds.
pub(crate) fn check_validity(
    exp: u64,
    not_before: Option<u64>,
    now: i64,
    leeway: u64,
) -> Result<(), Rejection> {
    // Every NumericDate and every leeway is far below the end of the range.
    if now >= exp.saturating_add(leeway).cast_signed() {
        return Err(Rejection::new(Stage::Validity, Reason::Expired));
    }
    if not_before.is_some_and(|start| start.cast_signed() > now.saturating_add_unsigned(leeway)) {
        return Err(Rejection::new(Stage::Validity, Reason::NotYetValid));
    }
    Ok(())
}
