//! Postgres' to_char patterns for dates and times. A letter that is no known pattern is refused rather than copied.

use std::fmt::Write as _;

use chrono::Datelike;

use super::time_text::Moment;

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Copied.
    Text(String),
    /// A field; `plain` leaves out leading zeros and blanks.
    Field { field: Pattern, case: Case, plain: bool },
}

/// The patterns, without their letters' case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    Year,
    YearOfCentury,
    IsoYear,
    Quarter,
    Month,
    MonthShort,
    MonthLong,
    Week,
    IsoWeek,
    Day,
    DayOfYear,
    Weekday,
    IsoWeekday,
    DayShort,
    DayLong,
    Hour24,
    Hour12,
    Minute,
    Second,
    Milli,
    Micro,
    Half,
}

/// How a name is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Lower,
    Capital,
    Upper,
}

/// Longest first where one begins with another.
const PATTERNS: [(&str, Pattern); 24] = [
    ("YYYY", Pattern::Year),
    ("YY", Pattern::YearOfCentury),
    ("IYYY", Pattern::IsoYear),
    ("IW", Pattern::IsoWeek),
    ("ID", Pattern::IsoWeekday),
    ("Q", Pattern::Quarter),
    ("MONTH", Pattern::MonthLong),
    ("MON", Pattern::MonthShort),
    ("MM", Pattern::Month),
    ("MI", Pattern::Minute),
    ("MS", Pattern::Milli),
    ("WW", Pattern::Week),
    ("DAY", Pattern::DayLong),
    ("DDD", Pattern::DayOfYear),
    ("DD", Pattern::Day),
    ("DY", Pattern::DayShort),
    ("D", Pattern::Weekday),
    ("HH24", Pattern::Hour24),
    ("HH12", Pattern::Hour12),
    ("HH", Pattern::Hour12),
    ("SS", Pattern::Second),
    ("US", Pattern::Micro),
    ("AM", Pattern::Half),
    ("PM", Pattern::Half),
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Takes a pattern apart; the error says which part is not supported.
pub(super) fn compile(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    let mut plain = false;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, after) = quoted.split_once('"').ok_or("a quote in the pattern is not closed")?;
            pieces.push(Piece::Text(text.to_owned()));
            rest = after;
        } else if let Some(after) = strip(rest, "FM") {
            plain = true;
            rest = after;
        } else if !first.is_alphanumeric() {
            pieces.push(Piece::Text(first.to_string()));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        } else {
            let (piece, after) = field(rest, plain)?;
            pieces.push(piece);
            plain = false;
            rest = after;
        }
    }
    Ok(pieces)
}

/// A point in time laid out by the pieces of a pattern.
pub(super) fn layout(pieces: &[Piece], moment: &Moment) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Field { field, case, plain } => write_field(&mut out, *field, *case, *plain, moment),
        }
    }
    out
}

fn strip<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn field(text: &str, plain: bool) -> Result<(Piece, &str), String> {
    let found = PATTERNS.iter().find_map(|(letters, field)| Some((letters.len(), *field, strip(text, letters)?)));
    let Some((len, field, rest)) = found.filter(|_| strip(text, "SSSS").is_none()) else {
        let letters: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
        return Err(format!(
            "to_char does not know the pattern {letters:?} here; put text to be copied in double quotes"
        ));
    };
    let mut letters = text.chars().take(len);
    let upper = |c: Option<char>| c.is_some_and(char::is_uppercase);
    let case = match (upper(letters.next()), upper(letters.next())) {
        (true, true) => Case::Upper,
        (true, false) => Case::Capital,
        (false, _) => Case::Lower,
    };
    Ok((Piece::Field { field, case, plain }, rest))
}

fn write_field(out: &mut String, field: Pattern, case: Case, plain: bool, moment: &Moment) {
    let (number, width) = match field {
        Pattern::MonthShort | Pattern::MonthLong | Pattern::DayShort | Pattern::DayLong | Pattern::Half => {
            return write_name(out, field, case, plain, moment);
        }
        field => number(field, moment),
    };
    let width = if plain { 0 } else { width };
    let written = write!(out, "{number:0width$}");
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

/// A field's number and the digits that it is filled up to.
fn number(field: Pattern, moment: &Moment) -> (i64, usize) {
    let date = moment.date;
    let seconds = moment.micros / 1_000_000;
    match field {
        Pattern::Year => (date.year().into(), 4),
        Pattern::YearOfCentury => (date.year().rem_euclid(100).into(), 2),
        Pattern::IsoYear => (date.iso_week().year().into(), 4),
        Pattern::Quarter => ((date.month0() / 3 + 1).into(), 1),
        Pattern::Month => (date.month().into(), 2),
        Pattern::Week => ((date.ordinal0() / 7 + 1).into(), 2),
        Pattern::IsoWeek => (date.iso_week().week().into(), 2),
        Pattern::Day => (date.day().into(), 2),
        Pattern::DayOfYear => (date.ordinal().into(), 3),
        Pattern::Weekday => (date.weekday().number_from_sunday().into(), 1),
        Pattern::IsoWeekday => (date.weekday().number_from_monday().into(), 1),
        Pattern::Hour24 => (seconds / 3600, 2),
        Pattern::Hour12 => ((seconds / 3600 + 11) % 12 + 1, 2),
        Pattern::Minute => (seconds / 60 % 60, 2),
        Pattern::Second => (seconds % 60, 2),
        Pattern::Milli => (moment.micros % 1_000_000 / 1000, 3),
        _ => (moment.micros % 1_000_000, 6),
    }
}

fn write_name(out: &mut String, field: Pattern, case: Case, plain: bool, moment: &Moment) {
    let name_at = |names: &[&'static str], at: u32| {
        usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
    };
    let month = name_at(&MONTHS, moment.date.month0());
    let day = name_at(&DAYS, moment.date.weekday().num_days_from_sunday());
    let short = |name: &'static str| name.get(..3).unwrap_or(name);
    let name = match field {
        Pattern::MonthShort => short(month),
        Pattern::MonthLong => month,
        Pattern::DayShort => short(day),
        Pattern::DayLong => day,
        _ if moment.micros < 43_200_000_000 => "AM",
        _ => "PM",
    };
    let name = match case {
        Case::Lower => name.to_lowercase(),
        Case::Upper => name.to_uppercase(),
        Case::Capital => name.to_owned(),
    };
    let long = matches!(field, Pattern::MonthLong | Pattern::DayLong) && !plain;
    let width = if long { 9 } else { 0 };
    let written = write!(out, "{name:width$}");
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}
