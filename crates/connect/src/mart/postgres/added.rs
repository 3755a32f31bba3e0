//! Rows that entries bring to Postgres, late ones and replayed ones (F3): entry by entry, each row once.

use lakeward_core::log::Addition;

use super::super::{AddOutcome, Added, AddedRows, MartContext};
use super::claim::number;
use super::failure::Failure;
use super::kpi::standing;
use super::schema::{quoted, quoted_list};
use super::session::{Limit, Sessions};
use super::staging;

/// See `Mart::add`.
pub(super) async fn add(
    sessions: &Sessions,
    context: &MartContext,
    to: Added,
    added: &AddedRows,
) -> Result<AddOutcome, Failure> {
    let target = context.target(to)?;
    let not_claimed = || Failure::Broken(format!("{} was not claimed under {}", target.fence, context.claim));
    let mut session = sessions.take().await?;
    let tx = sessions.begin(&mut session, Some(context), Limit::Usual).await?;
    let (standing, _) = standing(&tx, context, target.fence).await?.ok_or_else(not_claimed)?;
    let settled = match standing.additions(context.claim, added.above) {
        Addition::Go => None,
        Addition::At { version } => Some(AddOutcome::At { version }),
        Addition::Fenced { claim } => Some(AddOutcome::Fenced { claim }),
        Addition::NotClaimed => return Err(not_claimed()),
    };
    if let Some(outcome) = settled {
        tx.rollback().await?;
        session.busy = false;
        return Ok(outcome);
    }
    let (table, columns) = (quoted(&target.table.name), &target.table.columns);
    let batches = target.batches(&added.rows).map_err(Failure::Broken)?;
    if !batches.is_empty() && target.sources.is_some() {
        let staged = staging::stage(&tx, target.fence, columns, &batches).await?;
        let list = quoted_list(columns);
        let sql = format!("INSERT INTO {table} ({list}) SELECT {list} FROM {staged} ON CONFLICT DO NOTHING");
        tx.execute(&sql, &[]).await?;
    } else if !batches.is_empty() {
        let parts = batches.iter().map(|batch| (batch.columns().iter().collect(), batch.num_rows()));
        staging::copy(&tx, &table, columns, parts).await?;
    }
    let sql = "UPDATE lakeward_kpi_fences SET version = $3 WHERE log_id = $1 AND kpi = $2 AND key_group = -1";
    tx.execute(sql, &[&&*context.log_id, &target.fence, &number(added.version)?]).await?;
    tx.commit().await?;
    session.busy = false;
    Ok(AddOutcome::Applied)
}
