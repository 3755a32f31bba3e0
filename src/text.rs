//! Values as people read them.

use std::io::Write;

use chrono::{DateTime, SecondsFormat};

/// Prints a line to standard output, formatted as `println!` does it; a reader that has gone ends the process quietly.
macro_rules! say {
    ($($part:tt)*) => {
        $crate::text::say_as_is(&format!("{}\n", format_args!($($part)*)))
    };
}
pub(crate) use say;

/// Prints text as it is. `lakeward log | head` is no error: when the reader is gone the process ends with 0.
pub fn say_as_is(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        std::process::exit(if error.kind() == std::io::ErrorKind::BrokenPipe { 0 } else { 1 });
    }
}

/// Microseconds since 1970 as an ISO 8601 time in UTC; `-` where there is none.
#[must_use]
pub fn timestamp(micros: i64) -> String {
    if micros == i64::MIN {
        return "-".to_owned();
    }
    DateTime::from_timestamp_micros(micros)
        .map_or_else(|| micros.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Appends rows as aligned columns, numbers to the right.
pub fn table<const N: usize>(out: &mut String, rows: &[[String; N]]) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| {
                let number = cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains(':');
                if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
}
