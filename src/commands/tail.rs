//! `lakeward tail`: the newest rows of a layer, or of a mart's table, one JSON object per line, and those that come.
//!
//! A layer's rows are those of committed entries, in the order of the log; a table's rows are what the mart shows,
//! previews included.

use std::collections::VecDeque;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::{DateTime, SecondsFormat};
use lakeward_connect::lake::LakeError;
use lakeward_connect::layer::{LayerSpec, read_rows};
use lakeward_connect::mart::{MartError, NewestRows};
use lakeward_core::ids::Version;
use lakeward_core::log::LiveFile;
use lakeward_core::pipeline::{Holds, Layer, Pipeline};
use lakeward_core::types::{Column, DataType as Type};
use serde_json::Value;

use super::inspect::{Inspected, inspect};
use super::run::open_mart;
use crate::cli::TailArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::layers::layer_spec;

/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Prints the newest rows, and with `--follow` those that come.
pub async fn tail(config: &Config, args: &TailArgs) -> Result<(), Exit> {
    let seen = inspect(config, &args.pipeline).await?;
    match &args.table {
        Some(table) => tail_table(config, &seen.pipeline, table, args).await,
        None => tail_layer(&seen, args).await,
    }
}

async fn tail_layer(seen: &Inspected, args: &TailArgs) -> Result<(), Exit> {
    let layer = choose(&seen.pipeline, args.layer.as_deref())?;
    let wanted = usize::try_from(args.n).unwrap_or(usize::MAX);
    let mut newest: VecDeque<String> = VecDeque::new();
    let mut version = Some(seen.fold.version);
    while let Some(v) = version.filter(|_| newest.len() < wanted) {
        for line in rows_of(seen, layer, v).await?.unwrap_or_default().into_iter().rev() {
            if newest.len() < wanted {
                newest.push_front(line);
            }
        }
        version = v.0.checked_sub(1).map(Version);
    }
    newest.iter().for_each(|line| crate::text::say!("{line}"));
    let mut next = seen.fold.version.next();
    if !args.follow {
        return Ok(());
    }
    loop {
        match rows_of(seen, layer, next).await? {
            Some(lines) => {
                lines.iter().for_each(|line| crate::text::say!("{line}"));
                next = next.next();
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// The named layer, or the one that holds typed rows.
fn choose<'p>(pipeline: &'p Pipeline, name: Option<&str>) -> Result<&'p Layer, Exit> {
    let found = match name {
        Some(name) => pipeline.layers.iter().find(|l| l.name == name),
        None => pipeline.layers.iter().find(|l| matches!(l.holds, Holds::Rows { .. })).or(pipeline.layers.first()),
    };
    found.ok_or_else(|| {
        let all: Vec<&str> = pipeline.layers.iter().map(|l| l.name.as_str()).collect();
        let wanted = name.unwrap_or_default();
        Exit::usage(format!("pipeline {} has no layer {wanted}, only {}", pipeline.name, all.join(", ")))
    })
}

/// The lines that entry `version` added to a layer; `None` if there is no such entry yet.
async fn rows_of(seen: &Inspected, layer: &Layer, version: Version) -> Result<Option<Vec<String>>, Exit> {
    let entry = seen.log.entry(version).await.map_err(|e| Exit::failed(e.to_string()))?;
    let Some((entry, _)) = entry else { return Ok(None) };
    let mut lines = Vec::new();
    for file in entry.layers.get(&layer.name).map_or(&[][..], |change| &change.added) {
        let spec = layer_spec(&seen.pipeline, layer);
        lines.extend(read_file(seen, file, &spec).await?);
    }
    Ok(Some(lines))
}

/// A file's lines, from its final place or, while it is not there yet, from staging.
async fn read_file(seen: &Inspected, file: &LiveFile, spec: &LayerSpec) -> Result<Vec<String>, Exit> {
    if let Some(lines) = read_at(seen, &file.path, &file.staged.leaf, spec).await? {
        return Ok(lines);
    }
    Ok(read_at(seen, &file.staged.staged, &file.staged.leaf, spec).await?.unwrap_or_default())
}

/// The lines of the file at `path`; `None` if it is not there.
async fn read_at(seen: &Inspected, path: &str, leaf: &str, spec: &LayerSpec) -> Result<Option<Vec<String>>, Exit> {
    let lake = seen.log.lake();
    if let LayerSpec::RawJson = spec {
        let bytes = lake.read(path).await.map_err(|e| Exit::failed(e.to_string()))?;
        return Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()));
    }
    match read_rows(lake, path, leaf, spec).await {
        Ok(batches) => batches.iter().map(json_lines).collect::<Result<Vec<_>, _>>().map(|lines| Some(lines.concat())),
        Err(LakeError::NotFound(_)) => Ok(None),
        Err(error) => Err(Exit::failed(error.to_string())),
    }
}

