//! The JSON lines of Bronze and Quarantine, taken apart again: a record's coordinates and what it held (I4, I13).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::calendar;
use crate::object::{self, Members};

/// What identifies a record: (incarnation, partition, offset).
pub type Identity = (i32, i32, i64);

/// A line of Bronze.
pub struct BronzeLine<'a> {
    /// Whose.
    pub identity: Identity,
    /// The topic.
    pub topic: Cow<'a, str>,
    /// Kafka's timestamp in microseconds, where the record has one.
    pub time: Option<i64>,
    /// The payload's members; `None` for a record without payload.
    pub members: Option<Members<'a>>,
    /// The payload's bytes behind its opening brace.
    pub rest: &'a str,
}

/// A line of Quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Whose.
    pub identity: Identity,
    /// Kafka's timestamp in microseconds.
    pub time: Option<i64>,
    /// Reason code.
    pub reason: String,
    /// Field, check or derived column.
    pub field: Option<String>,
    /// The payload's bytes.
    pub payload: Option<Vec<u8>>,
}

/// The coordinates that every line begins with, in this order; the key's may have another name.
const FRONT: usize = 7;

/// Takes a line of Bronze apart, its line feed taken off; the error says what is wrong with it.
pub fn bronze(line: &str) -> Result<BronzeLine<'_>, &'static str> {
    let mut members = object::read(line).ok_or("is not one JSON object")?;
    if members.len() < FRONT {
        return Err("lacks coordinates");
    }
    let mut payload = members.split_off(FRONT);
    let raw = |at: usize, name: &str| {
        let (found, value) = members.get(at)?;
        (found.trim_start_matches('_') == name).then_some(value.get())
    };
    let number = |at, name| raw(at, name).and_then(|value| value.parse::<i64>().ok());
    let topic = raw(0, "topic").and_then(object::string).ok_or("lacks its topic")?;
    let partition = number(1, "partition").and_then(|n| n.try_into().ok()).ok_or("lacks its partition")?;
    let offset = number(2, "offset").ok_or("lacks its offset")?;
    let incarnation = number(3, "kafka_incarnation").and_then(|n| n.try_into().ok()).ok_or("lacks its incarnation")?;
    raw(4, "kafka_key").or_else(|| raw(4, "kafka_key_base64")).ok_or("lacks its key")?;
    let time = time_of(raw(5, "kafka_timestamp").ok_or("lacks its timestamp")?)?;
    let mut last = raw(6, "ingestion_timestamp").ok_or("lacks the time of its ingestion")?;
    if payload.first().is_some_and(|(name, value)| is_headers(name, value.get())) {
        last = payload.remove(0).1.get();
    }
    let rest = behind(line, last);
    let tombstone = matches!(payload.as_slice(), [(name, value)] if name == "tombstone" && value.get() == "true");
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    let members = (!tombstone).then_some(payload);
    Ok(BronzeLine { identity: (incarnation, partition, offset), topic, time, members, rest })
}

/// The identity alone, which stands in front: for sorting lines before they are read. The line must be one of Bronze or
/// Quarantine; else `None`.
#[must_use]
pub fn identity(line: &[u8]) -> Option<Identity> {
    let mut rest = line.strip_prefix(b"{")?;
    let mut value_of = |name: &str| -> Option<&[u8]> {
        let mut found = rest.strip_prefix(b"\"")?;
        while let Some(less) = found.strip_prefix(b"_") {
            found = less;
        }
        let value = found.strip_prefix(name.as_bytes())?.strip_prefix(b"\":")?;
        let (value, behind) = value.split_at_checked(value.iter().position(|&byte| byte == b',')?)?;
        rest = behind.get(1..)?;
        Some(value)
    };
    // Kafka allows neither quotes nor commas in a topic's name.
    value_of("topic")?;
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<i64>().ok();
    let partition = number(value_of("partition")?)?.try_into().ok()?;
    let offset = number(value_of("offset")?)?;
    let incarnation = number(value_of("kafka_incarnation")?)?.try_into().ok()?;
    Some((incarnation, partition, offset))
}

/// Takes a line of Quarantine apart; the error says what is wrong with it.
pub fn quarantine(line: &str) -> Result<Reject, &'static str> {
    let told: RejectLine<'_> = serde_json::from_str(line).map_err(|_| "is no line of Quarantine")?;
    let payload = match (told.payload, told.payload_base64) {
        (_, Some(coded)) => Some(STANDARD.decode(coded.as_bytes()).map_err(|_| "has a payload that is no base64")?),
        (text, None) => text.map(|text| text.into_owned().into_bytes()),
    };
    let time = told.kafka_timestamp.map(|text| instant(&text)).transpose()?;
    let identity = (told.kafka_incarnation, told.partition, told.offset);
    Ok(Reject { identity, time, reason: told.reason, field: told.field, payload })
}

