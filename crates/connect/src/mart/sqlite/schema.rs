//! Tables and views in SQLite: created when missing, widened by nullable columns, otherwise compared and refused.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_core::types::{Column, DataType};
use rusqlite::{OptionalExtension, Transaction, params};

use super::super::plan::{REPLAYED_FENCE, Table};
use super::super::shape::{Difference, Found, Prepared, compare};
use super::super::{MartContext, MartError};
use super::failure::Failure;
use super::values::INTEGER_DIGITS;

pub(super) const ENGINE_TABLES: &str = "
CREATE TABLE IF NOT EXISTS lakeward_claims (
    pipeline TEXT PRIMARY KEY NOT NULL, log_id TEXT NOT NULL, claim INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS lakeward_row_fences (
    log_id TEXT NOT NULL, incarnation INTEGER NOT NULL, partition INTEGER NOT NULL,
    claim INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (log_id, incarnation, partition));
CREATE TABLE IF NOT EXISTS lakeward_kpi_fences (
    log_id TEXT NOT NULL, kpi TEXT NOT NULL, key_group INTEGER NOT NULL, claim INTEGER NOT NULL,
    version INTEGER, closed_to INTEGER NOT NULL, reflected TEXT NOT NULL, PRIMARY KEY (log_id, kpi, key_group));
";

/// See `Mart::prepare`.
pub(super) fn prepare(tx: &Transaction<'_>, context: &MartContext, mart: &str) -> Result<(), Failure> {
    tx.execute_batch(ENGINE_TABLES)?;
    refuse_other_log(tx, context, mart)?;
    // A new table holds nothing, so a fence of one that was dropped would be wrong: the next claim makes another.
    if let Some(rows) = &context.plan.rows
        && create_or_compare(tx, &rows.table, mart)? == Prepared::New
    {
        tx.execute("DELETE FROM lakeward_row_fences WHERE log_id = ?1", [&*context.log_id])?;
        let sql = "DELETE FROM lakeward_kpi_fences WHERE log_id = ?1 AND kpi = ?2";
        tx.execute(sql, params![&*context.log_id, REPLAYED_FENCE])?;
    }
    for (name, table) in context.plan.by_entry() {
        if create_or_compare(tx, table, mart)? == Prepared::New {
            let sql = "DELETE FROM lakeward_kpi_fences WHERE log_id = ?1 AND kpi = ?2";
            tx.execute(sql, params![&*context.log_id, name])?;
        }
    }
    for table in context.plan.tables() {
        show(tx, table, mart)?;
    }
    if let Some(rows) = &context.plan.rows
        && let Some(timestamp) = &rows.timestamp
    {
        let index = quoted(&format!("{}_by_time", raw_name(&rows.table)));
        let sql = format!("CREATE INDEX IF NOT EXISTS {index} ON {} ({})", raw(&rows.table), quoted(timestamp));
        tx.execute_batch(&sql)?;
    }
    refuse_foreign_rows(tx, context, mart)
}

/// A name as SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names as an SQL list.
pub(super) fn quoted_list<'a>(columns: impl IntoIterator<Item = &'a Column>) -> String {
    columns.into_iter().map(|c| quoted(&c.name)).collect::<Vec<_>>().join(", ")
}

/// The SQL name of the table that holds the values; the table's own name is the view.
pub(super) fn raw(table: &Table) -> String {
    quoted(&raw_name(table))
}

pub(super) fn raw_name(table: &Table) -> String {
    format!("{}_raw", table.name)
}

/// Refuses where the pipeline's claim is of another log.
pub(super) fn refuse_other_log(tx: &Transaction<'_>, context: &MartContext, mart: &str) -> Result<(), Failure> {
    let sql = "SELECT log_id FROM lakeward_claims WHERE pipeline = ?1 AND log_id <> ?2";
    let found = tx.query_row(sql, params![context.plan.pipeline, &*context.log_id], |row| row.get(0)).optional()?;
    match found {
        None => Ok(()),
        Some(found) => Err(Failure::Mart(MartError::OtherLog {
            mart: mart.into(),
            pipeline: context.plan.pipeline.clone(),
            found,
            wanted: context.log_id.to_string(),
        })),
    }
}

