//! What a pipeline file could say of a topic, guessed from a sample. Pure.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_connect::kafka::PeekRecord;

use super::observed::{Kind, Member, Observed};

/// Of a hundred values that may be of another kind than the rest; more leave the field out.
const ODD_PERCENT: u64 = 2;

/// A column with more different values than this is no dimension.
const MOST_VALUES: u64 = 50;

/// Records without which little can be guessed of keys and dimensions.
const ENOUGH: u64 = 20;

/// Columns of a KPI's key, and the keys that they may make together.
const KEY_COLUMNS: usize = 2;
const MOST_KEYS: u64 = 500;

/// Names that a KPI has for columns of its own.
const OF_KPIS: [&str; 4] = ["revision", "is_final", "records", "total"];

/// Different values that a column of the key may have.
const MOST_OF_KEY: u64 = 20;

/// What people like to count by, and to add up, by words of names.
const GROUPS: [&str; 10] =
    ["category", "country", "region", "type", "status", "segment", "store", "device", "channel", "city"];
const AMOUNTS: [&str; 6] = ["total", "amount", "revenue", "price", "cost", "value"];

/// More folders than this are no good layout.
const MOST_DAYS: usize = 31;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 86_400 * SECOND;

/// How far events may be out of order, from which the smallest that suits is taken.
const ORDERS: [i64; 5] = [MINUTE, 5 * MINUTE, 10 * MINUTE, 60 * MINUTE, DAY];

/// A field of the draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// As a pipeline file writes it, without `!`; `None`: it is left out.
    pub ty: Option<String>,
    pub required: bool,
    /// What was seen.
    pub about: String,
}

/// Everything that is guessed.
#[derive(Clone, Debug, Default)]
pub struct Guess {
    pub fields: Vec<Field>,
    /// The field that holds the event time; `None`: Kafka's.
    pub event_time: Option<String>,
    /// Why.
    pub event_time_about: String,
    /// Microseconds.
    pub out_of_orderness: i64,
    /// Fields whose values are all different.
    pub keys: Vec<String>,
    /// The field whose text is Kafka's key.
    pub kafka_key: Option<String>,
    /// Fields with few values, fewest first.
    pub dimensions: Vec<Dimension>,
    /// Columns of the KPI's key.
    pub kpi_key: Vec<String>,
    /// The number that the KPI adds up.
    pub measure: Option<String>,
    /// Whether folders by day are sensible.
    pub by_day: bool,
}

/// A field with few values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    pub name: String,
    pub values: u64,
    /// The most frequent ones.
    pub examples: Vec<String>,
}

impl Guess {
    /// Guesses from a sample; `usable` says whether a field of that name can be a column, or why not.
    pub fn of(observed: &Observed, records: &[PeekRecord], usable: impl Fn(&str) -> Result<(), String>) -> Self {
        let mut guess = Self::default();
        let mut taken = Vec::<String>::new();
        for member in &observed.members {
            let mut field = field(member, observed.objects);
            let folded = member.name.to_lowercase();
            if let Err(why) = usable(&member.name) {
                (field.ty, field.about) = (None, why);
            } else if taken.contains(&folded) {
                (field.ty, field.about) = (None, "differs from another field only in case".to_owned());
            }
            if field.ty.is_some() {
                taken.push(folded);
            }
            guess.fields.push(field);
        }
        guess.time(observed, records);
        guess.identity(observed);
        guess.figures(observed);
        guess
    }

