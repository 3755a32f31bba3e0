//! Dates and times, all UTC: extract, date_trunc, to_char, and moving by an interval.

use chrono::{Datelike, Months, NaiveDate};
use lakeward_core::expr::tree::{Case, Interval, Pattern, Piece, TimeField};
use lakeward_core::types::DataType;

use super::Failed;
use crate::calendar::{DAY, SECOND, day_of, split};
use crate::cell::Cell;

/// One field of a date or timestamp; the epoch in whole seconds.
pub fn extract(value: &Cell, from: DataType, field: TimeField) -> Result<Cell, Failed> {
    let micros = micros_of(value, from)?;
    if field == TimeField::Epoch {
        return Ok(Cell::Int(micros.div_euclid(SECOND)));
    }
    let seconds = micros.rem_euclid(DAY) / SECOND;
    let of_date = |of: fn(NaiveDate) -> i64| split(micros).map(|(date, _)| Cell::Int(of(date))).ok_or(Failed);
    match field {
        TimeField::Hour => Ok(Cell::Int(seconds / 3600)),
        TimeField::Minute => Ok(Cell::Int(seconds / 60 % 60)),
        TimeField::Second => Ok(Cell::Int(seconds % 60)),
        TimeField::Year => of_date(|date| date.year().into()),
        TimeField::Quarter => of_date(|date| i64::from(date.month()).div_euclid(3) + i64::from(date.month() % 3 > 0)),
        TimeField::Month => of_date(|date| date.month().into()),
        TimeField::Week => of_date(|date| date.iso_week().week().into()),
        TimeField::Day => of_date(|date| date.day().into()),
        TimeField::Weekday => of_date(|date| date.weekday().num_days_from_sunday().into()),
        TimeField::IsoWeekday => of_date(|date| date.weekday().number_from_monday().into()),
        TimeField::DayOfYear => of_date(|date| date.ordinal().into()),
        TimeField::Epoch => Err(Failed),
    }
}

/// The start of the field's unit that a timestamp lies in.
pub fn trunc(value: &Cell, field: TimeField) -> Result<Cell, Failed> {
    let micros = micros_of(value, DataType::Timestamp)?;
    let unit = match field {
        TimeField::Second => SECOND,
        TimeField::Minute => 60 * SECOND,
        TimeField::Hour => 3600 * SECOND,
        TimeField::Day => DAY,
        _ => {
            let (date, _) = split(micros).ok_or(Failed)?;
            return start_of(date, field).map(|first| Cell::Int(day_of(first) * DAY)).ok_or(Failed);
        }
    };
    micros.checked_sub(micros.rem_euclid(unit)).map(Cell::Int).ok_or(Failed)
}

fn start_of(date: NaiveDate, field: TimeField) -> Option<NaiveDate> {
    match field {
        TimeField::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
        TimeField::Quarter => NaiveDate::from_ymd_opt(date.year(), (date.month() - 1) / 3 * 3 + 1, 1),
        TimeField::Month => NaiveDate::from_ymd_opt(date.year(), date.month(), 1),
        TimeField::Week => date.checked_sub_days(chrono::Days::new(date.weekday().num_days_from_monday().into())),
        _ => None,
    }
}

/// Moved by months (the day stays within the month), then days, then microseconds.
pub fn shift(value: &Cell, by: Interval) -> Result<Cell, Failed> {
    if value.is_null() {
        return Ok(Cell::Null);
    }
    shifted(micros_of(value, DataType::Timestamp)?, by).map(Cell::Int).ok_or(Failed)
}

fn shifted(micros: i64, by: Interval) -> Option<i64> {
    let (mut day, clock) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    if by.months != 0 {
        let (date, _) = split(micros)?;
        let months = Months::new(by.months.unsigned_abs());
        let moved = if by.months < 0 { date.checked_sub_months(months) } else { date.checked_add_months(months) };
        day = day_of(moved?);
    }
    let day = day.checked_add(by.days.into())?;
    day.checked_mul(DAY)?.checked_add(clock)?.checked_add(by.micros)
}

/// A date or timestamp laid out by a pattern.
pub fn to_char(value: &Cell, from: DataType, pieces: &[Piece]) -> Result<Cell, Failed> {
    let (date, clock) = split(micros_of(value, from)?).ok_or(Failed)?;
    let laid = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Field { field, case, plain } => field_text(*field, *case, *plain, date, clock),
    });
    Ok(Cell::Text(laid.collect()))
}

fn field_text(field: Pattern, case: Case, plain: bool, date: NaiveDate, clock: i64) -> String {
    if let Some((name, width)) = name_of(field, date, clock) {
        let name = match case {
            Case::Lower => name.to_lowercase(),
            Case::Capital => name,
            Case::Upper => name.to_uppercase(),
        };
        return if plain { name } else { format!("{name:width$}") };
    }
    let (number, width) = number_of(field, date, clock);
    if plain { number.to_string() } else { format!("{number:0width$}") }
}

/// Names, and the blanks that long ones are filled up to.
fn name_of(field: Pattern, date: NaiveDate, clock: i64) -> Option<(String, usize)> {
    let chrono_name = |format: &str, width| Some((date.format(format).to_string(), width));
    match field {
        Pattern::MonthShort => chrono_name("%b", 0),
        Pattern::MonthLong => chrono_name("%B", 9),
        Pattern::DayShort => chrono_name("%a", 0),
        Pattern::DayLong => chrono_name("%A", 9),
        Pattern::Half => Some((if clock < DAY / 2 { "AM" } else { "PM" }.to_owned(), 0)),
        _ => None,
    }
}

fn number_of(field: Pattern, date: NaiveDate, clock: i64) -> (i64, usize) {
    let (seconds, fraction) = (clock / SECOND, clock % SECOND);
    match field {
        Pattern::Year => (date.year().into(), 4),
        Pattern::YearOfCentury => (i64::from(date.year()).rem_euclid(100), 2),
        Pattern::IsoYear => (date.iso_week().year().into(), 4),
        Pattern::Quarter => (i64::from(date.month() + 2) / 3, 1),
        Pattern::Month => (date.month().into(), 2),
        Pattern::Week => (i64::from(date.ordinal() + 6) / 7, 2),
        Pattern::IsoWeek => (date.iso_week().week().into(), 2),
        Pattern::Day => (date.day().into(), 2),
        Pattern::DayOfYear => (date.ordinal().into(), 3),
        Pattern::Weekday => (date.weekday().number_from_sunday().into(), 1),
        Pattern::IsoWeekday => (date.weekday().number_from_monday().into(), 1),
        Pattern::Hour24 => (seconds / 3600, 2),
        Pattern::Hour12 => (if seconds / 3600 % 12 == 0 { 12 } else { seconds / 3600 % 12 }, 2),
        Pattern::Minute => (seconds / 60 % 60, 2),
        Pattern::Second => (seconds % 60, 2),
        Pattern::Milli => (fraction / 1000, 3),
        Pattern::Micro => (fraction, 6),
        Pattern::MonthShort | Pattern::MonthLong | Pattern::DayShort | Pattern::DayLong | Pattern::Half => (0, 0),
    }
}

fn micros_of(value: &Cell, from: DataType) -> Result<i64, Failed> {
    match (value, from) {
        (Cell::Int(days), DataType::Date) => days.checked_mul(DAY).ok_or(Failed),
        (Cell::Int(micros), _) => Ok(*micros),
        _ => Err(Failed),
    }
}
