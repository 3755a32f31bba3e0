//! `lakeward quarantine`: what was refused, counted by reason or record by record.
//!
//! Reads the committed files through the log, piece by piece, also while the pipeline runs. What a record holds
//! comes from anybody, so no control character of it reaches a terminal.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lakeward_connect::lake::Lake;
use lakeward_core::log::{Fold, LiveFile};
use lakeward_core::pipeline::{Holds, Pipeline};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::inspect::{Inspected, inspect};
use crate::cli::{QuarantineCommand, QuarantineFilter};
use crate::config::Config;
use crate::exit::Exit;
use crate::replay::{Refusals, lines};
use crate::text::{table, timestamp};

/// Bytes of a payload that people are shown.
const SHOWN: usize = 2_000;

/// A line of Quarantine.
#[derive(Clone, Debug, Deserialize)]
struct Refused {
    topic: String,
    partition: i32,
    offset: i64,
    kafka_incarnation: i32,
    kafka_timestamp: Option<String>,
    ingestion_timestamp: String,
    reason: String,
    field: Option<String>,
    detail: String,
    payload: Option<String>,
    payload_base64: Option<String>,
}

/// Counts, or shows records.
pub async fn quarantine(config: &Config, command: &QuarantineCommand) -> Result<(), Exit> {
    match command {
        QuarantineCommand::List(filter) => {
            let seen = inspect(config, &filter.pipeline).await?;
            let mut groups = Groups::new();
            each(&seen, filter, |refused, _| add(&mut groups, refused)).await?;
            let listed = if filter.json { listed_json(&seen, &groups) } else { listed(&groups) + &gone(&seen) };
            crate::text::say_as_is(&listed);
        }
        QuarantineCommand::Show { filter, n } => {
            let seen = inspect(config, &filter.pipeline).await?;
            let mut newest = VecDeque::new();
            each(&seen, filter, |refused, line| {
                newest.push_back(if filter.json { harmless(line) } else { shown(refused) });
                if newest.len() > *n {
                    newest.pop_front();
                }
            })
            .await?;
            newest.iter().for_each(|text| crate::text::say!("{text}"));
            if !filter.json {
                crate::text::say_as_is(&gone(&seen));
            }
        }
        QuarantineCommand::Replay { filter, yes } => super::replay::replay(config, filter, *yes).await?,
    }
    Ok(())
}

/// Calls `take` with every record that passes the filter and its line, file by file in the order of the log.
async fn each(seen: &Inspected, filter: &QuarantineFilter, mut take: impl FnMut(&Refused, &str)) -> Result<(), Exit> {
    let mut refusals = Refusals::new(seen.log.lake(), &seen.fold, &seen.pipeline);
    while let Some((piece, file)) = refusals.more().await? {
        for line in lines(&piece, file)? {
            let refused = serde_json::from_str::<Refused>(line)
                .map_err(|e| Exit::failed(format!("{}: not a line of Quarantine: {e}", file.path)))?;
            if passes(filter, &refused) {
                take(&refused, line);
            }
        }
    }
    Ok(())
}

/// The newest files that are looked into for samples, and the largest.
const SAMPLED: (usize, u64) = (3, 4 << 20);

/// Records of each reason that are shown as samples.
const SAMPLES: usize = 3;

/// Some of the newest refused records, a few of each reason, newest first.
pub async fn samples(lake: &Lake, pipeline: &Pipeline, fold: &Fold) -> Result<Vec<Value>, Exit> {
    let Some(layer) = pipeline.layers.iter().find(|layer| matches!(layer.holds, Holds::Rejects)) else {
        return Ok(Vec::new());
    };
    let mut files: Vec<&LiveFile> = fold.layer_files(&layer.name).filter(|f| f.staged.length <= SAMPLED.1).collect();
    files.drain(..files.len().saturating_sub(SAMPLED.0));
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut samples = Vec::new();
    for file in files.into_iter().rev() {
        let bytes = read(lake, file).await?;
        let text = String::from_utf8_lossy(bytes.as_ref());
        for refused in text.lines().rev().filter_map(|line| serde_json::from_str::<Refused>(line).ok()) {
            let taken = taken.entry(refused.reason.clone()).or_default();
            if *taken < SAMPLES {
                *taken += 1;
                samples.push(sample(&refused));
            }
        }
    }
    Ok(samples)
}

fn sample(refused: &Refused) -> Value {
    json!({
        "reason": refused.reason, "field": refused.field.as_deref().map(readable),
        "detail": readable(&refused.detail), "partition": refused.partition, "offset": refused.offset,
        "incarnation": refused.kafka_incarnation, "time": when(refused), "payload": payload(refused),
    })
}

/// A committed file's bytes, from its place or, before it is there, from staging.
async fn read(lake: &Lake, file: &LiveFile) -> Result<impl AsRef<[u8]>, Exit> {
    // It may be renamed between two looks.
    for path in [&file.path, &file.staged.staged, &file.path] {
        let bytes = lake.read(path).await.map_err(|e| Exit::failed(e.to_string()))?;
        if let Some(bytes) = bytes {
            return Ok(bytes);
        }
    }
    Err(Exit::failed(format!("LAKE_DAMAGED: the log names {} and it is not there", file.path)))
}

