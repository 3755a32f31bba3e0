//! The coordinates at the front of every JSON line of the lake, and JSON text written straight into bytes.
//!
//! The names in front must not repeat a name of the payload: a payload that uses one of them itself gets the coordinate
//! under `_name` (or, where it uses that too, `__name`, `___name`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{Datelike, NaiveDate};

use crate::decode::kafka_micros;
use crate::record::{Header, RawBatch, RawRecord};

/// What all lines of a batch have in common.
#[derive(Clone, Debug)]
pub struct LineContext {
    /// The topic as a JSON string.
    topic: Vec<u8>,
    incarnation: i32,
    /// The time of ingestion as a JSON string, microseconds.
    ingestion: Vec<u8>,
}

impl LineContext {
    /// Lines of `topic`, whose topic id is incarnation `incarnation`, taken in at `ingestion_us` (microseconds since
    /// 1970-01-01T00:00:00Z).
    #[must_use]
    pub fn new(topic: &str, incarnation: i32, ingestion_us: i64) -> Self {
        let (mut topic_json, mut ingestion) = (Vec::new(), Vec::new());
        write_text(&mut topic_json, topic);
        write_micros(&mut ingestion, Some(ingestion_us));
        Self { topic: topic_json, incarnation, ingestion }
    }

    /// Writes `{"topic":…,"ingestion_timestamp":…` without the closing brace.
    pub(crate) fn write_coordinates(&self, out: &mut Vec<u8>, batch: &RawBatch, record: &RawRecord, clashes: Clashes) {
        out.push(b'{');
        clashes.write_name(out, Coordinate::Topic);
        out.extend_from_slice(&self.topic);
        out.push(b',');
        clashes.write_name(out, Coordinate::Partition);
        write_integer(out, batch.partition.into());
        out.push(b',');
        clashes.write_name(out, Coordinate::Offset);
        write_integer(out, record.offset);
        out.push(b',');
        clashes.write_name(out, Coordinate::Incarnation);
        write_integer(out, self.incarnation.into());
        out.push(b',');
        write_key(out, batch.key(record), clashes);
        out.push(b',');
        clashes.write_name(out, Coordinate::KafkaTimestamp);
        write_millis(out, kafka_micros(record.timestamp_ms));
        out.push(b',');
        clashes.write_name(out, Coordinate::IngestionTimestamp);
        out.extend_from_slice(&self.ingestion);
        if let Some(headers) = record.headers.as_deref().filter(|headers| !headers.is_empty()) {
            out.push(b',');
            clashes.write_name(out, Coordinate::Headers);
            write_headers(out, headers);
        }
    }
}

fn write_key(out: &mut Vec<u8>, key: Option<&[u8]>, clashes: Clashes) {
    match key.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => {
            clashes.write_name(out, Coordinate::Key);
            out.extend_from_slice(b"null");
        }
        Some((_, Ok(text))) => {
            clashes.write_name(out, Coordinate::Key);
            write_text(out, text);
        }
        Some((bytes, Err(_))) => {
            clashes.write_name(out, Coordinate::KeyBase64);
            write_base64(out, bytes);
        }
    }
}

fn write_headers(out: &mut Vec<u8>, headers: &[Header]) {
    out.push(b'[');
    for (i, header) in headers.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"{\"key\":" } else { b",{\"key\":" });
        write_text(out, &header.key);
        match header.value.as_deref().map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => out.extend_from_slice(b",\"value\":null"),
            Some((_, Ok(text))) => {
                out.extend_from_slice(b",\"value\":");
                write_text(out, text);
            }
            Some((bytes, Err(_))) => {
                out.extend_from_slice(b",\"value_base64\":");
                write_base64(out, bytes);
            }
        }
        out.push(b'}');
    }
    out.push(b']');
}

/// The names that a line carries in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coordinate {
    Topic,
    Partition,
    Offset,
    Incarnation,
    Key,
    KeyBase64,
    KafkaTimestamp,
    IngestionTimestamp,
    Headers,
}

