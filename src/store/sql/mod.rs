//! What the stores over SQL have in common: names, statements, and what is made of their answers.

mod engine;
mod failure;
mod name;
mod statements;

pub use self::name::UsersTableError;
pub(super) use self::{
    engine::{Cells, Driver, Engine, Param},
    failure::{Failure, Fault, timed_out},
    name::{Name, TableName},
    statements::{Dialect, place},
};
