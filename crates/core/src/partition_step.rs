//! The pure step of a partition: a batch of raw records in, everything that comes of it out.
//!
//! Decisions are taken in the protocol's order: decode -> checks -> derive -> keys and measures' arguments -> dedup ->
//! lateness per KPI -> pre-aggregate. What concerns a record alone is decided column by column (`decide`); then one pass
//! over the records in offset order does what depends on the records before: watermark, dedup, late (T1, T6). So any
//! batching of the same records gives the same outcomes. The step never looks at a clock: `now_us` only stamps rows and
//! judges FUTURE (T4).

mod decide;
mod late;
mod rows;

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::error::ArrowError;

use crate::bronze;
use crate::decode::{Decoder, Reason, RecordKind, Reject};
use crate::dedup::{Dedup, DedupItem, Verdict, key_hashes};
use crate::ids::{EventTime, OffsetRange};
use crate::json_line::LineContext;
use crate::kpi::{Increment, PreAggregate, window_end, window_start};
use crate::late::LateMinutes;
use crate::ledger::{Counters, count};
use crate::pipeline::{Encoding, Holds, Kpi, Pipeline};
use crate::quarantine;
use crate::record::RawBatch;
use crate::watermark::{Watermark, is_late};

use decide::{Decided, Fate};
pub use late::LateRows;
use late::{LateAssembler, Missed};
use rows::RowAssembler;

/// What the log knows of a partition at the offset where it goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionStart {
    /// The watermark of its last barrier; G for a new partition (T3).
    pub watermark: EventTime,
    /// Rows that dedup remembers, of this partition only.
    pub dedup: Vec<DedupItem>,
    /// Where KPIs begin that the log took up later (H4), by name: the start of the first window.
    pub first_windows: BTreeMap<String, EventTime>,
}

/// What comes of a batch.
#[derive(Clone, Debug)]
#[must_use]
pub struct StepOutput {
    /// The offsets covered.
    pub range: OffsetRange,
    /// Lines for the layer of records, empty where the pipeline has none.
    pub bronze: Vec<u8>,
    /// Lines in `bronze`.
    pub bronze_rows: u64,
    /// Smallest and largest event time among the batch's records that have one, both inclusive.
    pub bronze_event_times: Option<(EventTime, EventTime)>,
    /// Lines for the layer of rejects, empty where the pipeline has none.
    pub quarantine: Vec<u8>,
    /// Lines in `quarantine`.
    pub quarantine_rows: u64,
    /// Kept rows with `Pipeline::silver_columns`; `None` if there are none or nothing takes them.
    pub rows: Option<RecordBatch>,
    /// Kept rows that came too late for KPIs with a table for them.
    pub late: Vec<LateRows>,
    /// Smallest and largest event time of the kept rows, both inclusive.
    pub event_times: Option<(EventTime, EventTime)>,
    /// The batch's ledger.
    pub counters: Counters,
    /// Fields that the pipeline does not declare: name and occurrences.
    pub unknown_fields: BTreeMap<String, u64>,
}

/// What a partition says at a barrier.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct PartitionBarrier {
    /// The watermark, raised to the floor; later records are judged by it.
    pub watermark: EventTime,
    /// What dedup remembered since the previous barrier.
    pub dedup_increment: Vec<DedupItem>,
    /// The ledger since the previous barrier.
    pub counters: Counters,
    /// When the late rows among them lay.
    pub late_minutes: LateMinutes,
}

/// A step that failed: a bug, or a batch beyond Arrow's limits.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The kept rows do not fit their schema.
    #[error("rows of partition {partition} from offset {from}: {source}")]
    Rows {
        /// Partition.
        partition: i32,
        /// First offset of the batch.
        from: i64,
        /// Why.
        source: ArrowError,
    },
}

