//! What a sample of a table's rows holds.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::catalogue::Table;
use crate::store::{
    Finding,
    sql::{
        check::{Role, Wanted},
        users_table::{IdType, Names},
    },
};

/// The number of rows to look at: a value of the wrong form is one of many, if not of all.
const SAMPLE: usize = 1000;

/// The forms of stored values that are not ours.
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
                "values that are no integers",
            ),
            role if role.is_own_text() => {
                (format!("typeof({column}) NOT IN ('text', 'null')"), "values that are no texts")
            }
            Role::Active => (
                format!("{column} NOT IN (0, 1, 'true', 'false', '0', '1')"),
                "values that are no flags (0 or 1)",
            ),
            _ => continue,
        };
        if exists(connection, wanted, &is_wrong).await? {
            let text = format!("it holds {found}, so the users with them cannot be read");
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
    let (table, id) = (wanted.table, wanted.column);
    let mut is_any = async |condition: String| exists(connection, wanted, &condition).await;
    let is_blob = format!("typeof({id}) = 'blob'");
    if is_any(is_blob).await? {
        let text =
            "it holds ids of 16 bytes, which are not found as text: no user is found by the id";
        return Ok(Some(wanted.problem(text)));
    }
    Ok(match id_type {
        IdType::Integer if is_any(format!("typeof({id}) NOT IN ('integer', 'null')")).await? => {
            let text = "it holds ids that are no integers, which no token can name";
            Some(wanted.problem(text))
        }
        IdType::Uuid if is_any(format!("{id} <> lower({id}) COLLATE BINARY")).await? => {
            let text = "it holds UUIDs in upper case, and an id has one form, in lower case: the users \
                        with them cannot be read";
            let sql = format!("UPDATE {table} SET {id} = lower({id})");
            Some(wanted.problem(text).with_sql(sql))
        }
        IdType::Uuid if is_any(format!("length({id}) <> 36")).await? => {
            let text = "it holds ids that are no UUIDs of 36 characters: the users with them cannot be \
                        read";
            Some(wanted.problem(text))
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
