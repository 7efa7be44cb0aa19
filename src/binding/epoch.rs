//! Epochs: counters of groups of users.

use std::borrow::Cow;

use crate::counter::Counter;

/// The counter of a group of users: bumping it logs all of them out.
///
/// Groups of one kind, such as tenants, are told apart by their own names, so that a user who
/// moves from one to another never matches by coincidence.
#[derive(Clone, Copy, Debug)]
pub struct Epoch<'a> {
    pub(crate) kind: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) counter: Counter,
}

impl<'a> Epoch<'a> {
    /// The epoch of the one group of this kind.
    #[must_use]
    pub fn new(kind: &'a str, counter: impl Into<Counter>) -> Self {
        Self { kind, instance: None, counter: counter.into() }
    }

    /// The epoch of the group `instance` (a tenant's identifier, say) among those of this kind.
    #[must_use]
    pub fn of(kind: &'a str, instance: &'a str, counter: impl Into<Counter>) -> Self {
        Self { kind, instance: Some(instance), counter: counter.into() }
    }

    /// The name that is bound: `kind`, or `kind:instance`. A kind has no colon.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        match self.instance {
            Some(instance) => Cow::Owned(format!("{}:{instance}", self.kind)),
            None => Cow::Borrowed(self.kind),
        }
    }
}
