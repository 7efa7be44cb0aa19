//! Sessions of a user, in a fixed number of slots, each with a generation and a sequence number.
//!
//! All functions are pure: from a table, a request, the time and the policy they compute the next
//! table and the result. Storing the table is the caller's task.

mod client_policy;
mod column;
mod data;
pub(crate) mod event;
mod id;
mod info;
mod label;
mod new_session;
mod policy;
mod table;
mod tag;

pub use self::{
    client_policy::ClientPolicy,
    data::{DataError, SessionData},
    event::{EventKind, SessionEvent},
    id::SessionId,
    info::SessionInfo,
    new_session::NewSession,
    policy::{OnReuse, SessionPolicy, WhenFull},
    table::SessionTable,
};
pub(crate) use self::{
    info::instant,
    label::{Label, MAX_LABEL_BYTES},
    table::{DataTooLong, NotStarted, Rotation, Slot, Started},
    tag::SessionTag,
};