/// Whether a line of Quarantine passes the filter.
pub(super) fn passes_line(filter: &QuarantineFilter, line: &str) -> bool {
    serde_json::from_str::<Refused>(line).is_ok_and(|refused| passes(filter, &refused))
}

fn passes(filter: &QuarantineFilter, refused: &Refused) -> bool {
    let time = when(refused).and_then(|text| crate::cli::time(text).ok());
    filter.reason.as_ref().is_none_or(|reason| *reason == refused.reason)
        && filter.partition.is_none_or(|partition| partition == refused.partition)
        && filter.since.is_none_or(|since| time.is_some_and(|time| time >= since))
        && filter.until.is_none_or(|until| time.is_some_and(|time| time < until))
}

/// Kafka's time of the record; of one that has none, the time when it was read.
fn when(refused: &Refused) -> Option<&str> {
    refused.kafka_timestamp.as_deref().or(Some(&refused.ingestion_timestamp))
}

/// By reason and field.
type Groups = BTreeMap<(String, Option<String>), Group>;

/// Records refused for the same reason.
#[derive(Debug, Serialize)]
struct Group {
    records: u64,
    by_partition: BTreeMap<i32, u64>,
    earliest: String,
    latest: String,
    /// Coordinates of the newest: (incarnation, partition, offset).
    newest: (i32, i32, i64),
}

fn add(groups: &mut Groups, refused: &Refused) {
    let time = when(refused).unwrap_or_default();
    let newest = (refused.kafka_incarnation, refused.partition, refused.offset);
    let group = groups.entry((refused.reason.clone(), refused.field.clone())).or_insert_with(|| Group {
        records: 0,
        by_partition: BTreeMap::new(),
        earliest: time.to_owned(),
        latest: time.to_owned(),
        newest,
    });
    group.records += 1;
    *group.by_partition.entry(refused.partition).or_default() += 1;
    // Times are written alike, so they are ordered like texts.
    if *time < *group.earliest {
        time.clone_into(&mut group.earliest);
    }
    if *time >= *group.latest {
        time.clone_into(&mut group.latest);
        group.newest = newest;
    }
}

fn listed(groups: &Groups) -> String {
    let mut rows = vec![["reason", "field", "records", "earliest", "latest", "newest at"].map(str::to_owned)];
    for ((reason, field), group) in groups {
        let (incarnation, partition, offset) = group.newest;
        let of = if incarnation == 0 { String::new() } else { format!(" of incarnation {incarnation}") };
        rows.push([
            reason.clone(),
            field.as_deref().map_or_else(|| "-".to_owned(), readable),
            group.records.to_string(),
            group.earliest.clone(),
            group.latest.clone(),
            format!("partition {partition} offset {offset}{of}"),
        ]);
    }
    let mut out = String::new();
    table(&mut out, &rows);
    let total: u64 = groups.values().map(|group| group.records).sum();
    let _ = writeln!(out, "{total} records");
    out
}

/// Records that retention took out of the layer.
pub(super) fn expired_rejects(pipeline: &Pipeline, fold: &Fold) -> u64 {
    let layer = pipeline.layer(|holds| *holds == Holds::Rejects);
    layer.and_then(|(_, layer)| fold.expired.get(&layer.name)).map_or(0, |expired| expired.rows)
}

/// What is not among those that are listed because it is there no more.
fn gone(seen: &Inspected) -> String {
    match expired_rejects(&seen.pipeline, &seen.fold) {
        0 => String::new(),
        records => format!("{records} older records are not there any more: retention took them\n"),
    }
}

fn listed_json(seen: &Inspected, groups: &Groups) -> String {
    let group = |((reason, field), group): (&(String, Option<String>), &Group)| {
        let (incarnation, partition, offset) = group.newest;
        json!({
            "reason": reason, "field": field, "records": group.records, "by_partition": group.by_partition,
            "earliest": group.earliest, "latest": group.latest,
            "newest": { "incarnation": incarnation, "partition": partition, "offset": offset },
        })
    };
    let all: Vec<Value> = groups.iter().map(group).collect();
    let records: u64 = groups.values().map(|group| group.records).sum();
    let told = json!({
        "pipeline": seen.pipeline.name, "version": seen.fold.version.0, "read_at": timestamp(seen.fold.updated_at),
        "records": records, "expired": expired_rejects(&seen.pipeline, &seen.fold), "reasons": all,
    });
    format!("{told}\n")
}

