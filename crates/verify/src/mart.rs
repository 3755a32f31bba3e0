//! The mart at one moment: its fences against the log (I7, I8). Its tables are compared in `mart_rows` and `mart_kpi`.

use lakeward_connect::mart::{MartSnapshot, MartValue, REPLAYED_FENCE};
use lakeward_core::ids::Version;
use lakeward_core::pipeline::Pipeline;

use crate::cell::Cell;
use crate::history::History;
use crate::invariant::Invariant::{I7, I8};
use crate::report::Report;

/// A mart and what is known of it.
pub struct MartCheck<'a> {
    /// The mart at one moment, which is not younger than the head.
    pub snapshot: &'a MartSnapshot,
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// What the entries say.
    pub history: &'a History,
    /// The newest version.
    pub head: Version,
    /// Whether nobody works on the pipeline: then the mart must be at the head.
    pub quiet: bool,
}

impl MartCheck<'_> {
    /// Fences follow the log: none beyond it, none below what the log recorded as done.
    pub fn fences(&self, report: &mut Report) {
        let fences = self.snapshot.fences();
        for (&(incarnation, partition), &(claim, next)) in &fences.rows {
            report.counted(I7, "fences", 1);
            let whose = format!("the fence of rows of partition {partition} (incarnation {incarnation})");
            self.not_above(report, &whose, claim, None);
            let end = self.history.reign_end(claim, (incarnation, partition));
            if self.quiet && next != end {
                report.broken(I8, || format!("{whose} is at offset {next}, the log at {end}"));
            }
            report.counted(I8, "fences", 1);
        }
        self.replayed(report);
        for (kpi, fence) in fences.kpis.iter().filter(|(name, _)| *name != REPLAYED_FENCE) {
            report.counted(I7, "fences", 1);
            report.counted(I8, "fences", 1);
            let whose = format!("the fence of {kpi}");
            self.not_above(report, &whose, fence.claim, fence.version);
            let follower =
                if kpi.starts_with("late/") { kpi.replacen("late", "late-mart", 1) } else { format!("kpi-mart/{kpi}") };
            let recorded = self.history.followers.get(&follower);
            if fence.version.as_ref() < recorded {
                report.broken(I7, || {
                    format!("{whose} is at version {}, the log has recorded more", or_none(fence.version))
                });
            }
            if self.quiet && fence.version != Some(self.head) {
                report.broken(I8, || {
                    format!("{whose} is at version {}, the head is {}", or_none(fence.version), self.head)
                });
            }
        }
    }

    /// The rows mart looks at replayed rows only where an entry brings some.
    fn replayed(&self, report: &mut Report) {
        let Some(fence) = self.snapshot.fences().kpis.get(REPLAYED_FENCE) else { return };
        self.not_above(report, "the fence of replayed rows", fence.claim, fence.version);
        let replayed = self.history.replays.last().copied();
        if self.quiet && fence.version < replayed {
            report.broken(I8, || {
                let (at, last) = (or_none(fence.version), or_none(replayed));
                format!("the fence of replayed rows is at version {at}, the newest replay is entry {last}")
            });
        }
    }

    fn not_above(&self, report: &mut Report, whose: &str, claim: Version, version: Option<Version>) {
        if claim > self.history.claim || version > Some(self.head) {
            let (claim, version) = (claim.0, or_none(version));
            report.broken(I7, || {
                format!("{whose} (claim {claim}, version {version}) is ahead of the log ({})", self.head)
            });
        }
    }
}

/// What a mart can't hold as the lake does: Postgres no U+0000, SQLite no NaN.
#[must_use]
pub fn as_in_marts(cell: Cell) -> Cell {
    match cell {
        Cell::Text(text) if text.contains('\0') => Cell::Text(text.replace('\0', "\u{fffd}")),
        Cell::Float(x) if x.is_nan() => Cell::Null,
        other => other,
    }
}

/// A mart's value.
#[must_use]
pub fn cell_of(value: MartValue) -> Cell {
    as_in_marts(match value {
        MartValue::Null => Cell::Null,
        MartValue::Bool(b) => Cell::Bool(b),
        MartValue::Int(n) => Cell::Int(n),
        MartValue::Float(x) => Cell::Float(x),
        MartValue::Decimal(n) => Cell::Decimal(n),
        MartValue::Text(text) => Cell::Text(text),
        MartValue::Foreign(what) => Cell::Text(format!("(foreign: {what})")),
    })
}

fn or_none(version: Option<Version>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| version.to_string())
}