impl Coordinate {
    fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Offset => "offset",
            Self::Incarnation => "kafka_incarnation",
            Self::Key => "kafka_key",
            Self::KeyBase64 => "kafka_key_base64",
            Self::KafkaTimestamp => "kafka_timestamp",
            Self::IngestionTimestamp => "ingestion_timestamp",
            Self::Headers => "kafka_headers",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            "offset" => Self::Offset,
            "kafka_incarnation" => Self::Incarnation,
            "kafka_key" => Self::Key,
            "kafka_key_base64" => Self::KeyBase64,
            "kafka_timestamp" => Self::KafkaTimestamp,
            "ingestion_timestamp" => Self::IngestionTimestamp,
            "kafka_headers" => Self::Headers,
            _ => return None,
        })
    }

    /// The bit of this name under `underscores` underscores.
    fn bit(self, underscores: u32) -> u32 {
        let place = match self {
            Self::Topic => 0,
            Self::Partition => 1,
            Self::Offset => 2,
            Self::Incarnation => 3,
            Self::Key => 4,
            Self::KeyBase64 => 5,
            Self::KafkaTimestamp => 6,
            Self::IngestionTimestamp => 7,
            Self::Headers => 8,
        };
        1 << (place * LEVELS + underscores)
    }
}

/// `name`, `_name` and `__name` are looked for in a payload.
const LEVELS: u32 = 3;

/// Which of the names in front a payload uses itself. Empty for nearly every record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clashes(u32);

impl Clashes {
    /// What a payload's top-level key `name` clashes with.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let bare = name.trim_start_matches('_');
        let underscores = u32::try_from(name.len() - bare.len()).unwrap_or(LEVELS);
        match Coordinate::named(bare) {
            Some(coordinate) if underscores < LEVELS => Self(coordinate.bit(underscores)),
            _ => Self(0),
        }
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    fn write_name(self, out: &mut Vec<u8>, coordinate: Coordinate) {
        out.push(b'"');
        if self.0 != 0 {
            for _ in (0..LEVELS).take_while(|&underscores| self.0 & coordinate.bit(underscores) != 0) {
                out.push(b'_');
            }
        }
        out.extend_from_slice(coordinate.name().as_bytes());
        out.extend_from_slice(b"\":");
    }
}

/// Incarnation and partition of a line that `write_coordinates` began; `None` for any other line.
#[must_use]
pub fn source_of_line(line: &[u8]) -> Option<(i32, i32)> {
    // Kafka allows neither quotes nor commas in a topic's name.
    let (_, rest) = member(line.strip_prefix(b"{")?, Coordinate::Topic)?;
    let (partition, rest) = member(rest, Coordinate::Partition)?;
    let (_, rest) = member(rest, Coordinate::Offset)?;
    let (incarnation, _) = member(rest, Coordinate::Incarnation)?;
    Some((incarnation.parse().ok()?, partition.parse().ok()?))
}

/// The value of the coordinate that `rest` begins with, and what is behind its comma.
fn member(rest: &[u8], coordinate: Coordinate) -> Option<(&str, &[u8])> {
    let mut name = rest.strip_prefix(b"\"")?;
    while let Some(less) = name.strip_prefix(b"_") {
        name = less;
    }
    let value = name.strip_prefix(coordinate.name().as_bytes())?.strip_prefix(b"\":")?;
    let (value, behind) = value.split_at_checked(value.iter().position(|&byte| byte == b',')?)?;
    Some((std::str::from_utf8(value).ok()?, behind.get(1..)?))
}

/// Writes `text` as a JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        if let Some((&byte, behind)) = from.split_first() {
            write_escaped(out, byte);
            rest = behind;
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
    }
}

/// Writes bytes as a JSON string of their base64.
pub(crate) fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Writes a decimal integer.
pub(crate) fn write_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let (mut digits, mut rest, mut used) = ([b'0'; 20], value.unsigned_abs(), 0);
    for slot in digits.iter_mut().rev() {
        *slot = digit(rest % 10);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Writes a time as `"2026-01-02T03:04:05.678Z"`, or `null`.
pub(crate) fn write_millis(out: &mut Vec<u8>, micros: Option<i64>) {
    write_time(out, micros, 3);
}

/// Writes a time as `"2026-01-02T03:04:05.678901Z"`, or `null`.
pub(crate) fn write_micros(out: &mut Vec<u8>, micros: Option<i64>) {
    write_time(out, micros, 6);
}

fn write_time(out: &mut Vec<u8>, micros: Option<i64>, digits: usize) {
    let date = |us: i64| calendar_date(us.div_euclid(86_400_000_000)).map(|date| (us, date));
    let Some((us, date)) = micros.and_then(date) else { return out.extend_from_slice(b"null") };
    let (seconds, fraction) = (us.div_euclid(1_000_000).rem_euclid(86_400), us.rem_euclid(1_000_000));
    out.push(b'"');
    write_calendar(out, date);
    out.push(b'T');
    write_padded(out, seconds / 3600, 2);
    out.push(b':');
    write_padded(out, seconds / 60 % 60, 2);
    out.push(b':');
    write_padded(out, seconds % 60, 2);
    out.push(b'.');
    write_padded(out, if digits == 3 { fraction / 1000 } else { fraction }, digits);
    out.extend_from_slice(b"Z\"");
}

/// Writes a date as `"2026-01-02"`, or `null` where the calendar has none.
pub(crate) fn write_date(out: &mut Vec<u8>, days: i64) {
    let Some(date) = calendar_date(days) else { return out.extend_from_slice(b"null") };
    out.push(b'"');
    write_calendar(out, date);
    out.push(b'"');
}

fn calendar_date(days: i64) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?.checked_add(719_163)?)
}

