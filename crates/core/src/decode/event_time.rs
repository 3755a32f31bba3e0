//! The event time of a record, and whether it can be believed (T1, T4).

use super::columns::Columns;
use super::reason::{Problem, Reason};
use super::time_text::{MAX_MICROS, MIN_MICROS};
use crate::ids::EventTime;
use crate::pipeline::{EventTimeSource, FieldDef, Time};
use crate::types::DataType;

const DAY: i64 = 86_400_000_000;

/// A Kafka timestamp in microseconds; `None` where the record has none (-1) or one outside of the years 0001 to 9999.
#[must_use]
pub fn kafka_micros(timestamp_ms: i64) -> Option<i64> {
    let micros = timestamp_ms.checked_mul(1000).filter(|us| (MIN_MICROS..=MAX_MICROS).contains(us));
    micros.filter(|_| timestamp_ms != -1)
}

/// The event time of the record at hand in `columns`, at most `max_future_skew` ahead of `now_us`.
pub(super) fn judge(
    time: &Time,
    fields: &[FieldDef],
    columns: &Columns,
    timestamp_ms: i64,
    now_us: i64,
) -> Result<EventTime, Problem> {
    let micros = match time.event_time {
        EventTimeSource::Kafka => kafka_time(timestamp_ms)?,
        EventTimeSource::Field(index) => field_time(fields, columns, index)?,
    };
    let latest = now_us.saturating_add(time.max_future_skew);
    if micros > latest {
        let ahead = micros.saturating_sub(now_us) / 1_000_000;
        return Err(Problem::new(Reason::Future, format!("{ahead} s ahead of this process's clock")));
    }
    Ok(EventTime(micros))
}

fn kafka_time(timestamp_ms: i64) -> Result<i64, Problem> {
    match kafka_micros(timestamp_ms) {
        Some(micros) => Ok(micros),
        None if timestamp_ms == -1 => Err(Problem::new(Reason::NoTimestamp, "the record has no Kafka timestamp")),
        None if timestamp_ms > 0 => Err(Problem::new(Reason::Future, format!("Kafka timestamp {timestamp_ms} ms"))),
        None => Err(Problem::new(Reason::OutOfRange, format!("Kafka timestamp {timestamp_ms} ms"))),
    }
}

fn field_time(fields: &[FieldDef], columns: &Columns, index: usize) -> Result<i64, Problem> {
    match (fields.get(index), columns.integer(index)) {
        (Some(FieldDef { ty: DataType::Date, .. }), Some(days)) => Ok(days * DAY),
        (_, Some(micros)) => Ok(micros),
        (field, _) => {
            let name = field.map_or("", |field| field.name.as_str());
            Err(Problem::new(Reason::NoTimestamp, "the event time is null").in_field(name))
        }
    }
}
