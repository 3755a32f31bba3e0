//! Lines of Bronze and Quarantine, taken apart again into the record that they were written from: what a rebuild reads.
//!
//! Gives back everything that decisions look at. Of an object's bytes only white space before the brace and raw line
//! breaks between tokens are lost (I4); where Quarantine holds the record too, its line has every byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::decode::Reason;
use crate::record::Header;

/// A record as the lake kept it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeRecord {
    /// Incarnation of the topic.
    pub incarnation: i32,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// Kafka timestamp in milliseconds; `None` where the line has none.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// Headers, mostly none.
    pub headers: Option<Box<[Header]>>,
    /// The payload; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The clock of the process that took it in, microseconds: what FUTURE was judged by (T4).
    pub ingested_us: i64,
}

/// A line of Quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// The record, every byte of it.
    pub record: LakeRecord,
    /// Reason code.
    pub reason: String,
    /// The field that was refused, if it was one.
    pub field: Option<String>,
}

impl RefusedRecord {
    /// The record as it was judged. A timestamp beyond the calendar has no text; the reason says on which side it lay.
    #[must_use]
    pub fn into_record(self) -> LakeRecord {
        let Self { mut record, reason, field } = self;
        if record.timestamp_ms.is_none() && reason == Reason::Future.as_str() {
            record.timestamp_ms = Some(i64::MAX);
        } else if record.timestamp_ms.is_none() && field.is_none() && reason == Reason::OutOfRange.as_str() {
            record.timestamp_ms = Some(i64::MIN);
        }
        record
    }
}

/// Takes a line of Bronze apart, its line feed taken off; the error says what is wrong with it.
pub fn read_bronze(line: &str) -> Result<LakeRecord, &'static str> {
    let (mut record, rest) = front(line)?;
    // An object that says only this is told from a tombstone by Quarantine, or not at all.
    if rest != ",\"tombstone\":true}" {
        let mut payload = vec![b'{'];
        payload.extend_from_slice(rest.strip_prefix(',').unwrap_or(rest).as_bytes());
        record.payload = Some(payload);
    }
    Ok(record)
}

/// Takes a line of Quarantine apart, its line feed taken off; the error says what is wrong with it.
pub fn read_quarantine(line: &str) -> Result<RefusedRecord, &'static str> {
    let (mut record, rest) = front(line)?;
    let told = rest.strip_prefix(',').map(|members| format!("{{{members}"));
    let told = told.and_then(|object| serde_json::from_str::<Told>(&object).ok()).ok_or("has no reason")?;
    record.payload = match (told.payload, told.payload_base64) {
        (_, Some(coded)) => Some(decoded(&coded)?),
        (text, None) => text.map(String::into_bytes),
    };
    Ok(RefusedRecord { record, reason: told.reason, field: told.field })
}

/// The offset and whose it is, without a look at the rest; `None` if the line does not begin as one of the lake does.
#[must_use]
pub fn identity(line: &[u8]) -> Option<(i32, i32, i64)> {
    // Coordinates in front are short, and a payload may be long.
    let head = line.get(..line.len().min(HEAD)).unwrap_or_default();
    let valid = head.utf8_chunks().next().map(|chunk| chunk.valid())?;
    let mut rest = valid.strip_prefix('{')?;
    member(&mut rest, "topic")?;
    let partition = member(&mut rest, "partition")?.parse().ok()?;
    let offset = member(&mut rest, "offset")?.parse().ok()?;
    let incarnation = member(&mut rest, "kafka_incarnation")?.parse().ok()?;
    Some((incarnation, partition, offset))
}

/// Bytes of a line that hold the first four coordinates: a topic's name has at most 249.
const HEAD: usize = 512;

