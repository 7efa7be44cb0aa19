//! The check of each column by the catalogue alone.

use super::catalogue::{Column, Table};
use crate::store::{
    Finding,
    sql::{
        check::{Role, Wanted, Width},
        migration::Types,
        users_table::{IdType, Names},
    },
};

/// Problems with the type, the width, `NULL` and generated values of a column that is there: those that
/// a migration refuses too.
pub(super) fn unfit(wanted: &Wanted<'_>, column: &Column, id_type: IdType) -> Vec<Finding> {
    let mut findings = Vec::new();
    let role = wanted.role;
    if column.is_generated && role.is_written() {
        findings.push(wanted.generated());
    } else if role.is_counter() && column.base != "int8" {
        findings.push(counter(wanted, column));
    } else if role.is_own_text() && !is_text(column) {
        findings.push(not_text(wanted, column));
    } else if role.is_flag() && !matches!(column.category.as_str(), "B" | "N" | "S") {
        let text = format!(
            "its type is {}, and relatch reads a BOOLEAN, or a number that is 0 or 1, so no user can be \
             read: change the type",
            column.kind
        );
        findings.push(wanted.problem(text));
    } else if role == Role::Id {
        findings.extend(unlike_id(wanted, column, id_type));
    } else if role == Role::Login && column.category != "S" {
        let text = format!(
            "its type is {}, and a login is text, so no user can log in: name a text column",
            column.kind
        );
        findings.push(wanted.problem(text));
    }
    if let (Some(width), Some(limit)) = (role.width(), column.limit) {
        findings.extend(narrow(wanted, &width, limit));
    }
    if column.is_not_null && role.is_cleared() {
        let Wanted { table, column, .. } = wanted;
        let text = "it is NOT NULL, and a revocation or a new password writes NULL, so both fail: allow NULL";
        let sql = format!("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL");
        findings.push(wanted.problem(text).with_sql(sql));
    }
    findings
}

/// Text that keeps what is written, whatever its collation.
fn is_text(column: &Column) -> bool {
    matches!(column.base.as_str(), "text" | "varchar" | "other citext")
}

fn counter(wanted: &Wanted<'_>, column: &Column) -> Finding {
    let kind = &column.kind;
    let text = format!(
        "its type is {kind}, and a counter of milliseconds needs BIGINT, so log_out_everywhere and \
         every other bump fail: change the type"
    );
    let finding = wanted.problem(text);
    match column.base.as_str() {
        "int2" | "int4" | "numeric" => finding.with_sql(alter(wanted, "BIGINT", "")),
        _ => finding,
    }
}

fn not_text(wanted: &Wanted<'_>, column: &Column) -> Finding {
    let (kind, setter) = (&column.kind, wanted.role.setter());
    let to_text = || alter(wanted, "pg_catalog.text", "pg_catalog.text");
    match column.base.as_str() {
        "json" | "jsonb" => wanted
            .problem(format!(
                "its type is {kind}, and relatch writes and compares text, so every login fails: change \
                 the type to TEXT"
            ))
            .with_sql(to_text()),
        "bpchar" => wanted
            .problem(format!(
                "its type is {kind}, which adds blanks to a written text, so every later change of the row \
                 fails: change the type to TEXT"
            ))
            .with_sql(to_text()),
        _ => wanted.problem(format!(
            "its type is {kind}, and relatch writes text, so every change fails: name another column \
             with `{setter}`"
        )),
    }
}

fn unlike_id(wanted: &Wanted<'_>, column: &Column, id_type: IdType) -> Option<Finding> {
    let base = column.base.as_str();
    let is_string = column.category == "S";
    let fits = match id_type {
        // A text that is no value of the column's type is nobody's.
        IdType::Text => base != "bytea",
        IdType::Integer => matches!(base, "int2" | "int4" | "int8"),
        IdType::Uuid => base == "uuid" || is_string,
        IdType::UuidBytes => base == "bytea",
    };
    let other = match base {
        "uuid" => "IdType::Uuid",
        "bytea" => "IdType::UuidBytes",
        "int2" | "int4" | "int8" => "IdType::Integer",
        _ if is_string => "IdType::Text",
        _ => "a column of another type",
    };
    (!fits).then(|| {
        let kind = &column.kind;
        wanted.problem(format!(
            "its type is {kind}, and the description says IdType::{id_type:?}, so no user is found by \
             the id: use {other}"
        ))
    })
}

fn narrow(wanted: &Wanted<'_>, width: &Width, limit: i32) -> Option<Finding> {
    let Width { least, usual, what } = width;
    let limit = usize::try_from(limit).unwrap_or_default();
    let sql = alter(wanted, "pg_catalog.text", "");
    let text = format!("it holds {limit} characters, and {what} has");
    if limit < *least {
        let effect = match wanted.role {
            Role::PasswordHash => {
                "no new password can be stored, and only logins with the stored hashes work"
            }
            _ => "every call that writes it fails",
        };
        let text = format!("{text} at least {least}, so {effect}: change the type to TEXT");
        Some(wanted.problem(text).with_sql(sql))
    } else if limit < *usual {
        let text = format!(
            "{text} up to {usual}, so some calls that write it fail: change the type to TEXT"
        );
        Some(wanted.warning(text).with_sql(sql))
    } else {
        None
    }
}