    fn typed<'o>(&self, observed: &'o Observed, types: &[&str]) -> Vec<(&'o Member, &Field)> {
        let of = |ty: &Option<String>| ty.as_ref().is_some_and(|ty| types.iter().any(|wanted| ty.starts_with(wanted)));
        observed.members.iter().zip(&self.fields).filter(|(_, field)| of(&field.ty)).collect()
    }

    /// The event time: the required timestamp that is nearest to Kafka's, if it is not ahead of it.
    fn time(&mut self, observed: &Observed, records: &[PeekRecord]) {
        let required = self.typed(observed, &["timestamp"]).into_iter().filter(|(_, field)| field.required);
        let candidates = required.map(|(member, _)| (member, behind_kafka(member, records)));
        // One that lies ahead of Kafka's is an appointment, or a clock that is wrong.
        let best =
            candidates.filter(|(_, (least, _))| *least > -5 * MINUTE).min_by_key(|(_, (_, middle))| middle.abs());
        let times: BTreeMap<usize, i64> = match best {
            Some((member, _)) => member.times.iter().copied().collect(),
            None => (0..records.len()).map(|index| (index, kafka_time(records, index))).collect(),
        };
        let worst = disorder(&times, records);
        self.out_of_orderness = ORDERS.into_iter().find(|order| worst < *order).unwrap_or(DAY);
        let about = match best {
            Some((_, (_, middle))) => {
                format!("RFC 3339, in every record; Kafka's time is later by {} in the middle", span(middle))
            }
            None => "no field holds a timestamp in every record: Kafka's own is taken".to_owned(),
        };
        self.event_time_about = format!("{about}; at most {} out of order in a partition", span(worst));
        self.event_time = best.map(|(member, _)| member.name.clone());
        let days: BTreeSet<i64> = times.values().map(|at| at.div_euclid(DAY)).collect();
        let is_free = self.fields.iter().all(|field| field.name.to_lowercase() != "event_day");
        self.by_day = best.is_some() && is_free && days.len() <= MOST_DAYS;
    }

    fn identity(&mut self, observed: &Observed) {
        let looks = |name: &str| {
            let name = name.to_lowercase();
            ["id", "key", "uuid", "no", "nr", "number", "code"].iter().any(|end| name.ends_with(end))
        };
        let all: Vec<(&Member, &Field)> = self.typed(observed, &["string", "int"]);
        let different = |m: &Member| m.distinct() == observed.objects && observed.objects >= ENOUGH;
        let keys =
            all.iter().filter(|(m, f)| f.required && different(m) && looks(&m.name)).map(|(m, _)| m.name.clone());
        let keys = keys.collect();
        let always = |m: &&Member| m.is_key > 0 && m.is_key == m.seen();
        self.kafka_key = all.iter().map(|(m, _)| *m).find(always).map(|m| m.name.clone());
        self.keys = keys;
    }

    /// Dimensions, and a KPI of them.
    fn figures(&mut self, observed: &Observed) {
        let few = |m: &Member| (2..=MOST_VALUES).contains(&m.distinct()) && m.distinct() * 5 <= m.seen();
        let mut dimensions: Vec<Dimension> = self
            .typed(observed, &["string", "bool"])
            .into_iter()
            .filter(|(m, _)| few(m) && observed.objects >= ENOUGH)
            .map(|(m, _)| dimension(m))
            .collect();
        dimensions.sort_by_key(|d| d.values);
        let mut by_use: Vec<&Dimension> = dimensions.iter().filter(|d| d.values <= MOST_OF_KEY).collect();
        by_use.sort_by_key(|d| (position(&GROUPS, &d.name), std::cmp::Reverse(d.values)));
        let mut keys = 1;
        for dimension in by_use.into_iter().filter(|d| !OF_KPIS.contains(&d.name.to_lowercase().as_str())) {
            if self.kpi_key.len() < KEY_COLUMNS && keys * dimension.values <= MOST_KEYS {
                keys *= dimension.values;
                self.kpi_key.push(dimension.name.clone());
            }
        }
        let numbers = self.typed(observed, &["decimal", "float64"]).into_iter().map(|(m, _)| &m.name);
        self.measure = numbers.min_by_key(|name| position(&AMOUNTS, name)).cloned();
        self.dimensions = dimensions;
    }
}

fn kafka_time(records: &[PeekRecord], index: usize) -> i64 {
    records.get(index).map_or(0, |record| record.timestamp_ms.saturating_mul(1_000))
}

/// By how much Kafka's times are later than a member's: the least, and the one in the middle.
fn behind_kafka(member: &Member, records: &[PeekRecord]) -> (i64, i64) {
    let times = member.times.iter();
    let mut behind: Vec<i64> = times.map(|(index, at)| kafka_time(records, *index).saturating_sub(*at)).collect();
    behind.sort_unstable();
    (behind.first().copied().unwrap_or(0), behind.get(behind.len() / 2).copied().unwrap_or(0))
}

/// How far a time is behind a newer one before it in its partition, at most.
fn disorder(times: &BTreeMap<usize, i64>, records: &[PeekRecord]) -> i64 {
    let (mut newest, mut worst, mut partition) = (i64::MIN, 0, None);
    for (index, &at) in times {
        let of = records.get(*index).map(|record| record.partition);
        if std::mem::replace(&mut partition, of) != of {
            newest = i64::MIN;
        }
        worst = worst.max(newest.saturating_sub(at));
        newest = newest.max(at);
    }
    worst
}

