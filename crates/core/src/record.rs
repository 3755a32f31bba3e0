//! Records as they came from Kafka: one arena of bytes for a batch, no allocation per record.

use std::ops::Range;

use crate::ids::OffsetRange;

/// One header of a Kafka record. A header's value may be null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The header's name.
    pub key: String,
    /// Its bytes, if any.
    pub value: Option<Vec<u8>>,
}

/// Where one record's parts lie in the batch's arena, and its coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Kafka offset.
    pub offset: i64,
    /// Kafka timestamp in milliseconds; -1 where the record has none.
    pub timestamp_ms: i64,
    /// The key's bytes, `None` for a null key.
    pub key: Option<Range<usize>>,
    /// The payload's bytes, `None` for a tombstone.
    pub payload: Option<Range<usize>>,
    /// Headers, mostly none.
    pub headers: Option<Box<[Header]>>,
}

/// Consecutive records of one partition. `range.to` is the next offset to fetch, so it may lie beyond the last
/// record's offset + 1 where control records or compacted offsets follow.
#[derive(Clone, Debug, Default)]
pub struct RawBatch {
    /// Kafka partition.
    pub partition: i32,
    /// Offsets covered, `[from, to)`.
    pub range: OffsetRange,
    /// Keys and payloads, back to back.
    pub arena: Vec<u8>,
    /// The records, by ascending offset, all within `range`.
    pub records: Vec<RawRecord>,
}

impl RawBatch {
    /// An empty batch of `partition` that starts at `from`.
    #[must_use]
    pub fn new(partition: i32, from: i64) -> Self {
        Self { partition, range: OffsetRange { from, to: from }, ..Self::default() }
    }

    /// Appends a record, copying key and payload into the arena once; moves `range.to` behind it.
    pub fn push(
        &mut self,
        offset: i64,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: Option<Box<[Header]>>,
    ) {
        let key = key.map(|bytes| self.store(bytes));
        let payload = payload.map(|bytes| self.store(bytes));
        self.records.push(RawRecord { offset, timestamp_ms, key, payload, headers });
        self.range.to = offset + 1;
    }

    /// The record's key.
    #[must_use]
    pub fn key(&self, record: &RawRecord) -> Option<&[u8]> {
        record.key.clone().and_then(|range| self.arena.get(range))
    }

    /// The record's payload; `None` for a tombstone.
    #[must_use]
    pub fn payload(&self, record: &RawRecord) -> Option<&[u8]> {
        record.payload.clone().and_then(|range| self.arena.get(range))
    }

    fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        start..self.arena.len()
    }
}
