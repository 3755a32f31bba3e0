//! Giving a Postgres mart to the log that follows a reset (L6).

use lakeward_core::ids::Version;
use tokio_postgres::Transaction;

use super::super::MartContext;
use super::claim::end_older_sessions;
use super::failure::Failure;
use super::schema::{create_engine_tables, quoted, refuse_other_log};
use super::session::{Limit, Sessions};
use super::status::exists;

/// Above every claim and still a name that a session can carry.
const ANY_CLAIM: Version = Version(1_000_000_000_000_000_000 - 1);

/// See `Mart::hand_over`; the context is the next log's.
pub(super) async fn hand_over(
    sessions: &Sessions,
    context: &MartContext,
    past: &[String],
    mart: &str,
) -> Result<(), Failure> {
    let mut session = sessions.take().await?;
    // A frozen owner of a past log may hold locks for ever (F5).
    end_older_sessions(&session.client, &MartContext { claim: ANY_CLAIM, ..context.clone() }).await?;
    let tx = sessions.begin(&mut session, None, Limit::None).await?;
    create_engine_tables(&tx).await?;
    let (pipeline, next) = (&context.plan.pipeline, &*context.log_id);
    let sql = "INSERT INTO lakeward_claims (pipeline, log_id, claim) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING";
    if tx.execute(sql, &[pipeline, &next]).await? == 0 {
        let sql = "SELECT log_id FROM lakeward_claims WHERE pipeline = $1 FOR UPDATE";
        let holder: String = tx.query_one(sql, &[pipeline]).await?.try_get(0)?;
        if past.contains(&holder) {
            empty(&tx, context, past).await?;
            let sql = "UPDATE lakeward_claims SET log_id = $2, claim = 0 WHERE pipeline = $1";
            tx.execute(sql, &[pipeline, &next]).await?;
        } else {
            refuse_other_log(&tx, context, mart).await?;
        }
    }
    tx.commit().await?;
    session.busy = false;
    Ok(())
}

async fn empty(tx: &Transaction<'_>, context: &MartContext, past: &[String]) -> Result<(), Failure> {
    for table in context.plan.tables() {
        if exists(tx, &table.name).await? {
            tx.batch_execute(&format!("TRUNCATE {}", quoted(&table.name))).await?;
        }
    }
    for table in ["lakeward_row_fences", "lakeward_kpi_fences"] {
        tx.execute(&format!("DELETE FROM {table} WHERE log_id = ANY($1)"), &[&past]).await?;
    }
    Ok(())
}
