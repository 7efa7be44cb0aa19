//! The check of the values in a sample of a table's rows.

use sqlx::{AssertSqlSafe, PgConnection};

use super::catalogue::Table;
use crate::store::{
    Finding,
    sql::{
        check::{Role, Wanted},
        users_table::IdType,
    },
};

/// The number of rows to look at: a value of the wrong form is one of many, if not of all.
const SAMPLE: usize = 1000;

/// The forms of stored values that are not ours, where a column's type allows them.
pub(super) async fn findings(
    connection: &mut PgConnection,
    table: &Table,
    wanted: &[Wanted<'_>],
    id_type: IdType,
) -> sqlx::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for wanted in wanted {
        let column = table.column(wanted.column).filter(|column| column.can_select);
        let Some(column) = column else { continue };
        let (base, is_string) = (column.base.as_str(), column.category == "S");
        let id = wanted.column;
        let (condition, finding) = match (wanted.role, id_type) {
            (role, _) if role.is_flag() && base != "bool" => {
                ("CAST(value AS text) NOT IN ('0', '1', 'false', 'true')", wanted.not_a_flag())
            }
            (Role::Id, IdType::UuidBytes) if base == "bytea" => {
                ("octet_length(value) <> 16", wanted.odd_id("ids that are not 16 bytes", None))
            }
            (Role::Id, IdType::Uuid) if is_string => (
                "CAST(value AS text) !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'",
                wanted.odd_id(
                    "ids that are not a UUID in lower case",
                    Some(&format!("pg_catalog.lower({id})")),
                ),
            ),
            _ => continue,
        };
        if exists(connection, table, wanted, condition).await? {
            findings.push(finding);
        }
    }
    Ok(findings)
}

async fn exists(
    connection: &mut PgConnection,
    table: &Table,
    wanted: &Wanted<'_>,
    condition: &str,
) -> sqlx::Result<bool> {
    let (table, column) = (&table.name, wanted.column);
    let sql = format!(
        "SELECT EXISTS (SELECT FROM (SELECT {column} AS value FROM {table} LIMIT {SAMPLE}) AS sample
                         WHERE {condition})"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(connection).await
}
