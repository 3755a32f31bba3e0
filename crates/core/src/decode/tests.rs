#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{Array, AsArray};
use arrow::compute::concat;
use arrow::datatypes::{Date32Type, Decimal128Type, Int32Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::*;
use crate::pipeline::{EventTimeSource, FieldDef};
use crate::types::DataType;

const NOW: i64 = 1_767_323_045_000_000;
const MINUTE: i64 = 60_000_000;
const GOOD: &str = r#"{"id":"a1","day":"2023-01-31","count":3,"price":106.59,"at":"2023-01-31T10:00:00Z","flag":true,"ratio":0.5,"big":9}"#;

fn field(name: &str, ty: DataType, required: bool) -> FieldDef {
    FieldDef { name: name.to_owned(), ty, required, round: false }
}

fn field_defs() -> Vec<FieldDef> {
    let price = DataType::Decimal { precision: 10, scale: 2 };
    vec![
        field("id", DataType::String, true),
        field("day", DataType::Date, true),
        field("count", DataType::Int32, true),
        FieldDef { round: true, ..field("price", price, false) },
        field("at", DataType::Timestamp, false),
        field("flag", DataType::Bool, false),
        field("ratio", DataType::Float64, false),
        field("big", DataType::Int64, false),
        field("note", DataType::String, false),
    ]
}

fn decoder(event_time: EventTimeSource) -> Decoder {
    let time =
        Time { event_time, out_of_orderness: 0, max_future_skew: 5 * MINUTE, idle_after: MINUTE, max_drift: MINUTE };
    Decoder {
        fields: Fields::new(&field_defs()),
        time,
        max_payload: DEFAULT_MAX_PAYLOAD,
        columns: Columns::new(&field_defs()),
        staged: StagedRecord::default(),
    }
}

fn batch<'a>(payloads: impl IntoIterator<Item = Option<&'a [u8]>>) -> RawBatch {
    let mut batch = RawBatch::new(0, 0);
    for (offset, payload) in (0..).zip(payloads) {
        batch.push(offset, NOW / 1000, Some(b"k"), payload, None);
    }
    batch
}

fn decode(payload: &[u8]) -> Decoded {
    decoder(EventTimeSource::Kafka).decode(&batch([Some(payload)]), NOW)
}

