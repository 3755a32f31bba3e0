//! KPI tables in SQLite (F3): live values behind the fence, final rows by applying entries.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};
use arrow::record_batch::RecordBatch;
use lakeward_core::ids::EventTime;
use lakeward_core::log::{KpiStanding, KpiWrite};
use rusqlite::{OptionalExtension, Transaction, params};

use super::super::plan::KpiTable;
use super::super::{FinalOutcome, FinalRows, LiveOutcome, LiveRows, MartContext};
use super::claim::{number, reflected, version};
use super::failure::Failure;
use super::schema::{quoted, quoted_list, raw};
use super::values::{arrays_of, execute_row};

/// See `Mart::upsert_live`.
pub(super) fn upsert_live(
    tx: &Transaction<'_>,
    context: &MartContext,
    kpi: usize,
    live: &LiveRows,
) -> Result<LiveOutcome, Failure> {
    let table = context.kpi(kpi)?;
    let fence = fence(tx, context, table)?;
    match fence.standing.live(context.claim) {
        KpiWrite::Fenced { claim } => return Ok(LiveOutcome::Fenced { claim }),
        KpiWrite::Go | KpiWrite::Done => {}
        KpiWrite::NotClaimed | KpiWrite::TableLost => return Err(not_claimed(context, table)),
    }
    if live.window_ends.len() != live.rows.num_rows() {
        return Err(Failure::Broken("live rows and their window ends differ in number".into()));
    }
    let open = live.window_ends.iter().enumerate().filter(|(_, end)| fence.standing.shows(**end)).map(|(row, _)| row);
    upsert(tx, table, &live.rows, open, false)?;
    let mut offsets = fence.reflected;
    offsets.extend(&live.reflected);
    let offsets = serde_json::to_string(&offsets).map_err(|e| Failure::Broken(e.to_string()))?;
    let sql = "UPDATE lakeward_kpi_fences SET reflected = ?3 WHERE log_id = ?1 AND kpi = ?2 AND key_group = -1";
    tx.execute(sql, params![&*context.log_id, table.kpi, offsets])?;
    Ok(LiveOutcome::Applied)
}

/// See `Mart::apply_final`.
pub(super) fn apply_final(
    tx: &Transaction<'_>,
    context: &MartContext,
    kpi: usize,
    rows: &FinalRows,
) -> Result<FinalOutcome, Failure> {
    let table = context.kpi(kpi)?;
    let fence = fence(tx, context, table)?;
    match fence.standing.finals(context.claim, rows.above, rows.version) {
        KpiWrite::Go => {}
        KpiWrite::Done => return Ok(FinalOutcome::AlreadyApplied),
        KpiWrite::Fenced { claim } => return Ok(FinalOutcome::Fenced { claim }),
        KpiWrite::NotClaimed => return Err(not_claimed(context, table)),
        KpiWrite::TableLost => {
            return Err(Failure::Broken(format!("the table of KPI {} lost entries that had been applied", table.kpi)));
        }
    }
    if let Some(windows) = &rows.closed_windows {
        delete_previews(tx, table, windows)?;
    }
    for batch in &rows.rows {
        upsert(tx, table, batch, 0..batch.num_rows(), true)?;
    }
    let closed_to = rows.closed_to.max(fence.standing.closed_to);
    let sql = "UPDATE lakeward_kpi_fences SET version = ?3, closed_to = ?4 \
               WHERE log_id = ?1 AND kpi = ?2 AND key_group = -1";
    tx.execute(sql, params![&*context.log_id, table.kpi, number(rows.version)?, closed_to.0])?;
    Ok(FinalOutcome::Applied)
}

struct Fence {
    standing: KpiStanding,
    reflected: BTreeMap<i32, i64>,
}

/// The KPI's fence.
fn fence(tx: &Transaction<'_>, context: &MartContext, table: &KpiTable) -> Result<Fence, Failure> {
    let (standing, offsets) = standing(tx, context, &table.kpi)?.ok_or_else(|| not_claimed(context, table))?;
    Ok(Fence { standing, reflected: reflected(&offsets)? })
}

/// The fence of that name with the offsets that it reflects; `None` if there is none.
pub(super) fn standing(
    tx: &Transaction<'_>,
    context: &MartContext,
    name: &str,
) -> Result<Option<(KpiStanding, String)>, Failure> {
    let sql = "SELECT claim, version, closed_to, reflected FROM lakeward_kpi_fences \
               WHERE log_id = ?1 AND kpi = ?2 AND key_group = -1";
    let row = |row: &rusqlite::Row<'_>| {
        Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?, row.get(2)?, row.get::<_, String>(3)?))
    };
    let found = tx.query_row(sql, params![&*context.log_id, name], row).optional()?;
    let Some((claim, applied, closed_to, offsets)) = found else { return Ok(None) };
    let standing = KpiStanding {
        claim: version(claim)?,
        version: applied.map(version).transpose()?,
        closed_to: EventTime(closed_to),
    };
    Ok(Some((standing, offsets)))
}

fn not_claimed(context: &MartContext, table: &KpiTable) -> Failure {
    Failure::Broken(format!("KPI {} was not claimed under {}", table.kpi, context.claim))
}

/// Absolute upserts; whether rows are final is said here, whatever the batch holds.
fn upsert(
    tx: &Transaction<'_>,
    table: &KpiTable,
    batch: &RecordBatch,
    rows: impl Iterator<Item = usize>,
    is_final: bool,
) -> Result<(), Failure> {
    let columns = &table.table.columns;
    let final_column = quoted(&table.final_column()?.name);
    let marks = columns.iter().enumerate().map(|(i, _)| format!("?{}", i + 1)).collect::<Vec<_>>().join(", ");
    let others = columns.iter().enumerate().filter(|(i, _)| !table.table.is_key(*i));
    let updates = others.map(|(_, c)| format!("{0} = excluded.{0}", quoted(&c.name))).collect::<Vec<_>>().join(", ");
    let guard = if is_final { String::new() } else { format!(" WHERE NOT mart.{final_column}") };
    let sql = format!(
        "INSERT INTO {} AS mart ({}) VALUES ({marks}) ON CONFLICT ({}) DO UPDATE SET {updates}{guard}",
        raw(&table.table),
        quoted_list(columns),
        quoted_list(table.table.key_columns()),
    );
    let said: ArrayRef = std::sync::Arc::new(arrow::array::BooleanArray::from(vec![is_final; batch.num_rows()]));
    let mut arrays = arrays_of(columns, batch)?;
    if let Some(array) = arrays.get_mut(table.is_final) {
        *array = &said;
    }
    let mut statement = tx.prepare_cached(&sql)?;
    for row in rows {
        execute_row(&mut statement, columns, &arrays, row)?;
    }
    Ok(())
}

fn delete_previews(tx: &Transaction<'_>, table: &KpiTable, windows: &ArrayRef) -> Result<(), Failure> {
    let column = table.window_column()?;
    let closed = if table.windows_are_ordered()? { "<=" } else { "=" };
    let (window, is_final) = (quoted(&column.name), quoted(&table.final_column()?.name));
    let sql = format!("DELETE FROM {} WHERE {window} {closed} ?1 AND NOT {is_final}", raw(&table.table));
    let mut statement = tx.prepare_cached(&sql)?;
    let column = std::slice::from_ref(column);
    for row in 0..windows.len() {
        execute_row(&mut statement, column, &[windows], row)?;
    }
    Ok(())
}