/// Where the first word stands that a name holds; behind them all if none.
fn position(words: &[&str], name: &str) -> usize {
    let name = name.to_lowercase();
    words.iter().position(|word| name.contains(word)).unwrap_or(words.len())
}

fn dimension(member: &Member) -> Dimension {
    let mut by_count: Vec<(&String, &u64)> = member.values.iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let examples = by_count.iter().take(4).map(|(value, _)| value.chars().take(24).collect()).collect();
    Dimension { name: member.name.clone(), values: member.distinct(), examples }
}

/// A field's type from what was seen of it.
fn field(member: &Member, objects: u64) -> Field {
    let seen = member.seen();
    let missing = objects.saturating_sub(seen);
    let mut about = if missing > 0 { format!("missing or null in {missing} of {objects}") } else { String::new() };
    let mut add = |text: String| {
        about = if about.is_empty() { text } else { format!("{about}; {text}") };
    };
    let ty = match main_kind(member) {
        Main::Nothing => {
            add("never holds anything".to_owned());
            None
        }
        Main::Mixed => {
            let kinds: Vec<String> = member.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            add(format!("mixed: {}; a column has one type", kinds.join(", ")));
            None
        }
        Main::One(Kind::Nested) => {
            add("objects or lists have no column; Bronze keeps them".to_owned());
            None
        }
        Main::One(kind) => {
            let odd = seen - count_of(member, kind);
            if odd > 0 {
                add(format!("{odd} of {seen} are no {kind} and will be quarantined"));
            }
            let (ty, note) = type_of(member, kind);
            if let Some(note) = note {
                add(note);
            }
            Some(ty)
        }
    };
    Field { name: member.name.clone(), ty, required: missing == 0, about }
}

/// Of which kind the values are.
enum Main {
    Nothing,
    One(Kind),
    Mixed,
}

/// Values that a column for `kind` takes.
fn count_of(member: &Member, kind: Kind) -> u64 {
    let also: &[Kind] = match kind {
        Kind::Float => &[Kind::Float, Kind::Decimal, Kind::Int],
        Kind::Decimal => &[Kind::Decimal, Kind::Int],
        Kind::Text => &[Kind::Text, Kind::Date, Kind::Timestamp],
        _ => &[kind],
    };
    also.iter().filter_map(|kind| member.kinds.get(kind)).sum()
}

/// The narrowest kind that takes all values but a few odd ones.
fn main_kind(member: &Member) -> Main {
    let seen = member.seen();
    if seen == 0 {
        return Main::Nothing;
    }
    let order =
        [Kind::Bool, Kind::Int, Kind::Date, Kind::Timestamp, Kind::Decimal, Kind::Float, Kind::Text, Kind::Nested];
    let odd = |kind: &Kind| seen - count_of(member, *kind);
    // Whole numbers among decimals are no odd values, so the kind that takes most comes first.
    let best = order.into_iter().min_by_key(odd);
    match best {
        Some(kind) if odd(&kind) * 100 <= seen * ODD_PERCENT => Main::One(kind),
        _ => Main::Mixed,
    }
}

/// The type, and what there is to say of it.
fn type_of(member: &Member, kind: Kind) -> (String, Option<String>) {
    match kind {
        Kind::Bool => ("bool".to_owned(), None),
        Kind::Int => {
            let seconds = (1e9..1e11).contains(&member.largest);
            let millis = (1e12..1e14).contains(&member.largest);
            let unit = if seconds { Some("seconds") } else { Some("milliseconds").filter(|_| millis) };
            let note = unit.map(|unit| format!("could be {unit} since 1970; such a number can't be the event time"));
            ("int64".to_owned(), note)
        }
        Kind::Decimal if member.digits.1 <= 4 && member.digits.0 <= 30 => {
            let scale = member.digits.1.max(2);
            let precision = (member.digits.0 + 2 + scale).max(12);
            let round = if member.noisy { " round" } else { "" };
            let note = member.noisy.then(|| "numbers have the noise of binary floating point: rounded".to_owned());
            (format!("decimal({precision},{scale}){round}"), note)
        }
        Kind::Decimal | Kind::Float => ("float64".to_owned(), None),
        Kind::Date => ("date".to_owned(), Some("YYYY-MM-DD".to_owned())),
        Kind::Timestamp => ("timestamp".to_owned(), None),
        Kind::Text | Kind::Nested => {
            let note = "timestamps with more than six digits behind the point fit no timestamp column";
            ("string".to_owned(), member.too_fine.then(|| note.to_owned()))
        }
    }
}

