//! Session slots: a fixed number per user, each with a generation and a sequence.
//!
//! All of it is pure: a table, what is asked of it, the time and the policy give the next table
//! and what to answer. Storing it is somebody else's.

mod id;
mod info;
mod label;
mod policy;
mod table;
mod text;

pub use self::{
    id::{SessionId, SessionIdError},
    info::SessionInfo,
    policy::{OnReuse, PolicyError, SessionPolicy, WhenFull},
    table::SessionTable,
    text::TableError,
};
pub(crate) use self::{
    info::instant,
    label::{Label, MAX_LABEL_BYTES},
    table::{NoSlot, Rotation, Slot, Started},
};

/// The greatest number of slots.
pub(crate) const MAX_SLOTS: u32 = 64;
