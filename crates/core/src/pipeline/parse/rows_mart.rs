//! `[rows]`: the mart table that holds rows.

use super::scope::Scope;
use super::unique::Sink;
use crate::document::{Entry, Section};
use crate::pipeline::names::check_table;
use crate::pipeline::{Layer, RowsMart};

const KEYS: [&str; 3] = ["table", "columns", "keep"];
const LATER: [&str; 2] = ["indexes", "mart"];

/// Columns that a rows table has in any case: its primary key, and the time that its index and retention go by.
const COORDINATES: [&str; 4] = ["kafka_partition", "kafka_offset", "kafka_timestamp", "kafka_incarnation"];

/// Retention goes by whole minutes.
const MINUTE: i64 = 60_000_000;

/// Reads `[rows]`. `silver` holds the row columns, then the engine's.
pub(super) fn read_rows<'d>(
    root: &Section<'d>,
    pipeline: &str,
    silver: &Scope,
    layers: &[Layer],
) -> Option<(RowsMart, Sink<'d>)> {
    let section = root.section("rows")?;
    section.allow(&KEYS, &LATER);
    if !layers.iter().any(|layer| layer.name == "silver") {
        section.complain("needs [silver]: the table is filled from its files after an outage");
    }
    let columns = match section.get("columns") {
        Some(entry) => with_coordinates(read_columns(&entry, silver), silver),
        None => all_columns(silver),
    };
    let retention = section.get("keep").and_then(|e| read_keep(&e));
    let sink = read_table(&section, "rows", &format!("{}_rows", pipeline.replace('-', "_")));
    Some((RowsMart { table: sink.target.clone(), columns, retention }, sink))
}

/// The table that the section names, or the default.
pub(super) fn read_table<'d>(section: &Section<'d>, key: &str, default: &str) -> Sink<'d> {
    let entry = section.get("table");
    let table = entry.as_ref().and_then(|e| e.string());
    match (&entry, check_table(table.unwrap_or(default))) {
        (Some(entry), Err(why)) if table.is_some() => entry.complain(why),
        (None, Err(why)) => section.complain(format!("{why}; name the table: table = \"…\"")),
        _ => {}
    }
    let target = table.unwrap_or(default).to_owned();
    Sink { target, key: format!("{key}.table"), entry, section: Some(section.clone()) }
}

fn read_columns(entry: &Entry<'_>, silver: &Scope) -> Vec<(String, usize)> {
    let mut columns: Vec<(String, usize)> = Vec::new();
    for (element, name) in entry.strings() {
        let Some(index) = silver.index(&element, name) else { continue };
        if columns.iter().any(|(_, other)| *other == index) {
            element.complain(format!("\"{name}\" is named twice"));
            continue;
        }
        columns.push((name.to_lowercase(), index));
    }
    columns
}

fn with_coordinates(mut columns: Vec<(String, usize)>, silver: &Scope) -> Vec<(String, usize)> {
    for name in COORDINATES {
        if let Some(index) = silver.columns.iter().position(|column| column.name == name)
            && !columns.iter().any(|(_, other)| *other == index)
        {
            columns.push((name.to_owned(), index));
        }
    }
    columns
}

fn all_columns(silver: &Scope) -> Vec<(String, usize)> {
    silver.columns.iter().enumerate().map(|(index, column)| (column.name.to_lowercase(), index)).collect()
}

fn read_keep(entry: &Entry<'_>) -> Option<i64> {
    let micros = entry.positive_duration()?;
    if micros % MINUTE != 0 {
        entry.complain("retention goes by whole minutes");
    }
    Some(micros)
}
