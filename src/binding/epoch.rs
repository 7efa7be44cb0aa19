//! Epochs: counters of groups of users.

use std::borrow::Cow;

use crate::counter::Counter;

/// The counter of a group of users: increasing it logs out all users of the group.
///
/// Groups of one kind, such as tenants, are distinguished by their names, so that the tokens of a
/// user who moves to another group never match by coincidence.
#[derive(Clone, Copy, Debug)]
pub struct Epoch<'a> {
    pub(crate) kind: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) counter: Counter,
}

impl<'a> Epoch<'a> {
    /// The epoch of the only group of this kind.
    #[must_use]
    pub fn new(kind: &'a str, counter: impl Into<Counter>) -> Self {
        Self { kind, instance: None, counter: counter.into() }
    }

    /// The epoch of one group of this kind, named by `instance` (for example a tenant's id).
    #[must_use]
    pub fn of(kind: &'a str, instance: &'a str, counter: impl Into<Counter>) -> Self {
        Self { kind, instance: Some(instance), counter: counter.into() }
    }

    /// The bound name: `kind`, or `kind:instance`. A kind has no colon.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        match self.instance {
            Some(instance) => Cow::Owned(format!("{}:{instance}", self.kind)),
            None => Cow::Borrowed(self.kind),
        }
    }
}
