//! Session slots: a fixed number per user, each with a generation and a sequence.
//!
//! All of it is pure: a table, what is asked of it, the time and the policy give the next table
//! and what to answer. Storing it is somebody else's.

mod column;
pub(crate) mod event;
mod id;
mod info;
mod label;
mod policy;
mod table;

pub use self::{
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
