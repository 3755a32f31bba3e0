//! A refused record as a line of Quarantine: coordinates, reason code, field, detail and every byte it had (I13).

use crate::decode::Reject;
use crate::json_line::{Clashes, LineContext, write_base64, write_text};
use crate::record::{RawBatch, RawRecord};

/// Appends the line of `record`, with its line feed. `payload` is the payload's text, `payload_base64` stands instead
/// where it isn't UTF-8; a record without payload has `"payload":null`.
pub fn write_line(out: &mut Vec<u8>, context: &LineContext, batch: &RawBatch, record: &RawRecord, reject: &Reject) {
    context.write_coordinates(out, batch, record, Clashes::default());
    out.extend_from_slice(b",\"reason\":");
    write_text(out, reject.reason.as_str());
    out.extend_from_slice(b",\"field\":");
    match &reject.field {
        Some(field) => write_text(out, field),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"detail\":");
    write_text(out, &reject.detail);
    match batch.payload(record).map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.extend_from_slice(b",\"payload\":null"),
        Some((_, Ok(text))) => {
            out.extend_from_slice(b",\"payload\":");
            write_text(out, text);
        }
        Some((bytes, Err(_))) => {
            out.extend_from_slice(b",\"payload_base64\":");
            write_base64(out, bytes);
        }
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::decode::Reason;

    fn line(payload: &[u8], field: Option<&str>) -> serde_json::Value {
        let mut batch = RawBatch::new(1, 5);
        batch.push(5, 0, Some(b"k"), Some(payload), None);
        let reject = Reject {
            record: 0,
            reason: Reason::WrongType,
            field: field.map(str::to_owned),
            detail: "found \"x\"\n".to_owned(),
        };
        let mut out = Vec::new();
        write_line(&mut out, &LineContext::new("t", 2, 0), &batch, &batch.records[0], &reject);
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_line_tells_where_why_and_what() {
        let value = line(b"{\"amount\":\n\"x\"}", Some("amount"));
        assert_eq!((&value["topic"], &value["partition"], &value["offset"]), (&"t".into(), &1.into(), &5.into()));
        assert_eq!((&value["kafka_incarnation"], &value["kafka_key"]), (&2.into(), &"k".into()));
        assert_eq!(value["kafka_timestamp"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["ingestion_timestamp"], "1970-01-01T00:00:00.000000Z");
        assert_eq!((&value["reason"], &value["field"]), (&"WRONG_TYPE".into(), &"amount".into()));
        assert_eq!(value["detail"], "found \"x\"\n");
        assert_eq!(value["payload"], "{\"amount\":\n\"x\"}");
    }

    #[test]
    fn bytes_that_are_not_text_are_base64() {
        let value = line(&[0x1f, 0x8b, 0x08], None);
        assert_eq!(value["payload_base64"], "H4sI");
        assert_eq!((value.get("payload"), &value["field"]), (None, &serde_json::Value::Null));
    }
}
