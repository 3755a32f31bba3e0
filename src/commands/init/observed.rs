//! What the members of sampled records hold, counted. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use lakeward_connect::kafka::PeekRecord;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Different values that are kept of a member.
const KEPT: usize = 20_000;

/// Members of one record that are looked at, and names in all.
const MEMBERS: usize = 1_000;

/// Digits behind the point that are taken for meant; more are noise, or no decimal.
const MOST_SCALE: usize = 6;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Bool,
    Int,
    Decimal,
    Float,
    Date,
    Timestamp,
    Text,
    Nested,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Int => "whole numbers",
            Self::Decimal => "decimals",
            Self::Float => "floating point numbers",
            Self::Date => "dates",
            Self::Timestamp => "timestamps",
            Self::Text => "texts",
            Self::Nested => "objects or lists",
        })
    }
}

/// What was seen of one member.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Values by what they are, nulls left out.
    pub kinds: BTreeMap<Kind, u64>,
    /// Digits before and behind the point, at most.
    pub digits: (usize, usize),
    /// Whether numbers had the noise of binary floating point.
    pub noisy: bool,
    /// Whether a time had more digits behind the point than a timestamp column takes.
    pub too_fine: bool,
    /// The largest number without its sign.
    pub largest: f64,
    /// Times in microseconds, with the record that holds each.
    pub times: Vec<(usize, i64)>,
    /// Different values with how often each came; no more are kept than `KEPT`.
    pub values: BTreeMap<String, u64>,
    /// How often the value was the text of the record's key.
    pub is_key: u64,
}

impl Member {
    /// Values that are there and not null.
    pub fn seen(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// How many different ones.
    pub fn distinct(&self) -> u64 {
        u64::try_from(self.values.len()).unwrap_or(u64::MAX)
    }

    fn take(&mut self, raw: &str, record: usize, key: Option<&[u8]>) {
        let Some((kind, text)) = self.kind_of(raw, record) else { return };
        *self.kinds.entry(kind).or_default() += 1;
        self.is_key += u64::from(key == Some(text.as_bytes()));
        if kind == Kind::Nested {
            return;
        }
        if self.values.len() < KEPT || self.values.contains_key(&text) {
            *self.values.entry(text).or_default() += 1;
        }
    }

    /// What a value is, and its text; `None` for null.
    fn kind_of(&mut self, raw: &str, record: usize) -> Option<(Kind, String)> {
        match raw.as_bytes().first()? {
            b'n' => None,
            b't' | b'f' => Some((Kind::Bool, raw.to_owned())),
            b'{' | b'[' => Some((Kind::Nested, String::new())),
            b'"' => {
                let text: String = serde_json::from_str(raw).ok()?;
                let time = timestamp(&text);
                let fine = time.is_some() && is_too_fine(&text);
                self.too_fine |= fine;
                let kind = match (is_date(&text), time.filter(|_| !fine)) {
                    (true, _) => Kind::Date,
                    (false, Some(micros)) => {
                        self.times.push((record, micros));
                        Kind::Timestamp
                    }
                    (false, None) => Kind::Text,
                };
                Some((kind, text))
            }
            _ => Some((self.number(raw), raw.to_owned())),
        }
    }

    fn number(&mut self, raw: &str) -> Kind {
        let value: f64 = raw.parse().unwrap_or(f64::INFINITY);
        self.largest = self.largest.max(value.abs());
        let (whole, fraction) =
            raw.trim_start_matches('-').split_once('.').unwrap_or((raw.trim_start_matches('-'), ""));
        if raw.contains(['e', 'E']) || !value.is_finite() {
            return Kind::Float;
        }
        self.digits.0 = self.digits.0.max(whole.len());
        if fraction.is_empty() {
            return if raw.parse::<i64>().is_ok() { Kind::Int } else { Kind::Decimal };
        }
        let fraction = fraction.trim_end_matches('0');
        let scale = match fraction.len() {
            0..=MOST_SCALE => fraction.len(),
            _ => match scale_without_noise(value) {
                Some(scale) => {
                    self.noisy = true;
                    scale
                }
                None => return Kind::Float,
            },
        };
        self.digits.1 = self.digits.1.max(scale);
        Kind::Decimal
    }
}

/// The digits behind the point that `value` has but for the noise of binary floating point.
fn scale_without_noise(value: f64) -> Option<usize> {
    let near = |scale: &usize| {
        let factor = 10_f64.powi(i32::try_from(*scale).unwrap_or(0));
        ((value * factor).round() / factor - value).abs() <= 1e-11 * value.abs().max(1.0)
    };
    (0..=MOST_SCALE).find(near)
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

/// Microseconds of a time that a timestamp column takes: RFC 3339, or without a zone, which means UTC.
fn timestamp(text: &str) -> Option<i64> {
    if text.len() < 19 {
        return None;
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let parsed = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    parsed.map(|time| time.and_utc().timestamp_micros())
}

/// Whether there is more behind the point than microseconds.
fn is_too_fine(text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    fraction.bytes().take_while(u8::is_ascii_digit).skip(6).any(|digit| digit != b'0')
}

/// A sample, looked through.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Members in the order in which they first came.
    pub members: Vec<Member>,
    /// Records that are JSON objects.
    pub objects: u64,
    /// Records without a payload.
    pub tombstones: u64,
    /// Records that are something else, and how the first of them begins.
    pub others: u64,
    /// Partition, offset and description of the first of them.
    pub first_other: Option<String>,
    /// Partitions that records came from.
    pub partitions: BTreeSet<i32>,
}

impl Observed {
    /// Looks through records.
    pub fn of(records: &[PeekRecord]) -> Self {
        let mut all = Self::default();
        let mut places = BTreeMap::new();
        for (index, record) in records.iter().enumerate() {
            all.partitions.insert(record.partition);
            let Some(payload) = &record.payload else {
                all.tombstones += 1;
                continue;
            };
            match serde_json::from_slice::<Object>(payload) {
                Ok(object) => all.take(object, index, record.key.as_deref(), &mut places),
                Err(error) => all.refuse(record, payload, &error),
            }
        }
        all
    }

    fn take(&mut self, object: Object, index: usize, key: Option<&[u8]>, places: &mut BTreeMap<String, usize>) {
        self.objects += 1;
        for (name, value) in object.0 {
            let known = places.get(&name).copied();
            let place = match known {
                Some(place) => place,
                None if self.members.len() >= MEMBERS => continue,
                None => {
                    self.members.push(Member { name: name.clone(), ..Member::default() });
                    places.insert(name, self.members.len() - 1);
                    self.members.len() - 1
                }
            };
            if let Some(member) = self.members.get_mut(place) {
                member.take(value.get(), index, key);
            }
        }
    }

    fn refuse(&mut self, record: &PeekRecord, payload: &[u8], error: &serde_json::Error) {
        self.others += 1;
        let what = match payload {
            [0, ..] => "begins with a zero byte, as Avro or Protobuf of a schema registry does".to_owned(),
            [] => "is empty".to_owned(),
            _ => format!("is no JSON object: {error}"),
        };
        let place = || format!("partition {}, offset {} {what}", record.partition, record.offset);
        self.first_other.get_or_insert_with(place);
    }
}

/// A JSON object's members, in order, their values as they stand there.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    if members.len() < MEMBERS {
                        members.push(member);
                    }
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn records(payloads: &[&str]) -> Vec<PeekRecord> {
        let record = |(offset, payload): (usize, &&str)| PeekRecord {
            partition: 0,
            offset: i64::try_from(offset).unwrap(),
            timestamp_ms: 1_700_000_000_000,
            key: None,
            payload: Some(payload.as_bytes().to_vec()),
            headers: Vec::new(),
        };
        payloads.iter().enumerate().map(record).collect()
    }

