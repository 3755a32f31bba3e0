//! `[dashboard]`: the pipeline's board in the browser.

use super::scope::{Scope, sql_text};
use crate::document::{Entry, Section, nearest};
use crate::expr::Aggregate;
use crate::pipeline::dashboard::{is_number, makes_labels};
use crate::pipeline::{BoardMeasure, Chart, Dashboard, EventTimeSource, Figure, Kpi, Plot, RowsMart, Tile};
use crate::types::{Column, DataType};

const KEYS: [&str; 7] = ["title", "time", "last", "filters", "rows", "tile", "chart"];
const TILE: [&str; 5] = ["title", "value", "top", "kpi", "currency"];
const KINDS: [(&str, Kind); 6] = [
    ("line", Kind::Line),
    ("stacked", Kind::Stacked),
    ("bar", Kind::Bar),
    ("doughnut", Kind::Doughnut),
    ("scatter", Kind::Scatter),
    ("histogram", Kind::Histogram),
];

/// Names that mean something else in a question to the server.
const TAKEN: [&str; 6] = ["pipeline", "from", "to", "limit", "token", "last"];

const MINUTE: i64 = 60_000_000;
const MOST_BARS: i64 = 50;
const USUAL_BARS: i64 = 10;
const MOST_POINTS: i64 = 2_000;
const USUAL_POINTS: i64 = 500;

#[derive(Clone, Copy)]
enum Kind {
    Line,
    Stacked,
    Bar,
    Doughnut,
    Scatter,
    Histogram,
}

/// What the board's columns and KPIs are looked up in.
struct Sources<'a> {
    rows: &'a RowsMart,
    silver: &'a Scope,
    kpis: &'a [Kpi],
    /// Whether KPIs go by the board's time.
    kpis_fit: bool,
}

/// Reads `[dashboard]`. `silver` holds the row columns, then the engine's.
pub(super) fn read_dashboard(
    root: &Section<'_>,
    silver: &Scope,
    rows: Option<&RowsMart>,
    kpis: &[Kpi],
    event_time: EventTimeSource,
) -> Option<Dashboard> {
    let section = root.section("dashboard")?;
    section.allow(&KEYS, &[]);
    let Some(rows) = rows else {
        section.complain("needs [rows]: the board is made from its table");
        return None;
    };
    let mut sources = Sources { rows, silver, kpis, kpis_fit: true };
    let event_column = match event_time {
        EventTimeSource::Kafka => silver.columns.iter().rposition(|column| column.name == "kafka_timestamp"),
        EventTimeSource::Field(index) => Some(index),
    };
    let event_column = event_column.and_then(|silver| rows.columns.iter().position(|(_, source)| *source == silver));
    let time = match section.get("time") {
        Some(entry) => sources.column(&entry, entry.string()?, "a timestamp", |ty| ty == DataType::Timestamp),
        None => event_column.filter(|index| sources.ty(*index) == Some(DataType::Timestamp)),
    };
    if time.is_none() && section.get("time").is_none() {
        section.complain("names no time: time = \"…\", a timestamp among the columns of [rows]");
    }
    sources.kpis_fit = time.is_none() || time == event_column;
    let title = section.get("title").and_then(|entry| entry.string()).map(str::to_owned);
    Some(Dashboard {
        title: title.unwrap_or_else(|| root.get("name").and_then(|e| e.string()).unwrap_or_default().to_owned()),
        time: time.unwrap_or_default(),
        last: section.get("last").and_then(|entry| entry.positive_duration()),
        filters: read_filters(&section, &sources),
        rows: read_rows(&section, &sources),
        tiles: sections(&section, "tile").iter().filter_map(|tile| read_tile(tile, &sources)).collect(),
        charts: sections(&section, "chart").iter().filter_map(|chart| read_chart(chart, &sources)).collect(),
    })
}

fn sections<'d>(section: &Section<'d>, name: &str) -> Vec<Section<'d>> {
    let elements = section.get(name).and_then(|entry| entry.elements()).unwrap_or_default();
    elements.iter().filter_map(Entry::section).collect()
}

fn read_filters(section: &Section<'_>, sources: &Sources<'_>) -> Vec<usize> {
    let Some(entry) = section.get("filters") else { return Vec::new() };
    let mut filters = Vec::new();
    for (element, name) in entry.strings() {
        let Some(index) = sources.column(&element, name, "a string, whole number, date or bool", makes_labels) else {
            continue;
        };
        if TAKEN.contains(&name) {
            element.complain(format!("\"{name}\" can't be a filter: the word has a meaning in addresses"));
        }
        if filters.contains(&index) {
            element.complain(format!("\"{name}\" is named twice"));
            continue;
        }
        filters.push(index);
    }
    filters
}

