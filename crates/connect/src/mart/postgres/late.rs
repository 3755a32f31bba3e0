//! Tables of late rows in Postgres (F3): COPY entry by entry, each row once.

use lakeward_core::log::Addition;

use super::super::{LateBatch, LateOutcome, MartContext};
use super::claim::number;
use super::failure::Failure;
use super::kpi::standing;
use super::schema::quoted;
use super::session::{Limit, Sessions};
use super::staging;

/// See `Mart::apply_late`.
pub(super) async fn apply_late(
    sessions: &Sessions,
    context: &MartContext,
    kpi: usize,
    late: &LateBatch,
) -> Result<LateOutcome, Failure> {
    let table = context.late(kpi)?;
    let not_claimed = || Failure::Broken(format!("{} was not claimed under {}", table.fence, context.claim));
    let mut session = sessions.take().await?;
    let tx = sessions.begin(&mut session, Some(context), Limit::Usual).await?;
    let (standing, _) = standing(&tx, context, &table.fence).await?.ok_or_else(not_claimed)?;
    let settled = match standing.additions(context.claim, late.above) {
        Addition::Go => None,
        Addition::At { version } => Some(LateOutcome::At { version }),
        Addition::Fenced { claim } => Some(LateOutcome::Fenced { claim }),
        Addition::NotClaimed => return Err(not_claimed()),
    };
    if let Some(outcome) = settled {
        tx.rollback().await?;
        session.busy = false;
        return Ok(outcome);
    }
    let full = late.rows.iter().filter(|batch| batch.num_rows() > 0);
    let parts: Vec<_> = full.map(|batch| (batch.columns().iter().collect(), batch.num_rows())).collect();
    if !parts.is_empty() {
        staging::copy(&tx, &quoted(&table.table.name), &table.table.columns, parts.into_iter()).await?;
    }
    let sql = "UPDATE lakeward_kpi_fences SET version = $3 WHERE log_id = $1 AND kpi = $2 AND key_group = -1";
    tx.execute(sql, &[&&*context.log_id, &table.fence, &number(late.version)?]).await?;
    tx.commit().await?;
    session.busy = false;
    Ok(LateOutcome::Applied)
}
