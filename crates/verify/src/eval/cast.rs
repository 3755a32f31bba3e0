//! Conversions between types. What cannot be converted fails; decimals are rounded half away from zero, once.

use lakeward_core::types::DataType;

use super::Failed;
use super::arithmetic::{decimal_of, int_of};
use crate::calendar::{self, DAY, SECOND};
use crate::cell::{Cell, scale_of};
use crate::number;

/// `value` of type `from` as type `to`.
pub fn cast(value: Cell, from: DataType, to: DataType) -> Result<Cell, Failed> {
    use DataType::{Bool, Date, Decimal, Float64, Int32, Int64, String, Timestamp};
    if value.is_null() || from == to {
        return Ok(value);
    }
    match (value, to) {
        (Cell::Text(text), to) => parse(&text, to),
        (value, String) => Ok(Cell::Text(print(&value, from))),
        (Cell::Bool(b), Int32 | Int64) => Ok(Cell::Int(i64::from(b))),
        (Cell::Int(days), Timestamp) => days.checked_mul(DAY).map(Cell::Int).ok_or(Failed),
        (Cell::Int(micros), Date) => int_of(Some(micros.div_euclid(DAY)), to),
        (Cell::Int(n), Bool) => Ok(Cell::Bool(n != 0)),
        (Cell::Int(n), Int32 | Int64) => int_of(Some(n), to),
        (Cell::Int(n), Decimal { scale, .. }) => decimal_of(number::rescale(n.into(), 0, scale), to),
        (Cell::Int(n), Float64) => float_of(&n.to_string()),
        (Cell::Decimal(n), Decimal { scale, .. }) => decimal_of(number::rescale(n, scale_of(from), scale), to),
        (Cell::Decimal(n), Float64) => float_of(&number::text(n, scale_of(from))),
        (Cell::Decimal(n), Int32 | Int64) => {
            let whole = number::rescale(n, scale_of(from), 0).ok_or(Failed)?;
            int_of(i64::try_from(whole).ok(), to)
        }
        (Cell::Float(x), Decimal { precision, scale }) if x.is_finite() => {
            // The 15 digits that a double is good for, as Postgres.
            let text = format!("{x:.14e}");
            number::parse(&text, precision, scale, true).map(Cell::Decimal).map_err(|_| Failed)
        }
        (Cell::Float(x), Int32 | Int64) => int_of(whole(x), to),
        _ => Err(Failed),
    }
}

fn float_of(text: &str) -> Result<Cell, Failed> {
    text.parse().map(Cell::Float).map_err(|_| Failed)
}

/// The nearest integer, ties to even.
fn whole(x: f64) -> Option<i64> {
    let text = format!("{:.0}", x.round_ties_even());
    text.parse().ok()
}

fn parse(text: &str, to: DataType) -> Result<Cell, Failed> {
    let text = text.trim();
    match to {
        DataType::String => Ok(Cell::Text(text.to_owned())),
        DataType::Bool => boolean(text).map(Cell::Bool).ok_or(Failed),
        DataType::Int32 => text.parse::<i32>().map(|n| Cell::Int(n.into())).map_err(|_| Failed),
        DataType::Int64 => text.parse().map(Cell::Int).map_err(|_| Failed),
        DataType::Float64 => {
            let x: f64 = text.parse().map_err(|_| Failed)?;
            let overflowed = x.is_infinite() && text.contains(|c: char| c.is_ascii_digit());
            if overflowed { Err(Failed) } else { Ok(Cell::Float(x)) }
        }
        DataType::Decimal { precision, scale } => {
            number::parse(text, precision, scale, true).map(Cell::Decimal).map_err(|_| Failed)
        }
        DataType::Date => {
            let (day, clock) = date_and_rest(text).ok_or(Failed)?;
            if !clock.is_empty() {
                clock_micros(clock).ok_or(Failed)?;
            }
            Ok(Cell::Int(day))
        }
        DataType::Timestamp => {
            let (day, clock) = date_and_rest(text).ok_or(Failed)?;
            let clock = if clock.is_empty() { 0 } else { clock_micros(clock).ok_or(Failed)? };
            day.checked_mul(DAY).and_then(|start| start.checked_add(clock)).map(Cell::Int).ok_or(Failed)
        }
    }
}

/// `true`, `yes`, `on`, `1` and their unique beginnings, in any case.
fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Some(true),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn print(value: &Cell, from: DataType) -> String {
    match (value, from) {
        (Cell::Float(x), _) => float_text(*x),
        (Cell::Int(micros), DataType::Timestamp) => {
            let text = calendar::instant_text(*micros).replace('T', " ");
            let text = text.trim_end_matches('Z');
            text.strip_suffix(".000000").unwrap_or_else(|| text.trim_end_matches('0')).to_owned()
        }
        _ => value.key_text(from).unwrap_or_default(),
    }
}

/// The shortest digits that read back, laid out as Postgres does.
fn float_text(x: f64) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{x:e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    if (-4..15).contains(&exponent) {
        return x.to_string();
    }
    let digits = scientific.split('e').next().unwrap_or_default();
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// The day of a text that begins with a date, and what follows the date.
fn date_and_rest(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = digits(text, 4, 6)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 1, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 1, 2)?;
    let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    Some((calendar::day_of(date), rest))
}

/// ` 10:11`, `T10:11:12.5+02:00` as microseconds, the offset taken off; digits beyond microseconds are rounded.
fn clock_micros(text: &str) -> Option<i64> {
    let rest = text.strip_prefix(['T', 't']).unwrap_or(text).trim_start();
    if rest.len() == text.len() {
        return None;
    }
    let (hour, rest) = digits(rest, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    let (second, rest) = rest.strip_prefix(':').map_or(Some((0, rest)), |rest| digits(rest, 2, 2))?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
    };
    if hour > 23 || minute > 59 || second > 59 || rest.starts_with('.') && fraction.is_empty() {
        return None;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second) - zone_seconds(zone.trim_start())?;
    let micros = number::parse(&format!("0.{fraction}"), 7, 6, true).ok()?;
    Some(seconds * SECOND + i64::try_from(micros).ok()?)
}

/// `Z`, `UTC`, `+02`, `+0200`, `-02:30`
fn zone_seconds(text: &str) -> Option<i64> {
    if matches!(text.to_ascii_lowercase().as_str(), "" | "z" | "utc") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, rest) = digits(text.strip_prefix(['+', '-'])?, 1, 2)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = if rest.is_empty() { (0, rest) } else { digits(rest, 2, 2)? };
    (rest.is_empty() && hours < 16 && minutes < 60).then_some(sign * i64::from(hours * 3600 + minutes * 60))
}

fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(count).filter(|_| count >= least)?;
    Some((number.parse().ok()?, rest))
}