fn read_rows(section: &Section<'_>, sources: &Sources<'_>) -> Vec<usize> {
    match section.get("rows") {
        Some(entry) => {
            entry.strings().iter().filter_map(|(element, name)| sources.column(element, name, "", |_| true)).collect()
        }
        None => (0..sources.rows.columns.len()).collect(),
    }
}

fn read_tile(section: &Section<'_>, sources: &Sources<'_>) -> Option<Tile> {
    section.allow(&TILE, &[]);
    let title = read_title(section);
    let top = section.get("top").map(|entry| sources.label_column(&entry));
    let measure = read_measure(section, sources);
    let top = match top {
        Some(found) => Some(found?),
        None => None,
    };
    Some(Tile { title: title?, measure: measure?, top })
}

fn read_title(section: &Section<'_>) -> Option<String> {
    section.require("title", "what it shows, in words")?.string().map(str::to_owned)
}

fn read_chart(section: &Section<'_>, sources: &Sources<'_>) -> Option<Chart> {
    let title = read_title(section);
    let kind =
        section.require("kind", "line, stacked, bar, doughnut, scatter or histogram").and_then(|e| e.choice(&KINDS));
    let plot = match kind? {
        Kind::Line => {
            section.allow(&["title", "kind", "value", "kpi", "currency", "every"], &[]);
            let measure = read_measure(section, sources);
            let every = read_every(section, sources, measure.as_ref());
            Plot::Line { measure: measure?, every: every? }
        }
        Kind::Stacked => {
            section.allow(&["title", "kind", "value", "kpi", "currency", "every", "by"], &[]);
            let (measure, by) = (read_measure(section, sources), read_by(section, sources));
            let every = read_every(section, sources, measure.as_ref());
            Plot::Stacked { measure: measure?, every: every?, by: by? }
        }
        kind @ (Kind::Bar | Kind::Doughnut) => {
            section.allow(&["title", "kind", "value", "kpi", "currency", "by", "top"], &[]);
            let (measure, by) = (read_measure(section, sources), read_by(section, sources));
            let top = read_count(section, "top", USUAL_BARS, MOST_BARS);
            let (measure, by, top) = (measure?, by?, top?);
            if matches!(kind, Kind::Bar) { Plot::Bar { measure, by, top } } else { Plot::Doughnut { measure, by, top } }
        }
        Kind::Scatter => {
            section.allow(&["title", "kind", "x", "y", "points"], &[]);
            let (x, y) = (read_number(section, "x", sources), read_number(section, "y", sources));
            let points = read_count(section, "points", USUAL_POINTS, MOST_POINTS);
            Plot::Scatter { x: x?, y: y?, points: points? }
        }
        Kind::Histogram => {
            section.allow(&["title", "kind", "column", "width"], &[]);
            let column = read_number(section, "column", sources);
            let width = section.require("width", "how wide an interval is, a whole number");
            let width = width.and_then(|_| read_count(section, "width", 1, 1_000_000_000));
            Plot::Histogram { column: column?, width: width? }
        }
    };
    Some(Chart { title: title?, plot })
}

fn read_by(section: &Section<'_>, sources: &Sources<'_>) -> Option<usize> {
    sources.label_column(&section.require("by", "the column whose values are told apart")?)
}

fn read_number(section: &Section<'_>, name: &str, sources: &Sources<'_>) -> Option<usize> {
    let entry = section.require(name, "a column of numbers")?;
    sources.column(&entry, entry.string()?, "a number", is_number)
}

fn read_count(section: &Section<'_>, name: &str, usual: i64, most: i64) -> Option<u32> {
    let Some(entry) = section.get(name) else { return u32::try_from(usual).ok() };
    let count = entry.integer()?;
    if !(1..=most).contains(&count) {
        entry.complain(format!("must be from 1 to {most}"));
    }
    u32::try_from(count).ok()
}

/// Whole windows, so that a KPI can answer.
fn read_every(section: &Section<'_>, sources: &Sources<'_>, measure: Option<&BoardMeasure>) -> Option<i64> {
    let kpi = measure.and_then(|measure| sources.kpis.get(measure.kpi?.kpi));
    let least = kpi.map_or(1_000_000, Kpi::window_size);
    let Some(entry) = section.get("every") else { return Some(kpi.map_or(MINUTE, Kpi::window_size)) };
    let every = entry.positive_duration()?;
    if every % least != 0 {
        let what = if kpi.is_some() { "windows of the KPI" } else { "seconds" };
        entry.complain(format!("must be whole {what}"));
    }
    Some(every)
}

