//! `lakeward peek`: a few records of a topic with their coordinates, for people. Reads without a group.

use std::time::Duration;

use lakeward_connect::kafka::{PeekFrom, PeekRecord, peek as read};

use super::run::kafka_options;
use crate::cli::PeekArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::text::timestamp;

/// How long Kafka may stay silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints the newest, or the oldest, records of a topic.
pub async fn peek(config: &Config, args: PeekArgs) -> Result<(), Exit> {
    let kafka = kafka_options(config, "peek")?;
    let from = if args.first { PeekFrom::First } else { PeekFrom::Last };
    let (topic, n) = (args.topic.clone(), args.n);
    let asked = tokio::task::spawn_blocking(move || read(&kafka, &topic, from, n, PATIENCE)).await;
    let found = asked.map_err(|e| Exit::bug(e.to_string()))?.map_err(|e| Exit::unreachable(e.to_string()))?;
    for record in &found {
        crate::text::say!("{}", line(record));
    }
    if found.is_empty() {
        eprintln!("topic {} holds no records", args.topic);
    }
    Ok(())
}

fn line(record: &PeekRecord) -> String {
    let time = if record.timestamp_ms < 0 { "-".to_owned() } else { timestamp(record.timestamp_ms * 1000) };
    let key = record.key.as_deref().map_or_else(|| "-".to_owned(), shown);
    let payload = record.payload.as_deref().map_or_else(|| "(tombstone)".to_owned(), shown);
    let headers: String = record
        .headers
        .iter()
        .map(|h| format!(" {}={}", h.key, h.value.as_deref().map_or_else(|| "-".to_owned(), shown)))
        .collect();
    format!("{}:{} {time} {key}{headers} {payload}", record.partition, record.offset)
}

/// Bytes as text on one line; what is not UTF-8 or is a control character is escaped.
fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_its_bytes() {
        let record = PeekRecord {
            partition: 1,
            offset: 7,
            timestamp_ms: 1_000,
            key: Some(b"k".to_vec()),
            payload: Some(b"a\n\xff\xc3\xa9".to_vec()),
            headers: Vec::new(),
        };
        assert_eq!(line(&record), "1:7 1970-01-01T00:00:01.000Z k a\\n\\xff\u{e9}");
        let tombstone = PeekRecord { payload: None, key: None, timestamp_ms: -1, ..record };
        assert_eq!(line(&tombstone), "1:7 - - (tombstone)");
    }
}
