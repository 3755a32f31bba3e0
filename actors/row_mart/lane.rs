//! What waits for one partition's next copy.

use arrow::record_batch::RecordBatch;
use lakeward_core::ids::OffsetRange;

use crate::kit::outbox::Credit;

/// Bytes of rows that may wait for one credit: else a slow feed, whose batches are small, would be held up by them until
/// the tick.
const FREE_BYTES: usize = 1 << 20;

/// Rows of consecutive offsets with the credits that they came by.
#[derive(Default)]
pub struct Lane {
    incarnation: i32,
    range: Option<OffsetRange>,
    rows: Vec<RecordBatch>,
    /// Rows that wait.
    pub count: usize,
    bytes: usize,
    credits: Vec<Credit>,
    /// Whether a copy is under way: one at a time.
    pub copying: bool,
}

impl Lane {
    pub fn push(&mut self, incarnation: i32, range: OffsetRange, rows: Option<RecordBatch>, credit: Credit) {
        self.incarnation = incarnation;
        self.range = Some(OffsetRange { from: self.range.map_or(range.from, |r| r.from), to: range.to });
        self.count += rows.as_ref().map_or(0, RecordBatch::num_rows);
        self.bytes += rows.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        self.rows.extend(rows);
        if self.credits.is_empty() || self.bytes > FREE_BYTES {
            self.credits.push(credit);
        }
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        *self = Self { copying: self.copying, ..Self::default() };
    }

    /// Everything that waits, if anything does.
    pub fn unload(&mut self) -> Option<Load> {
        let range = self.range.take()?;
        (self.count, self.bytes) = (0, 0);
        Some(Load {
            incarnation: self.incarnation,
            range,
            rows: std::mem::take(&mut self.rows),
            credits: std::mem::take(&mut self.credits),
        })
    }
}

/// What one copy takes.
pub struct Load {
    pub incarnation: i32,
    pub range: OffsetRange,
    pub rows: Vec<RecordBatch>,
    /// Given back when the copy is done.
    pub credits: Vec<Credit>,
}