/// A record as people read it: where and why, then what it holds.
fn shown(refused: &Refused) -> String {
    let field = refused.field.as_deref().map(|field| format!(" {}", readable(field))).unwrap_or_default();
    let incarnation = refused.kafka_incarnation;
    let of = if incarnation == 0 { String::new() } else { format!(" of incarnation {incarnation}") };
    let payload = payload(refused);
    format!(
        "{}{field}: {}\n  {} partition {} offset {}{of}, {}\n  {payload}",
        refused.reason,
        readable(&refused.detail),
        readable(&refused.topic),
        refused.partition,
        refused.offset,
        when(refused).unwrap_or("-"),
    )
}

fn payload(refused: &Refused) -> String {
    match (&refused.payload, &refused.payload_base64) {
        (Some(text), _) => readable(text),
        (None, Some(coded)) => match STANDARD.decode(coded) {
            Ok(bytes) => format!("{} bytes: {}", bytes.len(), readable(&String::from_utf8_lossy(&bytes))),
            Err(_) => readable(coded),
        },
        (None, None) => "no payload".to_owned(),
    }
}

/// Text with nothing in it that a terminal would act on or hide, cut where it is long.
fn readable(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        if at >= SHOWN {
            let _ = write!(out, "… and {} bytes more", text.len() - at);
            break;
        }
        if is_acted_on(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A JSON text that says the same and has nothing in it that a terminal would act on: raw, such characters stand within
/// strings only.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_acted_on(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a terminal obeys the character, or it hides or turns others. All are below U+10000.
fn is_acted_on(c: char) -> bool {
    let hides = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    c.is_control() || hides
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn refused(partition: i32, offset: i64, reason: &str, time: Option<&str>, payload: &str) -> Refused {
        Refused {
            topic: "t".to_owned(),
            partition,
            offset,
            kafka_incarnation: 0,
            kafka_timestamp: time.map(str::to_owned),
            ingestion_timestamp: "2026-01-01T00:00:00.000000Z".to_owned(),
            reason: reason.to_owned(),
            field: Some("amount".to_owned()),
            detail: "found \"x\"".to_owned(),
            payload: Some(payload.to_owned()),
            payload_base64: None,
        }
    }

    #[test]
    fn nothing_of_a_record_is_acted_on_by_a_terminal() {
        let text = shown(&refused(1, 2, "WRONG_TYPE", None, "{\"a\":\"\u{1b}[2Jx\r\n\u{202e}\u{0}\u{9b}é\"}"));
        assert!(text.ends_with(r#"{"a":"\u{1b}[2Jx\r\n\u{202e}\u{0}\u{9b}é"}"#), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        let long = readable(&"é".repeat(SHOWN));
        assert!(long.ends_with("… and 2000 bytes more"), "{long}");
        let json = serde_json::to_string("\u{7f}\u{9b}\u{202e}é\u{1b}").unwrap();
        assert_eq!(harmless(&json), r#""\u007f\u009b\u202eé\u001b""#);
        assert_eq!(serde_json::from_str::<String>(&harmless(&json)).unwrap(), "\u{7f}\u{9b}\u{202e}é\u{1b}");
    }

    #[test]
    fn records_are_counted_by_reason_and_the_newest_is_named() {
        let mut groups = Groups::new();
        add(&mut groups, &refused(0, 5, "WRONG_TYPE", Some("2025-01-02T00:00:00.000Z"), ""));
        add(&mut groups, &refused(1, 9, "WRONG_TYPE", Some("2025-01-03T00:00:00.000Z"), ""));
        add(&mut groups, &refused(1, 7, "WRONG_TYPE", Some("2025-01-01T00:00:00.000Z"), ""));
        add(&mut groups, &refused(0, 6, "CHECK", None, ""));
        let text = listed(&groups);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1][..3], ["CHECK", "amount", "1"]);
        assert_eq!(
            lines[2][..5],
            ["WRONG_TYPE", "amount", "3", "2025-01-01T00:00:00.000Z", "2025-01-03T00:00:00.000Z"]
        );
        assert_eq!(lines[2][5..], ["partition", "1", "offset", "9"]);
        assert_eq!(lines[3], ["4", "records"]);
    }

    #[test]
    fn a_filter_takes_what_it_names() {
        let record = refused(1, 9, "WRONG_TYPE", Some("2025-01-03T00:00:00.000Z"), "");
        let time = |text| Some(crate::cli::time(text).unwrap());
        let none = QuarantineFilter::default();
        assert!(passes(&none, &record));
        let cases = [
            (QuarantineFilter { reason: Some("CHECK".to_owned()), ..none.clone() }, false),
            (QuarantineFilter { reason: Some("WRONG_TYPE".to_owned()), ..none.clone() }, true),
            (QuarantineFilter { partition: Some(0), ..none.clone() }, false),
            (QuarantineFilter { since: time("2025-01-03T00:00:00Z"), ..none.clone() }, true),
            (QuarantineFilter { until: time("2025-01-03T00:00:00Z"), ..none.clone() }, false),
            (QuarantineFilter { until: time("2025-01-04T00:00:00Z"), partition: Some(1), ..none }, true),
        ];
        for (filter, expected) in cases {
            assert_eq!(passes(&filter, &record), expected, "{filter:?}");
        }
    }
}
