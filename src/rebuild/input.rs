//! What an entry of the log before had read, taken out of its files of Bronze and Quarantine (I4): every record once,
//! in the order of its offsets, or a refusal.
//!
//! Holds one entry's files at a time; what an epoch may hold bounds them (E1).

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use lakeward_connect::lake::{Lake, checksum_of};
use lakeward_core::decode::Reason;
use lakeward_core::lake_line::{LakeRecord, identity, read_bronze, read_quarantine};
use lakeward_core::log::{LiveFile, PartitionEntry};
use lakeward_core::record::RawBatch;

use crate::exit::Exit;
use crate::reset::lake_trouble;

/// The word of a refusal where not every record is there.
pub const INCOMPLETE: &str = "BRONZE_INCOMPLETE";

/// Records and bytes of a batch: what a fetch from Kafka brings.
const BATCH: (usize, usize) = (8_192, 8 << 20);

/// An entry's records.
#[derive(Default)]
pub struct Input {
    bodies: Vec<Bytes>,
    records: BTreeMap<(i32, i32), BTreeMap<i64, Lines>>,
}

/// Where a record's lines lie.
#[derive(Clone, Default)]
struct Lines {
    bronze: Option<Place>,
    quarantine: Option<Place>,
}

type Place = (usize, Range<usize>);

/// Records that are judged by one clock (T4).
pub struct Judged {
    /// The records.
    pub batch: RawBatch,
    /// The clock, microseconds.
    pub judged_us: i64,
}

impl Input {
    /// Takes a file up; `refused`: it is one of Quarantine.
    pub async fn add(&mut self, lake: &Lake, file: &LiveFile, refused: bool) -> Result<(), Exit> {
        let Some(bytes) = lake.read(&file.path).await.map_err(|e| lake_trouble(&e))? else {
            return Err(Exit::refused(INCOMPLETE, format!("{} is gone, which holds records", file.path)));
        };
        if u64::try_from(bytes.len()) != Ok(file.staged.length) || checksum_of(&bytes) != file.staged.checksum {
            return Err(Exit::refused("LAKE_DAMAGED", format!("{} has other bytes than were committed", file.path)));
        }
        let (body, mut start) = (self.bodies.len(), 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let range = start..start + line.strip_suffix(b"\n").unwrap_or(line).len();
            start += line.len();
            let place = bytes.get(range.clone()).and_then(identity);
            let (incarnation, partition, offset) = place.ok_or_else(|| unreadable(&file.path, "lacks coordinates"))?;
            let lines = self.records.entry((incarnation, partition)).or_default().entry(offset).or_default();
            let slot = if refused { &mut lines.quarantine } else { &mut lines.bronze };
            if slot.replace((body, range)).is_some() {
                let what =
                    format!("partition {partition}, offset {offset} is twice in one layer, again in {}", file.path);
                return Err(Exit::refused("LAKE_DAMAGED", what));
            }
        }
        self.bodies.push(bytes);
        Ok(())
    }

    /// Refuses unless a partition's records are all there and no others.
    pub fn check(&self, partition: i32, told: &PartitionEntry) -> Result<(), Exit> {
        let found = self.records.get(&(told.incarnation, partition));
        let inside = found.is_none_or(|found| found.keys().all(|offset| (told.from..told.to).contains(offset)));
        let count = found.map_or(0, BTreeMap::len);
        if inside && u64::try_from(count) == Ok(told.counters.records) {
            return Ok(());
        }
        let (from, to, records) = (told.from, told.to, told.counters.records);
        let message = format!(
            "of partition {partition}, offsets {from} to {to}, Bronze and Quarantine hold {count} records and {records} \
             were read; what is missing can't be rebuilt. The log in force stays as it is"
        );
        Err(Exit::refused(INCOMPLETE, message))
    }

    /// A partition's records in batches whose ranges join and cover the entry's. `exactly`: by the definition by which
    /// they were judged before, so that the same clock gives the same words.
    pub fn batches(
        &self,
        partition: i32,
        told: &PartitionEntry,
        exactly: bool,
    ) -> impl Iterator<Item = Result<Judged, Exit>> {
        let found = self.records.get(&(told.incarnation, partition));
        let mut records = found.into_iter().flatten().peekable();
        let (mut position, end) = (told.from, told.to);
        std::iter::from_fn(move || {
            records.peek()?;
            let mut open: Option<Judged> = None;
            while let Some(&(&offset, lines)) = records.peek() {
                let (record, judged_us) = match self.record(lines, exactly) {
                    Ok(record) => record,
                    Err(what) => {
                        return Some(Err(unreadable(&format!("partition {partition}, offset {offset}"), what)));
                    }
                };
                let batch = open.get_or_insert_with(|| Judged { batch: RawBatch::new(partition, position), judged_us });
                let full = batch.batch.records.len() >= BATCH.0 || batch.batch.arena.len() >= BATCH.1;
                if full || batch.judged_us != judged_us {
                    break;
                }
                let (key, payload) = (record.key.as_deref(), record.payload.as_deref());
                let time = record.timestamp_ms.unwrap_or(-1);
                batch.batch.push(offset, time, key, payload, record.headers);
                records.next();
            }
            let mut judged = open?;
            if records.peek().is_none() {
                judged.batch.range.to = end;
            }
            position = judged.batch.range.to;
            Some(Ok(judged))
        })
    }

