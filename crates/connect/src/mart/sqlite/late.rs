//! Tables of late rows in SQLite (F3): rows are added entry by entry, each once.

use lakeward_core::log::Addition;
use rusqlite::{Transaction, params};

use super::super::{LateBatch, LateOutcome, MartContext};
use super::claim::number;
use super::failure::Failure;
use super::kpi::standing;
use super::schema::{quoted_list, raw};
use super::values::{arrays_of, execute_row};

/// See `Mart::apply_late`.
pub(super) fn apply_late(
    tx: &Transaction<'_>,
    context: &MartContext,
    kpi: usize,
    late: &LateBatch,
) -> Result<LateOutcome, Failure> {
    let table = context.late(kpi)?;
    let not_claimed = || Failure::Broken(format!("{} was not claimed under {}", table.fence, context.claim));
    let (standing, _) = standing(tx, context, &table.fence)?.ok_or_else(not_claimed)?;
    match standing.additions(context.claim, late.above) {
        Addition::Go => {}
        Addition::At { version } => return Ok(LateOutcome::At { version }),
        Addition::Fenced { claim } => return Ok(LateOutcome::Fenced { claim }),
        Addition::NotClaimed => return Err(not_claimed()),
    }
    let columns = &table.table.columns;
    let marks = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES ({marks})", raw(&table.table), quoted_list(columns));
    let mut insert = tx.prepare_cached(&sql)?;
    for batch in &late.rows {
        let arrays = arrays_of(columns, batch)?;
        for row in 0..batch.num_rows() {
            execute_row(&mut insert, columns, &arrays, row)?;
        }
    }
    let sql = "UPDATE lakeward_kpi_fences SET version = ?3 WHERE log_id = ?1 AND kpi = ?2 AND key_group = -1";
    tx.execute(sql, params![&*context.log_id, table.fence, number(late.version)?])?;
    Ok(LateOutcome::Applied)
}
