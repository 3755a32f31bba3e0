//! `[[kpi]]`: windows, keys and measures. Where the answers go is `kpi_sinks`.

use super::kpi_sinks::{read_gold, read_mart};
use super::late_table::{read_amend_for, read_late_table, read_policy};
use super::record::{no_float, read_columns, read_derived_column};
use super::scope::{Scope, SqlText, sql_text};
use super::unique::{Names, Sink};
use crate::document::{Entry, Section};
use crate::expr::MeasureExpr;
use crate::pipeline::names::{check_identifier, check_reserved_in_kpi};
use crate::pipeline::{Derived, Kpi, LateTable, Layer, Measure, Window};
use crate::types::{Column, DataType};

const KEYS: [&str; 12] = [
    "name",
    "window",
    "key",
    "null_key",
    "allowed_lateness",
    "late",
    "amend_for",
    "late_table",
    "measures",
    "derive",
    "gold",
    "mart",
];
const LATER: [&str; 3] = ["redis", "alert", "top"];

/// What stands for NULL in a key column (N3).
const NULL_KEY: &str = "unknown";
/// Longest word for NULL; keys over 1 KiB are quarantined (N3).
const LONGEST_NULL_KEY: usize = 255;

/// The KPIs of a file with their layers and what they write to.
#[derive(Default)]
pub(super) struct Kpis<'d> {
    pub(super) kpis: Vec<Kpi>,
    pub(super) layers: Vec<Layer>,
    pub(super) folders: Vec<Sink<'d>>,
    pub(super) tables: Vec<Sink<'d>>,
}

pub(super) fn read_kpis<'d>(root: &Section<'d>, pipeline: &str, rows: &Scope) -> Kpis<'d> {
    let mut all = Kpis::default();
    let Some(entry) = root.get("kpi") else { return all };
    let mut names: Vec<&str> = Vec::new();
    for element in entry.elements().unwrap_or_default() {
        let Some(section) = element.section() else { continue };
        let Some(name) = read_name(&section) else {
            section.allow(&KEYS, &LATER);
            continue;
        };
        if names.iter().any(|other| other.eq_ignore_ascii_case(name.1)) {
            name.0.complain(format!("there is already a KPI \"{}\"", name.1));
        }
        names.push(name.1);
        read_kpi(&section, name.1, pipeline, rows, &mut all);
    }
    all
}

fn read_name<'d>(section: &Section<'d>) -> Option<(Entry<'d>, &'d str)> {
    let entry = section.require("name", "the KPI's name")?;
    let name = entry.string()?;
    if let Err(why) = check_identifier(name) {
        entry.complain(why);
    }
    Some((entry, name))
}

fn read_kpi<'d>(section: &Section<'d>, name: &str, pipeline: &str, rows: &Scope, all: &mut Kpis<'d>) {
    section.allow(&KEYS, &LATER);
    let window = section.require("window", "such as { tumbling = \"1m\" }").and_then(|e| read_window(&e));
    let key = section.get("key").map(|e| read_columns(&e, rows, makes_a_key)).unwrap_or_default();
    let mut names = Names::default();
    let mut scope = Scope::default();
    scope.push(Column::new("window_start", DataType::Timestamp, false));
    scope.push(Column::new("window_end", DataType::Timestamp, false));
    for column in key.iter().filter_map(|&index| rows.columns.get(index)) {
        scope.push(Column::new(&column.name, column.ty, false));
        names.hold(&column.name, "a key column");
    }
    let measures = read_measures(section, rows, &mut scope, &mut names);
    let derived = read_derived(section, &mut scope, &mut names);
    scope.push(Column::new("revision", DataType::Int32, false));
    let window = window.unwrap_or(Window::Tumbling { size: 1 });
    let index = all.kpis.len();
    let gold = read_gold(section, name, pipeline, index, &scope);
    let mart = read_mart(section, name, window, key.len(), &scope, &gold.columns);
    let policy = read_policy(section);
    let amend_for = read_amend_for(section, policy, key.len(), &gold.columns, &scope);
    if gold.layer.retention.is_some_and(|retention| retention < amend_for)
        && let Some(entry) = section.section("gold").and_then(|gold| gold.get("retention"))
    {
        entry.complain("rows of closed windows may still be revised then: it is at least amend_for");
    }
    all.layers.push(gold.layer);
    all.folders.push(gold.sink);
    let mart = mart.map(|(mart, sink)| {
        all.tables.push(sink);
        mart
    });
    let late_table = read_late_table(section, name, pipeline, index, rows, policy).map(|late| {
        all.layers.push(late.layer);
        all.folders.push(late.folder);
        let table = late.table.as_ref().map(|table| table.target.clone());
        all.tables.extend(late.table);
        LateTable { table }
    });
    all.kpis.push(Kpi {
        name: name.to_owned(),
        window,
        key,
        null_key: read_null_key(section),
        measures,
        derived,
        amend_for,
        allowed_lateness: section.get("allowed_lateness").and_then(|e| e.duration()).unwrap_or(0),
        gold: gold.columns,
        mart,
        late_table,
    });
}

