//! One-time tokens, such as links by mail: issue, peek and consume.

mod issue;
mod use_up;

pub use self::{issue::Issuance, use_up::OneTime};
use crate::{binding::context::Context, store::StoredUser};

/// A value that is made from the user's record.
type MadeOf<'a, F, T> = Box<dyn Fn(&StoredUser<F>) -> T + Send + Sync + 'a>;

/// A context that is made from the user's record.
type ContextOf<'a, F> = MadeOf<'a, F, Context>;
