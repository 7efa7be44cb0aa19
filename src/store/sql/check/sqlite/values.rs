//! The values in a sample of a table's rows.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::catalogue::Table;
use crate::store::{
    Finding,
    sql::{
        check::{Role, Wanted},
        users_table::{IdType, Names},
    },
};

/// The number of rows to read. If one value has the wrong form, most values have it.
const SAMPLE: usize = 1000;

/// The stored values in a form that relatch does not read.
pub(super) async fn findings(
    connection: &mut SqliteConnection,
    table: &Table,
    wanted: &[Wanted<'_>],
    names: &Names,
) -> sqlx::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for wanted in wanted.iter().filter(|wanted| table.column(wanted.column).is_some()) {
        let column = wanted.column;
        let (is_wrong, found) = match wanted.role {
            Role::Id => match wrong_id(connection, wanted, names.id_type).await? {
                Some(finding) => {
                    findings.push(finding);
                    continue;
                }
                None => continue,
            },
            role if role.is_counter() => (
                format!("typeof({column}) NOT IN ('integer', 'null')"),
                "values that are not integers",
            ),
            role if role.is_own_text() => {
                (format!("typeof({column}) NOT IN ('text', 'null')"), "values that are not text")
            }
            role if role.is_flag() => {
                let is_wrong = format!("CAST({column} AS TEXT) NOT IN ('0', '1', 'false', 'true')");
                if exists(connection, wanted, &is_wrong).await? {
                    findings.push(wanted.not_a_flag());
                }
                continue;
            }
            _ => continue,
        };
        if exists(connection, wanted, &is_wrong).await? {
            let text =
                format!("some rows hold {found}, so these users cannot be read: correct the rows");
            findings.push(wanted.problem(text));
        }
    }
    Ok(findings)
}

async fn wrong_id(
    connection: &mut SqliteConnection,
    wanted: &Wanted<'_>,
    id_type: IdType,
) -> sqlx::Result<Option<Finding>> {
    let id = wanted.column;
    let mut is_any = async |condition: String| exists(connection, wanted, &condition).await;
    let has_type = |kind: &str| format!("typeof({id}) = '{kind}'");
    let has_no_type = |kind: &str| format!("typeof({id}) NOT IN ('{kind}', 'null')");
    Ok(match id_type {
        IdType::UuidBytes => {
            let is_odd = format!("{} OR length({id}) <> 16", has_no_type("blob"));
            let odd = wanted.odd_id("ids that are not 16 bytes", None);
            is_any(is_odd).await?.then_some(odd)
        }
        _ if is_any(has_type("blob")).await? => {
            let what = "ids that are BLOBs (for UUIDs as 16 bytes, use `IdType::UuidBytes`)";
            Some(wanted.odd_id(what, None))
        }
        IdType::Integer if is_any(has_no_type("integer")).await? => {
            Some(wanted.odd_id("ids that are not integers", None))
        }
        IdType::Uuid if is_any(format!("{id} <> lower({id}) COLLATE BINARY")).await? => {
            let lower = format!("lower({id})");
            Some(wanted.odd_id("UUIDs in upper case", Some(&lower)))
        }
        IdType::Uuid if is_any(format!("length({id}) <> 36")).await? => {
            Some(wanted.odd_id("ids that do not have the 36 characters of a UUID", None))
        }
        _ => None,
    })
}

async fn exists(
    connection: &mut SqliteConnection,
    wanted: &Wanted<'_>,
    condition: &str,
) -> sqlx::Result<bool> {
    let (table, column) = (wanted.table, wanted.column);
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM (SELECT {column} FROM {table} LIMIT {SAMPLE}) WHERE {condition})"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await
}
