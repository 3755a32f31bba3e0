//! The actors of a run, as `src/topology.rs` wires them.

use std::fmt::Write;

use lakeward_core::pipeline::{Holds, Pipeline};
use serde::Serialize;

use crate::text::table;

/// The actors of a run.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Actors(Vec<Kind>);

/// Actors of one kind.
#[derive(Debug, Serialize)]
struct Kind {
    kind: &'static str,
    /// How many, at most; `None` where Kafka did not say.
    count: Option<u64>,
    /// What they are for.
    about: String,
}

/// Those of a pipeline over `partitions`, with at most `kpi_max` for keys.
pub fn of(pipeline: &Pipeline, partitions: Option<usize>, has_mart: bool, kpi_max: u64) -> Actors {
    let count = |n: usize| u64::try_from(n).ok();
    let names = |names: Vec<&str>| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let with = |holds: fn(&Holds) -> bool| pipeline.layers.iter().filter(move |layer| holds(&layer.holds));
    let columns = pipeline.row_columns();
    let key = |kpi: &lakeward_core::pipeline::Kpi| {
        let key: Vec<&str> = kpi.key.iter().filter_map(|&i| columns.get(i)).map(|c| c.name.as_str()).collect();
        format!("{} by {}", kpi.name, if key.is_empty() { "nothing".to_owned() } else { key.join(", ") })
    };
    let marts: Vec<&str> = pipeline.kpis.iter().filter_map(|k| Some(k.mart.as_ref()?.table.as_str())).collect();
    let late = |kpi: &lakeward_core::pipeline::Kpi| kpi.late_table.as_ref().is_some_and(|late| late.table.is_some());
    let lates: Vec<&str> = pipeline.kpis.iter().filter(|kpi| late(kpi)).map(|kpi| kpi.name.as_str()).collect();
    let if_mart = |n: usize| count(if has_mart { n } else { 0 });
    let layers: Vec<&str> = with(|_| true).map(|layer| layer.name.as_str()).collect();
    let kpis: Vec<String> = pipeline.kpis.iter().map(key).collect();
    let kind = |kind, count, about: String| Kind { kind, count, about };
    Actors(vec![
        kind("partition", partitions.and_then(count), "one per partition: decodes, checks, derives, counts".to_owned()),
        kind("layer_writer", count(layers.len()), names(layers)),
        kind("kpi_registry", Some(1), "hands windows to the actors of their keys".to_owned()),
        kind(
            "kpi",
            Some(if kpis.is_empty() { 0 } else { kpi_max }),
            format!("at most, one per key: {}", names(kpis.iter().map(String::as_str).collect())),
        ),
        kind("commit", Some(1), "cuts epochs, creates entries".to_owned()),
        kind(
            "row_mart",
            if_mart(usize::from(pipeline.rows.is_some())),
            pipeline.rows.as_ref().map_or("-".to_owned(), |r| r.table.clone()),
        ),
        kind("kpi_mart", if_mart(marts.len()), names(marts)),
        kind("late_mart", if_mart(lates.len()), names(lates)),
        kind("directories", Some(1), "renames committed files into sight".to_owned()),
        kind("group_offsets", Some(1), format!("lakeward-{}", pipeline.name)),
        kind("topic_watch", Some(1), "ends, idle and new partitions".to_owned()),
    ])
}

impl Actors {
    /// How many there are of a kind; `None`: not known.
    #[cfg(test)]
    pub fn count(&self, kind: &str) -> Option<u64> {
        self.0.iter().find(|found| found.kind == kind).and_then(|found| found.count)
    }

    /// A table of those that there would be.
    pub fn tell(&self, text: &mut String) {
        let _ = writeln!(text, "actors");
        let count = |kind: &Kind| kind.count.map_or("?".to_owned(), |count| count.to_string());
        let row = |kind: &Kind| [format!("  {}", kind.kind), count(kind), kind.about.clone()];
        table(text, &self.0.iter().filter(|kind| kind.count != Some(0)).map(row).collect::<Vec<_>>());
    }
}
