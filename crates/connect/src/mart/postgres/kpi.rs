//! KPI tables in Postgres (F3): live values behind the fence, final rows by applying entries.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::filter_record_batch;
use lakeward_core::ids::EventTime;
use lakeward_core::log::{KpiStanding, KpiWrite};
use tokio_postgres::Transaction;

use super::super::plan::KpiTable;
use super::super::{FinalOutcome, FinalRows, LiveOutcome, LiveRows, MartContext};
use super::claim::{number, version};
use super::failure::Failure;
use super::schema::{quoted, quoted_list};
use super::session::{Limit, Sessions};
use super::staging;

/// See `Mart::upsert_live`.
pub(super) async fn upsert_live(
    sessions: &Sessions,
    context: &MartContext,
    kpi: usize,
    live: &LiveRows,
) -> Result<LiveOutcome, Failure> {
    let table = context.kpi(kpi)?;
    let mut session = sessions.take().await?;
    let tx = sessions.begin(&mut session, Some(context), Limit::Usual).await?;
    let fence = fence(&tx, context, table).await?;
    match fence.standing.live(context.claim) {
        KpiWrite::Fenced { claim } => {
            tx.rollback().await?;
            session.busy = false;
            return Ok(LiveOutcome::Fenced { claim });
        }
        KpiWrite::Go | KpiWrite::Done => {}
        KpiWrite::NotClaimed | KpiWrite::TableLost => return Err(not_claimed(context, table)),
    }
    let open: BooleanArray = live.window_ends.iter().map(|end| Some(fence.standing.shows(*end))).collect();
    if open.len() != live.rows.num_rows() {
        return Err(Failure::Broken("live rows and their window ends differ in number".into()));
    }
    let rows = filter_record_batch(&live.rows, &open).map_err(|e| Failure::Broken(e.to_string()))?;
    if rows.num_rows() > 0 {
        let staged = staging::stage(&tx, &table.table.name, &table.table.columns, &[rows]).await?;
        tx.execute(&upsert_statement(table, &staged, false)?, &[]).await?;
    }
    let mut reflected = fence.reflected;
    reflected.extend(&live.reflected);
    let reflected = serde_json::to_string(&reflected).map_err(|e| Failure::Broken(e.to_string()))?;
    let sql = "UPDATE lakeward_kpi_fences SET reflected = $3 WHERE log_id = $1 AND kpi = $2 AND key_group = -1";
    tx.execute(sql, &[&&*context.log_id, &table.kpi, &reflected]).await?;
    tx.commit().await?;
    session.busy = false;
    Ok(LiveOutcome::Applied)
}

/// See `Mart::apply_final`.
pub(super) async fn apply_final(
    sessions: &Sessions,
    context: &MartContext,
    kpi: usize,
    rows: &FinalRows,
) -> Result<FinalOutcome, Failure> {
    let table = context.kpi(kpi)?;
    let mut session = sessions.take().await?;
    let tx = sessions.begin(&mut session, Some(context), Limit::Usual).await?;
    let fence = fence(&tx, context, table).await?;
    let settled = match fence.standing.finals(context.claim, rows.above, rows.version) {
        KpiWrite::Go => None,
        KpiWrite::Done => Some(FinalOutcome::AlreadyApplied),
        KpiWrite::Fenced { claim } => Some(FinalOutcome::Fenced { claim }),
        KpiWrite::NotClaimed => return Err(not_claimed(context, table)),
        KpiWrite::TableLost => {
            return Err(Failure::Broken(format!("the table of KPI {} lost entries that had been applied", table.kpi)));
        }
    };
    if let Some(outcome) = settled {
        tx.rollback().await?;
        session.busy = false;
        return Ok(outcome);
    }
    if let Some(windows) = rows.closed_windows.as_ref().filter(|windows| !windows.is_empty()) {
        delete_previews(&tx, table, windows).await?;
    }
    if rows.rows.iter().any(|batch| batch.num_rows() > 0) {
        let staged = staging::stage(&tx, &table.table.name, &table.table.columns, &rows.rows).await?;
        tx.execute(&upsert_statement(table, &staged, true)?, &[]).await?;
    }
    let closed_to = rows.closed_to.max(fence.standing.closed_to);
    let sql = "UPDATE lakeward_kpi_fences SET version = $3, closed_to = $4 \
               WHERE log_id = $1 AND kpi = $2 AND key_group = -1";
    tx.execute(sql, &[&&*context.log_id, &table.kpi, &number(rows.version)?, &closed_to.0]).await?;
    tx.commit().await?;
    session.busy = false;
    Ok(FinalOutcome::Applied)
}

