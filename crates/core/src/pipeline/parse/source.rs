//! `[source]` and `[time]`: where records come from, and when they happened.

use chrono::DateTime;

use super::scope::Scope;
use crate::document::{Entry, Section};
use crate::pipeline::names::check_topic;
use crate::pipeline::{EventTimeSource, Source, StartOffset, Time};
use crate::types::DataType;

const SOURCE_KEYS: [&str; 3] = ["topic", "format", "start"];
const SOURCE_LATER: [&str; 3] = ["isolation", "tombstones", "explode"];
const TIME_KEYS: [&str; 5] = ["event_time", "out_of_orderness", "max_future_skew", "idle_after", "max_drift"];
const TIME_LATER: [&str; 1] = ["time_zone"];

const SECOND: i64 = 1_000_000;

impl Default for Time {
    fn default() -> Self {
        Self {
            event_time: EventTimeSource::Kafka,
            out_of_orderness: 0,
            max_future_skew: 300 * SECOND,
            idle_after: 30 * SECOND,
            max_drift: 3_600 * SECOND,
        }
    }
}

pub(super) fn read_source(root: &Section<'_>) -> Source {
    let mut source = Source { topic: String::new(), start: StartOffset::Earliest };
    let Some(section) = root.require("source", "a table with the Kafka topic").and_then(|e| e.section()) else {
        return source;
    };
    section.allow(&SOURCE_KEYS, &SOURCE_LATER);
    if let Some((entry, topic)) =
        section.require("topic", "the Kafka topic").and_then(|e| Some((e.clone(), e.string()?)))
    {
        match check_topic(topic) {
            Ok(()) => topic.clone_into(&mut source.topic),
            Err(why) => entry.complain(why),
        }
    }
    if let Some(format) = section.get("format") {
        let _: Option<()> = format.choice(&[("json", ())]);
    }
    if let Some(start) = section.get("start").and_then(|e| read_start(&e)) {
        source.start = start;
    }
    source
}

fn read_start(entry: &Entry<'_>) -> Option<StartOffset> {
    let text = entry.string()?;
    match text {
        "earliest" => return Some(StartOffset::Earliest),
        "latest" => return Some(StartOffset::Latest),
        _ => {}
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Some(StartOffset::Timestamp(time.timestamp_millis())),
        Err(_) => {
            entry
                .complain(format!("\"{text}\" is none of earliest, latest or a time such as \"2025-01-31T00:00:00Z\""));
            None
        }
    }
}

pub(super) fn read_time(root: &Section<'_>, fields: &Scope) -> Time {
    let mut time = Time::default();
    let Some(section) = root.section("time") else { return time };
    section.allow(&TIME_KEYS, &TIME_LATER);
    if let Some(source) = section.get("event_time").and_then(|e| read_event_time(&e, fields)) {
        time.event_time = source;
    }
    let set = |name: &str, span: &mut i64| {
        if let Some(micros) = section.get(name).and_then(|e| e.duration()) {
            *span = micros;
        }
    };
    set("out_of_orderness", &mut time.out_of_orderness);
    set("max_future_skew", &mut time.max_future_skew);
    let set_positive = |name: &str, span: &mut i64| {
        if let Some(micros) = section.get(name).and_then(|e| e.positive_duration()) {
            *span = micros;
        }
    };
    set_positive("idle_after", &mut time.idle_after);
    set_positive("max_drift", &mut time.max_drift);
    time
}

fn read_event_time(entry: &Entry<'_>, fields: &Scope) -> Option<EventTimeSource> {
    let name = entry.string()?;
    if name == "kafka" {
        return Some(EventTimeSource::Kafka);
    }
    let index = fields.index(entry, name)?;
    let field = fields.columns.get(index)?;
    if !matches!(field.ty, DataType::Date | DataType::Timestamp) {
        entry.complain(format!("\"{name}\" is {}; event time is a date or timestamp field, or \"kafka\"", field.ty));
        return None;
    }
    if field.nullable {
        entry.complain(format!("\"{name}\" may be NULL; write \"{}!\" in [fields] to make it required", field.ty));
        return None;
    }
    Some(EventTimeSource::Field(index))
}
