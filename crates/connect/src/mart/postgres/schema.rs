//! Tables in Postgres: created when missing, widened by nullable columns, otherwise compared and refused.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_core::types::{Column, DataType};
use tokio_postgres::Transaction;

use super::super::plan::{REPLAYED_FENCE, RowsTable, Table, short_hash};
use super::super::shape::{Difference, Found, Prepared, compare};
use super::super::{MartContext, MartError};
use super::claim::end_older_sessions;
use super::failure::Failure;
use super::session::{Limit, Sessions};

/// Processes that create the same tables at once queue here: CREATE … IF NOT EXISTS alone still collides.
const CREATION_LOCK: i64 = 0x6c61_6b65_7761_7264;

const ENGINE_TABLES: &str = "
CREATE TABLE IF NOT EXISTS lakeward_claims (
    pipeline text PRIMARY KEY, log_id text NOT NULL, claim bigint NOT NULL);
CREATE TABLE IF NOT EXISTS lakeward_row_fences (
    log_id text NOT NULL, incarnation integer NOT NULL, partition integer NOT NULL,
    claim bigint NOT NULL, next bigint NOT NULL, PRIMARY KEY (log_id, incarnation, partition));
CREATE TABLE IF NOT EXISTS lakeward_kpi_fences (
    log_id text NOT NULL, kpi text NOT NULL, key_group integer NOT NULL, claim bigint NOT NULL,
    version bigint, closed_to bigint NOT NULL, reflected text NOT NULL, PRIMARY KEY (log_id, kpi, key_group));
";

/// See `Mart::prepare`.
pub(super) async fn prepare(sessions: &Sessions, context: &MartContext, mart: &str) -> Result<(), Failure> {
    let mut session = sessions.take().await?;
    end_older_sessions(&session.client, context).await?;
    let tx = sessions.begin(&mut session, None, Limit::None).await?;
    create_engine_tables(&tx).await?;
    refuse_other_log(&tx, context, mart).await?;
    // A new table holds nothing, so a fence of one that was dropped would be wrong: the next claim makes another.
    if let Some(rows) = &context.plan.rows
        && create_or_compare(&tx, &rows.table, mart).await? == Prepared::New
    {
        let sql = "DELETE FROM lakeward_row_fences WHERE log_id = $1";
        tx.execute(sql, &[&&*context.log_id]).await?;
        let sql = "DELETE FROM lakeward_kpi_fences WHERE log_id = $1 AND kpi = $2";
        tx.execute(sql, &[&&*context.log_id, &REPLAYED_FENCE]).await?;
    }
    for (name, table) in context.plan.by_entry() {
        if create_or_compare(&tx, table, mart).await? == Prepared::New {
            let sql = "DELETE FROM lakeward_kpi_fences WHERE log_id = $1 AND kpi = $2";
            tx.execute(sql, &[&&*context.log_id, &name]).await?;
        }
    }
    if let Some(rows) = &context.plan.rows {
        index_timestamp(&tx, rows).await?;
    }
    refuse_foreign_rows(&tx, context, mart).await?;
    tx.commit().await?;
    session.busy = false;
    Ok(())
}

/// Creates what is missing of the engine's own tables.
pub(super) async fn create_engine_tables(tx: &Transaction<'_>) -> Result<(), Failure> {
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&CREATION_LOCK]).await?;
    Ok(tx.batch_execute(ENGINE_TABLES).await?)
}

/// A name as SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names as an SQL list.
pub(super) fn quoted_list<'a>(columns: impl IntoIterator<Item = &'a Column>) -> String {
    columns.into_iter().map(|c| quoted(&c.name)).collect::<Vec<_>>().join(", ")
}

/// The type as Postgres' `format_type` spells it.
pub(super) fn sql_type(ty: DataType) -> String {
    match ty {
        DataType::String => "text".into(),
        DataType::Bool => "boolean".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        DataType::Date => "date".into(),
        DataType::Timestamp => "timestamp with time zone".into(),
    }
}

/// The other log's id, if the pipeline's claim is of another log.
pub(super) async fn refuse_other_log(tx: &Transaction<'_>, context: &MartContext, mart: &str) -> Result<(), Failure> {
    let sql = "SELECT log_id FROM lakeward_claims WHERE pipeline = $1 AND log_id <> $2";
    match tx.query_opt(sql, &[&context.plan.pipeline, &&*context.log_id]).await? {
        None => Ok(()),
        Some(row) => Err(Failure::Mart(MartError::OtherLog {
            mart: mart.into(),
            pipeline: context.plan.pipeline.clone(),
            found: row.try_get(0)?,
            wanted: context.log_id.to_string(),
        })),
    }
}

