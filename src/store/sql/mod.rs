//! Stores over SQL: the table's description, the statements, and the databases' drivers.

mod attempt;
#[cfg(feature = "postgres")]
mod batch;
mod capacity;
mod check;
mod checkout;
mod dialect;
mod engine;
mod failure;
pub(super) mod limits;
#[cfg(feature = "postgres")]
pub(super) mod listener;
mod locked;
#[cfg(feature = "postgres")]
mod lookup;
pub(super) mod migration;
mod name;
pub(super) mod options;
mod outcome;
mod param;
#[cfg(feature = "postgres")]
pub(super) mod postgres;
mod rows;
mod run;
#[cfg(feature = "postgres")]
mod shape;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;
mod statements;
mod store;
pub(super) mod users_table;
mod uuid;

#[cfg(feature = "postgres")]
use self::batch::Batches;
pub(crate) use self::locked::InTransaction;
use self::{
    capacity::{Capacity, Slot},
    checkout::Checkout,
    dialect::Dialect,
    engine::{Driver, Engine},
    failure::{Failure, Fault},
    name::{Name, TableName},
    param::Param,
    rows::Cells,
    statements::place,
};
