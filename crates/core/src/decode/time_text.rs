//! Dates and timestamps from text: strict, and only what the calendar has.

use chrono::{Datelike, NaiveDate};

use super::reason::{Problem, Reason, shown};

/// Days from 0001-01-01 (day 1 of the common era) to 1970-01-01.
const EPOCH_DAY: i32 = 719_163;
const DAY_SECONDS: i64 = 86_400;
const SECOND: i64 = 1_000_000;
/// Digits of a fraction that a timestamp column holds.
const FRACTION_DIGITS: usize = 6;

/// `YYYY-MM-DD`, years 0001 to 9999, as days since 1970-01-01.
pub(super) fn date(text: &str) -> Result<i64, Problem> {
    whole_date(text.as_bytes())
        .ok_or_else(|| Problem::new(Reason::BadDate, format!("expected YYYY-MM-DD, found {}", shown(text))))
}

/// RFC 3339 as microseconds since 1970-01-01T00:00:00Z: `T` or a space in the middle, a fraction or none, `Z`, an offset
/// or no zone (UTC). More than six digits of fraction are refused unless they are zeros or `round` is set.
pub(super) fn timestamp(text: &str, round: bool) -> Result<i64, Problem> {
    let bad = || Problem::new(Reason::BadTimestamp, format!("expected an RFC 3339 timestamp, found {}", shown(text)));
    let (day, rest) = text.as_bytes().split_at_checked(10).ok_or_else(bad)?;
    let (clock, rest) = rest.split_at_checked(9).ok_or_else(bad)?;
    let days = whole_date(day).ok_or_else(bad)?;
    let seconds = seconds_of_day(clock).ok_or_else(bad)?;
    let (fraction, zone) = split_fraction(rest).ok_or_else(bad)?;
    let offset = zone_seconds(zone).ok_or_else(bad)?;
    let micros = (days * DAY_SECONDS + seconds - offset) * SECOND + fraction_micros(fraction, round, text)?;
    if (MIN_MICROS..=MAX_MICROS).contains(&micros) {
        Ok(micros)
    } else {
        Err(Problem::new(Reason::OutOfRange, format!("{} is not within the years 0001 to 9999", shown(text))))
    }
}

/// 0001-01-01T00:00:00Z.
pub(crate) const MIN_MICROS: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z.
pub(crate) const MAX_MICROS: i64 = 253_402_300_799_999_999;

fn whole_date(text: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, two(m1, m2)?, two(d1, d2)?)?;
    (year > 0).then(|| i64::from(date.num_days_from_ce() - EPOCH_DAY))
}

/// `THH:MM:SS`; leap seconds are not known.
fn seconds_of_day(text: &[u8]) -> Option<i64> {
    let [b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2] = *text else { return None };
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    (hour < 24 && minute < 60 && second < 60).then(|| i64::from(hour * 3600 + minute * 60 + second))
}

/// The digits behind the point, and what follows them.
fn split_fraction(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(fraction) = rest.strip_prefix(b".") else { return Some((&[], rest)) };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 { None } else { fraction.split_at_checked(digits) }
}

fn zone_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, h1, h2, m1, m2) = match *zone {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, h1, h2, m1, m2),
        [b'-', h1, h2, b':', m1, m2] => (-1, h1, h2, m1, m2),
        _ => return None,
    };
    let (hour, minute) = (two(h1, h2)?, two(m1, m2)?);
    (hour < 24 && minute < 60).then(|| sign * i64::from(hour * 3600 + minute * 60))
}

fn fraction_micros(digits: &[u8], round: bool, text: &str) -> Result<i64, Problem> {
    let (kept, dropped) = digits.split_at_checked(FRACTION_DIGITS).unwrap_or((digits, &[]));
    let padded = kept.iter().copied().chain(std::iter::repeat(b'0')).take(FRACTION_DIGITS);
    let micros = padded.fold(0_i64, |sum, byte| sum * 10 + i64::from(byte.saturating_sub(b'0')));
    if dropped.iter().all(|&byte| byte == b'0') {
        return Ok(micros);
    }
    if !round {
        let detail = format!("{} has more than {FRACTION_DIGITS} digits of a second", shown(text));
        return Err(Problem::new(Reason::TooManyDigits, detail));
    }
    Ok(micros + i64::from(dropped.first().is_some_and(|&byte| byte >= b'5')))
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_strict() {
        let check = |text, expected: Option<i64>| {
            let got = date(text).map_err(|problem| problem.reason);
            assert_eq!(got, expected.ok_or(Reason::BadDate), "{text}");
        };
        check("1970-01-01", Some(0));
        check("1969-12-31", Some(-1));
        check("2023-01-31", Some(19_388));
        check("2024-02-29", Some(19_782));
        check("0001-01-01", Some(-719_162));
        check("9999-12-31", Some(2_932_896));
        for bad in ["", "2023-02-29", "2023-1-31", "0000-01-01", "2023-13-01", "2023-00-01", "2023-01-00", "2023/01/31"]
        {
            check(bad, None);
        }
        for bad in ["2023-01-31 ", " 2023-01-31", "2023-01-31T00:00:00", "20230131", "31-01-2023", "+023-01-31"] {
            check(bad, None);
        }
    }

    #[test]
    fn timestamps_are_rfc_3339_and_utc_without_a_zone() {
        let check = |text, expected: Result<i64, Reason>| {
            assert_eq!(timestamp(text, false).map_err(|problem| problem.reason), expected, "{text}");
        };
        check("1970-01-01T00:00:00Z", Ok(0));
        check("1970-01-01 00:00:00", Ok(0));
        check("1970-01-01t00:00:01.5z", Ok(1_500_000));
        check("1970-01-01T01:00:00+01:00", Ok(0));
        check("1969-12-31T23:30:00-00:30", Ok(0));
        check("2024-12-12T10:15:25.000000", Ok(1_733_998_525_000_000));
        check("2025-11-29T12:34:56.789Z", Ok(1_764_419_696_789_000));
        check("1970-01-01T00:00:00.123456000Z", Ok(123_456));
        check("1969-12-31T23:59:59.999999Z", Ok(-1));
        check("1970-01-01T00:00:00.1234567Z", Err(Reason::TooManyDigits));
        check("9999-12-31T23:59:59.999999Z", Ok(MAX_MICROS));
        check("0001-01-01T00:00:00Z", Ok(MIN_MICROS));
        check("9999-12-31T23:59:59-01:00", Err(Reason::OutOfRange));
        check("0001-01-01T00:00:00+00:01", Err(Reason::OutOfRange));
        for bad in [
            "",
            "1970-01-01",
            "1970-01-01T00:00",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00:00 Z",
            "1970-02-30T00:00:00Z",
            "1970-01-01T00:00:00+24:00",
            "1733998525",
            "é970-01-01T00:00:00Z",
        ] {
            check(bad, Err(Reason::BadTimestamp));
        }
    }

    #[test]
    fn a_rounded_timestamp_may_have_any_number_of_digits() {
        assert_eq!(timestamp("1970-01-01T00:00:00.1234565Z", true), Ok(123_457));
        assert_eq!(timestamp("1970-01-01T00:00:00.12345649999Z", true), Ok(123_456));
        assert_eq!(timestamp("1970-01-01T00:00:00.9999999Z", true), Ok(1_000_000));
    }
}
