//! The shape of tables in PostgreSQL.

use super::{Flag, Group, Key, Shape};
use crate::store::sql::{Cells, Name, TableName, users_table::Names};

/// The columns whose types matter, by their tables: the id, the login, the flags, and the groups' keys.
fn wanted(names: &Names) -> Vec<(&TableName, &Name)> {
    let Names { table, id, login, active, is_deleted, groups, .. } = names;
    let columns = [id, login].into_iter().chain(active).chain(is_deleted);
    let columns = columns.map(|column| (table, column));
    columns.chain(groups.iter().map(|group| (&group.table, &group.key))).collect()
}

/// Reads the catalogue, by names and operators of `pg_catalog` alone.
///
/// The operator is that of the type's default class for a B-tree, which its indexes use and which only
/// a superuser can make. A type without a class of its own uses that of a built-in one.
pub(in crate::store::sql) fn catalogue_sql(names: &Names) -> String {
    // Checked names, which need no escape in a string.
    let wanted = wanted(names).into_iter().enumerate();
    let wanted: Vec<_> = wanted
        .map(|(at, (table, column))| format!("({at}, '{table}', '{}')", column.as_str()))
        .collect();
    CATALOGUE.replace("{wanted}", &wanted.join(", "))
}

const CATALOGUE: &str = "\
WITH RECURSIVE wanted (at, relation, name) AS (VALUES {wanted}),
found AS (
    SELECT w.at, n.nspname, c.relname, a.atttypid, a.attnotnull
      FROM wanted w
      LEFT JOIN pg_catalog.pg_class c
             ON c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(w.relation)
      LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
      LEFT JOIN pg_catalog.pg_attribute a
             ON a.attrelid OPERATOR(pg_catalog.=) c.oid
            AND a.attname OPERATOR(pg_catalog.=) CAST(w.name AS pg_catalog.name)
            AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
),
base (at, type) AS (
    SELECT at, atttypid FROM found
    UNION ALL
    SELECT b.at, t.typbasetype
      FROM base b JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) b.type
     WHERE t.typtype OPERATOR(pg_catalog.=) 'd'
)
SELECT CAST(f.nspname AS pg_catalog.text), CAST(f.relname AS pg_catalog.text),
       CAST(tn.nspname AS pg_catalog.text), CAST(t.typname AS pg_catalog.text),
       CAST((SELECT op.nspname
               FROM pg_catalog.pg_opclass k
               JOIN pg_catalog.pg_am m
                 ON m.oid OPERATOR(pg_catalog.=) k.opcmethod
                AND m.amname OPERATOR(pg_catalog.=) 'btree'
               JOIN pg_catalog.pg_amop s
                 ON s.amopfamily OPERATOR(pg_catalog.=) k.opcfamily
                AND s.amopstrategy OPERATOR(pg_catalog.=) 3
                AND s.amoplefttype OPERATOR(pg_catalog.=) t.oid
                AND s.amoprighttype OPERATOR(pg_catalog.=) t.oid
               JOIN pg_catalog.pg_operator o ON o.oid OPERATOR(pg_catalog.=) s.amopopr
               JOIN pg_catalog.pg_namespace op ON op.oid OPERATOR(pg_catalog.=) o.oprnamespace
              WHERE k.opcdefault AND k.opcintype OPERATOR(pg_catalog.=) t.oid
              LIMIT 1) AS pg_catalog.text),
       CAST(CAST(f.attnotnull AS pg_catalog.int4) AS pg_catalog.int8)
  FROM found f
  LEFT JOIN (base b JOIN pg_catalog.pg_type t
                      ON t.oid OPERATOR(pg_catalog.=) b.type
                     AND t.typtype OPERATOR(pg_catalog.<>) 'd'
                    JOIN pg_catalog.pg_namespace tn
                      ON tn.oid OPERATOR(pg_catalog.=) t.typnamespace)
         ON b.at OPERATOR(pg_catalog.=) f.at
 ORDER BY f.at";

/// Parses the rows of [`catalogue_sql`]; or says what is missing.
pub(in crate::store::sql) fn parse<C: Cells>(names: &Names, rows: &[C]) -> Result<Shape, String> {
    let columns: Result<Vec<_>, _> =
        wanted(names).into_iter().zip(rows).map(|(wanted, row)| column(wanted, row)).collect();
    let mut columns = columns?.into_iter();
    let mut next = || columns.next().ok_or_else(|| "the catalogue did not answer".to_owned());
    let (id, login) = (next()?, next()?);
    let active = names.active.is_some().then(&mut next).transpose()?.map(Column::into_flag);
    let is_deleted = names.is_deleted.is_some().then(&mut next).transpose()?.map(Column::into_flag);
    let groups: Result<_, String> = names
        .groups
        .iter()
        .map(|_| next().map(|column| Group { table: column.table.clone(), key: column.into_key() }))
        .collect();
    Ok(Shape {
        users: id.table.clone(),
        id: id.into_key(),
        login: login.into_key(),
        active,
        is_deleted,
        groups: groups?,
    })
}

struct Column {
    table: String,
    type_name: String,
    equals: String,
    is_not_null: bool,
}

impl Column {
    fn into_key(self) -> Key {
        Key { type_name: self.type_name, equals: self.equals }
    }

    fn into_flag(self) -> Flag {
        match self.type_name == "\"pg_catalog\".\"bool\"" {
            true => Flag::Boolean { is_not_null: self.is_not_null },
            false => Flag::Other { type_name: self.type_name },
        }
    }
}

fn column<C: Cells>((table, name): (&TableName, &Name), row: &C) -> Result<Column, String> {
    let text = |at| row.text(at).map_err(|error| error.to_string());
    let (Some(schema), Some(relation)) = (text(0)?, text(1)?) else {
        return Err(format!("relation {table} does not exist"));
    };
    let (Some(type_schema), Some(type_name)) = (text(2)?, text(3)?) else {
        return Err(format!("column {name} of relation {table} does not exist"));
    };
    let operators = text(4)?.unwrap_or_else(|| "pg_catalog".to_owned());
    let is_not_null = row.integer(5).map_err(|error| error.to_string())? == Some(1);
    Ok(Column {
        table: format!("{}.{}", quoted(&schema), quoted(&relation)),
        type_name: format!("{}.{}", quoted(&type_schema), quoted(&type_name)),
        equals: format!("OPERATOR({}.=)", quoted(&operators)),
        is_not_null,
    })
}

/// A name of the catalogue, which may hold any character.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
