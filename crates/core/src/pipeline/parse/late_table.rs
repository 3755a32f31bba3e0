//! `kpi.late`, `kpi.amend_for` and `[kpi.late_table]`: what becomes of rows that come too late for a KPI (T5).

use super::layers::{read_encoding, read_path, read_retention};
use super::rows_mart::read_table;
use super::scope::Scope;
use super::unique::Sink;
use crate::document::{Entry, Section};
use crate::pipeline::names::check_table;
use crate::pipeline::{Derived, Encoding, Holds, Layer, late_columns};

/// What becomes of a KPI's late rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Drop,
    Table,
    Amend,
}

/// Reads `kpi.late`; complains about what is no policy.
pub(super) fn read_policy(kpi: &Section<'_>) -> Policy {
    let Some(entry) = kpi.get("late") else { return Policy::Drop };
    match entry.string() {
        Some("table") => Policy::Table,
        Some("amend") => Policy::Amend,
        Some("drop") | None => Policy::Drop,
        Some(other) => {
            let known = "it is \"drop\", \"table\" or \"amend\"";
            entry.complain(format!("\"{other}\" is no policy for late rows; {known}"));
            Policy::Drop
        }
    }
}

/// How long rows may revise a closed window, in microseconds; 0 where the policy is another one. A revision finds the row
/// that it replaces in Gold by window and key, so Gold must keep them.
pub(super) fn read_amend_for(kpi: &Section<'_>, policy: Policy, keys: usize, gold: &[Derived], scope: &Scope) -> i64 {
    let (Policy::Amend, Some(late)) = (policy, kpi.get("late")) else {
        if let Some(entry) = kpi.get("amend_for") {
            entry.complain_key("closed windows are not revised; write late = \"amend\" too");
        }
        return 0;
    };
    for index in 2..2 + keys {
        if !gold.iter().any(|column| column.expr.as_column() == Some(index)) {
            let name = scope.columns.get(index).map_or("", |column| column.name.as_str());
            late.complain(format!("gold must keep the key column \"{name}\" of a window that is revised"));
        }
    }
    let how_long = kpi.require("amend_for", "how long late rows revise closed windows, such as \"1h\"");
    how_long.and_then(|entry| entry.positive_duration()).unwrap_or(0)
}

/// A KPI's late rows as it keeps them.
pub(super) struct Late<'d> {
    pub(super) layer: Layer,
    pub(super) folder: Sink<'d>,
    /// The mart's table; `mart = false` leaves it out.
    pub(super) table: Option<Sink<'d>>,
}

/// Reads where the rows go that are in no window of a KPI; `None` where they are only counted. `rows` holds the row columns.
pub(super) fn read_late_table<'d>(
    kpi: &Section<'d>,
    name: &str,
    pipeline: &str,
    index: usize,
    rows: &Scope,
    policy: Policy,
) -> Option<Late<'d>> {
    let section = kpi.section("late_table");
    if let Some(section) = &section {
        section
            .allow(&["path", "encoding", "retention", "table", "mart"], &["columns", "keep", "partition_by", "hive"]);
        if let Some(encoding) = section.get("encoding") {
            read_encoding(&encoding, Encoding::Parquet);
        }
    }
    let keeps = policy == Policy::Table || policy == Policy::Amend && section.is_some();
    let Some(late) = kpi.get("late").filter(|_| keeps) else {
        if let Some(entry) = kpi.get("late_table") {
            entry.complain_key("late rows are only counted; write late = \"table\" too");
        }
        return None;
    };
    check_columns(&late, rows);
    let place = section.clone().or_else(|| Some(kpi.clone()));
    let default = format!("late/{}_{name}", pipeline.replace('-', "_"));
    let folder = match &section {
        Some(_) => read_path(place, "kpi.late_table", &default),
        None => Sink { target: default, key: "kpi.late_table.path".to_owned(), entry: None, section: place },
    };
    let layer = Layer {
        name: format!("late/{name}"),
        path: folder.target.clone(),
        encoding: Encoding::Parquet,
        holds: Holds::LateRows { kpi: index },
        retention: section.as_ref().and_then(read_retention),
    };
    Some(Late { layer, folder, table: read_mart_table(kpi, section.as_ref(), &late, name) })
}

/// A late row stands beside its window: no column of the feed may have one of those names.
fn check_columns(policy: &Entry<'_>, rows: &Scope) {
    for own in late_columns() {
        for column in rows.columns.iter().filter(|column| column.name.eq_ignore_ascii_case(&own.name)) {
            policy.complain(format!(
                "a table of late rows has a column \"{}\" of its own, so the feed can't have \"{}\"",
                own.name, column.name
            ));
        }
    }
}

fn read_mart_table<'d>(
    kpi: &Section<'d>,
    section: Option<&Section<'d>>,
    policy: &Entry<'_>,
    name: &str,
) -> Option<Sink<'d>> {
    let default = format!("{}_late", name.to_lowercase());
    let Some(section) = section else {
        if let Err(why) = check_table(&default) {
            policy.complain(format!("{why}; name the table: late_table = {{ table = \"…\" }}"));
        }
        let key = "kpi.late_table.table".to_owned();
        return Some(Sink { target: default, key, entry: None, section: Some(kpi.clone()) });
    };
    match section.get("mart").map(|entry| (entry.boolean(), entry)) {
        Some((Some(false), entry)) => {
            if section.get("table").is_some() {
                entry.complain("the mart's table is named and left out");
            }
            None
        }
        _ => Some(read_table(section, "kpi.late_table", &default)),
    }
}
