//! The late rows in `lakeward ledger` (I12): per KPI and partition, and the minutes in which they lay, so that whoever
//! sees a KPI's minute too low can see by how many rows.

use std::fmt::Write;

use lakeward_core::ids::EventTime;
use lakeward_core::log::Fold;
use serde_json::{Value, json};

use super::ledger::partitions;
use crate::text::{table, timestamp};

/// Lines for people, per KPI; `--json` has all that the log holds.
const LINES: usize = 20;

/// The late rows of one partition for one KPI.
pub(super) struct Late {
    kpi: String,
    partition: i32,
    incarnation: i32,
    /// All of them.
    rows: u64,
    /// Those of the newest minutes, oldest first.
    minutes: Vec<(EventTime, u64)>,
}

/// The late rows of every partition and KPI that has some.
pub(super) fn late_rows(fold: &Fold) -> Vec<Late> {
    let mut found = Vec::new();
    for ((partition, incarnation), held) in partitions(fold) {
        for (kpi, &rows) in &held.total.late {
            let minutes = held.late_minutes.of(kpi).collect();
            found.push(Late { kpi: kpi.clone(), partition, incarnation, rows, minutes });
        }
    }
    found.sort_by(|a, b| (&a.kpi, a.incarnation, a.partition).cmp(&(&b.kpi, b.incarnation, b.partition)));
    found
}

impl Late {
    fn in_minutes(&self) -> u64 {
        self.minutes.iter().map(|(_, rows)| rows).sum()
    }

    /// Rows in minutes that the log doesn't tell apart any more.
    fn earlier(&self) -> u64 {
        self.rows.saturating_sub(self.in_minutes())
    }

    /// What does not add up.
    pub(super) fn open(&self) -> Option<String> {
        let whose = format!("partition {} of incarnation {}", self.partition, self.incarnation);
        let sum = self.in_minutes();
        (sum > self.rows).then(|| format!("{whose}: {sum} late rows of {} in minutes, {} in all", self.kpi, self.rows))
    }
}

/// The newest minutes of each KPI, for people.
pub(super) fn to_text(out: &mut String, late: &[Late]) {
    for of_kpi in late.chunk_by(|a, b| a.kpi == b.kpi) {
        let Some(kpi) = of_kpi.first().map(|late| &late.kpi) else { continue };
        let all: u64 = of_kpi.iter().map(|late| late.rows).sum();
        let _ = writeln!(out, "late for {kpi}: {all} (kept in the lake, not counted in the closed window)");
        let shown = newest_first(of_kpi);
        let lines = shown.iter().take(LINES);
        let in_lines: u64 = lines.clone().map(|(_, _, rows)| rows).sum();
        let head = ["  minute of the event", "partition", "late rows"].map(str::to_owned);
        let cells = lines.map(|(minute, late, rows)| {
            [format!("  {}", timestamp(minute.0)), late.partition.to_string(), rows.to_string()]
        });
        table(out, &std::iter::once(head).chain(cells).collect::<Vec<_>>());
        if in_lines < all {
            let _ = writeln!(out, "  earlier: {}", all - in_lines);
        }
    }
}

fn newest_first(of_kpi: &[Late]) -> Vec<(EventTime, &Late, u64)> {
    let minutes = of_kpi.iter().flat_map(|late| late.minutes.iter().map(move |(minute, rows)| (*minute, late, *rows)));
    let mut minutes: Vec<_> = minutes.collect();
    minutes.sort_by_key(|(minute, late, _)| (std::cmp::Reverse(*minute), late.partition));
    minutes
}

/// All minutes that the log holds.
pub(super) fn to_json(late: &[Late]) -> Value {
    let minute = |(minute, rows): &(EventTime, u64)| json!({ "minute": timestamp(minute.0), "rows": rows });
    let one = |late: &Late| {
        json!({
            "kpi": late.kpi, "partition": late.partition, "incarnation": late.incarnation, "rows": late.rows,
            "minutes": late.minutes.iter().map(minute).collect::<Vec<_>>(), "earlier": late.earlier(),
        })
    };
    late.iter().map(one).collect()
}