/// One partition of a pipeline: its watermark, dedup and running increments.
#[derive(Debug)]
pub struct PartitionStep {
    pipeline: Pipeline,
    topic: String,
    incarnation: i32,
    decoder: Decoder,
    watermark: Watermark,
    dedup: Option<Dedup>,
    pre_aggregate: PreAggregate,
    first_windows: Vec<EventTime>,
    assembler: RowAssembler,
    takes_rows: bool,
    late: LateAssembler,
    writes_bronze: bool,
    writes_quarantine: bool,
    counters: Counters,
    late_minutes: LateMinutes,
}

impl PartitionStep {
    /// A partition that goes on where the log says.
    #[must_use]
    pub fn new(pipeline: &Pipeline, topic: &str, incarnation: i32, partition: i32, start: PartitionStart) -> Self {
        let dedup = pipeline.dedup.as_ref().map(|declared| {
            let mut dedup = Dedup::new(partition, declared.within);
            dedup.restore(start.dedup);
            dedup
        });
        let has_layer = |encoding, holds: fn(&Holds) -> bool| {
            pipeline.layers.iter().any(|layer| layer.encoding == encoding && holds(&layer.holds))
        };
        let first = |kpi: &Kpi| start.first_windows.get(&kpi.name).copied().unwrap_or(EventTime::MIN);
        let takes_rows =
            pipeline.rows.is_some() || pipeline.layer(|holds| matches!(holds, Holds::Rows { .. })).is_some();
        Self {
            topic: topic.to_owned(),
            incarnation,
            decoder: Decoder::new(pipeline),
            watermark: Watermark::at(start.watermark),
            dedup,
            pre_aggregate: PreAggregate::new(pipeline, partition),
            first_windows: pipeline.kpis.iter().map(first).collect(),
            assembler: RowAssembler::new(pipeline, topic, incarnation),
            takes_rows,
            late: LateAssembler::new(pipeline),
            writes_bronze: has_layer(Encoding::RawJson, |holds| matches!(holds, Holds::Records)),
            writes_quarantine: has_layer(Encoding::RawJson, |holds| matches!(holds, Holds::Rejects)),
            counters: Counters::default(),
            late_minutes: LateMinutes::default(),
            pipeline: pipeline.clone(),
        }
    }

    /// Takes the partition's next records. `now_us` is the process's clock, microseconds since 1970-01-01T00:00:00Z.
    pub fn step(&mut self, batch: &RawBatch, now_us: i64) -> Result<StepOutput, StepError> {
        self.step_judged(batch, now_us, now_us)
    }

    /// The same where FUTURE was decided before (T4): it is judged by `judged_us`, and rows are stamped with `now_us`.
    pub fn step_judged(&mut self, batch: &RawBatch, judged_us: i64, now_us: i64) -> Result<StepOutput, StepError> {
        let output = self.take(batch, judged_us, now_us)?;
        self.counters.add(&output.counters);
        Ok(output)
    }

    /// Which of these records are refused at this clock: reasons by place in the batch.
    #[must_use]
    pub fn refused(&mut self, batch: &RawBatch, judged_us: i64) -> BTreeMap<usize, Reason> {
        let decoded = self.decoder.decode(batch, judged_us);
        let decided = decide::decide(&self.pipeline, &self.pre_aggregate, decoded, batch.records.len());
        let place = |reject: &Reject| Some((usize::try_from(reject.record).ok()?, reject.reason));
        decided.rejects.iter().filter_map(place).collect()
    }

    /// Takes records that were read and refused before, and are not any more (H5, `refused`): they count as replayed.
    pub fn replay(&mut self, batch: &RawBatch, judged_us: i64, now_us: i64) -> Result<StepOutput, StepError> {
        let mut output = self.take(batch, judged_us, now_us)?;
        output.counters.replayed = std::mem::take(&mut output.counters.records);
        self.counters.add(&output.counters);
        Ok(output)
    }