/// `cast` is the type to which the old values are cast explicitly; empty for no cast.
fn alter(wanted: &Wanted<'_>, kind: &str, cast: &str) -> String {
    let Wanted { table, column, .. } = wanted;
    let using = match cast {
        "" => String::new(),
        cast => format!(" USING CAST({column} AS {cast})"),
    };
    format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}{using}")
}

/// A column that does not exist.
pub(super) fn missing(wanted: &Wanted<'_>) -> Finding {
    let types = &Types::POSTGRES;
    wanted.missing(match wanted.role {
        role if !role.is_added() => None,
        Role::Active => Some(types.active),
        role if role.is_counter() => Some(types.integer),
        _ => Some(types.text),
    })
}

/// The rights to read and write the columns, and to insert and delete rows.
pub(super) fn rights(table: &Table, wanted: &[Wanted<'_>], role: &str) -> Vec<Finding> {
    let Some(first) = wanted.first() else { return Vec::new() };
    let name = first.table;
    let lacking = |can: fn(&Column) -> bool, is_needed: fn(Role) -> bool| {
        let needed = wanted.iter().filter(|wanted| is_needed(wanted.role));
        let lacking = needed.filter(|wanted| table.column(wanted.column).is_some_and(|c| !can(c)));
        let columns: Vec<_> = lacking.map(|wanted| wanted.column.to_string()).collect();
        (!columns.is_empty()).then(|| columns.join(", "))
    };
    let subject = super::plain(name);
    let mut findings = Vec::new();
    if let Some(columns) = lacking(|column| column.can_select, |_| true) {
        let text = format!(
            "the role {role} may not read {columns}, so no user can be read: grant the right"
        );
        let sql = format!("GRANT SELECT ({columns}) ON {name} TO {role}");
        findings.push(Finding::problem(&subject, text).with_sql(sql));
    }
    if let Some(columns) = lacking(|column| column.can_update, Role::is_written) {
        let text = format!(
            "the role {role} may not update {columns}, so every change of them fails: grant the right"
        );
        let sql = format!("GRANT UPDATE ({columns}) ON {name} TO {role}");
        findings.push(Finding::problem(&subject, text).with_sql(sql));
    }
    if first.role != Role::Id {
        return findings;
    }
    if !table.can_delete {
        let text = format!(
            "the role {role} may not delete rows, so `delete` fails: grant the right if you need it"
        );
        let sql = format!("GRANT DELETE ON {name} TO {role}");
        findings.push(Finding::warning(&subject, text).with_sql(sql));
    }
    let is_inserted = |role| {
        use Role::{Id, Login, PasswordHash, Secret, Version};
        matches!(role, Id | Login | Version | PasswordHash | Secret)
    };
    if let Some(columns) = lacking(|column| column.can_insert, is_inserted) {
        let text = format!(
            "the role {role} may not insert {columns}, so `insert` fails: grant the right if you need it"
        );
        let sql = format!("GRANT INSERT ({columns}) ON {name} TO {role}");
        findings.push(Finding::warning(&subject, text).with_sql(sql));
    }
    findings
}

/// Whether the values of a column are unique among all rows.
pub(super) fn is_unique(table: &Table, wanted: &Wanted<'_>, names: &Names) -> bool {
    let Some(column) = table.column(wanted.column) else { return true };
    // Rows that are no users may have the login of one.
    let live = if wanted.role == Role::Login { live(table, names) } else { Vec::new() };
    table.indexes.iter().any(|index| {
        index.is_unique
            && index.columns == [column.name.as_str()]
            && index.predicate.as_ref().is_none_or(|it| live.contains(&it.replace('"', "")))
            // Two texts that the column's collation takes for one may be two in another collation.
            && (column.is_deterministic || index.collation == column.collation)
    })
}

/// The conditions of indexes over the live rows, as PostgreSQL writes them, but without quotes.
fn live(table: &Table, names: &Names) -> Vec<String> {
    let deleted_at = names.deleted_at.iter().map(|name| format!("({} IS NULL)", name.as_str()));
    let is_deleted = names.is_deleted.iter().flat_map(|name| {
        let is_not_null = table.column(name).is_some_and(|column| column.is_not_null);
        let name = name.as_str();
        let not = is_not_null.then(|| [format!("(NOT {name})"), format!("({name} = false)")]);
        not.into_iter().flatten().chain([format!("({name} IS NOT TRUE)")])
    });
    deleted_at.chain(is_deleted).collect()
}
