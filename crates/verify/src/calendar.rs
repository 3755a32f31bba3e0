//! Days and instants, all UTC, and their texts.

use chrono::{Datelike, NaiveDate};

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;
/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
pub const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
/// 1970-01-01 counted in days from 0001-01-01 as day 1.
const EPOCH_DAY: i32 = 719_163;

/// The date of a day counted from 1970-01-01.
#[must_use]
pub fn date_of(days: i64) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?.checked_add(EPOCH_DAY)?)
}

/// The day of a date, counted from 1970-01-01.
#[must_use]
pub fn day_of(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce()) - i64::from(EPOCH_DAY)
}

/// The date, and microseconds since its midnight, of an instant.
#[must_use]
pub fn split(micros: i64) -> Option<(NaiveDate, i64)> {
    Some((date_of(micros.div_euclid(DAY))?, micros.rem_euclid(DAY)))
}

/// `2024-02-29`
#[must_use]
pub fn date_text(days: i64) -> String {
    date_of(days).map_or_else(|| format!("day {days}"), |date| date.format("%Y-%m-%d").to_string())
}

/// `2024-02-29T23:59:59.000000Z`
#[must_use]
pub fn instant_text(micros: i64) -> String {
    let Some((date, clock)) = split(micros) else { return format!("micro {micros}") };
    let (seconds, fraction) = (clock / SECOND, clock % SECOND);
    let [h, m, s] = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    format!("{}T{h:02}:{m:02}:{s:02}.{fraction:06}Z", date.format("%Y-%m-%d"))
}

/// What a date or time in a record may look like, strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misread {
    /// Not of the form, or not in the calendar.
    Bad,
    /// More than six digits of a second, and it may not be rounded.
    TooManyDigits,
    /// Outside of the years 0001 to 9999.
    OutOfRange,
}

/// `YYYY-MM-DD` as days since 1970.
#[must_use]
pub fn strict_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let form = bytes.len() == 10 && bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    let (year, month, day) = (digits(text.get(..4)?)?, digits(text.get(5..7)?)?, digits(text.get(8..10)?)?);
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    (form && year > 0).then(|| day_of(date))
}

/// RFC 3339, with `T`, `t` or a space, and `Z`, an offset or nothing (UTC), as microseconds since 1970.
pub fn strict_instant(text: &str, round: bool) -> Result<i64, Misread> {
    let (whole, fraction, zone) = instant_parts(text).ok_or(Misread::Bad)?;
    let micros = whole - zone + micros_of(fraction, round)?;
    if YEARS.contains(&micros) { Ok(micros) } else { Err(Misread::OutOfRange) }
}

/// Microseconds of date and clock, the digits of the fraction, microseconds of the offset.
fn instant_parts(text: &str) -> Option<(i64, &str, i64)> {
    let days = strict_date(text.get(..10)?)?;
    let clock = text.get(10..19)?;
    let [h, m, s] = [digits(clock.get(1..3)?)?, digits(clock.get(4..6)?)?, digits(clock.get(7..9)?)?];
    let marks = [clock.get(3..4)?, clock.get(6..7)?] == [":", ":"];
    if !clock.starts_with(['T', 't', ' ']) || !marks || h > 23 || m > 59 || s > 59 {
        return None;
    }
    let rest = text.get(19..)?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.split_at_checked(end).filter(|(fraction, _)| !fraction.is_empty())?
        }
    };
    let seconds = i64::from(h * 3600 + m * 60 + s);
    Some((days * DAY + seconds * SECOND, fraction, zone_micros(zone)?))
}

fn zone_micros(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = (digits(zone.get(1..3)?)?, digits(zone.get(4..6)?)?);
    let form = zone.len() == 6 && zone.get(3..4) == Some(":") && hours < 24 && minutes < 60;
    form.then(|| sign * i64::from(hours * 3600 + minutes * 60) * SECOND)
}

fn micros_of(fraction: &str, round: bool) -> Result<i64, Misread> {
    let (kept, dropped) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    let micros: i64 = format!("{kept:0<6}").parse().map_err(|_| Misread::Bad)?;
    if dropped.bytes().all(|digit| digit == b'0') {
        return Ok(micros);
    }
    if !round {
        return Err(Misread::TooManyDigits);
    }
    Ok(micros + i64::from(dropped.as_bytes().first() >= Some(&b'5')))
}

fn digits(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_strictly() {
        let check = |text: &str, expected| assert_eq!(strict_instant(text, false), expected, "{text}");
        check("1970-01-02T00:00:01Z", Ok(DAY + SECOND));
        check("1970-01-01 00:00:00.5", Ok(500_000));
        check("1970-01-01t02:00:00+02:00", Ok(0));
        check("1970-01-01T00:00:00.0000000", Ok(0));
        check("1970-01-01T00:00:00.0000001", Err(Misread::TooManyDigits));
        check("1970-01-01T24:00:00Z", Err(Misread::Bad));
        check("1970-02-30T00:00:00Z", Err(Misread::Bad));
        check("0001-01-01T00:00:00+00:01", Err(Misread::OutOfRange));
        check("1970-01-01", Err(Misread::Bad));
        check("1970-01-01T00:00:00Zulu", Err(Misread::Bad));
        assert_eq!(strict_instant("1970-01-01T00:00:00.0000005Z", true), Ok(1));
        assert_eq!(instant_text(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(strict_date("2023-2-01"), None);
        assert_eq!(strict_date("0000-01-01"), None);
    }
}