fn write_calendar(out: &mut Vec<u8>, date: NaiveDate) {
    write_padded(out, date.year().into(), 4);
    out.push(b'-');
    write_padded(out, date.month().into(), 2);
    out.push(b'-');
    write_padded(out, date.day().into(), 2);
}

/// Writes the last `width` (at most 8) digits of a value that isn't negative.
pub(crate) fn write_padded(out: &mut Vec<u8>, value: i64, width: usize) {
    let (mut digits, mut rest) = ([b'0'; 8], value.unsigned_abs());
    for slot in digits.iter_mut().rev().take(width) {
        *slot = digit(rest % 10);
        rest /= 10;
    }
    out.extend_from_slice(digits.get(digits.len().saturating_sub(width)..).unwrap_or_default());
}

fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value % 10).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_are_escaped_so_that_serde_json_reads_them_back() {
        for text in ["", "plain", "a\"b\\c", "line\nbreak\r\ttab", "\u{0}\u{1f}\u{7f}", "é€😀", "\"; DROP TABLE --"]
        {
            let json = written(|out| write_text(out, text));
            assert!(!json.contains('\n'));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn integers_are_written_in_full() {
        for value in [0, 1, -1, 9, 10, 99, 100, i64::MAX, i64::MIN] {
            assert_eq!(written(|out| write_integer(out, value)), value.to_string());
        }
    }

    #[test]
    fn times_have_fixed_digits() {
        assert_eq!(written(|out| write_millis(out, Some(1_767_323_045_678_901))), "\"2026-01-02T03:04:05.678Z\"");
        assert_eq!(written(|out| write_micros(out, Some(1_767_323_045_678_901))), "\"2026-01-02T03:04:05.678901Z\"");
        assert_eq!(written(|out| write_micros(out, Some(-1))), "\"1969-12-31T23:59:59.999999Z\"");
        assert_eq!(written(|out| write_millis(out, None)), "null");
    }

    #[test]
    fn a_clashing_name_gets_underscores_until_it_is_free() {
        let mut clashes = Clashes::default();
        for (used, expected) in [("other", "topic"), ("topic", "_topic"), ("__topic", "_topic"), ("_topic", "___topic")]
        {
            clashes.add(Clashes::of(used));
            assert_eq!(written(|out| clashes.write_name(out, Coordinate::Topic)), format!("\"{expected}\":"));
        }
        assert_eq!(written(|out| clashes.write_name(out, Coordinate::Offset)), "\"offset\":");
    }

    #[test]
    fn a_line_tells_where_its_record_came_from_and_any_other_line_does_not() {
        let mut batch = RawBatch::new(7, 42);
        batch.push(42, 0, Some(b"k"), Some(b"{}"), None);
        let mut clashes = Clashes::default();
        ["topic", "partition", "_partition"].iter().for_each(|name| clashes.add(Clashes::of(name)));
        for clashes in [Clashes::default(), clashes] {
            let mut line = Vec::new();
            let context = LineContext::new("orders.eu-1", 3, 0);
            context.write_coordinates(&mut line, &batch, &batch.records[0], clashes);
            assert_eq!(source_of_line(&line), Some((3, 7)), "{}", String::from_utf8_lossy(&line));
        }
        for line in
            ["", "{}", "{\"topic\":\"t\"}", "{\"partition\":1,\"topic\":\"t\",\"offset\":1,\"kafka_incarnation\":0,"]
        {
            assert_eq!(source_of_line(line.as_bytes()), None, "{line}");
        }
    }
}
