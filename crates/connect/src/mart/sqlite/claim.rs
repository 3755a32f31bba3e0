//! Taking an SQLite mart over (F2, F3): one transaction that moves every fence under the new claim and takes back what
//! attempts that died had shown.

use std::collections::BTreeMap;

use lakeward_core::ids::{EventTime, Version};
use lakeward_core::log::take_back;
use rusqlite::{Transaction, params};

use super::super::plan::RowsTable;
use super::super::{Claimed, Coordinates, KpiFence, MartContext, ReignEnd};
use super::failure::Failure;
use super::schema::{quoted, raw, refuse_other_log};

/// See `Mart::claim`.
pub(super) fn claim(
    tx: &Transaction<'_>,
    context: &MartContext,
    mart: &str,
    reign_end: &ReignEnd,
    partitions: &[(i32, i32, i64)],
) -> Result<Claimed, Failure> {
    if let Some(claim) = take_claim_row(tx, context, mart)? {
        return Ok(Claimed::Fenced { claim });
    }
    let next = match &context.plan.rows {
        Some(rows) => take_row_fences(tx, context, rows, reign_end, partitions)?,
        None => BTreeMap::new(),
    };
    Ok(Claimed::Held { next, kpis: take_kpi_fences(tx, context)? })
}

/// A version as SQLite holds it.
pub(super) fn number(version: Version) -> Result<i64, Failure> {
    i64::try_from(version.0).map_err(|_| Failure::Broken(format!("version {version} is beyond 64 bits")))
}

/// A version as it came from SQLite.
pub(super) fn version(number: i64) -> Result<Version, Failure> {
    let version = u64::try_from(number).map(Version);
    version.map_err(|_| Failure::Broken(format!("a fence holds the negative version {number}")))
}

/// The offsets of a KPI fence.
pub(super) fn reflected(text: &str) -> Result<BTreeMap<i32, i64>, Failure> {
    serde_json::from_str(text).map_err(|e| Failure::Broken(format!("a KPI fence can't be read: {e}")))
}

/// Puts the claim into the claim row; answers a greater one that is already there.
fn take_claim_row(tx: &Transaction<'_>, context: &MartContext, mart: &str) -> Result<Option<Version>, Failure> {
    let sql = "INSERT INTO lakeward_claims AS held (pipeline, log_id, claim) VALUES (?1, ?2, ?3) \
               ON CONFLICT (pipeline) DO UPDATE SET claim = excluded.claim \
               WHERE held.log_id = excluded.log_id AND held.claim <= excluded.claim";
    if tx.execute(sql, params![context.plan.pipeline, &*context.log_id, number(context.claim)?])? > 0 {
        return Ok(None);
    }
    refuse_other_log(tx, context, mart)?;
    let sql = "SELECT claim FROM lakeward_claims WHERE pipeline = ?1";
    version(tx.query_row(sql, [&context.plan.pipeline], |row| row.get(0))?).map(Some)
}

fn take_row_fences(
    tx: &Transaction<'_>,
    context: &MartContext,
    rows: &RowsTable,
    reign_end: &ReignEnd,
    partitions: &[(i32, i32, i64)],
) -> Result<BTreeMap<Coordinates, i64>, Failure> {
    let mine = number(context.claim)?;
    let log_id = &*context.log_id;
    let mut fences = BTreeMap::new();
    for (at, (claim, mut next)) in row_fences(tx, context)? {
        if claim < context.claim {
            let back = take_back(next, reign_end(claim, at.0, at.1));
            delete_from(tx, rows, at, back.rows_from)?;
            next = back.next;
            let sql = "UPDATE lakeward_row_fences SET claim = ?1, next = ?2 \
                       WHERE log_id = ?3 AND incarnation = ?4 AND partition = ?5";
            tx.execute(sql, params![mine, next, log_id, at.0, at.1])?;
        }
        fences.insert(at, next);
    }
    for (incarnation, partition, start) in partitions {
        if fences.contains_key(&(*incarnation, *partition)) {
            continue;
        }
        let sql = "INSERT INTO lakeward_row_fences (log_id, incarnation, partition, claim, next) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        tx.execute(sql, params![log_id, incarnation, partition, mine, start])?;
        fences.insert((*incarnation, *partition), *start);
    }
    Ok(fences)
}

/// The fences of the context's log.
pub(super) fn row_fences(
    tx: &rusqlite::Connection,
    context: &MartContext,
) -> Result<BTreeMap<Coordinates, (Version, i64)>, Failure> {
    let sql = "SELECT incarnation, partition, claim, next FROM lakeward_row_fences WHERE log_id = ?1";
    let mut statement = tx.prepare_cached(sql)?;
    let mut rows = statement.query([&*context.log_id])?;
    let mut fences = BTreeMap::new();
    while let Some(row) = rows.next()? {
        fences.insert((row.get(0)?, row.get(1)?), (version(row.get(2)?)?, row.get(3)?));
    }
    Ok(fences)
}

/// Rows at or above what the log committed under the fence's own claim are of an attempt that died.
fn delete_from(tx: &Transaction<'_>, rows: &RowsTable, at: Coordinates, end: i64) -> Result<(), Failure> {
    let sql = format!(
        "DELETE FROM {} WHERE {} = ?1 AND {} = ?2 AND {} >= ?3",
        raw(&rows.table),
        quoted(&rows.incarnation),
        quoted(&rows.partition),
        quoted(&rows.offset),
    );
    let taken = tx.execute(&sql, params![at.0, at.1, end])?;
    if taken > 0 {
        tracing::info!(table = rows.table.name, partition = at.1, from = end, rows = taken, "took previews back");
    }
    Ok(())
}

fn take_kpi_fences(tx: &Transaction<'_>, context: &MartContext) -> Result<BTreeMap<String, KpiFence>, Failure> {
    let (mine, log_id) = (number(context.claim)?, &*context.log_id);
    let mut fences = BTreeMap::new();
    for name in context.plan.fences() {
        let sql = "INSERT INTO lakeward_kpi_fences AS fence (log_id, kpi, key_group, claim, closed_to, reflected) \
                   VALUES (?1, ?2, -1, ?3, ?4, '{}') ON CONFLICT (log_id, kpi, key_group) \
                   DO UPDATE SET claim = excluded.claim WHERE fence.claim <= excluded.claim \
                   RETURNING version, closed_to, reflected";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?, row.get::<_, String>(2)?));
        let (applied, closed_to, offsets) = tx.query_row(sql, params![log_id, name, mine, EventTime::MIN.0], row)?;
        let fence = KpiFence {
            version: applied.map(version).transpose()?,
            closed_to: EventTime(closed_to),
            reflected: reflected(&offsets)?,
        };
        fences.insert(name.to_owned(), fence);
    }
    Ok(fences)
}