    #[test]
    fn a_value_is_what_its_text_says() {
        let check = |value: &str, expected: Option<Kind>, digits: (usize, usize), noisy: bool| {
            let observed = Observed::of(&records(&[&format!("{{\"a\":{value}}}")]));
            let member = &observed.members[0];
            assert_eq!(
                (member.kinds.keys().next().copied(), member.digits, member.noisy),
                (expected, digits, noisy),
                "{value}"
            );
        };
        check("1", Some(Kind::Int), (1, 0), false);
        check("-12.50", Some(Kind::Decimal), (2, 1), false);
        check("1799.9800000000002", Some(Kind::Decimal), (4, 2), true);
        check("0.123456789", Some(Kind::Float), (1, 0), false);
        check("1e3", Some(Kind::Float), (0, 0), false);
        check("99999999999999999999", Some(Kind::Decimal), (20, 0), false);
        check("true", Some(Kind::Bool), (0, 0), false);
        check("null", None, (0, 0), false);
        check("[1]", Some(Kind::Nested), (0, 0), false);
        check("\"2024-02-29\"", Some(Kind::Date), (0, 0), false);
        check("\"2023-02-29\"", Some(Kind::Text), (0, 0), false);
        check("\"2024-12-12T10:15:25.123456789Z\"", Some(Kind::Text), (0, 0), false);
        check("\"2024-12-12T10:15:25.123456000Z\"", Some(Kind::Timestamp), (0, 0), false);
        for time in
            ["2024-12-12T10:15:25.000000", "2024-12-12 10:15:25", "2024-12-12T10:15:25Z", "2024-12-12T10:15:25+02:00"]
        {
            check(&format!("\"{time}\""), Some(Kind::Timestamp), (0, 0), false);
        }
    }

    #[test]
    fn what_is_no_object_is_counted_and_described() {
        let mut sample = records(&["{\"a\":1}", "[1]", "\0\u{1}", "nonsense"]);
        sample.push(PeekRecord { payload: None, ..sample[0].clone() });
        let observed = Observed::of(&sample);
        assert_eq!((observed.objects, observed.others, observed.tombstones), (1, 3, 1));
        assert!(observed.first_other.unwrap().contains("offset 1 is no JSON object"));
        assert!(Observed::of(&sample[2..3]).first_other.unwrap().contains("Avro"));
    }
}