struct Fence {
    standing: KpiStanding,
    reflected: std::collections::BTreeMap<i32, i64>,
}

/// The KPI's fence, locked for this transaction: it will write it, and a shared lock that two transactions wanted to
/// raise would be a deadlock.
async fn fence(tx: &Transaction<'_>, context: &MartContext, table: &KpiTable) -> Result<Fence, Failure> {
    let found = standing(tx, context, &table.kpi).await?;
    let (standing, reflected) = found.ok_or_else(|| not_claimed(context, table))?;
    let reflected = serde_json::from_str(&reflected).map_err(|e| Failure::Broken(e.to_string()))?;
    Ok(Fence { standing, reflected })
}

/// The fence of that name, locked for this transaction, with the offsets that it reflects; `None` if there is none.
pub(super) async fn standing(
    tx: &Transaction<'_>,
    context: &MartContext,
    name: &str,
) -> Result<Option<(KpiStanding, String)>, Failure> {
    let sql = "SELECT claim, version, closed_to, reflected FROM lakeward_kpi_fences \
               WHERE log_id = $1 AND kpi = $2 AND key_group = -1 FOR UPDATE";
    let Some(row) = tx.query_opt(sql, &[&&*context.log_id, &name]).await? else { return Ok(None) };
    let standing = KpiStanding {
        claim: version(row.try_get(0)?)?,
        version: row.try_get::<_, Option<i64>>(1)?.map(version).transpose()?,
        closed_to: EventTime(row.try_get(2)?),
    };
    Ok(Some((standing, row.try_get(3)?)))
}

fn not_claimed(context: &MartContext, table: &KpiTable) -> Failure {
    Failure::Broken(format!("KPI {} was not claimed under {}", table.kpi, context.claim))
}

/// INSERT … ON CONFLICT from a staged table; whether rows are final is said here, whatever the batch holds. Keys that
/// became equal (U+0000 is replaced) are taken once.
fn upsert_statement(table: &KpiTable, staged: &str, is_final: bool) -> Result<String, Failure> {
    let final_column = table.final_column()?;
    let columns = &table.table.columns;
    let values = columns.iter().map(|c| if c == final_column { is_final.to_string() } else { quoted(&c.name) });
    let values = values.collect::<Vec<_>>().join(", ");
    let others = columns.iter().enumerate().filter(|(i, _)| !table.table.is_key(*i));
    let updates = others.map(|(_, c)| format!("{0} = EXCLUDED.{0}", quoted(&c.name))).collect::<Vec<_>>().join(", ");
    let guard = if is_final { String::new() } else { format!(" WHERE NOT mart.{}", quoted(&final_column.name)) };
    let key = quoted_list(table.table.key_columns());
    Ok(format!(
        "INSERT INTO {} AS mart ({}) SELECT DISTINCT ON ({key}) {values} FROM {staged} \
         ON CONFLICT ({key}) DO UPDATE SET {updates}{guard}",
        quoted(&table.table.name),
        quoted_list(columns),
    ))
}

async fn delete_previews(tx: &Transaction<'_>, table: &KpiTable, windows: &ArrayRef) -> Result<(), Failure> {
    let column = table.window_column()?;
    let name = format!("{} windows", table.table.name);
    let staged = staging::stage_values(tx, &name, column, windows).await?;
    let window = quoted(&column.name);
    let closed = if table.windows_are_ordered()? {
        format!("{window} <= (SELECT max({window}) FROM {staged})")
    } else {
        format!("{window} IN (SELECT {window} FROM {staged})")
    };
    let (mart, is_final) = (quoted(&table.table.name), quoted(&table.final_column()?.name));
    tx.execute(&format!("DELETE FROM {mart} WHERE NOT {is_final} AND {closed}"), &[]).await?;
    Ok(())
}
