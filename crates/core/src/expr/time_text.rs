//! Dates and timestamps as text, and the calendar behind them. All times are UTC; a text without an offset is UTC.

use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};

pub(super) const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days from 0001-01-01 (day 1) to 1970-01-01.
const EPOCH_FROM_CE: i32 = 719_163;

/// A point in time taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) date: NaiveDate,
    /// Microseconds since midnight.
    pub(super) micros: i64,
}

impl Moment {
    pub(super) fn from_micros(micros: i64) -> Option<Self> {
        let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()?;
        Some(Self { date: civil(days)?, micros: micros.rem_euclid(MICROS_PER_DAY) })
    }
}

/// The date of a day counted from 1970-01-01.
pub(super) fn civil(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_FROM_CE)?)
}

/// The microseconds since 1970 at which a date starts.
pub(super) fn start_of(date: NaiveDate) -> Option<i64> {
    i64::from(date.num_days_from_ce() - EPOCH_FROM_CE).checked_mul(MICROS_PER_DAY)
}

/// Days since 1970 of `2024-05-31`; of a timestamp's text, its date.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let (date, rest) = split_date(text)?;
    if !rest.is_empty() {
        parse_clock(rest)?;
    }
    Some(date.num_days_from_ce() - EPOCH_FROM_CE)
}

/// Microseconds since 1970 of `2024-05-31`, `2024-05-31 10:11`, `2024-05-31T10:11:12.5+02:00` and the like; digits
/// beyond microseconds are rounded.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let (date, rest) = split_date(text)?;
    let clock = if rest.is_empty() { 0 } else { parse_clock(rest)? };
    start_of(date)?.checked_add(clock)
}

pub(super) fn format_date(days: i32) -> String {
    civil(days).map_or_else(|| format!("day {days}"), |date| date.format("%Y-%m-%d").to_string())
}

pub(super) fn format_timestamp(micros: i64) -> String {
    let Some(moment) = Moment::from_micros(micros) else { return format!("microsecond {micros}") };
    let seconds = moment.micros / 1_000_000;
    let fraction = moment.micros % 1_000_000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let date = moment.date.format("%Y-%m-%d");
    if fraction == 0 {
        return format!("{date} {clock}");
    }
    let fraction = format!("{fraction:06}");
    format!("{date} {clock}.{}", fraction.trim_end_matches('0'))
}

fn split_date(text: &str) -> Option<(NaiveDate, &str)> {
    let (year, rest) = number(text, 4, 6)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 1, 2)?;
    let (day, rest) = number(rest.strip_prefix('-')?, 1, 2)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some((date, rest))
}

/// ` 10:11:12.5+02:00` as microseconds, the offset taken off.
fn parse_clock(text: &str) -> Option<i64> {
    let rest = text.strip_prefix(['T', 't']).unwrap_or(text).trim_start();
    if rest.len() == text.len() {
        return None;
    }
    let (hour, rest) = number(rest, 1, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2, 2)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => number(rest, 2, 2)?,
        None => (0, rest),
    };
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => fraction(rest)?,
        None => (0, rest),
    };
    let time = NaiveTime::from_hms_opt(hour, minute, second)?;
    let clock = i64::from(time.num_seconds_from_midnight()) * 1_000_000 + fraction;
    Some(clock - offset(rest.trim_start())? * 1_000_000)
}

/// The digits behind a point as microseconds, rounded.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    let micros = crate::decimal::parse_decimal(&format!("0.{digits}"), 7, 6, true).ok()?;
    (!digits.is_empty()).then_some((i64::try_from(micros).ok()?, rest))
}

/// The seconds that `Z`, `+02`, `+0200` or `-02:30` lies ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    if text.is_empty() || text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("utc") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, rest) = number(text.strip_prefix(['+', '-'])?, 1, 2)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = if rest.is_empty() { (0, rest) } else { number(rest, 2, 2)? };
    (rest.is_empty() && hours < 16 && minutes < 60).then_some(sign * i64::from(hours * 3600 + minutes * 60))
}

fn number(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if digits < least {
        return None;
    }
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_in_the_common_spellings_and_nothing_else() {
        for (text, expected) in [
            ("1970-01-02", Some(MICROS_PER_DAY)),
            ("1970-01-01 00:00:01", Some(1_000_000)),
            ("1970-01-01T00:00:01.5Z", Some(1_500_000)),
            ("1970-01-01T02:00:00+02:00", Some(0)),
            ("1970-01-01 00:00:00-0130", Some(5_400_000_000)),
            ("1970-01-01 00:00:00.0000005", Some(1)),
            ("1970-01-01 24:00:00", None),
            ("1970-02-30", None),
            ("1970-01-01 xx", None),
            ("1970-01-01 00:00:00 later", None),
            ("01/02/1970", None),
            ("", None),
        ] {
            assert_eq!(parse_timestamp(text), expected, "{text}");
        }
    }

    #[test]
    fn timestamps_print_as_they_are_read() {
        for text in ["1969-12-31 23:59:59.999999", "2024-02-29 00:00:00", "0001-01-01 12:30:00.5"] {
            assert_eq!(parse_timestamp(text).map(format_timestamp).as_deref(), Some(text));
        }
    }
}
