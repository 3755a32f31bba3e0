//! COPY of batches into a table, and temporary tables through which values are upserted.

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use lakeward_core::types::Column;
use tokio_postgres::Transaction;

use super::super::plan::short_hash;
use super::super::{MartContext, MartError};
use super::binary::{BinaryRows, put_header, put_trailer};
use super::failure::Failure;
use super::schema::{quoted, quoted_list, sql_type};

/// Bytes handed to the connection at once: large enough that the per-message cost vanishes, small enough for memory.
const CHUNK: usize = 256 * 1024;

/// COPYs parts, each a list of arrays for `columns`, into a table.
pub(super) async fn copy(
    tx: &Transaction<'_>,
    target: &str,
    columns: &[Column],
    parts: impl Iterator<Item = (Vec<&ArrayRef>, usize)>,
) -> Result<(), Failure> {
    let sql = format!("COPY {target} ({}) FROM STDIN (FORMAT binary)", quoted_list(columns));
    let mut sink = Box::pin(tx.copy_in::<_, Bytes>(&sql).await?);
    let mut buffer = BytesMut::with_capacity(CHUNK + CHUNK / 4);
    put_header(&mut buffer);
    for (arrays, rows) in parts {
        let rows = BinaryRows::new(columns, &arrays, rows).map_err(Failure::Broken)?;
        for row in 0..rows.len() {
            rows.put(row, &mut buffer);
            if buffer.len() >= CHUNK {
                sink.feed(buffer.split().freeze()).await?;
                buffer.reserve(CHUNK + CHUNK / 4);
            }
        }
    }
    put_trailer(&mut buffer);
    sink.feed(buffer.freeze()).await?;
    sink.as_mut().finish().await?;
    Ok(())
}

/// What [`copy`] sends for a batch of the rows table, in one piece: for measuring what encoding it costs.
///
/// # Errors
/// The pipeline has no such table, or the batch is of other columns.
pub fn copy_stream(context: &MartContext, batch: &RecordBatch) -> Result<Bytes, MartError> {
    let table = context.rows()?;
    let arrays: Vec<_> = table.sources.iter().filter_map(|&source| batch.columns().get(source)).collect();
    let rows = BinaryRows::new(&table.table.columns, &arrays, batch.num_rows()).map_err(MartError::Config)?;
    let mut buffer = BytesMut::with_capacity(CHUNK);
    put_header(&mut buffer);
    (0..rows.len()).for_each(|row| rows.put(row, &mut buffer));
    put_trailer(&mut buffer);
    Ok(buffer.freeze())
}

/// Puts batches of exactly `columns` into a temporary table of this session, empty again after the transaction;
/// answers its SQL name. `name` tells it from others of the same session.
pub(super) async fn stage(
    tx: &Transaction<'_>,
    name: &str,
    columns: &[Column],
    batches: &[RecordBatch],
) -> Result<String, Failure> {
    let target = create(tx, name, columns).await?;
    let parts = batches.iter().map(|batch| (batch.columns().iter().collect(), batch.num_rows()));
    copy(tx, &target, columns, parts).await?;
    Ok(target)
}

/// Puts one array into such a table.
pub(super) async fn stage_values(
    tx: &Transaction<'_>,
    name: &str,
    column: &Column,
    values: &ArrayRef,
) -> Result<String, Failure> {
    let columns = std::slice::from_ref(column);
    let target = create(tx, name, columns).await?;
    copy(tx, &target, columns, std::iter::once((vec![values], values.len()))).await?;
    Ok(target)
}

async fn create(tx: &Transaction<'_>, name: &str, columns: &[Column]) -> Result<String, Failure> {
    let definitions: Vec<String> = columns.iter().map(|c| format!("{} {}", quoted(&c.name), sql_type(c.ty))).collect();
    let definitions = definitions.join(", ");
    // The shape is part of the name: a session that outlives a change of the pipeline doesn't meet its old table.
    let table = format!("lakeward_{}_{}", short_hash(name), short_hash(&definitions));
    tx.batch_execute(&format!("CREATE TEMP TABLE IF NOT EXISTS {table} ({definitions}) ON COMMIT DELETE ROWS")).await?;
    Ok(format!("pg_temp.{table}"))
}