    fn take(&mut self, batch: &RawBatch, judged_us: i64, now_us: i64) -> Result<StepOutput, StepError> {
        let decoded = self.decoder.decode(batch, judged_us);
        let bronze_event_times = span(decoded.event_times.iter().copied());
        let kinds = decoded.kinds.clone();
        let unknown_fields = decoded.unknown_fields.clone();
        let decided = decide::decide(&self.pipeline, &self.pre_aggregate, decoded, batch.records.len());
        let Passed { kept, missed, counters } = self.pass(&decided);
        let context = LineContext::new(&self.topic, self.incarnation, now_us);
        let (bronze, bronze_rows) = self.bronze(&context, batch, &kinds);
        let (quarantine, quarantine_rows) = self.quarantine(&context, batch, &decided.rejects);
        let event_times = span(kept.iter().filter_map(|&row| decided.event_times.get(row)).copied());
        let wrong = |source| StepError::Rows { partition: batch.partition, from: batch.range.from, source };
        let assemble = |rows: &[usize]| self.assembler.assemble(batch, &decided, rows, now_us);
        let rows = (self.takes_rows && !kept.is_empty()).then(|| assemble(&kept)).transpose().map_err(wrong)?;
        let late = self.late.assemble(&missed, &decided.event_times, assemble).map_err(wrong)?;
        Ok(StepOutput {
            range: batch.range,
            bronze,
            bronze_rows,
            bronze_event_times,
            quarantine,
            quarantine_rows,
            rows,
            late,
            event_times,
            counters,
            unknown_fields,
        })
    }

    /// The end of the partition's part of an epoch. `floor` is given to an idle partition (T2): it raises the watermark
    /// here, so that later records are judged by it.
    pub fn barrier(&mut self, floor: Option<EventTime>) -> PartitionBarrier {
        if let Some(floor) = floor {
            self.watermark.raise_to(floor);
        }
        PartitionBarrier {
            watermark: self.watermark.value(),
            dedup_increment: self.dedup.as_mut().map(Dedup::taken).unwrap_or_default(),
            counters: std::mem::take(&mut self.counters),
            late_minutes: std::mem::take(&mut self.late_minutes),
        }
    }

    /// What KPIs have to learn since the last call, per KPI in the pipeline's order. Call it at a barrier too, before
    /// more records are taken: an increment belongs to one epoch.
    pub fn take_increments(&mut self) -> Vec<Vec<Increment>> {
        self.pre_aggregate.take()
    }

    /// The partition's watermark now.
    #[must_use]
    pub fn watermark(&self) -> EventTime {
        self.watermark.value()
    }

