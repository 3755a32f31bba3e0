//! An SQLite mart at one moment: fences and rows read in one read transaction of a connection of its own.

use lakeward_core::ids::EventTime;
use lakeward_core::types::{Column, DataType};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::plan::Table;
use super::super::snapshot::{CHUNK, Fences, HeldKpiFence, MartValue, Sender};
use super::super::{MartContext, MartError};
use super::SqliteMart;
use super::claim::version;
use super::failure::Failure;
use super::schema::{kind, quoted_list, raw, raw_name};

/// The connection whose transaction holds the moment.
pub(crate) struct Moment {
    mart: SqliteMart,
}

/// Begins the transaction and reads the fences in it.
pub(super) fn begin(connection: &Connection, context: &MartContext) -> Result<Fences, Failure> {
    connection.execute_batch("BEGIN DEFERRED")?;
    let mut fences = Fences::default();
    if kind(connection, "lakeward_claims")?.is_none() {
        return Ok(fences);
    }
    let sql = "SELECT log_id, claim FROM lakeward_claims WHERE pipeline = ?1";
    let held = connection.query_row(sql, [&context.plan.pipeline], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    fences.holder = held.map(|(log_id, claim)| Ok::<_, Failure>((log_id, version(claim)?))).transpose()?;
    let sql = "SELECT incarnation, partition, claim, next FROM lakeward_row_fences WHERE log_id = ?1";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([&*context.log_id])?;
    while let Some(row) = rows.next()? {
        fences.rows.insert((row.get(0)?, row.get(1)?), (version(row.get(2)?)?, row.get(3)?));
    }
    let sql = "SELECT kpi, claim, version, closed_to FROM lakeward_kpi_fences WHERE log_id = ?1 AND key_group = -1";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([&*context.log_id])?;
    while let Some(row) = rows.next()? {
        let fence = HeldKpiFence {
            claim: version(row.get(1)?)?,
            version: row.get::<_, Option<i64>>(2)?.map(version).transpose()?,
            closed_to: EventTime(row.get(3)?),
        };
        fences.kpis.insert(row.get(0)?, fence);
    }
    Ok(fences)
}

impl Moment {
    pub(super) fn new(mart: SqliteMart) -> Self {
        Self { mart }
    }

    /// Sends the table's rows; `false` where it is not there.
    pub(crate) async fn scan(&self, table: &Table, columns: &[Column], rows: Sender) -> Result<bool, MartError> {
        let name = raw_name(table);
        let exists = move |connection: &mut Connection| Ok(kind(connection, &name)?.is_some());
        if !self.mart.call("looking for a table", exists).await? {
            return Ok(false);
        }
        let sql = format!("SELECT {} FROM {}", quoted_list(columns), raw(table));
        let (columns, sender, mart) = (columns.to_vec(), rows.clone(), self.mart.clone());
        tokio::spawn(async move {
            let read = move |connection: &mut Connection| send(connection, &sql, &columns, &sender);
            if let Err(error) = mart.call("reading a table", read).await {
                // Who asked may have gone.
                let _ = rows.send(Err(error)).await;
            }
        });
        Ok(true)
    }
}

fn send(connection: &Connection, sql: &str, columns: &[Column], rows: &Sender) -> Result<(), Failure> {
    let mut statement = connection.prepare(sql)?;
    let mut found = statement.query([])?;
    let mut chunk = Vec::with_capacity(CHUNK);
    while let Some(row) = found.next()? {
        chunk.push(values(row, columns)?);
        if chunk.len() == CHUNK && rows.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
            return Ok(());
        }
    }
    let _ = rows.blocking_send(Ok(chunk));
    Ok(())
}

fn values(row: &Row<'_>, columns: &[Column]) -> Result<Vec<MartValue>, Failure> {
    let value = |(i, column): (usize, &Column)| Ok(value_of(row.get_ref(i)?, column.ty));
    columns.iter().enumerate().map(value).collect()
}

fn value_of(value: ValueRef<'_>, ty: DataType) -> MartValue {
    let found = match (value, ty) {
        (ValueRef::Null, _) => Some(MartValue::Null),
        (ValueRef::Integer(n), DataType::Bool) => Some(MartValue::Bool(n != 0)),
        (ValueRef::Integer(n), DataType::Decimal { .. }) => Some(MartValue::Decimal(n.into())),
        (ValueRef::Integer(n), DataType::Int32 | DataType::Int64 | DataType::Date | DataType::Timestamp) => {
            Some(MartValue::Int(n))
        }
        (ValueRef::Real(x), DataType::Float64) => Some(MartValue::Float(x)),
        (ValueRef::Text(text), DataType::String) => Some(MartValue::Text(String::from_utf8_lossy(text).into_owned())),
        (ValueRef::Text(text), DataType::Decimal { scale, .. }) => unscaled(text, scale).map(MartValue::Decimal),
        _ => None,
    };
    found.unwrap_or_else(|| MartValue::Foreign(format!("{value:?}")))
}

/// A decimal's exact text, which has all digits of its scale, as an unscaled value.
fn unscaled(text: &[u8], scale: i8) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let same = i8::try_from(places) == Ok(scale);
    same.then(|| text.replace('.', "").parse().ok()).flatten()
}
