//! One-time tokens, such as links by mail: issue, peek and consume.

mod issue;
mod use_up;

pub use self::{issue::Issuance, use_up::OneTime};
use crate::{binding::context::Context, store::StoredUser};

/// A context that is computed from the user's record.
type ContextOf<'a, F> = Box<dyn Fn(&StoredUser<F>) -> Context + Send + Sync + 'a>;