/// `value`, with the KPI that also has it and its currency.
fn read_measure(section: &Section<'_>, sources: &Sources<'_>) -> Option<BoardMeasure> {
    let value = section.require("value", "such as \"sum(amount)\" or \"count(*)\"");
    let currency = section.get("currency").and_then(|entry| read_currency(&entry));
    let kpi = section.get("kpi");
    let text = sql_text(&value?)?;
    let measure = sources.silver.compile_measure(&text)?;
    let column = match &measure.arg {
        None => None,
        Some(arg) => {
            let silver = arg.as_column();
            let found = silver.and_then(|silver| sources.rows.columns.iter().position(|(_, source)| *source == silver));
            if found.is_none() {
                text.entry.complain("a board's value reads one column of [rows], and computes nothing from it");
                return None;
            }
            found
        }
    };
    let figure = match (measure.aggregate, column) {
        (Aggregate::Count, None) => Figure::Count,
        (Aggregate::Count, Some(column)) if sources.silver_column(column).is_some_and(|c| !c.nullable) => Figure::Count,
        (Aggregate::Count, Some(column)) => Figure::CountOf(column),
        (Aggregate::CountDistinct, Some(column)) => Figure::Distinct(column),
        (Aggregate::Sum, Some(column)) => Figure::Sum(column),
        (Aggregate::Avg, Some(column)) => Figure::Average(column),
        _ => {
            text.entry.complain("a board's value is a count, sum or avg");
            return None;
        }
    };
    let kpi = match kpi {
        Some(entry) => Some(sources.parts_of_kpi(&entry, figure)?),
        None => None,
    };
    Some(BoardMeasure { figure, kpi, currency })
}

fn read_currency(entry: &Entry<'_>) -> Option<String> {
    let text = entry.string()?;
    if text.len() != 3 || !text.bytes().all(|b| b.is_ascii_uppercase()) {
        entry.complain("a currency is three capital letters, such as \"EUR\"");
    }
    Some(text.to_owned())
}

impl Sources<'_> {
    fn silver_column(&self, index: usize) -> Option<&Column> {
        self.silver.columns.get(self.rows.columns.get(index)?.1)
    }

    fn ty(&self, index: usize) -> Option<DataType> {
        Some(self.silver_column(index)?.ty)
    }

    fn label_column(&self, entry: &Entry<'_>) -> Option<usize> {
        self.column(entry, entry.string()?, "a string, whole number, date or bool", makes_labels)
    }

    /// The index in the rows table of a column by its name; complains where it isn't there or of another type.
    fn column(&self, entry: &Entry<'_>, name: &str, what: &str, fits: impl Fn(DataType) -> bool) -> Option<usize> {
        let silver = self.silver.index(entry, name)?;
        let Some(index) = self.rows.columns.iter().position(|(_, source)| *source == silver) else {
            let names = self.rows.columns.iter().filter_map(|(_, source)| self.silver.columns.get(*source));
            let near = nearest(name, names.map(|column| column.name.as_str()));
            entry.misspelt(format!("\"{name}\" is not among the columns of [rows]"), near);
            return None;
        };
        let ty = self.ty(index)?;
        if !fits(ty) {
            entry.complain(format!("\"{name}\" is {ty}, not {what}"));
            return None;
        }
        Some(index)
    }

    fn parts_of_kpi(&self, entry: &Entry<'_>, figure: Figure) -> Option<crate::pipeline::FromKpi> {
        let name = entry.string()?;
        let Some((index, kpi)) = self.kpis.iter().enumerate().find(|(_, kpi)| kpi.name == name) else {
            let near = nearest(name, self.kpis.iter().map(|kpi| kpi.name.as_str()));
            entry.misspelt(format!("there is no KPI \"{name}\""), near);
            return None;
        };
        if !self.kpis_fit {
            entry.complain("a KPI goes by the event time, the board by another column");
            return None;
        }
        if let Figure::Distinct(_) = figure {
            entry.complain("distinct counts of windows can't be added; leave kpi out, they are counted over the rows");
            return None;
        }
        let source = |column: usize| self.rows.columns.get(column).map(|(_, source)| *source);
        let parts = kpi.parts(index, figure, &self.silver.columns, source);
        if parts.is_none() {
            entry.complain(format!("\"{name}\" has no measure, or no column of its table, that is this value"));
        }
        parts
    }
}
