//! Stores over SQL: the table's description, the statements, and the databases' drivers.

mod engine;
mod failure;
#[cfg(feature = "postgres")]
pub(super) mod listener;
pub(super) mod migration;
mod name;
pub(super) mod options;
#[cfg(feature = "postgres")]
pub(super) mod postgres;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;
mod statements;
mod store;
pub(super) mod users_table;

use self::{
    engine::{Cells, Driver, Engine, Param},
    failure::{Failure, Fault, timed_out},
    name::{Name, TableName},
    statements::{Dialect, place},
};