#[derive(Deserialize)]
struct Told {
    reason: String,
    field: Option<String>,
    #[serde(default)]
    payload: Option<String>,
    #[serde(default)]
    payload_base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderTold {
    key: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    value_base64: Option<String>,
}

/// The coordinates, and what is behind them.
fn front(line: &str) -> Result<(LakeRecord, &str), &'static str> {
    let mut rest = line.strip_prefix('{').ok_or("is no object")?;
    let mut value = |name: &str| member(&mut rest, name);
    value("topic").ok_or("lacks its topic")?;
    let partition = value("partition").and_then(|v| v.parse().ok()).ok_or("lacks its partition")?;
    let offset = value("offset").and_then(|v| v.parse().ok()).ok_or("lacks its offset")?;
    let incarnation = value("kafka_incarnation").and_then(|v| v.parse().ok()).ok_or("lacks its incarnation")?;
    let key = match value("kafka_key") {
        Some("null") => None,
        Some(text) => Some(string(text).ok_or("has a key that is no text")?.into_bytes()),
        None => {
            let coded = value("kafka_key_base64").and_then(string).ok_or("lacks its key")?;
            Some(decoded(&coded)?)
        }
    };
    let time = value("kafka_timestamp").ok_or("lacks its timestamp")?;
    let timestamp_ms = if time == "null" { None } else { Some(instant(time)?.timestamp_millis()) };
    let ingested = value("ingestion_timestamp").ok_or("lacks the time of its ingestion")?;
    let ingested_us = if ingested == "null" { 0 } else { instant(ingested)?.timestamp_micros() };
    let headers = headers(&mut rest)?;
    let record = LakeRecord { incarnation, partition, offset, timestamp_ms, key, headers, payload: None, ingested_us };
    Ok((record, rest))
}

/// The raw value of the member that `rest` begins with, if that is its name, perhaps behind underscores. Takes it off.
fn member<'a>(rest: &mut &'a str, name: &str) -> Option<&'a str> {
    let from = rest.strip_prefix(',').unwrap_or(rest);
    let found = from.strip_prefix('"')?.trim_start_matches('_');
    let value = found.strip_prefix(name)?.strip_prefix("\":")?;
    let mut values = serde_json::Deserializer::from_str(value).into_iter::<&RawValue>();
    let raw = values.next()?.ok()?.get();
    *rest = value.get(values.byte_offset()..)?;
    Some(raw)
}

/// Headers follow the other coordinates where the record has some. A payload's own member of that name has another form.
fn headers(rest: &mut &str) -> Result<Option<Box<[Header]>>, &'static str> {
    let mut behind = *rest;
    let Some(raw) = member(&mut behind, "kafka_headers") else { return Ok(None) };
    let Ok(told) = serde_json::from_str::<Vec<HeaderTold>>(raw) else { return Ok(None) };
    if told.is_empty() {
        return Ok(None);
    }
    *rest = behind;
    let header = |told: HeaderTold| {
        let value = match (told.value, told.value_base64) {
            (_, Some(coded)) => Some(decoded(&coded)?),
            (text, None) => text.map(String::into_bytes),
        };
        Ok(Header { key: told.key, value })
    };
    told.into_iter().map(header).collect::<Result<_, _>>().map(Some)
}

fn instant(raw: &str) -> Result<DateTime<chrono::FixedOffset>, &'static str> {
    let text = string(raw).ok_or("has a timestamp that is none")?;
    DateTime::parse_from_rfc3339(&text).map_err(|_| "has a timestamp that is none")
}