/// Whether a payload is a row; or an object that was refused for a field; or no object.
#[derive(Debug, PartialEq)]
enum Outcome {
    Row,
    Refused(Reason, &'static str),
    NotAnObject(Reason),
}
use Outcome::{NotAnObject, Refused, Row};

fn check(payload: &[u8], expected: Outcome) {
    let decoded = decode(payload);
    let shown = String::from_utf8_lossy(payload.get(..payload.len().min(200)).unwrap());
    let got = match (decoded.records.len(), decoded.rejects.as_slice(), decoded.kinds.as_slice()) {
        (1, [], [RecordKind::Object(_)]) => Row,
        (0, [reject], [RecordKind::Object(_)]) => {
            let defs = field_defs();
            let field = reject.field.clone().unwrap_or_default();
            assert!(field.is_empty() || defs.iter().any(|def| def.name == field), "{field}");
            let reason = reject.reason;
            match expected {
                Refused(_, name) if name == field => Refused(reason, name),
                _ => panic!("{shown}: {reject:?}, expected {expected:?}"),
            }
        }
        (0, [reject], [RecordKind::NotAnObject]) => NotAnObject(reject.reason),
        other => panic!("{shown}: {other:?}"),
    };
    assert_eq!(got, expected, "{shown}: {:?}", decoded.rejects);
    // The ledger knows by the reason whether a record is in Bronze.
    assert!(decoded.rejects.iter().all(|reject| reject.reason.is_no_object() == matches!(got, NotAnObject(_))));
    assert!(decoded.rejects.iter().all(|reject| reject.detail.chars().count() < 400));
}

/// `GOOD` with the value of one field replaced.
fn with(name: &str, value: &str) -> Vec<u8> {
    let marker = format!("\"{name}\":");
    let (front, rest) = GOOD.split_once(&marker).expect("a field of GOOD");
    let end = rest.find(",\"").or_else(|| rest.find('}')).unwrap();
    format!("{front}{marker}{value}{}", &rest[end..]).into_bytes()
}

fn nested(levels: usize) -> Vec<u8> {
    let rest = GOOD.strip_prefix('{').unwrap();
    format!("{{\"deep\":{}{},{rest}", "[".repeat(levels), "]".repeat(levels)).into_bytes()
}

#[test]
fn a_payload_that_is_no_object_is_refused_with_its_reason() {
    check(b"", NotAnObject(Reason::Empty));
    check(b" \n\t ", NotAnObject(Reason::Empty));
    check(&GOOD.as_bytes()[..40], NotAnObject(Reason::Truncated));
    check(b"{", NotAnObject(Reason::Truncated));
    check(b"[1", NotAnObject(Reason::Truncated));
    check(format!("{GOOD}{GOOD}").as_bytes(), NotAnObject(Reason::TrailingData));
    check(format!("{GOOD} x").as_bytes(), NotAnObject(Reason::TrailingData));
    check(format!("{GOOD}\0").as_bytes(), NotAnObject(Reason::TrailingData));
    for other in ["[]", "[{}]", "3", "\"{}\"", "null", "true"] {
        check(other.as_bytes(), NotAnObject(Reason::NotAnObject));
    }
    check(b"hello", NotAnObject(Reason::NotJson));
    check(b"id,day\n1,2", NotAnObject(Reason::NotJson));
    check(b"{'id':1}", NotAnObject(Reason::NotJson));
    check(b"{\"id\":1,}", NotAnObject(Reason::NotJson));
    check(b"{\"id\":1 /* note */}", NotAnObject(Reason::NotJson));
    check(b"{\"id\" 1}", NotAnObject(Reason::NotJson));
    check(b"{id:1}", NotAnObject(Reason::NotJson));
}

#[test]
fn other_encodings_are_refused() {
    check(format!("\u{feff}{GOOD}").as_bytes(), NotAnObject(Reason::Bom));
    check(b"\xff\xfe{\0}\0", NotAnObject(Reason::NotUtf8));
    check(b"{\0\"\0i\0d\0", NotAnObject(Reason::NotJson));
    check(b"\x1f\x8b\x08\0\0", NotAnObject(Reason::NotUtf8));
    check(b"\0\0\0\0\x05\x02a", NotAnObject(Reason::NotJson));
    check(b"{\"id\":\"\xc3\"}", NotAnObject(Reason::NotUtf8));
    check(b"{\"id\":\"\xed\xa0\x80\"}", NotAnObject(Reason::NotUtf8));
}

#[test]
fn literals_that_json_does_not_have_are_refused() {
    for value in
        ["NaN", "Infinity", "-Infinity", "01", "-01", "+1", "1.", ".5", "1e", "0x10", "True", "None", "1_0", "-"]
    {
        check(&with("price", value), NotAnObject(Reason::NotJson));
        check(&with("id", value), NotAnObject(Reason::NotJson));
    }
    for value in
        ["\"a\nb\"", "\"a\tb\"", "\"a\0b\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "'a'"]
    {
        check(&with("id", value), NotAnObject(Reason::NotJson));
    }
}

#[test]
fn duplicate_keys_are_refused_at_every_level() {
    let duplicate = |extra: &str| format!("{{{extra},{}", GOOD.strip_prefix('{').unwrap());
    for extra in [
        r#""id":"a1""#,
        r#""\u0069d":"a1""#,
        r#""x":1,"x":2"#,
        r#""x":1,"\u0078":2"#,
        r#""x":{"y":1,"y":1}"#,
        r#""x":[[{"a":{"y":1,"z":2,"y":1}}]]"#,
    ] {
        check(duplicate(extra).as_bytes(), NotAnObject(Reason::DuplicateKey));
    }
    check(duplicate(r#""x":{"y":1},"z":{"y":1}"#).as_bytes(), Row);
    check(duplicate(r#""ID":"differs in case""#).as_bytes(), Row);
}

#[test]
fn up_to_128_levels_are_taken() {
    check(&nested(127), Row);
    check(&nested(128), NotAnObject(Reason::TooDeep));
    check(&nested(100_000), NotAnObject(Reason::TooDeep));
    check("[".repeat(100_000).as_bytes(), NotAnObject(Reason::Truncated));
}

#[test]
fn numbers_beyond_a_double_are_not_what_serde_json_takes() {
    check(&with("price", "1e400"), NotAnObject(Reason::NotJson));
    check(&with("price", &"9".repeat(100_000)), NotAnObject(Reason::NotJson));
    check(&with("price", &"9".repeat(300)), Refused(Reason::OutOfRange, "price"));
    check(&with("price", &format!("1.{}", "3".repeat(100_000))), Row);
    check(&with("price", "1e-400"), Row);
    check(&with("ratio", "1e308"), Row);
}

#[test]
fn a_payload_above_the_limit_is_refused_before_it_is_read() {
    let mut decoder = decoder(EventTimeSource::Kafka).with_max_payload(GOOD.len());
    let larger = format!("{GOOD} ");
    let decoded = decoder.decode(&batch([Some(GOOD.as_bytes()), Some(larger.as_bytes())]), NOW);
    assert_eq!(decoded.records, [0]);
    assert_eq!((decoded.rejects[0].record, decoded.rejects[0].reason), (1, Reason::TooLarge));
    assert!(!decoded.kinds[1].in_bronze());
}

#[test]
fn large_and_wide_payloads_within_the_limit_are_rows() {
    check(&with("id", &format!("\"{}\"", "x".repeat(9 << 20))), Row);
    let many: String = (0..50_000).map(|i| format!("\"k{i}\":{i},")).collect();
    let wide = format!("{{{many}{}", GOOD.strip_prefix('{').unwrap());
    check(wide.as_bytes(), Row);
    let decoded = decode(wide.as_bytes());
    assert_eq!(decoded.unknown_fields.len(), 1_001);
    assert_eq!(decoded.unknown_fields.values().sum::<u64>(), 50_000);
}

#[test]
fn a_required_field_is_there_and_not_null() {
    check(GOOD.replacen("\"id\"", "\"Id\"", 1).as_bytes(), Refused(Reason::MissingField, "id"));
    check(&with("id", "null"), Refused(Reason::MissingField, "id"));
    check(b"{}", Refused(Reason::MissingField, "id"));
    check(&with("price", "null"), Row);
    check(&with("id", "\"\""), Row);
}

#[test]
fn a_value_of_another_type_is_refused_in_optional_fields_too() {
    check(&with("id", "5"), Refused(Reason::WrongType, "id"));
    check(&with("count", "\"3\""), Refused(Reason::WrongType, "count"));
    check(&with("count", "3.5"), Refused(Reason::WrongType, "count"));
    check(&with("count", "true"), Refused(Reason::WrongType, "count"));
    check(&with("count", "[3]"), Refused(Reason::WrongType, "count"));
    check(&with("price", "\"106.59\""), Refused(Reason::WrongType, "price"));
    check(&with("price", "{\"v\":1}"), Refused(Reason::WrongType, "price"));
    check(&with("flag", "\"true\""), Refused(Reason::WrongType, "flag"));
    check(&with("flag", "1"), Refused(Reason::WrongType, "flag"));
    check(&with("ratio", "\"0.5\""), Refused(Reason::WrongType, "ratio"));
    check(&with("at", "1733998525"), Refused(Reason::WrongType, "at"));
    check(&with("at", "1733998525000"), Refused(Reason::WrongType, "at"));
    check(&with("day", "20230131"), Refused(Reason::WrongType, "day"));
}

#[test]
fn a_value_outside_of_its_column_is_refused() {
    check(&with("count", "2147483648"), Refused(Reason::OutOfRange, "count"));
    check(&with("big", "9223372036854775808"), Refused(Reason::OutOfRange, "big"));
    check(&with("price", "100000000.00"), Refused(Reason::OutOfRange, "price"));
    check(&with("day", "\"2023-02-30\""), Refused(Reason::BadDate, "day"));
    check(&with("at", "\"yesterday\""), Refused(Reason::BadTimestamp, "at"));
    check(&with("at", "\"9999-12-31T23:59:59-05:00\""), Refused(Reason::OutOfRange, "at"));
    check(&with("at", "\"2023-01-31T10:00:00.1234567Z\""), Refused(Reason::TooManyDigits, "at"));
    check(&with("count", "-2147483648"), Row);
    check(&with("count", "3.0"), Row);
    check(&with("price", "-99999999.99"), Row);
}

#[test]
fn the_field_declared_first_gives_the_reason() {
    check(br#"{"note":5,"count":"x","id":null,"day":"x"}"#, Refused(Reason::MissingField, "id"));
    check(br#"{"note":5,"count":"x","id":"a"}"#, Refused(Reason::MissingField, "day"));
    check(br#"{"note":5,"count":"x","id":"a","day":"x"}"#, Refused(Reason::BadDate, "day"));
}

#[test]
fn strings_are_kept_to_the_letter() {
    let decoded = decode(&with("id", r#""a\u0000\"\n\ud83d\ude00é<script>\"; DROP TABLE --""#));
    assert_eq!(decoded.columns[0].as_string::<i32>().value(0), "a\0\"\n😀é<script>\"; DROP TABLE --");
}

#[test]
fn a_row_has_its_values_in_the_declared_types() {
    let decoded = decode(GOOD.as_bytes());
    let types: Vec<_> = decoded.columns.iter().map(|column| column.data_type().clone()).collect();
    assert_eq!(types, field_defs().iter().map(|def| def.ty.arrow()).collect::<Vec<_>>());
    assert_eq!(decoded.columns[1].as_primitive::<Date32Type>().value(0), 19_388);
    assert_eq!(decoded.columns[2].as_primitive::<Int32Type>().value(0), 3);
    assert_eq!(decoded.columns[3].as_primitive::<Decimal128Type>().value(0), 10_659);
    assert_eq!(decoded.columns[4].as_primitive::<TimestampMicrosecondType>().value(0), 1_675_159_200_000_000);
    assert!(decoded.columns[8].is_null(0));
    assert_eq!(decoded.event_times, [EventTime(NOW)]);
}

#[test]
fn rows_rejects_and_tombstones_are_all_of_a_batch() {
    let payloads = [Some(GOOD.as_bytes()), None, Some(b"{}"), Some(b"x"), Some(GOOD.as_bytes())];
    let decoded = decoder(EventTimeSource::Kafka).decode(&batch(payloads), NOW);
    assert_eq!(decoded.records, [0, 4]);
    assert_eq!(decoded.tombstones, 1);
    assert_eq!(decoded.rejects.iter().map(|reject| reject.record).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(decoded.kinds.iter().map(|kind| kind.in_bronze()).collect::<Vec<_>>(), [true, true, true, false, true]);
    assert!(decoded.columns.iter().all(|column| column.len() == 2));
}

#[test]
fn a_batch_of_poison_has_no_rows_and_one_reject_each() {
    let payloads = vec![Some(&b"{\"id\":"[..]); 10_000];
    let decoded = decoder(EventTimeSource::Kafka).decode(&batch(payloads), NOW);
    assert_eq!((decoded.records.len(), decoded.rejects.len()), (0, 10_000));
}

#[test]
fn fields_in_another_order_and_unknown_ones_are_found() {
    let shuffled = r#"{ "count" : 3 , "new":{"a":[1]},"topic":"x","day":"2023-01-31","id":"a1" }"#;
    let payloads = [Some(GOOD.as_bytes()), Some(shuffled.as_bytes()), Some(GOOD.as_bytes())];
    let decoded = decoder(EventTimeSource::Kafka).decode(&batch(payloads), NOW);
    assert_eq!(decoded.records, [0, 1, 2]);
    assert_eq!(decoded.unknown_fields.into_iter().collect::<Vec<_>>(), [("new".into(), 1), ("topic".into(), 1)]);
    assert_eq!(decoded.kinds[1], RecordKind::Object(Clashes::of("topic")));
}

fn event_time(source: EventTimeSource, timestamp_ms: i64, now_us: i64) -> Result<EventTime, (Reason, RecordKind)> {
    let mut batch = RawBatch::new(0, 0);
    batch.push(0, timestamp_ms, None, Some(GOOD.as_bytes()), None);
    let decoded = decoder(source).decode(&batch, now_us);
    match decoded.rejects.first() {
        Some(reject) => Err((reject.reason, decoded.kinds[0])),
        None => Ok(decoded.event_times[0]),
    }
}

#[test]
fn the_event_time_is_kafkas_or_a_fields_and_not_in_the_future() {
    let (kafka, day, at) = (EventTimeSource::Kafka, EventTimeSource::Field(1), EventTimeSource::Field(4));
    let object = RecordKind::Object(Clashes::default());
    let now_ms = NOW / 1000;
    assert_eq!(event_time(kafka, now_ms, NOW), Ok(EventTime(NOW)));
    assert_eq!(event_time(kafka, now_ms + 300_000, NOW), Ok(EventTime(NOW + 5 * MINUTE)));
    assert_eq!(event_time(kafka, now_ms + 300_001, NOW), Err((Reason::Future, object)));
    assert_eq!(event_time(kafka, now_ms + 315_360_000_000, NOW), Err((Reason::Future, object)));
    assert_eq!(event_time(kafka, i64::MAX, NOW), Err((Reason::Future, object)));
    assert_eq!(event_time(kafka, -1, NOW), Err((Reason::NoTimestamp, object)));
    assert_eq!(event_time(kafka, -2, NOW), Ok(EventTime(-2000)));
    assert_eq!(event_time(kafka, i64::MIN, NOW), Err((Reason::OutOfRange, object)));
    assert_eq!(event_time(day, -1, NOW), Ok(EventTime(19_388 * 86_400_000_000)));
    assert_eq!(event_time(at, -1, NOW), Ok(EventTime(1_675_159_200_000_000)));
    assert_eq!(event_time(at, -1, 0), Err((Reason::Future, object)));
}

#[test]
fn a_kafka_timestamp_without_a_date_is_no_time() {
    assert_eq!(kafka_micros(1), Some(1000));
    assert_eq!([kafka_micros(-1), kafka_micros(i64::MAX), kafka_micros(i64::MIN)], [None; 3]);
}

/// All that a reader says of a good record.
#[derive(Debug, PartialEq)]
struct Reading {
    columns: Vec<ArrayRef>,
    unknown: Vec<String>,
    clashes: Clashes,
}

fn reading(columns: &mut Columns, staged: &StagedRecord, text: &str) -> Reading {
    columns.keep();
    Reading {
        columns: columns.finish(),
        unknown: staged.unknown.iter().map(|&place| staged.text(place, text).to_owned()).collect(),
        clashes: staged.clashes,
    }
}

/// Holds the scanner against the document reader, and that against serde_json's own map. True if the scanner took it.
fn readers_agree(payload: &[u8]) -> bool {
    let Ok(text) = admit(payload, DEFAULT_MAX_PAYLOAD) else { return false };
    let (mut fields, mut columns, mut staged) =
        (Fields::new(&field_defs()), Columns::new(&field_defs()), StagedRecord::default());
    columns.begin(1);
    let taken =
        scanner::scan(text, &mut fields, &mut columns, &mut staged).map(|()| reading(&mut columns, &staged, text));
    let verdict = document::read(text, &fields, &mut staged);
    let is_taken = taken.is_some();
    if let Some(quick) = taken {
        assert_eq!(verdict, Verdict::Good, "{text}");
        columns.begin(1);
        columns.append(&staged, text);
        assert_eq!(quick, reading(&mut columns, &staged, text), "{text}");
    }
    let map = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    match verdict {
        Verdict::NotAnObject(problem) if problem.reason == Reason::DuplicateKey => {}
        Verdict::NotAnObject(_) => assert!(map.is_err(), "{text}"),
        Verdict::Good | Verdict::BadField(_) => assert!(map.is_ok(), "{text}"),
    }
    is_taken
}

#[test]
fn the_scanner_takes_plain_records() {
    let spaced = GOOD.replace(',', " ,\r\n ").replace("\":", "\"\t: ");
    for plain in [GOOD, &spaced, r#"{"x":-0.5e+3,"id":"é€😀","day":"2020-02-29","count":-7,"note":null}"#] {
        assert!(readers_agree(plain.as_bytes()), "{plain}");
    }
}

/// Pieces that a mutation may put anywhere.
const PIECES: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\\\"",
    "\\u0041",
    "\\ud83d\\ude00",
    "\\ud800",
    "\0",
    "\n",
    "\r\n",
    "\t",
    " ",
    "null",
    "true",
    "false",
    "nul",
    "0",
    "-",
    "1e2",
    "1E+2",
    "e400",
    ".5",
    "0.10",
    "00",
    "99999999999999999999",
    "é",
    "😀",
    "\u{feff}",
    "\u{a0}",
    "\"id\":\"a1\",",
    "\"x\":1,",
    "\"x\":{\"y\":[1]},",
    "\"topic\":0,",
    "/*c*/",
    "2023-01-31",
];

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..4_usize, any::<prop::sample::Index>(), any::<u8>());
    prop::collection::vec(edit, 0..4).prop_map(|edits| {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (place, cut, piece, byte) in edits {
            let at = place.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            let piece = piece.index(PIECES.len() + 8);
            let insert = PIECES
                .get(piece)
                .map_or_else(|| if piece % 2 == 0 { vec![] } else { vec![byte] }, |p| p.as_bytes().to_vec());
            bytes.splice(at..end, insert);
        }
        bytes
    })
}

fn number_text() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_readers_say_the_same_of_mutated_records(payload in mutated()) {
        readers_agree(&payload);
    }

    #[test]
    fn both_readers_say_the_same_of_any_number(number in number_text()) {
        for name in ["count", "price", "ratio", "big"] {
            readers_agree(&with(name, &number));
        }
    }

    #[test]
    fn a_record_that_is_no_row_leaves_nothing_behind(payloads in prop::collection::vec(mutated(), 1..12)) {
        let at = EventTimeSource::Field(4);
        let together = decoder(at).decode(&batch(payloads.iter().map(|payload| Some(payload.as_slice()))), NOW);
        let alone: Vec<_> = payloads.iter().map(|payload| decoder(at).decode(&batch([Some(payload.as_slice())]), NOW)).collect();
        for (index, column) in together.columns.iter().enumerate() {
            let parts: Vec<_> = alone.iter().map(|decoded| decoded.columns[index].as_ref()).collect();
            assert_eq!(column, &concat(&parts).unwrap());
        }
        assert_eq!(together.event_times, alone.iter().flat_map(|decoded| decoded.event_times.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn both_readers_say_the_same_of_any_bytes(payload in prop::collection::vec(any::<u8>(), 0..40)) {
        readers_agree(&payload);
    }
}
