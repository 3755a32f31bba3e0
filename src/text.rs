//! Values as people read them.

use chrono::{DateTime, SecondsFormat};

/// Microseconds since 1970 as an ISO 8601 time in UTC; `-` where there is none.
#[must_use]
pub fn timestamp(micros: i64) -> String {
    if micros == i64::MIN {
        return "-".to_owned();
    }
    DateTime::from_timestamp_micros(micros)
        .map_or_else(|| micros.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}
