//! What a pipeline would do, in words for people.

use std::fmt::Write as _;

use super::{Dashboard, EventTimeSource, Holds, Kpi, Layer, Pipeline, RowsMart, StartOffset, Window};
use crate::duration::format_duration;
use crate::types::Column;

/// Width at which lists of columns are broken.
const WIDTH: usize = 110;

impl Pipeline {
    /// What would run: source, fields, checks, derived columns, layers, tables and KPIs, with names and types.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = String::new();
        self.describe_source(&mut text);
        self.describe_record(&mut text);
        self.describe_layers(&mut text);
        if let Some(rows) = &self.rows {
            describe_rows(rows, &self.silver_columns(), &mut text);
        }
        for kpi in &self.kpis {
            describe_kpi(kpi, &self.row_columns(), &mut text);
        }
        if let Some(board) = &self.dashboard {
            describe_board(board, &mut text);
        }
        line(&mut text, &format!("definition {}", self.definition_hash()));
        text
    }

    fn describe_source(&self, text: &mut String) {
        let start = match self.source.start {
            StartOffset::Earliest => "the earliest offset".to_owned(),
            StartOffset::Latest => "the latest offset".to_owned(),
            StartOffset::Timestamp(ms) => chrono::DateTime::from_timestamp_millis(ms)
                .map_or_else(|| format!("{ms} ms"), |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
        };
        let event_time = match self.time.event_time {
            EventTimeSource::Kafka => "the Kafka timestamp",
            EventTimeSource::Field(index) => self.fields.get(index).map_or("", |field| field.name.as_str()),
        };
        line(text, &format!("pipeline {}", self.name));
        line(text, &format!("source   topic {}, JSON, from {start}", self.source.topic));
        line(
            text,
            &format!(
                "time     {event_time}, out of order up to {}, at most {} ahead of the clock, idle after {}",
                format_duration(self.time.out_of_orderness),
                format_duration(self.time.max_future_skew),
                format_duration(self.time.idle_after),
            ),
        );
    }

    fn describe_record(&self, text: &mut String) {
        line(text, "fields");
        for field in &self.fields {
            let required = if field.required { ", required" } else { "" };
            let round = if field.round { ", rounded to its scale" } else { "" };
            line(text, &format!("  {} {}{required}{round}", field.name, field.ty));
        }
        heading(text, "checks", self.checks.is_empty());
        for check in &self.checks {
            line(
                text,
                &format!("  {}: {}, otherwise {}", check.name, check.expr.canonical(), check.otherwise.as_str()),
            );
        }
        heading(text, "derived", self.derived.is_empty());
        for derived in &self.derived {
            line(text, &format!("  {} = {}", typed(&derived.column), derived.expr.canonical()));
        }
        if let Some(dedup) = &self.dedup {
            let key = joined(&dedup.key, &self.row_columns());
            line(text, &format!("dedup    by {key} within {}", format_duration(dedup.within)));
        }
    }

    fn describe_layers(&self, text: &mut String) {
        line(text, "layers");
        for layer in &self.layers {
            line(
                text,
                &format!("  {}: {} in {}/, {}", layer.name, layer.holds.as_str(), layer.path, layer.encoding.as_str()),
            );
            if let Some(span) = layer.retention {
                line(text, &format!("    kept {} of event time", format_duration(span)));
            }
            self.describe_layer(layer, text);
        }
    }

    fn describe_layer(&self, layer: &Layer, text: &mut String) {
        match &layer.holds {
            Holds::Rows { partition_by } => {
                let columns = self.silver_columns();
                if !partition_by.is_empty() {
                    line(text, &format!("    folders by {}", joined(partition_by, &columns)));
                }
                let in_files = columns.iter().enumerate().filter(|(index, _)| !partition_by.contains(index));
                wrapped(text, in_files.map(|(_, column)| typed(column)));
            }
            Holds::FinalWindows { kpi } => {
                let columns = self.kpis.get(*kpi).map(|kpi| kpi.gold.as_slice()).unwrap_or_default();
                wrapped(text, columns.iter().map(|column| typed(&column.column)));
            }
            Holds::Rejects => {
                if let Some(percent) = self.max_refused {
                    line(text, &format!("    more than {percent} % of the newest records stop the pipeline"));
                }
            }
            Holds::LateRows { .. } => {
                wrapped(text, self.late_row_columns().iter().map(typed));
            }
            Holds::Records => {}
        }
    }
}

