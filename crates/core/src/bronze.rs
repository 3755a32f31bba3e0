//! A record as a line of Bronze: its coordinates in front, its own bytes behind (I4).
//!
//! The bytes after the payload's opening brace are untouched, but for raw CR and LF, which can only stand between
//! tokens and become spaces. Only what decoding called an object or a tombstone has a line.

use crate::decode::RecordKind;
use crate::json_line::{Clashes, LineContext};
use crate::record::{RawBatch, RawRecord};

/// Appends the line of `record`, with its line feed. `kind` is what decoding said of it; a record that isn't for Bronze
/// leaves `out` as it is.
pub fn write_line(out: &mut Vec<u8>, context: &LineContext, batch: &RawBatch, record: &RawRecord, kind: RecordKind) {
    match (kind, batch.payload(record)) {
        (RecordKind::Tombstone, _) => {
            context.write_coordinates(out, batch, record, Clashes::default());
            out.extend_from_slice(b",\"tombstone\":true}\n");
        }
        (RecordKind::Object(clashes), Some(payload)) => {
            context.write_coordinates(out, batch, record, clashes);
            write_members(out, payload);
            out.push(b'\n');
        }
        (RecordKind::Object(_) | RecordKind::NotAnObject, _) => {}
    }
}

/// What follows the opening brace of an object, closing brace included.
fn write_members(out: &mut Vec<u8>, payload: &[u8]) {
    let members = payload.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
    if members.trim_ascii_start().first() != Some(&b'}') {
        out.push(b',');
    }
    let start = out.len();
    out.extend_from_slice(members);
    if members.contains(&b'\n') || members.contains(&b'\r') {
        for byte in out.iter_mut().skip(start).filter(|byte| matches!(**byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::Header;

    const FRONT: &str = r#"{"topic":"t","partition":3,"offset":7,"kafka_incarnation":0,"kafka_key":"k","kafka_timestamp":"2026-01-02T03:04:05.678Z","ingestion_timestamp":"2026-01-02T03:04:06.000001Z""#;

    fn line(payload: Option<&[u8]>, kind: RecordKind) -> String {
        let mut batch = RawBatch::new(3, 7);
        batch.push(7, 1_767_323_045_678, Some(b"k"), payload, None);
        write(&batch, kind)
    }

    fn write(batch: &RawBatch, kind: RecordKind) -> String {
        let context = LineContext::new("t", 0, 1_767_323_046_000_001);
        let mut out = Vec::new();
        write_line(&mut out, &context, batch, &batch.records[0], kind);
        String::from_utf8(out).unwrap()
    }

    fn object(names: &[&str]) -> RecordKind {
        let mut clashes = Clashes::default();
        names.iter().for_each(|name| clashes.add(Clashes::of(name)));
        RecordKind::Object(clashes)
    }

    #[test]
    fn the_payload_follows_its_coordinates_untouched() {
        let check = |payload: &str, expected: &str| {
            let got = line(Some(payload.as_bytes()), object(&[]));
            assert_eq!(got, format!("{FRONT}{expected}\n"));
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&got).unwrap();
        };
        check(r#"{"id":"a","n": 1.50}"#, r#","id":"a","n": 1.50}"#);
        check("{}", "}");
        check(" \n{ \t} ", " \t} ");
        check("{\r\n  \"id\": \"a\"\n}\n", ",    \"id\": \"a\" } ");
        check(r#"{"id":"\u0000\n"}"#, r#","id":"\u0000\n"}"#);
    }

    #[test]
    fn a_tombstone_is_a_line_of_coordinates() {
        assert_eq!(line(None, RecordKind::Tombstone), format!("{FRONT},\"tombstone\":true}}\n"));
    }

    #[test]
    fn what_is_not_an_object_has_no_line() {
        assert_eq!(line(Some(b"[1]"), RecordKind::NotAnObject), "");
    }

    #[test]
    fn a_name_that_the_payload_uses_is_written_with_an_underscore() {
        let got = line(Some(br#"{"offset":"mine","topic":1,"_topic":2}"#), object(&["offset", "topic", "_topic"]));
        let value: serde_json::Value = serde_json::from_str(&got).unwrap();
        assert_eq!((&value["offset"], &value["_offset"]), (&"mine".into(), &7.into()));
        assert_eq!((&value["topic"], &value["_topic"], &value["__topic"]), (&1.into(), &2.into(), &"t".into()));
    }

    #[test]
    fn keys_and_headers_that_are_not_text_are_base64() {
        let mut batch = RawBatch::new(3, 7);
        let header = |key: &str, value: Option<&[u8]>| Header { key: key.into(), value: value.map(<[u8]>::to_vec) };
        let headers = vec![header("a", Some(b"x\"")), header("b", Some(&[0xff])), header("c", None)];
        batch.push(7, -1, Some(&[0xff, 0xfe]), Some(b"{}"), Some(headers.into()));
        let value: serde_json::Value = serde_json::from_str(&write(&batch, object(&[]))).unwrap();
        assert_eq!(value["kafka_key_base64"], "//4=");
        assert_eq!(value.get("kafka_key"), None);
        assert!(value["kafka_timestamp"].is_null());
        let headers = serde_json::json!([
            {"key": "a", "value": "x\""}, {"key": "b", "value_base64": "/w=="}, {"key": "c", "value": null}
        ]);
        assert_eq!(value["kafka_headers"], headers);
    }

    #[test]
    fn a_null_key_is_null() {
        let mut batch = RawBatch::new(0, 0);
        batch.push(0, 0, None, Some(b"{}"), None);
        assert!(write(&batch, object(&[])).contains(r#""kafka_key":null,"#));
    }
}
