//! How far a long piece of work is: a bar with rate and time left on a terminal, plain lines elsewhere. On standard
//! error, so that standard output stays the work's own.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::feed::Progress;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

const BAR: &str = "{bar:30} {human_pos} of {human_len} records, {msg}, {eta} left";
const SPINNER: &str = "{spinner} {human_pos} records in {elapsed}, {msg}";

/// Shows progress.
pub struct Shown {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    line_at: Duration,
}

impl Shown {
    /// Of `total` records, where that is known.
    #[must_use]
    pub fn new(total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = if total.is_some() { BAR } else { SPINNER };
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            total.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style)
        });
        Self { bar, total, line_at: LINE_EVERY }
    }

    /// Shows how far it is, not more often than people can read.
    pub fn show(&mut self, now: Progress) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}/s", per_second(now.delivered, now.elapsed)));
            bar.set_position(now.delivered);
        } else if now.elapsed >= self.line_at {
            self.line_at = now.elapsed + LINE_EVERY;
            eprintln!("{}", line(now, self.total));
        }
    }

    /// Takes the bar away.
    pub fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Whole records per second.
#[must_use]
pub fn per_second(records: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis().max(1);
    u64::try_from(u128::from(records) * 1000 / millis).unwrap_or(u64::MAX)
}

fn line(now: Progress, total: Option<u64>) -> String {
    let rate = per_second(now.delivered, now.elapsed);
    let seconds = now.elapsed.as_secs();
    match total {
        Some(total) => {
            let left = total.saturating_sub(now.delivered).checked_div(rate);
            let left = left.map_or_else(|| "unknown time".to_owned(), |s| format!("{s} s"));
            format!("{} of {total} records after {seconds} s, {rate}/s, {left} left", now.delivered)
        }
        None => format!("{} records after {seconds} s, {rate}/s", now.delivered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_and_time_left() {
        let at = |delivered, seconds| Progress { sent: 0, delivered, elapsed: Duration::from_secs(seconds) };
        assert_eq!(line(at(500, 5), Some(1000)), "500 of 1000 records after 5 s, 100/s, 5 s left");
        assert_eq!(line(at(0, 5), Some(1000)), "0 of 1000 records after 5 s, 0/s, unknown time left");
        assert_eq!(line(at(500, 5), None), "500 records after 5 s, 100/s");
    }
}