fn string(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

fn decoded(coded: &str) -> Result<Vec<u8>, &'static str> {
    STANDARD.decode(coded).map_err(|_| "holds bytes that are no base64")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::decode::{Reason, RecordKind, Reject};
    use crate::json_line::{Clashes, LineContext};
    use crate::record::RawBatch;
    use crate::{bronze, quarantine};

    const NOW: i64 = 1_767_323_046_000_001;

    fn batch(time: i64, key: Option<&[u8]>, payload: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> RawBatch {
        let of =
            |(key, value): &(&str, Option<&[u8]>)| Header { key: (*key).to_owned(), value: value.map(<[u8]>::to_vec) };
        let headers: Vec<Header> = headers.iter().map(of).collect();
        let mut batch = RawBatch::new(3, 7);
        batch.push(7, time, key, payload, (!headers.is_empty()).then(|| headers.into()));
        batch
    }

    fn bronze_line(batch: &RawBatch, names: &[&str]) -> String {
        let mut clashes = Clashes::default();
        names.iter().for_each(|name| clashes.add(Clashes::of(name)));
        let record = &batch.records[0];
        let kind = if record.payload.is_some() { RecordKind::Object(clashes) } else { RecordKind::Tombstone };
        let mut out = Vec::new();
        bronze::write_line(&mut out, &LineContext::new("t", 2, NOW), batch, record, kind);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_bronze_gives_back_its_record() {
        let check =
            |time, key: Option<&[u8]>, payload: Option<&str>, headers: &[(&str, Option<&[u8]>)], names: &[&str]| {
                let batch = batch(time, key, payload.map(str::as_bytes), headers);
                let line = bronze_line(&batch, names);
                let line = line.trim_end_matches('\n');
                let read = read_bronze(line).unwrap();
                assert_eq!(identity(line.as_bytes()), Some((2, 3, 7)));
                assert_eq!((read.incarnation, read.partition, read.offset, read.ingested_us), (2, 3, 7, NOW));
                assert_eq!(read.timestamp_ms, (time != -1).then_some(time));
                assert_eq!((read.key.as_deref(), &read.headers), (key, &batch.records[0].headers));
                assert_eq!(read.payload.as_deref(), payload.map(str::as_bytes), "{line}");
            };
        check(1_767_323_045_678, Some(b"k\"\n"), Some(r#"{"id":"a","n": 1.50}"#), &[], &[]);
        check(-1, None, Some("{}"), &[], &[]);
        check(-62_135_596_800_000, Some(&[0xff]), Some("{ \t} "), &[], &[]);
        check(0, None, None, &[("a", None)], &[]);
        let headers: &[(&str, Option<&[u8]>)] = &[("a", Some(b"x\"")), ("b", Some(&[0xff])), ("", None)];
        check(1, None, Some(r#"{"a":{"b":[1,"}"]}}"#), headers, &[]);
        check(1, None, Some(r#"{"kafka_headers":[{"key":1}],"offset":9}"#), &[], &["kafka_headers", "offset"]);
        check(1, None, Some(r#"{"kafka_headers":[],"_topic":9}"#), headers, &["kafka_headers", "_topic"]);
        check(1, None, Some(r#"{"tombstone":true} "#), &[], &[]);
    }

    #[test]
    fn a_line_of_quarantine_gives_back_every_byte() {
        for payload in [&b"{\"a\":\r\n1}"[..], b"\xff\x00", b""] {
            let batch = batch(5, Some(b"k"), Some(payload), &[("h", Some(b"v"))]);
            let reject =
                Reject { record: 0, reason: Reason::WrongType, field: Some("a".to_owned()), detail: "\"x".to_owned() };
            let mut out = Vec::new();
            quarantine::write_line(&mut out, &LineContext::new("t", 2, NOW), &batch, &batch.records[0], &reject);
            let line = String::from_utf8(out).unwrap();
            let read = read_quarantine(line.trim_end_matches('\n')).unwrap();
            assert_eq!((read.reason.as_str(), read.field.as_deref()), ("WRONG_TYPE", Some("a")));
            assert_eq!(read.record.payload.as_deref(), Some(payload));
            assert_eq!((read.record.timestamp_ms, &read.record.headers), (Some(5), &batch.records[0].headers));
        }
    }

    #[test]
    fn what_is_no_line_of_the_lake_is_told() {
        for line in ["", "{}", "[1]", r#"{"topic":"t","partition":1}"#, r#"{"topic":"t","partition":1,"offset":"x"}"#] {
            assert!(read_bronze(line).is_err() && read_quarantine(line).is_err(), "{line}");
            assert_eq!(identity(line.as_bytes()), None);
        }
    }
}