fn read_window(entry: &Entry<'_>) -> Option<Window> {
    if !entry.is_table() {
        if entry.string()? == "all" {
            entry.complain("a window over all time is not yet supported");
        } else {
            entry.complain("expected a table, such as { tumbling = \"1m\" }");
        }
        return None;
    }
    let section = entry.section()?;
    section.allow(&["tumbling"], &["sliding", "every", "session", "gap"]);
    if section.get("sliding").is_some() || section.get("session").is_some() {
        return None;
    }
    let size = section.require("tumbling", "the windows' length, such as \"1m\"")?.positive_duration()?;
    Some(Window::Tumbling { size })
}

fn makes_a_key(name: &str, column: &Column) -> Result<(), String> {
    no_float(name, column)?;
    check_reserved_in_kpi(name)?;
    if column.nullable && column.ty != DataType::String {
        return Err(format!(
            "\"{name}\" is {} and may be NULL; a key column is a string, or a column that is never NULL",
            column.ty
        ));
    }
    Ok(())
}

fn read_null_key(section: &Section<'_>) -> String {
    let Some(entry) = section.get("null_key") else { return NULL_KEY.to_owned() };
    let word = entry.string().unwrap_or(NULL_KEY);
    if word.is_empty() || word.len() > LONGEST_NULL_KEY || word.chars().any(char::is_control) {
        entry.complain(format!("the word for NULL has 1 to {LONGEST_NULL_KEY} bytes and no control characters"));
    }
    word.to_owned()
}

fn read_measures(section: &Section<'_>, rows: &Scope, scope: &mut Scope, names: &mut Names) -> Vec<Measure> {
    let Some(table) = section.require("measures", "a table such as { total = \"sum(amount)\" }") else {
        return Vec::new();
    };
    let Some(entries) = table.section().map(|s| s.entries()) else { return Vec::new() };
    if entries.is_empty() {
        table.complain("declares no measure");
    }
    entries.iter().filter_map(|entry| read_measure(entry, rows, scope, names)).collect()
}

fn read_measure(entry: &Entry<'_>, rows: &Scope, scope: &mut Scope, names: &mut Names) -> Option<Measure> {
    let name = entry.name();
    let claimed = names.claim(entry, legal_in_kpi);
    let text = sql_text(entry);
    let expr = text.as_ref().and_then(|text| rows.compile_measure(text));
    let typed = expr.and_then(|expr| Some((measure_type(text.as_ref()?, &expr)?, expr)));
    let (true, Some((ty, expr))) = (claimed, typed) else {
        scope.push_broken(name);
        return None;
    };
    scope.push(Column::new(name, ty, expr.nullable));
    Some(Measure { name: name.to_owned(), expr, ty })
}

/// The type of the answer: the declared one, if the aggregate's own goes into it.
fn measure_type(text: &SqlText<'_>, expr: &MeasureExpr) -> Option<DataType> {
    let Some((entry, wanted)) = &text.ty else { return Some(expr.ty) };
    let integer = matches!(expr.ty, DataType::Int32 | DataType::Int64);
    let decimal = matches!(expr.ty, DataType::Decimal { .. });
    let fits = match wanted {
        wanted if *wanted == expr.ty => true,
        DataType::Decimal { .. } => integer || decimal,
        DataType::Int64 => integer,
        DataType::Float64 => expr.ty == DataType::Float64,
        _ => false,
    };
    if !fits {
        entry.complain(format!("the measure is {}; it can't be answered as {wanted}", expr.ty));
        return None;
    }
    Some(*wanted)
}

fn read_derived(section: &Section<'_>, scope: &mut Scope, names: &mut Names) -> Vec<Derived> {
    let entries = section.section("derive").map(|s| s.entries()).unwrap_or_default();
    entries.iter().filter_map(|entry| read_derived_column(entry, scope, names, legal_in_kpi)).collect()
}

fn legal_in_kpi(name: &str) -> Result<(), String> {
    check_identifier(name).and_then(|()| check_reserved_in_kpi(name))
}
