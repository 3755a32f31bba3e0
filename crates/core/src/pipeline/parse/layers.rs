//! `[bronze]`, `[silver]`, `[quarantine]`: the folders of the lake, what they hold and how. KPIs add theirs.

use super::record::{no_float, read_columns};
use super::scope::Scope;
use super::unique::Sink;
use crate::document::Section;
use crate::pipeline::names::check_path;
use crate::pipeline::{Encoding, Holds, Layer};
use crate::types::{Column, DataType};

const LATER: [&str; 4] = ["keep", "compression", "columns", "hive"];

/// What a section of a layer may say, and what holds where it is silent.
struct Kind {
    name: &'static str,
    keys: &'static [&'static str],
    encoding: Encoding,
}

const BRONZE: Kind = Kind { name: "bronze", keys: &["path", "encoding", "retention"], encoding: Encoding::RawJson };
const SILVER: Kind =
    Kind { name: "silver", keys: &["path", "encoding", "retention", "partition_by"], encoding: Encoding::Parquet };
const QUARANTINE: Kind =
    Kind { name: "quarantine", keys: &["path", "encoding", "retention", "max_percent"], encoding: Encoding::RawJson };

/// Reads the layers but Gold. Bronze and Silver exist where they are declared; Quarantine always does.
pub(super) fn read_layers<'d>(root: &Section<'d>, pipeline: &str, rows: &Scope) -> (Vec<Layer>, Vec<Sink<'d>>) {
    let mut layers = Vec::new();
    let mut sinks = Vec::new();
    for (kind, always) in [(BRONZE, false), (SILVER, false), (QUARANTINE, true)] {
        let section = root.section(kind.name);
        if section.is_none() && (!always || root.get(kind.name).is_some()) {
            continue;
        }
        let holds = match kind.name {
            "bronze" => Holds::Records,
            "silver" => Holds::Rows { partition_by: read_partition_by(section.as_ref(), rows) },
            _ => Holds::Rejects,
        };
        let folder = format!("{}/{}", kind.name, pipeline.replace('-', "_"));
        let (layer, sink) = read_layer(section, kind, &folder, holds);
        layers.push(layer);
        sinks.push(sink);
    }
    (layers, sinks)
}

/// How many of a hundred records may be refused before the pipeline stops; `None`: all.
pub(super) fn read_max_percent(root: &Section<'_>) -> Option<u8> {
    let entry = root.section(QUARANTINE.name)?.get("max_percent")?;
    let percent = entry.integer()?;
    let taken = u8::try_from(percent).ok().filter(|percent| *percent < 100);
    if taken.is_none() {
        entry.complain(format!("{percent} is no percentage from 0 to 99"));
    }
    taken
}

fn read_layer<'d>(section: Option<Section<'d>>, kind: Kind, folder: &str, holds: Holds) -> (Layer, Sink<'d>) {
    if let Some(section) = &section {
        section.allow(kind.keys, &LATER);
        if let Some(encoding) = section.get("encoding") {
            read_encoding(&encoding, kind.encoding);
        }
    }
    let retention = section.as_ref().and_then(read_retention);
    let sink = read_path(section, kind.name, folder);
    let (name, path) = (kind.name.to_owned(), sink.target.clone());
    let layer = Layer { name, path, encoding: kind.encoding, holds, retention };
    (layer, sink)
}

/// How long the layer keeps its files; `None`: for ever.
pub(super) fn read_retention(section: &Section<'_>) -> Option<i64> {
    section.get("retention")?.positive_duration()
}

/// The folder that the section names, or the default.
pub(super) fn read_path<'d>(section: Option<Section<'d>>, key: &str, default: &str) -> Sink<'d> {
    let entry = section.as_ref().and_then(|s| s.get("path"));
    let path = entry.as_ref().and_then(|e| e.string());
    if let (Some(entry), Some(path)) = (&entry, path)
        && let Err(why) = check_path(path)
    {
        entry.complain(why);
    }
    Sink { target: path.unwrap_or(default).to_owned(), key: format!("{key}.path"), entry, section }
}

/// Takes the one encoding that what the layer holds has today.
pub(super) fn read_encoding(entry: &crate::document::Entry<'_>, only: Encoding) {
    let Some(text) = entry.string() else { return };
    if text == only.as_str() {
        return;
    }
    match text {
        "delta" => entry.complain("\"delta\" is not yet supported"),
        _ => entry.complain(format!("\"{text}\" is no encoding of this layer; it is \"{}\"", only.as_str())),
    }
}

fn read_partition_by(section: Option<&Section<'_>>, rows: &Scope) -> Vec<usize> {
    let Some(entry) = section.and_then(|s| s.get("partition_by")) else { return Vec::new() };
    read_columns(&entry, rows, names_a_folder)
}

fn names_a_folder(name: &str, column: &Column) -> Result<(), String> {
    no_float(name, column)?;
    match column.ty {
        DataType::Timestamp | DataType::Decimal { .. } => {
            Err(format!("\"{name}\" is {}; folders are made by string, bool, integer or date columns", column.ty))
        }
        _ => Ok(()),
    }
}