/// Whether the database has a table or view of this name, and which.
pub(super) fn kind(tx: &rusqlite::Connection, name: &str) -> Result<Option<String>, Failure> {
    let sql = "SELECT type FROM sqlite_master WHERE name = ?1 COLLATE NOCASE AND type IN ('table', 'view')";
    Ok(tx.query_row(sql, [name], |row| row.get(0)).optional()?)
}

fn refuse(mart: &str, table: &str, difference: String) -> Failure {
    Failure::Mart(MartError::Schema { mart: mart.into(), table: table.into(), difference })
}

/// The declared type: SQLite takes its affinity from the letters INT, TEXT or REAL in it, and keeps the rest, so that
/// precision and scale can be compared.
fn sql_type(ty: DataType) -> String {
    match ty {
        DataType::String => "TEXT".into(),
        DataType::Bool => "BOOL_INT".into(),
        DataType::Int32 => "INT32".into(),
        DataType::Int64 => "INT64".into(),
        DataType::Float64 => "REAL".into(),
        DataType::Decimal { precision, scale } if precision <= INTEGER_DIGITS => {
            format!("DECIMAL_INT({precision},{scale})")
        }
        DataType::Decimal { precision, scale } => format!("DECIMAL_TEXT({precision},{scale})"),
        DataType::Date => "DATE_INT".into(),
        DataType::Timestamp => "TIMESTAMP_INT".into(),
    }
}

fn definition(column: &Column) -> String {
    // SQLite turns NaN into NULL, so a float column can't be NOT NULL.
    let not_null = if column.nullable || column.ty == DataType::Float64 { "" } else { " NOT NULL" };
    format!("{} {}{not_null}", quoted(&column.name), sql_type(column.ty))
}

fn create_or_compare(tx: &Transaction<'_>, table: &Table, mart: &str) -> Result<Prepared, Failure> {
    let name = raw_name(table);
    match kind(tx, &name)?.as_deref() {
        None => {
            let columns: Vec<String> = table.columns.iter().map(definition).collect();
            let key = quoted_list(table.key_columns());
            let sql = format!("CREATE TABLE {} ({}, PRIMARY KEY ({key}))", quoted(&name), columns.join(", "));
            tx.execute_batch(&sql)?;
            return Ok(Prepared::New);
        }
        Some("table") => {}
        Some(_) => return Err(refuse(mart, &name, "it exists, but is no table".into())),
    }
    let (found, found_key) = found_columns(tx, &name)?;
    let Difference { against, missing, strict } = compare(table, &found, &found_key, sql_type);
    if !against.is_empty() {
        return Err(refuse(mart, &name, against.join("; ")));
    }
    for column in strict {
        relax(tx, table, column)?;
    }
    for column in missing {
        tx.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {}", quoted(&name), definition(column)))?;
    }
    Ok(Prepared::Kept)
}

fn found_columns(tx: &Transaction<'_>, table: &str) -> Result<(BTreeMap<String, Found>, BTreeSet<String>), Failure> {
    let mut statement =
        tx.prepare("SELECT name, type, \"notnull\", dflt_value IS NOT NULL, pk FROM pragma_table_info(?1)")?;
    let mut rows = statement.query([table])?;
    let (mut columns, mut key) = (BTreeMap::new(), BTreeSet::new());
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if row.get::<_, i64>(4)? > 0 {
            key.insert(name.clone());
        }
        columns.insert(name, Found { ty: row.get(1)?, not_null: row.get(2)?, has_default: row.get(3)? });
    }
    Ok((columns, key))
}

