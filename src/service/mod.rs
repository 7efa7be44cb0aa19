//! The service: an authority joined with a store of users.

mod changes;

pub use self::changes::Changes;
