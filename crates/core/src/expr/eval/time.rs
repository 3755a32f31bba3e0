//! Dates and times, all UTC: extract, date_trunc, to_char, and moving by an interval.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow::array::types::{Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::{Datelike, Days, Months, NaiveDate};

use super::cast;
use super::failures::{Cause, Failures};
use super::value::{self, Value};
use crate::expr::node::{Interval, TimeField};
use crate::expr::time_text::{self, MICROS_PER_DAY, Moment};
use crate::expr::to_char::{self, Piece};
use crate::types::DataType;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// One field of a date or timestamp, as an int32; the epoch as an int64 of whole seconds.
pub(super) fn extract(value: &Value, from: DataType, field: TimeField, ty: DataType) -> Result<Value, ArrowError> {
    match (from, field) {
        (DataType::Date, TimeField::Epoch) => value::unary::<Date32Type, Int64Type>(value, ty, |days| {
            Ok(i64::from(days) * (MICROS_PER_DAY / MICROS_PER_SECOND))
        }),
        (_, TimeField::Epoch) => value::unary::<TimestampMicrosecondType, Int64Type>(value, ty, |micros| {
            Ok(micros.div_euclid(MICROS_PER_SECOND))
        }),
        (DataType::Date, _) => value::unary::<Date32Type, Int32Type>(value, ty, |days| {
            time_text::civil(days).and_then(|date| date_field(date, field)).ok_or(Cause::OutOfRange(DataType::Date))
        }),
        (_, TimeField::Hour | TimeField::Minute | TimeField::Second) => {
            value::unary::<TimestampMicrosecondType, Int32Type>(value, ty, |micros| {
                i32::try_from(clock_field(micros, field)).map_err(|_| Cause::OutOfRange(DataType::Timestamp))
            })
        }
        _ => value::unary::<TimestampMicrosecondType, Int32Type>(value, ty, |micros| {
            let date = Moment::from_micros(micros).map(|moment| moment.date);
            date.and_then(|date| date_field(date, field)).ok_or(Cause::OutOfRange(DataType::Timestamp))
        }),
    }
}

/// The start of the field's unit that a timestamp lies in.
pub(super) fn trunc(value: &Value, field: TimeField) -> Result<Value, ArrowError> {
    let ty = DataType::Timestamp;
    value::unary::<TimestampMicrosecondType, TimestampMicrosecondType>(value, ty, |micros| {
        let unit = match field {
            TimeField::Second => MICROS_PER_SECOND,
            TimeField::Minute => 60 * MICROS_PER_SECOND,
            TimeField::Hour => 3600 * MICROS_PER_SECOND,
            TimeField::Day => MICROS_PER_DAY,
            _ => {
                let date = Moment::from_micros(micros).and_then(|moment| first_day(moment.date, field));
                return date.and_then(time_text::start_of).ok_or(Cause::OutOfRange(ty));
            }
        };
        micros.checked_sub(micros.rem_euclid(unit)).ok_or(Cause::OutOfRange(ty))
    })
}

/// A date or timestamp laid out by a pattern.
pub(super) fn to_char(value: Value, from: DataType, pieces: &[Piece]) -> Result<Value, ArrowError> {
    let value = cast::cast(value, from, DataType::Timestamp)?;
    let mut failures = Failures::default();
    let mut texts = Vec::with_capacity(value.array.len());
    for (row, micros) in value.primitive::<TimestampMicrosecondType>()?.iter().enumerate() {
        texts.push(micros.and_then(|micros| {
            let text = Moment::from_micros(micros).map(|moment| to_char::layout(pieces, &moment));
            if text.is_none() {
                failures.push(row, Cause::OutOfRange(DataType::Timestamp));
            }
            text
        }));
    }
    Ok(Value::rows(Arc::new(StringArray::from(texts))).with(value.failures.and(failures)))
}

/// Moved by months (the day stays within the month), then days, then microseconds.
pub(super) fn shift(value: &Value, by: Interval) -> Result<Value, ArrowError> {
    let ty = DataType::Timestamp;
    value::unary::<TimestampMicrosecondType, TimestampMicrosecondType>(value, ty, |micros| {
        shifted(micros, by).ok_or(Cause::OutOfRange(ty))
    })
}

fn shifted(micros: i64, by: Interval) -> Option<i64> {
    let mut micros = micros;
    if by.months != 0 {
        let Moment { date, micros: clock } = Moment::from_micros(micros)?;
        let months = Months::new(by.months.unsigned_abs());
        let date = if by.months > 0 { date.checked_add_months(months) } else { date.checked_sub_months(months) }?;
        micros = time_text::start_of(date)?.checked_add(clock)?;
    }
    micros.checked_add(i64::from(by.days).checked_mul(MICROS_PER_DAY)?)?.checked_add(by.micros)
}

fn date_field(date: NaiveDate, field: TimeField) -> Option<i32> {
    let number = match field {
        TimeField::Year => return Some(date.year()),
        TimeField::Quarter => date.month0() / 3 + 1,
        TimeField::Month => date.month(),
        TimeField::Week => date.iso_week().week(),
        TimeField::Day => date.day(),
        TimeField::Weekday => date.weekday().num_days_from_sunday(),
        TimeField::IsoWeekday => date.weekday().number_from_monday(),
        TimeField::DayOfYear => date.ordinal(),
        TimeField::Hour | TimeField::Minute | TimeField::Second | TimeField::Epoch => return None,
    };
    i32::try_from(number).ok()
}

fn clock_field(micros: i64, field: TimeField) -> i64 {
    let seconds = micros.rem_euclid(MICROS_PER_DAY) / MICROS_PER_SECOND;
    match field {
        TimeField::Hour => seconds / 3600,
        TimeField::Minute => seconds / 60 % 60,
        _ => seconds % 60,
    }
}

fn first_day(date: NaiveDate, field: TimeField) -> Option<NaiveDate> {
    match field {
        TimeField::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
        TimeField::Quarter => NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1),
        TimeField::Month => date.with_day(1),
        TimeField::Week => date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday()))),
        _ => None,
    }
}