    /// Estimated memory of dedup and increments.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.dedup.as_ref().map_or(0, Dedup::bytes) + self.pre_aggregate.bytes()
    }

    /// The pass in offset order.
    fn pass(&mut self, decided: &Decided) -> Passed {
        let mut counters = Counters::default();
        let mut missed = Vec::new();
        let mut kept = Vec::with_capacity(decided.event_times.len());
        let mut accepted = vec![Vec::with_capacity(decided.event_times.len()); self.pipeline.kpis.len()];
        let hashes = self.dedup_hashes(&decided.columns, decided.event_times.len());
        for fate in &decided.fates {
            counters.records += 1;
            match *fate {
                Fate::Tombstone => counters.tombstones += 1,
                Fate::Rejected => counters.quarantined += 1,
                Fate::Filtered { check, event_time } => {
                    counters.filtered += 1;
                    if let Some(check) = self.pipeline.checks.get(check) {
                        count(&mut counters.filtered_by_check, &check.name);
                    }
                    self.watermark.observe(event_time, self.pipeline.time.out_of_orderness);
                }
                Fate::Row { row, event_time } => {
                    if self.passes_dedup(hashes.get(row), event_time, &mut counters) {
                        counters.kept += 1;
                        kept.push(row);
                        self.offer(row, event_time, &mut accepted, &mut missed, &mut counters);
                    }
                    self.watermark.observe(event_time, self.pipeline.time.out_of_orderness);
                }
            }
        }
        for reject in &decided.rejects {
            count(&mut counters.by_reason, reject.reason.as_str());
        }
        self.pre_aggregate.add(&decided.prepared, &decided.event_times, &accepted);
        Passed { kept, missed, counters }
    }

    fn dedup_hashes(&self, columns: &[ArrayRef], rows: usize) -> Vec<u128> {
        let Some(dedup) = &self.pipeline.dedup else { return Vec::new() };
        let key: Vec<_> = dedup.key.iter().filter_map(|&i| columns.get(i)).collect();
        key_hashes(&key, rows)
    }

    fn passes_dedup(&mut self, hash: Option<&u128>, event_time: EventTime, counters: &mut Counters) -> bool {
        let (Some(dedup), Some(hash)) = (&mut self.dedup, hash) else { return true };
        match dedup.judge(*hash, event_time, self.watermark.value()) {
            Verdict::First => true,
            Verdict::Unjudged => {
                counters.unjudged += 1;
                true
            }
            Verdict::Duplicate => {
                counters.duplicate += 1;
                false
            }
        }
    }

    /// Gives a kept row to each KPI that has begun and whose window still takes rows of this partition.
    fn offer(
        &mut self,
        row: usize,
        event_time: EventTime,
        accepted: &mut [Vec<usize>],
        missed: &mut Vec<Missed>,
        counters: &mut Counters,
    ) {
        let kpis = self.pipeline.kpis.iter().zip(&self.first_windows);
        for (number, ((kpi, first), rows)) in kpis.zip(accepted).enumerate() {
            let (window, watermark) = (window_start(kpi.window, event_time), self.watermark.value());
            let end = window_end(kpi.window, window);
            if window < *first {
                count(&mut counters.before_first, &kpi.name);
            } else if is_late(end, kpi.longest_lateness(), watermark) {
                count(&mut counters.late, &kpi.name);
                self.late_minutes.count(&kpi.name, event_time);
                missed.push(Missed { kpi: number, row, window, watermark });
            } else {
                if is_late(end, kpi.allowed_lateness, watermark) {
                    count(&mut counters.amended, &kpi.name);
                }
                rows.push(row);
            }
        }
    }

    fn bronze(&self, context: &LineContext, batch: &RawBatch, kinds: &[RecordKind]) -> (Vec<u8>, u64) {
        let (mut lines, mut rows) = (Vec::new(), 0);
        if self.writes_bronze {
            lines.reserve(batch.arena.len() + batch.records.len() * LINE_BYTES);
            for (record, kind) in batch.records.iter().zip(kinds).filter(|(_, kind)| kind.in_bronze()) {
                bronze::write_line(&mut lines, context, batch, record, *kind);
                rows += 1;
            }
        }
        (lines, rows)
    }

    fn quarantine(&self, context: &LineContext, batch: &RawBatch, rejects: &[Reject]) -> (Vec<u8>, u64) {
        let (mut lines, mut rows) = (Vec::new(), 0);
        if self.writes_quarantine {
            for reject in rejects {
                let record = usize::try_from(reject.record).ok().and_then(|index| batch.records.get(index));
                if let Some(record) = record {
                    quarantine::write_line(&mut lines, context, batch, record, reject);
                    rows += 1;
                }
            }
        }
        (lines, rows)
    }
}

/// What the pass over a batch's records found.
struct Passed {
    /// Rows of `Decided::columns`.
    kept: Vec<usize>,
    /// Windows that kept rows came too late for.
    missed: Vec<Missed>,
    counters: Counters,
}

/// About what a line of Bronze adds to its payload.
const LINE_BYTES: usize = 192;

fn span(times: impl Iterator<Item = EventTime>) -> Option<(EventTime, EventTime)> {
    times.fold(None, |span, time| match span {
        None => Some((time, time)),
        Some((first, last)) => Some((time.min(first), time.max(last))),
    })
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod expression_tests;
