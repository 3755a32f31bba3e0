//! A Postgres mart at one moment: fences and rows read in one REPEATABLE READ transaction.

use std::pin::pin;
use std::sync::Arc;

use futures::TryStreamExt;
use lakeward_core::ids::EventTime;
use lakeward_core::types::{Column, DataType};
use postgres_types::{FromSql, Type};
use tokio_postgres::{Client, Row};

use super::super::plan::Table;
use super::super::snapshot::{CHUNK, Fences, HeldKpiFence, MartValue, Sender};
use super::super::{MartContext, MartError};
use super::PostgresMart;
use super::claim::version;
use super::failure::Failure;
use super::schema::{quoted, quoted_list};
use super::session::Sessions;

/// Microseconds and days from 1970 to 2000, where Postgres' times begin.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i64 = 10_957;

/// A session whose transaction holds the moment; the server ends it with the connection.
pub(crate) struct Moment {
    mart: PostgresMart,
    client: Arc<Client>,
}

/// Begins the transaction and reads the fences in it.
pub(super) async fn begin(sessions: &Sessions, context: &MartContext) -> Result<(Fences, Client), Failure> {
    let client = sessions.connect().await?;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0").await?;
    let fences = fences(&client, context).await?;
    Ok((fences, client))
}

async fn exists(client: &Client, table: &str) -> Result<bool, Failure> {
    Ok(client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&quoted(table)]).await?.try_get(0)?)
}

async fn fences(client: &Client, context: &MartContext) -> Result<Fences, Failure> {
    let mut fences = Fences::default();
    if !exists(client, "lakeward_claims").await? {
        return Ok(fences);
    }
    let sql = "SELECT log_id, claim FROM lakeward_claims WHERE pipeline = $1";
    if let Some(row) = client.query_opt(sql, &[&context.plan.pipeline]).await? {
        fences.holder = Some((row.try_get(0)?, version(row.try_get(1)?)?));
    }
    let sql = "SELECT incarnation, partition, claim, next FROM lakeward_row_fences WHERE log_id = $1";
    for row in client.query(sql, &[&&*context.log_id]).await? {
        let at = (row.try_get(0)?, row.try_get(1)?);
        fences.rows.insert(at, (version(row.try_get(2)?)?, row.try_get(3)?));
    }
    let sql = "SELECT kpi, claim, version, closed_to FROM lakeward_kpi_fences WHERE log_id = $1 AND key_group = -1";
    for row in client.query(sql, &[&&*context.log_id]).await? {
        let fence = HeldKpiFence {
            claim: version(row.try_get(1)?)?,
            version: row.try_get::<_, Option<i64>>(2)?.map(version).transpose()?,
            closed_to: EventTime(row.try_get(3)?),
        };
        fences.kpis.insert(row.try_get(0)?, fence);
    }
    Ok(fences)
}

impl Moment {
    pub(super) fn new(mart: PostgresMart, client: Client) -> Self {
        Self { mart, client: Arc::new(client) }
    }

    /// Sends the table's rows; `false` where it is not there.
    pub(crate) async fn scan(&self, table: &Table, columns: &[Column], rows: Sender) -> Result<bool, MartError> {
        let (client, name) = (self.client.clone(), table.name.clone());
        if !self.mart.run("looking for a table", None, async move { exists(&client, &name).await }).await? {
            return Ok(false);
        }
        let (client, columns, sender) = (self.client.clone(), columns.to_vec(), rows.clone());
        let sql = format!("SELECT {} FROM {}", quoted_list(&columns), quoted(&table.name));
        let mart = self.mart.clone();
        tokio::spawn(async move {
            let sent = mart.run("reading a table", None, async move { send(&client, &sql, &columns, &sender).await });
            if let Err(error) = sent.await {
                // Who asked may have gone.
                let _ = rows.send(Err(error)).await;
            }
        });
        Ok(true)
    }
}

async fn send(client: &Client, sql: &str, columns: &[Column], rows: &Sender) -> Result<(), Failure> {
    let mut found = pin!(client.query_raw(sql, std::iter::empty::<i64>()).await?);
    let mut chunk = Vec::with_capacity(CHUNK);
    while let Some(row) = found.try_next().await? {
        chunk.push(values(&row, columns)?);
        if chunk.len() == CHUNK && rows.send(Ok(std::mem::take(&mut chunk))).await.is_err() {
            return Ok(());
        }
    }
    let _ = rows.send(Ok(chunk)).await;
    Ok(())
}

fn values(row: &Row, columns: &[Column]) -> Result<Vec<MartValue>, Failure> {
    let value = |(i, column): (usize, &Column)| {
        let raw: Option<Raw<'_>> = row.try_get(i)?;
        Ok(raw.map_or(MartValue::Null, |raw| value_of(raw.0, column.ty)))
    };
    columns.iter().enumerate().map(value).collect()
}

/// The bytes of a value in Postgres' binary form.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn value_of(raw: &[u8], ty: DataType) -> MartValue {
    let int = |bytes: &[u8]| match *bytes {
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    };
    let found = match ty {
        DataType::String => std::str::from_utf8(raw).ok().map(|text| MartValue::Text(text.to_owned())),
        DataType::Bool => raw.first().map(|byte| MartValue::Bool(*byte != 0)),
        DataType::Int32 | DataType::Int64 => int(raw).map(MartValue::Int),
        DataType::Float64 => int(raw).map(|bits| MartValue::Float(f64::from_bits(bits.cast_unsigned()))),
        DataType::Date => int(raw).and_then(|days| days.checked_add(EPOCH_DAYS)).map(MartValue::Int),
        DataType::Timestamp => int(raw).and_then(|micros| micros.checked_add(EPOCH_MICROS)).map(MartValue::Int),
        DataType::Decimal { scale, .. } => numeric(raw, scale).map(MartValue::Decimal),
    };
    found.unwrap_or_else(|| MartValue::Foreign(format!("{} bytes that are no {ty}", raw.len())))
}

/// A numeric as an unscaled value: digits to the base 10 000, the first one worth 10 000^weight. `None` for NaN, the
/// infinities and what the scale does not hold.
fn numeric(raw: &[u8], scale: i8) -> Option<i128> {
    let mut words = raw.chunks_exact(2).map(|two| i16::from_be_bytes([two[0], two[1]]));
    let (digits, weight, sign, _) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let mut value = 0_i128;
    for (place, digit) in (0..digits).zip(words) {
        let exponent = 4 * (i32::from(weight) - i32::from(place)) + i32::from(scale);
        let digit = i128::from(digit);
        let part = match u32::try_from(exponent) {
            Ok(exponent) => digit.checked_mul(10_i128.checked_pow(exponent)?)?,
            Err(_) => {
                let unit = 10_i128.checked_pow(exponent.unsigned_abs())?;
                (digit % unit == 0).then_some(digit / unit)?
            }
        };
        value = value.checked_add(part)?;
    }
    match sign.cast_unsigned() {
        0x0000 => Some(value),
        0x4000 => Some(-value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_read_at_its_columns_scale() {
        let bytes = |words: &[i16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let check = |words: &[i16], scale, expected| assert_eq!(numeric(&bytes(words), scale), expected, "{words:?}");
        check(&[0, 0, 0, 2], 2, Some(0));
        check(&[2, 0, 0, 2, 123, 4500], 2, Some(12_345));
        check(&[1, -1, 0x4000, 4, 1], 4, Some(-1));
        check(&[1, 1, 0, 0, 3], 0, Some(30_000));
        check(&[1, -1, 0, 4, 1], 2, None);
        check(&[0, 0, 0xC000_u16.cast_signed(), 0], 2, None);
    }
}
