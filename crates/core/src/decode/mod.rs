//! Bytes to typed columns, or to a reject: the first decision about a record (I3, I4, I13, T4).
//!
//! Each record of a batch is exactly one of: a row, a reject, a tombstone. A row has a good value, or NULL where the
//! field is optional, for every declared field. A JSON object is for Bronze even where one of its fields is refused.
//! Two readers share the work: `scanner` is fast and takes what is plain; `document` defines the meaning and takes the
//! rest. Where several things are wrong, the whole payload comes before its fields, fields count in the declared
//! order, and the event time comes last.
//!
//! Not done here: checks, derived columns, KPI keys, writing lines.

mod columns;
mod convert;
mod document;
mod event_time;
mod fields;
mod number;
mod reason;
mod scanner;
mod staged;
mod time_text;

use std::collections::BTreeMap;

use arrow::array::ArrayRef;

use self::columns::Columns;
use self::document::Verdict;
use self::fields::Fields;
use self::reason::{Problem, shown};
use self::staged::StagedRecord;
use crate::ids::EventTime;
use crate::json_line::Clashes;
use crate::pipeline::{Pipeline, Time};
use crate::record::{RawBatch, RawRecord};

pub use self::event_time::kafka_micros;
pub use self::reason::{Reason, Reject};

/// Payloads above this are refused unless the limit is set otherwise: 10 MiB.
pub const DEFAULT_MAX_PAYLOAD: usize = 10 << 20;
/// Distinct names of unknown fields counted per batch; the rest are counted under `OTHER_FIELDS`.
const MAX_UNKNOWN_NAMES: usize = 1_000;
/// Under this name a batch counts unknown fields beyond the first thousand names.
pub const OTHER_FIELDS: &str = "(other)";

/// Decodes batches of one pipeline. Holds no state that matters between batches.
#[derive(Debug)]
pub struct Decoder {
    fields: Fields,
    time: Time,
    max_payload: usize,
    columns: Columns,
    staged: StagedRecord,
}

/// What decoding made of a batch.
#[derive(Debug)]
#[must_use]
pub struct Decoded {
    /// One column per declared field, one value per row.
    pub columns: Vec<ArrayRef>,
    /// Per row, the index of its record.
    pub records: Vec<u32>,
    /// Per row, its event time.
    pub event_times: Vec<EventTime>,
    /// The refused records, ascending.
    pub rejects: Vec<Reject>,
    /// Per record, what it is for Bronze.
    pub kinds: Vec<RecordKind>,
    /// Records without a payload.
    pub tombstones: u64,
    /// Fields of objects that the pipeline doesn't declare: name and occurrences.
    pub unknown_fields: BTreeMap<String, u64>,
}

/// What a record is for Bronze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// No payload: a line of coordinates in Bronze.
    Tombstone,
    /// A JSON object: a line in Bronze; and which names of the line it uses itself.
    Object(Clashes),
    /// Not for Bronze; it is in Quarantine only.
    NotAnObject,
}

impl RecordKind {
    /// Whether the record has a line in Bronze.
    #[must_use]
    pub fn in_bronze(self) -> bool {
        !matches!(self, Self::NotAnObject)
    }
}

impl Decoder {
    /// A decoder for the fields and the event time of `pipeline`.
    #[must_use]
    pub fn new(pipeline: &Pipeline) -> Self {
        Self {
            fields: Fields::new(&pipeline.fields),
            time: pipeline.time,
            max_payload: DEFAULT_MAX_PAYLOAD,
            columns: Columns::new(&pipeline.fields),
            staged: StagedRecord::default(),
        }
    }

    /// Refuses payloads of more than `bytes` bytes, unparsed.
    #[must_use]
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Decodes `batch`; `now_us` is the process's clock (T4), microseconds since 1970-01-01T00:00:00Z. The batch's arena
    /// must be smaller than 2 GiB, the limit of an Arrow text column.
    pub fn decode(&mut self, batch: &RawBatch, now_us: i64) -> Decoded {
        let rows = batch.records.len();
        self.columns.begin(rows);
        let mut decoded = Decoded {
            columns: Vec::new(),
            records: Vec::with_capacity(rows),
            event_times: Vec::with_capacity(rows),
            rejects: Vec::new(),
            kinds: Vec::with_capacity(rows),
            tombstones: 0,
            unknown_fields: BTreeMap::new(),
        };
        for (index, record) in (0_u32..).zip(&batch.records) {
            match batch.payload(record) {
                Some(payload) => self.record(index, record, payload, now_us, &mut decoded),
                None => decoded.add_tombstone(),
            }
        }
        decoded.columns = self.columns.finish();
        decoded
    }

    fn record(&mut self, index: u32, record: &RawRecord, payload: &[u8], now_us: i64, decoded: &mut Decoded) {
        let (text, verdict) = match admit(payload, self.max_payload) {
            Ok(text) => (text, self.read(text)),
            Err(problem) => ("", Verdict::NotAnObject(problem)),
        };
        if let Verdict::NotAnObject(problem) = verdict {
            decoded.kinds.push(RecordKind::NotAnObject);
            decoded.rejects.push(problem.of_record(index));
            return;
        }
        decoded.kinds.push(RecordKind::Object(self.staged.clashes));
        decoded.count_unknown(&self.staged, text);
        let judged = match verdict {
            Verdict::BadField(problem) => Err(problem),
            _ => event_time::judge(&self.time, self.fields.defs(), &self.columns, record.timestamp_ms, now_us),
        };
        match judged {
            Ok(time) => {
                self.columns.keep();
                decoded.records.push(index);
                decoded.event_times.push(time);
            }
            Err(problem) => {
                self.columns.take_back();
                decoded.rejects.push(problem.of_record(index));
            }
        }
    }

    /// Where the verdict is good, `columns` holds the record; else nothing of it.
    fn read(&mut self, text: &str) -> Verdict {
        if scanner::scan(text, &mut self.fields, &mut self.columns, &mut self.staged).is_some() {
            return Verdict::Good;
        }
        self.columns.take_back();
        let verdict = document::read(text, &self.fields, &mut self.staged);
        if verdict == Verdict::Good {
            self.columns.append(&self.staged, text);
        }
        verdict
    }
}

/// What can be said without parsing.
fn admit(payload: &[u8], max: usize) -> Result<&str, Problem> {
    if payload.len() > max {
        let detail = format!("{} bytes, {max} are allowed", payload.len());
        return Err(Problem::new(Reason::TooLarge, detail));
    }
    if payload.starts_with(b"\xEF\xBB\xBF") {
        return Err(Problem::new(Reason::Bom, "the payload begins with a byte order mark"));
    }
    let text = std::str::from_utf8(payload).map_err(|error| Problem::new(Reason::NotUtf8, error.to_string()))?;
    if text.trim_ascii_start().is_empty() {
        return Err(Problem::new(Reason::Empty, format!("{} bytes of white space", text.len())));
    }
    Ok(text)
}

impl Decoded {
    fn add_tombstone(&mut self) {
        self.kinds.push(RecordKind::Tombstone);
        self.tombstones += 1;
    }

    fn count_unknown(&mut self, staged: &StagedRecord, payload: &str) {
        for &place in &staged.unknown {
            let name = staged.text(place, payload);
            if let Some(count) = self.unknown_fields.get_mut(name) {
                *count += 1;
                continue;
            }
            let room = self.unknown_fields.len() < MAX_UNKNOWN_NAMES;
            let name = if room { shown(name) } else { OTHER_FIELDS.to_owned() };
            *self.unknown_fields.entry(name).or_insert(0) += 1;
        }
    }
}

#[cfg(test)]
mod tests;
