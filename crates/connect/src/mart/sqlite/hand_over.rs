//! Giving an SQLite mart to the log that follows a reset (L6).

use rusqlite::{OptionalExtension, Transaction, params};

use super::super::MartContext;
use super::failure::Failure;
use super::schema::{ENGINE_TABLES, kind, raw, raw_name, refuse_other_log};

/// See `Mart::hand_over`; the context is the next log's.
pub(super) fn hand_over(
    tx: &Transaction<'_>,
    context: &MartContext,
    past: &[String],
    mart: &str,
) -> Result<(), Failure> {
    tx.execute_batch(ENGINE_TABLES)?;
    let (pipeline, next) = (&context.plan.pipeline, &*context.log_id);
    let sql = "SELECT log_id FROM lakeward_claims WHERE pipeline = ?1";
    let holder: Option<String> = tx.query_row(sql, [pipeline], |row| row.get(0)).optional()?;
    match holder {
        None => {
            let sql = "INSERT INTO lakeward_claims (pipeline, log_id, claim) VALUES (?1, ?2, 0)";
            tx.execute(sql, params![pipeline, next])?;
        }
        Some(holder) if past.contains(&holder) => {
            empty(tx, context, past)?;
            let sql = "UPDATE lakeward_claims SET log_id = ?2, claim = 0 WHERE pipeline = ?1";
            tx.execute(sql, params![pipeline, next])?;
        }
        Some(_) => refuse_other_log(tx, context, mart)?,
    }
    Ok(())
}

fn empty(tx: &Transaction<'_>, context: &MartContext, past: &[String]) -> Result<(), Failure> {
    for table in context.plan.tables() {
        if kind(tx, &raw_name(table))?.is_some() {
            tx.execute(&format!("DELETE FROM {}", raw(table)), [])?;
        }
    }
    for log in past {
        tx.execute("DELETE FROM lakeward_row_fences WHERE log_id = ?1", [log])?;
        tx.execute("DELETE FROM lakeward_kpi_fences WHERE log_id = ?1", [log])?;
    }
    Ok(())
}