/// The view for people: decimals and times as text.
/// Lets a column be NULL. SQLite can't alter a constraint, so a column without it takes the values over; the view, which names
/// the old one, is made anew after all tables.
fn relax(tx: &Transaction<'_>, table: &Table, column: &Column) -> Result<(), Failure> {
    let (name, old, new) = (raw(table), quoted(&column.name), quoted(&format!("{}_may_be_null", column.name)));
    let declared = definition(&Column::new(format!("{}_may_be_null", column.name), column.ty, true));
    Ok(tx.execute_batch(&format!(
        "DROP VIEW IF EXISTS {}; ALTER TABLE {name} ADD COLUMN {declared}; UPDATE {name} SET {new} = {old}; \
         ALTER TABLE {name} DROP COLUMN {old}; ALTER TABLE {name} RENAME COLUMN {new} TO {old}",
        quoted(&table.name)
    ))?)
}

fn show(tx: &Transaction<'_>, table: &Table, mart: &str) -> Result<(), Failure> {
    if kind(tx, &table.name)?.as_deref() == Some("table") {
        return Err(refuse(mart, &table.name, "it is a table where a view of that name is needed".into()));
    }
    let columns = table.columns.iter().map(|c| format!("{} AS {}", shown(c), quoted(&c.name)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let (view, raw) = (quoted(&table.name), raw(table));
    Ok(tx.execute_batch(&format!("DROP VIEW IF EXISTS {view}; CREATE VIEW {view} AS SELECT {columns} FROM {raw}"))?)
}

fn shown(column: &Column) -> String {
    let value = quoted(&column.name);
    let text = match column.ty {
        DataType::Decimal { precision, scale } if precision <= INTEGER_DIGITS && scale > 0 => {
            let unit = 10i64.pow(scale.unsigned_abs().into());
            format!(
                "printf('%s%d.%0{scale}d', CASE WHEN {value} < 0 THEN '-' ELSE '' END, \
                 abs({value}) / {unit}, abs({value}) % {unit})"
            )
        }
        DataType::Date => format!("date({value} * 86400, 'unixepoch')"),
        DataType::Timestamp => {
            // The fraction counts upwards, also before 1970.
            let fraction = format!("((({value} % 1000000) + 1000000) % 1000000)");
            format!(
                "strftime('%Y-%m-%dT%H:%M:%S', ({value} - {fraction}) / 1000000, 'unixepoch') \
                 || printf('.%06dZ', {fraction})"
            )
        }
        _ => return value,
    };
    format!("CASE WHEN {value} IS NULL THEN NULL ELSE {text} END")
}

/// Rows in a table for which this log has no fence were written by somebody else.
fn refuse_foreign_rows(tx: &Transaction<'_>, context: &MartContext, mart: &str) -> Result<(), Failure> {
    let log_id = &*context.log_id;
    if let Some(rows) = &context.plan.rows {
        let sql = "SELECT EXISTS (SELECT 1 FROM lakeward_row_fences WHERE log_id = ?1)";
        let fenced = tx.query_row(sql, [log_id], |row| row.get(0))?;
        refuse_rows_without_fence(tx, &rows.table, fenced, mart)?;
    }
    for (name, table) in context.plan.by_entry() {
        let sql = "SELECT EXISTS (SELECT 1 FROM lakeward_kpi_fences WHERE log_id = ?1 AND kpi = ?2)";
        let fenced = tx.query_row(sql, params![log_id, name], |row| row.get(0))?;
        refuse_rows_without_fence(tx, table, fenced, mart)?;
    }
    Ok(())
}

fn refuse_rows_without_fence(tx: &Transaction<'_>, table: &Table, fenced: bool, mart: &str) -> Result<(), Failure> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {})", raw(table));
    if fenced || !tx.query_row(&sql, [], |row| row.get::<_, bool>(0))? {
        return Ok(());
    }
    let difference = "it holds rows, but no fence of this pipeline's log says where they come from";
    Err(refuse(mart, &raw_name(table), difference.into()))
}