fn describe_board(board: &Dashboard, text: &mut String) {
    let titles = |titles: Vec<&str>| if titles.is_empty() { "none".to_owned() } else { titles.join("; ") };
    line(text, &format!("dashboard {}", board.title));
    line(text, &format!("  tiles   {}", titles(board.tiles.iter().map(|tile| tile.title.as_str()).collect())));
    line(text, &format!("  charts  {}", titles(board.charts.iter().map(|chart| chart.title.as_str()).collect())));
}

fn describe_rows(rows: &RowsMart, silver: &[Column], text: &mut String) {
    let keep =
        rows.retention.map_or_else(|| "kept for ever".to_owned(), |keep| format!("kept {}", format_duration(keep)));
    line(text, &format!("table {}: rows, {keep}", rows.table));
    let named = rows.columns.iter().filter_map(|(name, index)| Some((name, silver.get(*index)?)));
    wrapped(text, named.map(|(name, column)| format!("{name} {}{}", column.ty, null(column))));
    line(text, "    primary key kafka_incarnation, kafka_partition, kafka_offset");
}

fn describe_kpi(kpi: &Kpi, rows: &[Column], text: &mut String) {
    let Window::Tumbling { size } = kpi.window;
    let key = if kpi.key.is_empty() { "no key".to_owned() } else { format!("by {}", joined(&kpi.key, rows)) };
    let late = format_duration(kpi.allowed_lateness);
    line(
        text,
        &format!("kpi {}: tumbling windows of {}, {key}, late rows count for {late}", kpi.name, format_duration(size)),
    );
    for measure in &kpi.measures {
        line(text, &format!("  {} {} = {}", measure.name, measure.ty, measure.expr.canonical()));
    }
    for derived in &kpi.derived {
        line(text, &format!("  {} = {}", typed(&derived.column), derived.expr.canonical()));
    }
    if kpi.amend_for > 0 {
        line(text, &format!("  later rows revise closed windows for {}", format_duration(kpi.amend_for)));
    }
    if let Some(late) = &kpi.late_table {
        let table = late.table.as_ref().map(|table| format!(", table {table}")).unwrap_or_default();
        line(text, &format!("  later rows go to layer late/{}{table}", kpi.name));
    }
    let Some(mart) = &kpi.mart else { return };
    line(text, &format!("  table {}", mart.table));
    wrapped(text, mart.columns.iter().map(|column| typed(&column.column)));
    let key = mart.primary_key.iter().filter_map(|&index| mart.columns.get(index)).map(|c| c.column.name.as_str());
    line(text, &format!("    primary key {}", key.collect::<Vec<_>>().join(", ")));
}

fn typed(column: &Column) -> String {
    format!("{} {}{}", column.name, column.ty, null(column))
}

fn null(column: &Column) -> &'static str {
    if column.nullable { " null" } else { "" }
}

fn joined(indices: &[usize], columns: &[Column]) -> String {
    let names: Vec<_> = indices.iter().filter_map(|&i| columns.get(i)).map(|column| column.name.as_str()).collect();
    names.join(", ")
}

fn heading(text: &mut String, heading: &str, empty: bool) {
    line(text, &if empty { format!("{heading} none") } else { heading.to_owned() });
}

/// The items, separated by commas, in lines of bounded width.
fn wrapped(text: &mut String, items: impl Iterator<Item = String>) {
    let mut current = String::from("    ");
    let mut empty = true;
    for item in items {
        if !empty {
            current.push(',');
            if current.len() + item.len() + 1 > WIDTH {
                line(text, &current);
                current = String::from("    ");
            } else {
                current.push(' ');
            }
        }
        current.push_str(&item);
        empty = false;
    }
    if !empty {
        line(text, &current);
    }
}

fn line(text: &mut String, content: &str) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "{content}");
}
