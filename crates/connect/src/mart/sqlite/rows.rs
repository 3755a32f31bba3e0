//! Rows in SQLite: inserted ahead of the log, each transaction ending on the fences (F2).

use lakeward_core::ids::EventTime;
use lakeward_core::log::{FenceStep, judge_steps};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::super::plan::RowsTable;
use super::super::steps::steps;
use super::super::{LiveOutcome, MartContext, RowsBatch, RowsOutcome};
use super::claim::{number, row_fences, version};
use super::failure::Failure;
use super::schema::{quoted, quoted_list, raw};
use super::values::execute_row;

/// See `Mart::copy_many`.
pub(super) fn copy_many(
    connection: &mut Connection,
    context: &MartContext,
    batches: &[RowsBatch],
) -> Result<RowsOutcome, Failure> {
    let rows = context.rows()?;
    let steps = steps(batches).map_err(Failure::Broken)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let moved = match write(&tx, context, rows, batches, &steps) {
        Ok(moved) => moved,
        // Somebody has these rows already: the fence knows who.
        Err(failure) if failure.is_duplicate() => false,
        Err(failure) => return Err(failure),
    };
    if moved {
        tx.commit()?;
        return Ok(RowsOutcome::Applied);
    }
    tx.rollback()?;
    match judge_steps(&steps, &row_fences(connection, context)?, context.claim, |step| step.base) {
        Some(outcome) => outcome.map_err(Failure::Broken),
        None => Err(Failure::Broken("rows above the fence are already in the table: somebody else wrote to it".into())),
    }
}

/// The rows, then the fences; false if not all of them moved.
fn write(
    tx: &Transaction<'_>,
    context: &MartContext,
    rows: &RowsTable,
    batches: &[RowsBatch],
    steps: &[FenceStep],
) -> Result<bool, Failure> {
    let columns = &rows.table.columns;
    let marks = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES ({marks})", raw(&rows.table), quoted_list(columns));
    let mut insert = tx.prepare_cached(&sql)?;
    for batch in batches {
        let arrays = rows.sources.iter().map(|&source| batch.rows.columns().get(source));
        let arrays = arrays.collect::<Option<Vec<_>>>();
        let arrays = arrays.ok_or_else(|| Failure::Broken("a batch lacks columns of the rows table".into()))?;
        for row in 0..batch.rows.num_rows() {
            execute_row(&mut insert, columns, &arrays, row)?;
        }
    }
    let sql = "UPDATE lakeward_row_fences SET next = ?1 \
               WHERE log_id = ?2 AND claim = ?3 AND incarnation = ?4 AND partition = ?5 AND next = ?6";
    let mut moved = 0;
    let mut fence = tx.prepare_cached(sql)?;
    for step in steps {
        let claim = number(context.claim)?;
        moved += fence.execute(params![step.to, &*context.log_id, claim, step.at.0, step.at.1, step.base])?;
    }
    Ok(moved == steps.len())
}

/// See `Mart::delete_rows_below`.
pub(super) fn delete_below(
    tx: &Transaction<'_>,
    context: &MartContext,
    boundary: EventTime,
) -> Result<LiveOutcome, Failure> {
    let rows = context.rows()?;
    let Some(timestamp) = &rows.timestamp else { return Ok(LiveOutcome::Applied) };
    let sql = "SELECT claim FROM lakeward_claims WHERE pipeline = ?1 AND log_id = ?2";
    let held = tx.query_row(sql, params![context.plan.pipeline, &*context.log_id], |row| row.get(0)).optional()?;
    match held.map(version).transpose()? {
        Some(claim) if claim == context.claim => {}
        Some(claim) if claim > context.claim => return Ok(LiveOutcome::Fenced { claim }),
        _ => return Err(Failure::Broken("the mart was not claimed by this owner".into())),
    }
    tx.execute(&format!("DELETE FROM {} WHERE {} < ?1", raw(&rows.table), quoted(timestamp)), [boundary.0])?;
    Ok(LiveOutcome::Applied)
}
