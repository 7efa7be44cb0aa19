//! Sessions of a user, in a fixed number of slots, each with a generation and a sequence number.
//!
//! All functions are pure: from a table, a request, the time and the policy they compute the next
//! table and the result. Storing the table is the caller's task.

mod column;
pub(crate) mod event;
mod id;
mod info;
mod label;
mod policy;
mod table;

pub use self::{
    event::{EventKind, SessionEvent},
    id::SessionId,
    info::SessionInfo,
    policy::{OnReuse, SessionPolicy, WhenFull},
    table::SessionTable,
};
pub(crate) use self::{
    info::instant,
    label::{Label, MAX_LABEL_BYTES},
    table::{NoSlot, Rotation, Slot, Started},
};
