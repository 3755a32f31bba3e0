//! From a TOML file to a pipeline: everything is decided here, once, and everything that is wrong is said, with its
//! place. What comes out can't be wrong any more.

mod dashboard;
mod kpi;
mod kpi_sinks;
mod late_table;
mod layers;
mod record;
mod rows_mart;
mod scope;
mod source;
mod unique;
mod window_column;

use super::Pipeline;
use super::model::system_columns;
use super::names::check_pipeline_name;
use crate::document::{DefinitionError, Document, Section};

const KEYS: [&str; 13] = [
    "name",
    "source",
    "fields",
    "time",
    "checks",
    "derive",
    "dedup",
    "bronze",
    "silver",
    "quarantine",
    "rows",
    "kpi",
    "dashboard",
];
const LATER: [&str; 12] =
    ["alert", "alerts", "explode", "hive", "job", "jobs", "look_up", "lookup", "lookups", "quality", "redis", "report"];

impl Pipeline {
    /// Reads the text of a pipeline file; `file` is its name, for the messages.
    ///
    /// # Errors
    /// All that is wrong, in the order of the places.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<DefinitionError>> {
        let document = Document::parse(text, file)?;
        let pipeline = read(&document.root());
        document.finish(pipeline)
    }

    /// As `parse`, from the file's bytes.
    ///
    /// # Errors
    /// As `parse`, and where the bytes are not UTF-8.
    pub fn parse_bytes(bytes: &[u8], file: &str) -> Result<Self, Vec<DefinitionError>> {
        Self::parse(crate::document::utf8(bytes, file)?, file)
    }
}

fn read(root: &Section<'_>) -> Pipeline {
    root.allow(&KEYS, &LATER);
    let name = read_name(root);
    let source = source::read_source(root);
    let (fields, field_scope, mut names) = record::read_fields(root);
    let time = source::read_time(root, &field_scope);
    let checks = record::read_checks(root, &field_scope);
    let mut rows = field_scope;
    let derived = record::read_derived(root, &mut rows, &mut names);
    let dedup = record::read_dedup(root, &rows);
    let (mut layers, mut folders) = layers::read_layers(root, &name, &rows);
    let max_refused = layers::read_max_percent(root);
    let mut silver = rows.clone();
    system_columns().into_iter().for_each(|column| silver.push(column));
    let (rows_mart, rows_table) = rows_mart::read_rows(root, &name, &silver, &layers).unzip();
    let kpis = kpi::read_kpis(root, &name, &rows);
    layers.extend(kpis.layers);
    folders.extend(kpis.folders);
    unique::check_folders(root, &folders);
    let tables: Vec<_> = rows_table.into_iter().chain(kpis.tables).collect();
    unique::check_tables(root, &tables);
    let (rows, kpis) = (rows_mart, kpis.kpis);
    let dashboard = dashboard::read_dashboard(root, &silver, rows.as_ref(), &kpis, time.event_time);
    Pipeline { name, source, fields, time, checks, derived, dedup, layers, max_refused, rows, kpis, dashboard }
}

fn read_name(root: &Section<'_>) -> String {
    let Some(entry) = root.require("name", "the pipeline's name") else { return String::new() };
    let Some(name) = entry.string() else { return String::new() };
    if let Err(why) = check_pipeline_name(name) {
        entry.complain(why);
    }
    name.to_owned()
}
