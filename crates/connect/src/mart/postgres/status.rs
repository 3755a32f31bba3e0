//! What a Postgres mart holds, and emptying it.

use lakeward_core::ids::EventTime;
use lakeward_core::types::{Column, DataType};
use tokio_postgres::Transaction;

use super::super::plan::{Plan, Table};
use super::super::{Holding, MartContext, MartStatus, NewestRows, TableStatus};
use super::claim::version;
use super::failure::Failure;
use super::schema::quoted;
use super::session::{Limit, Sessions};

/// See `Mart::status`.
pub(super) async fn status(sessions: &Sessions, context: &MartContext) -> Result<MartStatus, Failure> {
    let mut session = sessions.take().await?;
    let tx = sessions.begin(&mut session, None, Limit::Usual).await?;
    let mut status = MartStatus::default();
    for (table, time) in times(&context.plan) {
        if exists(&tx, &table.name).await? {
            status.tables.push(table_status(&tx, table, time).await?);
        }
    }
    tx.rollback().await?;
    session.busy = false;
    Ok(status)
}

/// See `Mart::holding`.
pub(super) async fn holding(sessions: &Sessions, context: &MartContext) -> Result<Holding, Failure> {
    let mut session = sessions.take().await?;
    let tx = sessions.begin(&mut session, None, Limit::Usual).await?;
    let mut holding = Holding::default();
    if exists(&tx, "lakeward_claims").await? {
        let sql = "SELECT log_id, claim FROM lakeward_claims WHERE pipeline = $1";
        if let Some(row) = tx.query_opt(sql, &[&context.plan.pipeline]).await? {
            holding.holder = Some((row.try_get(0)?, version(row.try_get(1)?)?));
        }
        let sql = "SELECT fence.log_id, incarnation, partition, fence.claim, next FROM lakeward_row_fences AS fence \
                   JOIN lakeward_claims AS held ON held.log_id = fence.log_id WHERE pipeline = $1 \
                   ORDER BY incarnation, partition";
        for row in tx.query(sql, &[&context.plan.pipeline]).await? {
            let at = (row.try_get(1)?, row.try_get(2)?);
            holding.fences.push((row.try_get(0)?, at, version(row.try_get(3)?)?, row.try_get(4)?));
        }
    }
    tx.rollback().await?;
    session.busy = false;
    Ok(holding)
}

/// See `Mart::newest`.
pub(super) async fn newest(
    sessions: &Sessions,
    context: &MartContext,
    table: &str,
    n: u32,
) -> Result<NewestRows, Failure> {
    let mut newest = NewestRows::default();
    let Some((table, time)) = context.plan.table(table) else { return Ok(newest) };
    let mut session = sessions.take().await?;
    let tx = sessions.begin(&mut session, None, Limit::Usual).await?;
    if exists(&tx, &table.name).await? {
        newest.columns.clone_from(&table.columns);
        let columns = table.columns.iter().map(as_text).collect::<Vec<_>>().join(", ");
        let of_table = |name: &str| format!("shown.{}", quoted(name));
        let order = Plan::newest_first(table, time, of_table).replace(" DESC", " DESC NULLS LAST");
        let sql = format!("SELECT {columns} FROM {} AS shown ORDER BY {order} LIMIT $1", quoted(&table.name));
        for row in tx.query(&sql, &[&i64::from(n)]).await? {
            newest.rows.push((0..newest.columns.len()).map(|i| row.try_get(i)).collect::<Result<_, _>>()?);
        }
    }
    tx.rollback().await?;
    session.busy = false;
    Ok(newest)
}

fn as_text(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.ty {
        DataType::Timestamp => format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"),
        _ => format!("{name}::text"),
    }
}

/// The tables, each with the column that says how new it is.
fn times(plan: &Plan) -> impl Iterator<Item = (&Table, Option<&str>)> {
    let rows = plan.rows.iter().map(|rows| (&rows.table, rows.timestamp.as_deref()));
    let kpis = plan.kpi_tables().map(|kpi| {
        let window = kpi.table.columns.get(kpi.window).filter(|column| column.ty == DataType::Timestamp);
        (&kpi.table, window.map(|column| column.name.as_str()))
    });
    rows.chain(kpis).chain(plan.late_tables().map(|late| (&late.table, Some(late.timestamp.as_str()))))
}

pub(super) async fn exists(tx: &Transaction<'_>, table: &str) -> Result<bool, Failure> {
    Ok(tx.query_one("SELECT to_regclass($1) IS NOT NULL", &[&quoted(table)]).await?.try_get(0)?)
}

async fn table_status(tx: &Transaction<'_>, table: &Table, time: Option<&str>) -> Result<TableStatus, Failure> {
    let newest = match time {
        Some(column) => format!("(extract(epoch FROM max({})) * 1000000)::bigint", quoted(column)),
        None => "NULL::bigint".into(),
    };
    let row = tx.query_one(&format!("SELECT count(*), {newest} FROM {}", quoted(&table.name)), &[]).await?;
    Ok(TableStatus {
        name: table.name.clone(),
        rows: row.try_get(0)?,
        newest: row.try_get::<_, Option<i64>>(1)?.map(EventTime),
    })
}