/// A span for people, in the unit that tells most.
fn span(micros: i64) -> String {
    let units = [(DAY, "days"), (60 * MINUTE, "hours"), (MINUTE, "minutes"), (SECOND, "seconds")];
    let fits = |(unit, _): &&(i64, &str)| micros.abs() >= 2 * unit;
    units
        .iter()
        .find(fits)
        .map_or_else(|| "less than 2 seconds".to_owned(), |(unit, name)| format!("{} {name}", micros / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(payloads: &[String]) -> Guess {
        let records: Vec<PeekRecord> = payloads
            .iter()
            .enumerate()
            .map(|(n, payload)| PeekRecord {
                partition: 0,
                offset: i64::try_from(n).unwrap(),
                timestamp_ms: 1_700_000_000_000 + i64::try_from(n).unwrap(),
                key: Some(format!("u{}", n % 3).into_bytes()),
                payload: Some(payload.clone().into_bytes()),
                headers: Vec::new(),
            })
            .collect();
        Guess::of(
            &Observed::of(&records),
            &records,
            |name| if name == "kafka_x" { Err("taken".to_owned()) } else { Ok(()) },
        )
    }

    fn types(payloads: &[&str]) -> Vec<(String, Option<String>, bool)> {
        let payloads: Vec<String> = payloads.iter().map(|p| (*p).to_owned()).collect();
        guessed(&payloads).fields.into_iter().map(|f| (f.name, f.ty, f.required)).collect()
    }

    #[test]
    fn a_type_takes_all_that_was_seen_and_a_field_that_has_none_is_left_out() {
        let check = |values: &[&str], ty: Option<&str>, required: bool| {
            let payloads: Vec<String> = values.iter().map(|value| format!("{{\"a\":{value}}}")).collect();
            let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
            assert_eq!(types(&payloads), [("a".to_owned(), ty.map(str::to_owned), required)], "{values:?}");
        };
        check(&["1", "2"], Some("int64"), true);
        check(&["1", "2.5"], Some("decimal(12,2)"), true);
        check(&["1799.9800000000002", "3"], Some("decimal(12,2) round"), true);
        check(&["0.12345", "3"], Some("float64"), true);
        check(&["1", "1e-9", "2.5"], Some("float64"), true);
        check(&["true", "null"], Some("bool"), false);
        check(&["\"2024-01-01\"", "\"2024-01-02\""], Some("date"), true);
        check(&["\"2024-01-01\"", "\"soon\""], Some("string"), true);
        check(&["\"2024-01-01T00:00:00Z\""], Some("timestamp"), true);
        check(&["\"x\"", "7"], None, true);
        check(&["{}", "[]"], None, true);
        check(&["null"], None, false);
    }

    #[test]
    fn names_that_no_column_may_have_and_names_that_differ_in_case_only_are_left_out() {
        let found = types(&["{\"kafka_x\":1,\"A\":1,\"a\":2}"]);
        assert_eq!(found.iter().map(|(_, ty, _)| ty.is_some()).collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn a_feed_gives_event_time_keys_dimensions_and_a_figure() {
        let order = |n: usize| {
            let second = if n == 7 { 0 } else { n };
            format!(
                "{{\"order_id\":\"o{n}\",\"user\":\"u{}\",\"at\":\"2023-11-14T22:{:02}:{:02}Z\",\"due\":\"2030-01-01T00:00:00Z\",\
                 \"country\":\"{}\",\"price\":{}.5}}",
                n % 3,
                10 + second / 60,
                second % 60,
                ["France", "UK"][n % 2],
                n
            )
        };
        let guess = guessed(&(0..60).map(order).collect::<Vec<_>>());
        assert_eq!(guess.event_time.as_deref(), Some("at"), "the other one lies in the future");
        assert_eq!(guess.out_of_orderness, MINUTE);
        assert_eq!((guess.keys, guess.kafka_key.as_deref()), (vec!["order_id".to_owned()], Some("user")));
        assert_eq!(guess.dimensions.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["country", "user"]);
        assert_eq!(guess.kpi_key, ["country", "user"]);
        assert_eq!(guess.measure.as_deref(), Some("price"));
        assert!(guess.by_day);
    }
}
