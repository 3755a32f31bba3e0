//! Taking a Postgres mart over (F2, F3, F5): one transaction that moves every fence under the new claim and takes back
//! what attempts that died had shown.

use std::collections::BTreeMap;

use lakeward_core::ids::{EventTime, Version};
use lakeward_core::log::take_back;
use tokio_postgres::Transaction;

use super::super::plan::RowsTable;
use super::super::{Claimed, Coordinates, KpiFence, MartContext, MartError, ReignEnd};
use super::failure::Failure;
use super::schema::{quoted, refuse_other_log};
use super::session::{Limit, Sessions, claimant_prefix};

/// See `Mart::claim`.
pub(super) async fn claim(
    sessions: &Sessions,
    context: &MartContext,
    mart: &str,
    reign_end: &ReignEnd,
    partitions: &[(i32, i32, i64)],
) -> Result<Claimed, Failure> {
    let mut session = sessions.take().await?;
    end_older_sessions(&session.client, context).await?;
    let tx = sessions.begin(&mut session, Some(context), Limit::None).await?;
    if let Some(claim) = take_claim_row(&tx, context, mart).await? {
        tx.rollback().await?;
        session.busy = false;
        return Ok(Claimed::Fenced { claim });
    }
    let next = match &context.plan.rows {
        Some(rows) => take_row_fences(&tx, context, rows, reign_end, partitions).await?,
        None => BTreeMap::new(),
    };
    let kpis = take_kpi_fences(&tx, context).await?;
    tx.commit().await?;
    session.busy = false;
    Ok(Claimed::Held { next, kpis })
}

/// A version as Postgres holds it.
pub(super) fn number(version: Version) -> Result<i64, Failure> {
    i64::try_from(version.0).map_err(|_| Failure::Broken(format!("version {version} is beyond bigint")))
}

/// A version as it came from Postgres.
pub(super) fn version(number: i64) -> Result<Version, Failure> {
    let version = u64::try_from(number).map(Version);
    version.map_err(|_| Failure::Broken(format!("a fence holds the negative version {number}")))
}

/// Ends sessions of smaller claims of this pipeline: a frozen owner may hold locks for ever (F5).
pub(super) async fn end_older_sessions(client: &tokio_postgres::Client, context: &MartContext) -> Result<(), Failure> {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() \
               AND left(application_name, length($1)) = $1 \
               AND CASE WHEN substr(application_name, length($1) + 1) ~ '^[0-9]{1,18}$' \
                   THEN substr(application_name, length($1) + 1)::bigint < $2 ELSE false END";
    let ended = client.query(sql, &[&claimant_prefix(&context.plan.pipeline), &number(context.claim)?]).await?;
    if !ended.is_empty() {
        tracing::warn!(pipeline = context.plan.pipeline, sessions = ended.len(), "ended mart sessions of older claims");
    }
    Ok(())
}

/// Puts the claim into the claim row; answers a greater one that is already there.
async fn take_claim_row(tx: &Transaction<'_>, context: &MartContext, mart: &str) -> Result<Option<Version>, Failure> {
    let sql = "INSERT INTO lakeward_claims AS held (pipeline, log_id, claim) VALUES ($1, $2, $3) \
               ON CONFLICT (pipeline) DO UPDATE SET claim = EXCLUDED.claim \
               WHERE held.log_id = EXCLUDED.log_id AND held.claim <= EXCLUDED.claim";
    let (pipeline, log_id) = (&context.plan.pipeline, &*context.log_id);
    if tx.execute(sql, &[pipeline, &log_id, &number(context.claim)?]).await? > 0 {
        return Ok(None);
    }
    refuse_other_log(tx, context, mart).await?;
    let row = tx.query_one("SELECT claim FROM lakeward_claims WHERE pipeline = $1", &[pipeline]).await?;
    version(row.try_get(0)?).map(Some)
}

async fn take_row_fences(
    tx: &Transaction<'_>,
    context: &MartContext,
    rows: &RowsTable,
    reign_end: &ReignEnd,
    partitions: &[(i32, i32, i64)],
) -> Result<BTreeMap<Coordinates, i64>, Failure> {
    let mine = number(context.claim)?;
    let log_id = &*context.log_id;
    let sql = "SELECT incarnation, partition, claim, next FROM lakeward_row_fences WHERE log_id = $1 \
               ORDER BY incarnation, partition FOR UPDATE";
    let mut fences = BTreeMap::new();
    for row in tx.query(sql, &[&log_id]).await? {
        let (incarnation, partition, claim, mut next): (i32, i32, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        if claim < mine {
            let back = take_back(next, reign_end(version(claim)?, incarnation, partition));
            delete_from(tx, rows, (incarnation, partition), back.rows_from).await?;
            next = back.next;
            let sql = "UPDATE lakeward_row_fences SET claim = $1, next = $2 \
                       WHERE log_id = $3 AND incarnation = $4 AND partition = $5";
            tx.execute(sql, &[&mine, &next, &log_id, &incarnation, &partition]).await?;
        }
        fences.insert((incarnation, partition), next);
    }
    for (incarnation, partition, start) in partitions {
        if fences.contains_key(&(*incarnation, *partition)) {
            continue;
        }
        let sql = "INSERT INTO lakeward_row_fences (log_id, incarnation, partition, claim, next) \
                   VALUES ($1, $2, $3, $4, $5)";
        tx.execute(sql, &[&log_id, incarnation, partition, &mine, start]).await?;
        fences.insert((*incarnation, *partition), *start);
    }
    Ok(fences)
}

/// Rows at or above what the log committed under the fence's own claim are of an attempt that died.
async fn delete_from(tx: &Transaction<'_>, rows: &RowsTable, at: Coordinates, end: i64) -> Result<(), Failure> {
    let sql = format!(
        "DELETE FROM {} WHERE {} = $1 AND {} = $2 AND {} >= $3",
        quoted(&rows.table.name),
        quoted(&rows.incarnation),
        quoted(&rows.partition),
        quoted(&rows.offset),
    );
    let taken = tx.execute(&sql, &[&at.0, &at.1, &end]).await?;
    if taken > 0 {
        tracing::info!(table = rows.table.name, partition = at.1, from = end, rows = taken, "took previews back");
    }
    Ok(())
}

async fn take_kpi_fences(tx: &Transaction<'_>, context: &MartContext) -> Result<BTreeMap<String, KpiFence>, Failure> {
    let (mine, log_id) = (number(context.claim)?, &*context.log_id);
    let mut fences = BTreeMap::new();
    for name in context.plan.fences() {
        let sql = "INSERT INTO lakeward_kpi_fences AS fence (log_id, kpi, key_group, claim, closed_to, reflected) \
                   VALUES ($1, $2, -1, $3, $4, '{}') ON CONFLICT (log_id, kpi, key_group) \
                   DO UPDATE SET claim = EXCLUDED.claim WHERE fence.claim <= EXCLUDED.claim \
                   RETURNING version, closed_to, reflected";
        let row = tx.query_one(sql, &[&log_id, &name, &mine, &EventTime::MIN.0]).await?;
        let reflected: String = row.try_get(2)?;
        let fence = KpiFence {
            version: row.try_get::<_, Option<i64>>(0)?.map(version).transpose()?,
            closed_to: EventTime(row.try_get(1)?),
            reflected: serde_json::from_str(&reflected)
                .map_err(|e| MartError::Config(format!("the fence of {name} can't be read: {e}")))?,
        };
        fences.insert(name.to_owned(), fence);
    }
    Ok(fences)
}
