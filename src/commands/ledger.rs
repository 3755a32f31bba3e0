//! `lakeward ledger`: the balance per partition. Every record read is kept, filtered, a duplicate, quarantined or a
//! tombstone (I3), and the lake's files hold exactly the rows that the balance says.

use lakeward_core::ledger::Counters;
use lakeward_core::log::Fold;
use lakeward_core::pipeline::{Holds, Pipeline};
use serde_json::{Value, json};

use super::inspect::inspect;
use crate::config::Config;
use crate::exit::Exit;

/// Prints the ledger; an open one is exit code 1.
pub async fn ledger(config: &Config, pipeline: &str, as_json: bool) -> Result<(), Exit> {
    let seen = inspect(config, pipeline).await?;
    let open = open_accounts(&seen.pipeline, &seen.fold);
    if as_json {
        crate::text::say!("{}", to_json(&seen.pipeline, &seen.fold, &open));
    } else {
        crate::text::say_as_is(&to_text(&seen.pipeline, &seen.fold, &open));
    }
    if open.is_empty() { Ok(()) } else { Err(Exit::failed(format!("the ledger is open: {}", open.join("; ")))) }
}

/// What does not balance, for people; empty if the ledger is closed.
fn open_accounts(pipeline: &Pipeline, fold: &Fold) -> Vec<String> {
    let mut open = Vec::new();
    for (partition, held) in &fold.partitions {
        if !held.total.is_balanced() {
            open.push(format!("partition {partition} is off by {}", held.total.balance()));
        }
    }
    let total = all(fold);
    let held = |want: fn(&Holds) -> bool| {
        let (_, layer) = pipeline.layer(want)?;
        Some(fold.layer_files(&layer.name).map(|f| f.staged.rows).sum::<u64>())
    };
    let accounts = [
        ("rows", held(|h| matches!(h, Holds::Rows { .. })), total.kept),
        ("quarantined", held(|h| *h == Holds::Rejects), total.quarantined),
    ];
    for (what, files, counted) in accounts {
        if let Some(files) = files.filter(|files| *files != counted) {
            open.push(format!("the lake's files hold {files} {what}, the ledger says {counted}"));
        }
    }
    open
}

fn all(fold: &Fold) -> Counters {
    let mut total = Counters::default();
    for held in fold.past_incarnations.values().chain(fold.partitions.values()) {
        total.add(&held.total);
    }
    total
}

fn to_text(pipeline: &Pipeline, fold: &Fold, open: &[String]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let head =
        ["partition", "offsets", "read", "kept", "filtered", "duplicate", "quarantined", "tombstones", "balance"];
    let mut rows: Vec<[String; 9]> = vec![head.map(str::to_owned)];
    let row = |name: String, offsets: String, c: &Counters| {
        let balance = if c.is_balanced() { "closed".to_owned() } else { format!("open by {}", c.balance()) };
        let counts = [c.records, c.kept, c.filtered, c.duplicate, c.quarantined, c.tombstones].map(|n| n.to_string());
        let [read, kept, filtered, duplicate, quarantined, tombstones] = counts;
        [name, offsets, read, kept, filtered, duplicate, quarantined, tombstones, balance]
    };
    for ((partition, incarnation), held) in &fold.past_incarnations {
        rows.push(row(
            format!("{partition} (topic {incarnation})"),
            format!("{}-{}", held.start, held.to),
            &held.total,
        ));
    }
    for (partition, held) in &fold.partitions {
        rows.push(row(partition.to_string(), format!("{}-{}", held.start, held.to), &held.total));
    }
    let total = all(fold);
    rows.push(row("all".to_owned(), String::new(), &total));
    crate::text::table(&mut out, &rows);
    for (kpi, late) in &total.late {
        let _ = writeln!(out, "late for {kpi}: {late} (kept in the lake, not counted in the closed window)");
    }
    for (reason, n) in &total.by_reason {
        let _ = writeln!(out, "quarantined, {reason}: {n}");
    }
    for (check, n) in &total.filtered_by_check {
        let _ = writeln!(out, "filtered, {check}: {n}");
    }
    let state = if open.is_empty() { "closed" } else { "OPEN" };
    let _ = writeln!(out, "ledger of {} at version {}: {state}", pipeline.name, fold.version);
    for account in open {
        let _ = writeln!(out, "  {account}");
    }
    out
}

fn to_json(pipeline: &Pipeline, fold: &Fold, open: &[String]) -> Value {
    let partitions: Vec<Value> = fold
        .partitions
        .iter()
        .map(|(p, held)| {
            json!({
                "partition": p, "incarnation": held.incarnation, "from": held.start, "to": held.to,
                "counters": held.total, "balance": held.total.balance(),
            })
        })
        .collect();
    json!({
        "pipeline": pipeline.name, "version": fold.version, "closed": open.is_empty(), "open": open,
        "partitions": partitions, "total": all(fold),
    })
}