    /// A record, and the clock to judge it by: who was found to be from the future is again, nobody else is (T4).
    fn record(&self, lines: &Lines, exactly: bool) -> Result<(LakeRecord, i64), &'static str> {
        match lines {
            Lines { quarantine: Some(place), .. } => {
                let refused = read_quarantine(self.line(place)?)?;
                let future = refused.reason == Reason::Future.as_str();
                let record = refused.into_record();
                let judged = match (future, exactly) {
                    (false, _) => i64::MAX,
                    (true, true) => record.ingested_us,
                    (true, false) => i64::MIN,
                };
                Ok((record, judged))
            }
            Lines { bronze: Some(place), .. } => Ok((read_bronze(self.line(place)?)?, i64::MAX)),
            Lines { .. } => Err("has no line"),
        }
    }

    fn line(&self, (body, range): &Place) -> Result<&str, &'static str> {
        let bytes = self.bodies.get(*body).and_then(|body| body.get(range.clone())).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| "is no text")
    }
}

pub fn unreadable(whose: &str, what: &str) -> Exit {
    Exit::refused("LAKE_DAMAGED", format!("{whose}: a line {what}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use lakeward_core::ids::EventTime;
    use lakeward_core::ids::Version;
    use lakeward_core::ledger::Counters;
    use lakeward_core::log::StagedFile;

    use super::*;

    const FRONT: &str = r#""kafka_incarnation":0,"kafka_key":null,"kafka_timestamp":TIME,"ingestion_timestamp":"1970-01-01T00:00:05.000000Z""#;

    fn line(offset: i64, time: Option<i64>, rest: &str) -> String {
        let time = time.map_or("null".to_owned(), |second| format!("\"1970-01-01T00:00:0{second}.000Z\""));
        format!("{{\"topic\":\"t\",\"partition\":1,\"offset\":{offset},{}{rest}\n", FRONT.replace("TIME", &time))
    }

    fn told(from: i64, to: i64, records: u64) -> PartitionEntry {
        PartitionEntry {
            incarnation: 0,
            topic_id: None,
            claim: Version(0),
            from,
            to,
            watermark: EventTime::MIN,
            floor: None,
            idle: false,
            counters: Counters { records, ..Counters::default() },
            total: Counters::default(),
            late_minutes: Default::default(),
            replayed: Default::default(),
        }
    }

    async fn add(input: &mut Input, lake: &Lake, path: &str, lines: &[String], refused: bool) -> Result<(), Exit> {
        let bytes = Bytes::from(lines.concat());
        let mut writer = lake.writer(path).await.unwrap();
        writer.write(bytes.clone()).await.unwrap();
        let closed = writer.close().await.unwrap();
        let staged = StagedFile {
            leaf: String::new(),
            staged: "s".to_owned(),
            ext: "json".to_owned(),
            length: closed.length,
            checksum: closed.checksum,
            rows: 0,
            event_times: None,
            offsets: BTreeMap::new(),
        };
        input.add(lake, &LiveFile { path: path.to_owned(), staged, as_of: None }, refused).await
    }

    #[actix::test]
    async fn records_come_once_in_order_and_those_from_the_future_are_judged_by_their_own_clock() {
        let (lake, _) = Lake::memory();
        let mut input = Input::default();
        let future = r#","reason":"FUTURE","field":null,"detail":"","payload":"{\"a\":2}"}"#;
        let bronze = [line(9, Some(1), r#","a":3}"#), line(4, Some(1), "}"), line(6, None, r#","a":2}"#)];
        add(&mut input, &lake, "b", &bronze, false).await.unwrap();
        let refused = [line(6, None, future), line(5, Some(2), r#","reason":"EMPTY","field":null,"payload":" "}"#)];
        add(&mut input, &lake, "q", &refused, true).await.unwrap();
        let told = told(3, 12, 4);
        input.check(1, &told).unwrap();
        let batches = |exactly| -> Vec<_> {
            let batches = input.batches(1, &told, exactly).map(Result::unwrap);
            batches.map(|judged| (judged.batch.range.from, judged.batch.range.to, judged.judged_us)).collect()
        };
        assert_eq!(batches(true), [(3, 6, i64::MAX), (6, 7, 5_000_000), (7, 12, i64::MAX)]);
        assert_eq!(batches(false)[1].2, i64::MIN);
        let all: Vec<_> = input
            .batches(1, &told, true)
            .flat_map(|judged| {
                let batch = judged.unwrap().batch;
                let of = |r: &lakeward_core::record::RawRecord| {
                    (r.offset, r.timestamp_ms, String::from_utf8_lossy(batch.payload(r).unwrap()).into_owned())
                };
                batch.records.iter().map(of).collect::<Vec<_>>()
            })
            .collect();
        let expected = [(4, 1_000, "{}"), (5, 2_000, " "), (6, i64::MAX, r#"{"a":2}"#), (9, 1_000, r#"{"a":3}"#)];
        assert_eq!(all, expected.map(|(offset, time, text)| (offset, time, text.to_owned())));
    }

    #[actix::test]
    async fn what_is_missing_too_much_or_damaged_is_refused() {
        let (lake, _) = Lake::memory();
        let mut input = Input::default();
        add(&mut input, &lake, "b", &[line(4, Some(1), "}")], false).await.unwrap();
        for (from, to, records) in [(0, 9, 2), (0, 9, 0), (0, 4, 1), (5, 9, 1)] {
            assert_eq!(
                input.check(1, &told(from, to, records)).unwrap_err().reason,
                INCOMPLETE,
                "{from} {to} {records}"
            );
        }
        assert_eq!(input.check(2, &told(0, 9, 1)).unwrap_err().reason, INCOMPLETE);
        let twice = add(&mut input, &lake, "c", &[line(4, Some(1), "}")], false).await;
        assert_eq!(twice.unwrap_err().reason, "LAKE_DAMAGED");
        assert_eq!(add(&mut input, &lake, "d", &["{}\n".to_owned()], false).await.unwrap_err().reason, "LAKE_DAMAGED");
    }
}
