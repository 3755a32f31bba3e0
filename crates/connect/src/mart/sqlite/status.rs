//! What an SQLite mart holds.

use lakeward_core::ids::EventTime;
use lakeward_core::types::{Column, DataType};
use rusqlite::{Connection, OptionalExtension};

use super::super::plan::{Plan, Table};
use super::super::{Holding, MartContext, MartStatus, NewestRows, TableStatus};
use super::claim::version;
use super::failure::Failure;
use super::schema::{kind, quoted, raw, raw_name};

/// See `Mart::status`.
pub(super) fn status(connection: &Connection, context: &MartContext) -> Result<MartStatus, Failure> {
    let mut status = MartStatus::default();
    let plan = &context.plan;
    if let Some(rows) = &plan.rows {
        status.tables.extend(table_status(connection, &rows.table, rows.timestamp.as_deref())?);
    }
    for kpi in plan.kpi_tables() {
        let window = kpi.table.columns.get(kpi.window).filter(|column| column.ty == DataType::Timestamp);
        status.tables.extend(table_status(connection, &kpi.table, window.map(|c| c.name.as_str()))?);
    }
    for late in plan.late_tables() {
        status.tables.extend(table_status(connection, &late.table, Some(&late.timestamp))?);
    }
    Ok(status)
}

/// See `Mart::holding`.
pub(super) fn holding(connection: &Connection, context: &MartContext) -> Result<Holding, Failure> {
    let (mut holding, pipeline) = (Holding::default(), &context.plan.pipeline);
    if kind(connection, "lakeward_claims")?.is_none() {
        return Ok(holding);
    }
    let sql = "SELECT log_id, claim FROM lakeward_claims WHERE pipeline = ?1";
    let held = connection.query_row(sql, [pipeline], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    holding.holder = held.map(|(log_id, claim)| Ok::<_, Failure>((log_id, version(claim)?))).transpose()?;
    let sql = "SELECT fence.log_id, incarnation, partition, fence.claim, next FROM lakeward_row_fences AS fence \
               JOIN lakeward_claims AS held ON held.log_id = fence.log_id WHERE pipeline = ?1 \
               ORDER BY incarnation, partition";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([pipeline])?;
    while let Some(row) = rows.next()? {
        holding.fences.push((row.get(0)?, (row.get(1)?, row.get(2)?), version(row.get(3)?)?, row.get(4)?));
    }
    Ok(holding)
}

/// See `Mart::newest`.
pub(super) fn newest(
    connection: &Connection,
    context: &MartContext,
    table: &str,
    n: u32,
) -> Result<NewestRows, Failure> {
    let mut newest = NewestRows::default();
    let Some((table, time)) = context.plan.table(table) else { return Ok(newest) };
    if kind(connection, &raw_name(table))?.is_none() {
        return Ok(newest);
    }
    newest.columns.clone_from(&table.columns);
    let columns = table.columns.iter().map(as_text).collect::<Vec<_>>().join(", ");
    let order = Plan::newest_first(table, time, quoted);
    let sql = format!("SELECT {columns} FROM {} ORDER BY {order} LIMIT ?1", quoted(&table.name));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([n])?;
    while let Some(row) = rows.next()? {
        newest.rows.push((0..newest.columns.len()).map(|i| row.get(i)).collect::<Result<_, _>>()?);
    }
    Ok(newest)
}

fn as_text(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.ty {
        DataType::Bool => format!("CASE {name} WHEN 0 THEN 'false' WHEN 1 THEN 'true' END"),
        _ => format!("CAST({name} AS TEXT)"),
    }
}

fn table_status(connection: &Connection, table: &Table, time: Option<&str>) -> Result<Option<TableStatus>, Failure> {
    if kind(connection, &raw_name(table))?.is_none() {
        return Ok(None);
    }
    let newest = time.map_or("NULL".into(), |column| format!("max({})", quoted(column)));
    let sql = format!("SELECT count(*), {newest} FROM {}", raw(table));
    let (rows, newest) = connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
    Ok(Some(TableStatus { name: table.name.clone(), rows, newest: newest.map(EventTime) }))
}
