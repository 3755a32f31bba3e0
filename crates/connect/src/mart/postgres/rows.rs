//! Rows in Postgres: COPY ahead of the log, each transaction ending on the fences (F2).

use std::collections::BTreeMap;

use lakeward_core::ids::EventTime;
use lakeward_core::log::{FenceStep, judge_steps};
use tokio_postgres::{GenericClient, Transaction};

use super::super::plan::RowsTable;
use super::super::steps::steps;
use super::super::{Coordinates, LiveOutcome, MartContext, RowsBatch, RowsOutcome};
use super::claim::{number, version};
use super::failure::Failure;
use super::schema::quoted;
use super::session::{Limit, Sessions};
use super::staging;

/// Rows that one retention statement deletes: locks and undo stay small.
const DELETED_AT_ONCE: i64 = 20_000;

/// See `Mart::copy_many`.
pub(super) async fn copy_many(
    sessions: &Sessions,
    context: &MartContext,
    batches: &[RowsBatch],
) -> Result<RowsOutcome, Failure> {
    let rows = context.rows()?;
    let steps = steps(batches).map_err(Failure::Broken)?;
    let mut session = sessions.take().await?;
    let tx = sessions.begin(&mut session, Some(context), Limit::Usual).await?;
    let moved = match write(&tx, context, rows, batches, &steps).await {
        Ok(moved) => moved,
        // Somebody has these rows already: the fence knows who.
        Err(failure) if failure.is_duplicate() => false,
        Err(failure) => return Err(failure),
    };
    if !moved {
        tx.rollback().await?;
        session.busy = false;
        return why_not_moved(&session.client, context, &steps).await;
    }
    match tx.commit().await {
        Ok(()) => {
            session.busy = false;
            Ok(RowsOutcome::Applied)
        }
        Err(error) => {
            drop(session);
            after_unknown_commit(sessions, context, &steps, error.into()).await
        }
    }
}

/// COPY, then the fences; false if not all of them moved.
async fn write(
    tx: &Transaction<'_>,
    context: &MartContext,
    rows: &RowsTable,
    batches: &[RowsBatch],
    steps: &[FenceStep],
) -> Result<bool, Failure> {
    let full = batches.iter().filter(|batch| batch.rows.num_rows() > 0);
    let mut parts = Vec::new();
    for batch in full {
        let arrays = rows.sources.iter().map(|&source| batch.rows.columns().get(source));
        let arrays = arrays.collect::<Option<Vec<_>>>();
        let arrays = arrays.ok_or_else(|| Failure::Broken("a batch lacks columns of the rows table".into()))?;
        parts.push((arrays, batch.rows.num_rows()));
    }
    if !parts.is_empty() {
        staging::copy(tx, &quoted(&rows.table.name), &rows.table.columns, parts.into_iter()).await?;
    }
    let column = |of: fn(&FenceStep) -> i32| steps.iter().map(of).collect::<Vec<_>>();
    let offsets = |of: fn(&FenceStep) -> i64| steps.iter().map(of).collect::<Vec<_>>();
    let sql = "UPDATE lakeward_row_fences AS fence SET next = step.upto \
               FROM unnest($3::int[], $4::int[], $5::bigint[], $6::bigint[]) AS step (incarnation, part, base, upto) \
               WHERE fence.log_id = $1 AND fence.claim = $2 AND fence.incarnation = step.incarnation \
               AND fence.partition = step.part AND fence.next = step.base";
    let moved = tx
        .execute(
            sql,
            &[
                &&*context.log_id,
                &number(context.claim)?,
                &column(|s| s.at.0),
                &column(|s| s.at.1),
                &offsets(|s| s.base),
                &offsets(|s| s.to),
            ],
        )
        .await?;
    Ok(usize::try_from(moved).is_ok_and(|moved| moved == steps.len()))
}

/// The fences as they are; waits for a transaction that is about to move one.
async fn fences(
    client: &impl GenericClient,
    context: &MartContext,
) -> Result<BTreeMap<Coordinates, (lakeward_core::ids::Version, i64)>, Failure> {
    let sql = "SELECT incarnation, partition, claim, next FROM lakeward_row_fences WHERE log_id = $1 FOR SHARE";
    let mut fences = BTreeMap::new();
    for row in client.query(sql, &[&&*context.log_id]).await? {
        let fence = (version(row.try_get(2)?)?, row.try_get(3)?);
        fences.insert((row.try_get(0)?, row.try_get(1)?), fence);
    }
    Ok(fences)
}

async fn why_not_moved(
    client: &impl GenericClient,
    context: &MartContext,
    steps: &[FenceStep],
) -> Result<RowsOutcome, Failure> {
    let fences = fences(client, context).await?;
    match judge_steps(steps, &fences, context.claim, |step| step.base) {
        Some(outcome) => outcome.map_err(Failure::Broken),
        None => Err(Failure::Broken("rows above the fence are already in the table: somebody else wrote to it".into())),
    }
}

/// The answer to COMMIT was lost: the fence tells what became of it.
async fn after_unknown_commit(
    sessions: &Sessions,
    context: &MartContext,
    steps: &[FenceStep],
    lost: Failure,
) -> Result<RowsOutcome, Failure> {
    let session = sessions.take().await?;
    let fences = fences(&session.client, context).await?;
    match judge_steps(steps, &fences, context.claim, |step| step.to) {
        None => Ok(RowsOutcome::Applied),
        Some(_) => match judge_steps(steps, &fences, context.claim, |step| step.base) {
            // Nothing happened: the caller tries again.
            None => Err(lost),
            Some(outcome) => outcome.map_err(Failure::Broken),
        },
    }
}

/// See `Mart::delete_rows_below`.
pub(super) async fn delete_below(
    sessions: &Sessions,
    context: &MartContext,
    boundary: EventTime,
) -> Result<LiveOutcome, Failure> {
    let rows = context.rows()?;
    let Some(timestamp) = &rows.timestamp else { return Ok(LiveOutcome::Applied) };
    let (table, timestamp) = (quoted(&rows.table.name), quoted(timestamp));
    let sql = format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY (SELECT ctid FROM {table} \
         WHERE {timestamp} < 'epoch'::timestamptz + make_interval(secs => $1::bigint) LIMIT {DELETED_AT_ONCE}))"
    );
    // The boundary is in whole minutes.
    let seconds = boundary.0.div_euclid(1_000_000);
    loop {
        let mut session = sessions.take().await?;
        let tx = sessions.begin(&mut session, Some(context), Limit::None).await?;
        let held = tx
            .query_opt(
                "SELECT claim FROM lakeward_claims WHERE pipeline = $1 AND log_id = $2 FOR SHARE",
                &[&context.plan.pipeline, &&*context.log_id],
            )
            .await?;
        let held = held.map(|row| row.try_get(0)).transpose()?.map(version).transpose()?;
        match held {
            Some(claim) if claim == context.claim => {}
            Some(claim) if claim > context.claim => return Ok(LiveOutcome::Fenced { claim }),
            _ => return Err(Failure::Broken("the mart was not claimed by this owner".into())),
        }
        let deleted = tx.execute(&sql, &[&seconds]).await?;
        tx.commit().await?;
        session.busy = false;
        if deleted == 0 {
            return Ok(LiveOutcome::Applied);
        }
    }
}