#[derive(Deserialize)]
struct RejectLine<'a> {
    partition: i32,
    offset: i64,
    kafka_incarnation: i32,
    #[serde(borrow)]
    kafka_timestamp: Option<Cow<'a, str>>,
    reason: String,
    field: Option<String>,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload_base64: Option<Cow<'a, str>>,
}

/// A payload as Bronze keeps it: the bytes behind its opening brace, with raw line breaks as spaces.
#[must_use]
pub fn rest_of(payload: &[u8]) -> Vec<u8> {
    let start = payload.iter().position(|&byte| byte == b'{').map_or(0, |at| at + 1);
    let bytes = payload.get(start..).unwrap_or_default().iter();
    bytes.map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect()
}

fn time_of(raw: &str) -> Result<Option<i64>, &'static str> {
    match object::string(raw) {
        Some(text) => instant(&text).map(Some),
        None if raw == "null" => Ok(None),
        None => Err("has a timestamp that is none"),
    }
}

fn instant(text: &str) -> Result<i64, &'static str> {
    calendar::strict_instant(text, false).map_err(|_| "has a timestamp that is none")
}

/// Kafka's headers follow the other coordinates where the record has some.
fn is_headers(name: &str, value: &str) -> bool {
    name.trim_start_matches('_') == "kafka_headers" && value.starts_with("[{\"key\":")
}

/// What follows `part`, a piece of `line`.
fn behind<'a>(line: &'a str, part: &str) -> &'a str {
    let end = (part.as_ptr() as usize + part.len()).checked_sub(line.as_ptr() as usize);
    end.and_then(|end| line.get(end..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONT: &str = r#"{"topic":"t","partition":3,"offset":7,"kafka_incarnation":1,"kafka_key":"k","kafka_timestamp":"1970-01-01T00:00:01.500Z","ingestion_timestamp":"2026-01-02T03:04:06.000001Z""#;

    #[test]
    fn a_line_gives_back_its_record() {
        let check = |behind: &str, names: Option<&[&str]>, rest: &str| {
            let text = format!("{FRONT}{behind}");
            let line = bronze(&text).unwrap();
            assert_eq!((line.identity, line.time), ((1, 3, 7), Some(1_500_000)));
            let found = line.members.map(|m| m.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>());
            assert_eq!(found, names.map(|names| names.iter().map(|&name| name.to_owned()).collect()), "{behind}");
            assert_eq!(line.rest, rest);
            assert_eq!(identity(text.as_bytes()), Some((1, 3, 7)));
        };
        check(r#","a":1,"b": {} } "#, Some(&["a", "b"]), r#""a":1,"b": {} } "#);
        check("}", Some(&[]), "}");
        check(r#","tombstone":true}"#, None, r#""tombstone":true}"#);
        check(r#","kafka_headers":[{"key":"a","value":"b"}],"a":1}"#, Some(&["a"]), r#""a":1}"#);
        check(r#","kafka_headers":[{"key":"a","value":"b"}]}"#, Some(&[]), "}");
        assert!(bronze(r#"{"topic":"t"}"#).is_err());
        assert!(bronze(&format!("{FRONT},\"a\":1,\"a\":2}}")).is_err());
    }

    #[test]
    fn a_payload_that_uses_a_coordinates_name_is_told_apart() {
        let text = FRONT.replace("\"offset\"", "\"_offset\"") + r#","offset":"mine"}"#;
        let line = bronze(&text).unwrap();
        assert_eq!(line.identity, (1, 3, 7));
        assert_eq!(line.members.unwrap()[0].0, "offset");
        assert_eq!(identity(text.as_bytes()), Some((1, 3, 7)));
    }

    #[test]
    fn a_reject_keeps_every_byte() {
        let line = FRONT.to_owned() + r#","reason":"BOM","field":null,"detail":"x","payload_base64":"H4sI"}"#;
        let reject = quarantine(&line).unwrap();
        assert_eq!((reject.identity, reject.reason.as_str()), ((1, 3, 7), "BOM"));
        assert_eq!(reject.payload.as_deref(), Some(&[0x1f, 0x8b, 0x08][..]));
        assert_eq!(rest_of(b" {\"a\":\r\n1}"), b"\"a\":  1}");
    }
}