async fn create_or_compare(tx: &Transaction<'_>, table: &Table, mart: &str) -> Result<Prepared, Failure> {
    let sql = "SELECT oid, relkind::text FROM pg_class WHERE oid = to_regclass($1)";
    let Some(found) = tx.query_opt(sql, &[&quoted(&table.name)]).await? else {
        tx.batch_execute(&create_statement(table)).await?;
        return Ok(Prepared::New);
    };
    let refuse = |difference: String| {
        Err(Failure::Mart(MartError::Schema { mart: mart.into(), table: table.name.clone(), difference }))
    };
    let (oid, kind): (u32, String) = (found.try_get(0)?, found.try_get(1)?);
    if kind != "r" && kind != "p" {
        return refuse("it exists, but is no table".into());
    }
    let columns = found_columns(tx, oid).await?;
    let Difference { against, missing, strict } = compare(table, &columns, &found_key(tx, oid).await?, sql_type);
    if !against.is_empty() {
        return refuse(against.join("; "));
    }
    for column in strict {
        let (name, column) = (quoted(&table.name), quoted(&column.name));
        tx.batch_execute(&format!("ALTER TABLE {name} ALTER COLUMN {column} DROP NOT NULL")).await?;
    }
    for column in missing {
        let add = format!("ALTER TABLE {} ADD COLUMN {}", quoted(&table.name), definition(column));
        tx.batch_execute(&add).await?;
    }
    Ok(Prepared::Kept)
}

fn create_statement(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(definition).collect();
    let key = quoted_list(table.key_columns());
    format!("CREATE TABLE {} ({}, PRIMARY KEY ({key}))", quoted(&table.name), columns.join(", "))
}

fn definition(column: &Column) -> String {
    let not_null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {}{not_null}", quoted(&column.name), sql_type(column.ty))
}

async fn found_columns(tx: &Transaction<'_>, oid: u32) -> Result<BTreeMap<String, Found>, Failure> {
    let sql = "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, \
               atthasdef OR attidentity <> '' FROM pg_attribute \
               WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped";
    let mut columns = BTreeMap::new();
    for row in tx.query(sql, &[&oid]).await? {
        let found = Found { ty: row.try_get(1)?, not_null: row.try_get(2)?, has_default: row.try_get(3)? };
        columns.insert(row.try_get(0)?, found);
    }
    Ok(columns)
}

async fn found_key(tx: &Transaction<'_>, oid: u32) -> Result<BTreeSet<String>, Failure> {
    let sql = "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a \
               ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) WHERE i.indrelid = $1 AND i.indisprimary";
    let rows = tx.query(sql, &[&oid]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn index_timestamp(tx: &Transaction<'_>, rows: &RowsTable) -> Result<(), Failure> {
    let Some(timestamp) = &rows.timestamp else { return Ok(()) };
    let start: String = rows.table.name.chars().take(12).collect();
    let index = quoted(&format!("{start}_{}_brin", short_hash(&rows.table.name)));
    // Looked up first: IF NOT EXISTS locks the table against all writers even where there is nothing to do.
    if tx.query_one("SELECT to_regclass($1) IS NOT NULL", &[&index]).await?.try_get(0)? {
        return Ok(());
    }
    let (table, column) = (quoted(&rows.table.name), quoted(timestamp));
    let sql = format!("CREATE INDEX IF NOT EXISTS {index} ON {table} USING brin ({column})");
    Ok(tx.batch_execute(&sql).await?)
}

/// Rows in a table for which this log has no fence were written by somebody else.
async fn refuse_foreign_rows(tx: &Transaction<'_>, context: &MartContext, mart: &str) -> Result<(), Failure> {
    let log_id = &*context.log_id;
    if let Some(rows) = &context.plan.rows {
        let sql = "SELECT EXISTS (SELECT FROM lakeward_row_fences WHERE log_id = $1)";
        let fenced: bool = tx.query_one(sql, &[&log_id]).await?.try_get(0)?;
        refuse_rows_without_fence(tx, &rows.table, fenced, mart).await?;
    }
    for (name, table) in context.plan.by_entry() {
        let sql = "SELECT EXISTS (SELECT FROM lakeward_kpi_fences WHERE log_id = $1 AND kpi = $2)";
        let fenced: bool = tx.query_one(sql, &[&log_id, &name]).await?.try_get(0)?;
        refuse_rows_without_fence(tx, table, fenced, mart).await?;
    }
    Ok(())
}

async fn refuse_rows_without_fence(
    tx: &Transaction<'_>,
    table: &Table,
    fenced: bool,
    mart: &str,
) -> Result<(), Failure> {
    let sql = format!("SELECT EXISTS (SELECT FROM {})", quoted(&table.name));
    if fenced || !tx.query_one(&sql, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(());
    }
    Err(Failure::Mart(MartError::Schema {
        mart: mart.into(),
        table: table.name.clone(),
        difference: "it holds rows, but no fence of this pipeline's log says where they come from".into(),
    }))
}