/// The rows of a batch, a JSON object each. Decimals keep their digits, times are in UTC.
fn json_lines(batch: &RecordBatch) -> Result<Vec<String>, Exit> {
    let options = FormatOptions::default();
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    let cells: Vec<(String, Cells<'_>)> = fields
        .map(|(field, column)| Ok((Value::from(field.name().as_str()).to_string(), Cells::of(column, &options)?)))
        .collect::<Result<_, ArrowError>>()
        .map_err(|e| Exit::bug(e.to_string()))?;
    let line = |row: usize| {
        let members: Vec<String> = cells.iter().map(|(name, cells)| format!("{name}:{}", cells.json(row))).collect();
        format!("{{{}}}", members.join(","))
    };
    Ok((0..batch.num_rows()).map(line).collect())
}

/// The values of a column as JSON.
enum Cells<'a> {
    Times(&'a TimestampMicrosecondArray),
    Bare(&'a dyn Array, ArrayFormatter<'a>),
    Texts(&'a dyn Array, ArrayFormatter<'a>),
}

impl<'a> Cells<'a> {
    fn of(column: &'a dyn Array, options: &FormatOptions<'a>) -> Result<Self, ArrowError> {
        if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
            return Ok(Self::Times(times));
        }
        let formatter = ArrayFormatter::try_new(column, options)?;
        let bare = is_bare(column.data_type());
        Ok(if bare { Self::Bare(column, formatter) } else { Self::Texts(column, formatter) })
    }

    fn json(&self, row: usize) -> String {
        match self {
            Self::Times(times) if times.is_valid(row) => Value::from(exact_time(times.value(row))).to_string(),
            Self::Bare(column, formatter) if column.is_valid(row) => formatter.value(row).to_string(),
            Self::Texts(column, formatter) if column.is_valid(row) => {
                Value::from(formatter.value(row).to_string()).to_string()
            }
            _ => "null".to_owned(),
        }
    }
}

fn exact_time(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros)
        .map_or_else(|| micros.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// Whether values of a type stand in JSON as they are. Floating numbers don't: NaN is no JSON.
fn is_bare(ty: &DataType) -> bool {
    ty.is_integer() || matches!(ty, DataType::Decimal128(..) | DataType::Decimal256(..) | DataType::Boolean)
}

async fn tail_table(config: &Config, pipeline: &Pipeline, table: &str, args: &TailArgs) -> Result<(), Exit> {
    let open = open_mart(config).ok_or_else(|| Exit::usage("no mart is configured (mart.url)".to_owned()))?;
    let mart = open()().await.map_err(|e| Exit::unreachable(e.to_string()))?;
    let mut shown: Vec<Vec<Option<String>>> = Vec::new();
    loop {
        let newest = mart.newest(pipeline, table, args.n).await.map_err(|error| match error {
            MartError::Config(wrong) => Exit::usage(wrong),
            error => Exit::failed(error.to_string()),
        })?;
        for row in newest.rows.iter().rev().filter(|row| !shown.contains(row)) {
            crate::text::say!("{}", table_line(&newest, row));
        }
        shown = newest.rows;
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A row as a JSON object, like those of a layer.
fn table_line(newest: &NewestRows, row: &[Option<String>]) -> String {
    let json = |column: &Column, value: &Option<String>| match (value, column.ty) {
        (None, _) => "null".to_owned(),
        (Some(text), Type::Int32 | Type::Int64 | Type::Decimal { .. } | Type::Bool) => text.clone(),
        (Some(text), _) => Value::from(text.as_str()).to_string(),
    };
    let member =
        |(column, value): (&Column, _)| format!("{}:{}", Value::from(column.name.as_str()), json(column, value));
    format!("{{{}}}", newest.columns.iter().zip(row).map(member).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, Int32Array, StringArray};

    use super::*;

    #[test]
    fn a_row_is_a_json_object_with_exact_numbers() {
        let amount = Decimal128Array::from(vec![12_345_678_901_234_567_890]).with_precision_and_scale(20, 2).unwrap();
        let columns: Vec<(&str, Arc<dyn Array>)> = vec![
            ("id", Arc::new(StringArray::from(vec!["a\"b"]))),
            ("n", Arc::new(Int32Array::from(vec![None]))),
            ("amount", Arc::new(amount)),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("UTC"))),
        ];
        let lines = json_lines(
            &RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap(),
        );
        let expected = r#"{"id":"a\"b","n":null,"amount":123456789012345678.90,"at":"1970-01-01T00:00:01.500000Z"}"#;
        assert_eq!(lines.unwrap(), [expected]);
    }

    #[test]
    fn a_tables_row_is_such_an_object_too() {
        let column = |name: &str, ty| Column::new(name, ty, true);
        let columns = vec![
            column("id", Type::String),
            column("n", Type::Int64),
            column("amount", Type::Decimal { precision: 20, scale: 2 }),
            column("is_final", Type::Bool),
            column("ratio", Type::Float64),
            column("note", Type::String),
        ];
        let row = ["a\"b", "7", "123456789012345678.90", "true", "NaN"].map(|v| Some(v.to_owned()));
        let row: Vec<_> = row.into_iter().chain([None]).collect();
        let line = table_line(&NewestRows { columns, rows: vec![] }, &row);
        let expected =
            r#"{"id":"a\"b","n":7,"amount":123456789012345678.90,"is_final":true,"ratio":"NaN","note":null}"#;
        assert_eq!(line, expected);
    }
}
