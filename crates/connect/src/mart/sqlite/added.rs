//! Rows that entries bring to SQLite, late ones and replayed ones (F3): entry by entry, each row once.

use lakeward_core::log::Addition;
use rusqlite::{Transaction, params};

use super::super::{AddOutcome, Added, AddedRows, MartContext};
use super::claim::number;
use super::failure::Failure;
use super::kpi::standing;
use super::schema::{quoted_list, raw};
use super::values::{arrays_of, execute_row};

/// See `Mart::add`.
pub(super) fn add(
    tx: &Transaction<'_>,
    context: &MartContext,
    to: Added,
    added: &AddedRows,
) -> Result<AddOutcome, Failure> {
    let target = context.target(to)?;
    let not_claimed = || Failure::Broken(format!("{} was not claimed under {}", target.fence, context.claim));
    let (standing, _) = standing(tx, context, target.fence)?.ok_or_else(not_claimed)?;
    match standing.additions(context.claim, added.above) {
        Addition::Go => {}
        Addition::At { version } => return Ok(AddOutcome::At { version }),
        Addition::Fenced { claim } => return Ok(AddOutcome::Fenced { claim }),
        Addition::NotClaimed => return Err(not_claimed()),
    }
    let columns = &target.table.columns;
    let marks = vec!["?"; columns.len()].join(", ");
    let unless_there = if target.sources.is_some() { " OR IGNORE" } else { "" };
    let (table, list) = (raw(target.table), quoted_list(columns));
    let sql = format!("INSERT{unless_there} INTO {table} ({list}) VALUES ({marks})");
    let mut insert = tx.prepare_cached(&sql)?;
    for batch in target.batches(&added.rows).map_err(Failure::Broken)? {
        let arrays = arrays_of(columns, &batch)?;
        for row in 0..batch.num_rows() {
            execute_row(&mut insert, columns, &arrays, row)?;
        }
    }
    let sql = "UPDATE lakeward_kpi_fences SET version = ?3 WHERE log_id = ?1 AND kpi = ?2 AND key_group = -1";
    tx.execute(sql, params![&*context.log_id, target.fence, number(added.version)?])?;
    Ok(AddOutcome::Applied)
}
