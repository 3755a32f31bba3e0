//! `lakeward plan`: what a run of a pipeline file would be here, and what it would change. It makes nothing: neither a
//! lake nor a table nor a topic.

mod actors;
mod change;
mod memory;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use lakeward_connect::kafka::Admin;
use lakeward_core::log::TopicFacts;
use lakeward_core::pipeline::Pipeline;
use serde::Serialize;
use serde_json::json;

use super::run::{kafka_config, topic_of};
use crate::admission::topic_facts;
use crate::builtin;
use crate::config::{Config, MartUrl};
use crate::exit::Exit;
use crate::text::table;

/// How long one question to Kafka may take.
const ASK: Duration = Duration::from_secs(5);

/// A folder of the lake.
#[derive(Debug, Serialize)]
struct Folder {
    layer: String,
    path: String,
    holds: &'static str,
    encoding: &'static str,
}

/// A table of the mart.
#[derive(Debug, Serialize)]
struct Table {
    table: String,
    holds: String,
    columns: usize,
}

/// Says what a run would be; exit code 1 if it would be refused.
pub async fn plan(config: &Config, name_or_file: &str, as_json: bool) -> Result<(), Exit> {
    let pipeline = builtin::load(name_or_file)?;
    let topic = topic_of(config, &pipeline);
    let facts = ask_kafka(config, &pipeline, &topic).await;
    let change = change::look(config, &pipeline, &topic, facts.as_ref().ok()).await;
    let partitions = facts.as_ref().ok().map(|facts| facts.offsets.len());
    let has_mart = !matches!(config.mart.url, MartUrl::None);
    let actors = actors::of(&pipeline, partitions, has_mart, config.actors.kpi_max);
    let memory = memory::of(&pipeline, partitions, config, change.state_bytes);
    let (folders, tables) = (folders(&pipeline), if has_mart { tables(&pipeline) } else { Vec::new() });
    let lake = config.lake.url.as_ref().map(ToString::to_string);
    let mart = mart_name(&config.mart.url);
    let unknown = facts.as_ref().err();
    if as_json {
        let told = json!({
            "pipeline": pipeline.name, "definition": pipeline.definition_hash(), "topic": topic,
            "partitions": partitions, "partitions_unknown": unknown, "lake": lake, "mart": mart, "actors": actors,
            "folders": folders, "tables": tables, "memory": memory, "change": change,
        });
        crate::text::say!("{told}");
    } else {
        let mut text = String::new();
        let count = match (partitions, unknown) {
            (Some(count), _) => format!("{count} partitions"),
            (None, why) => format!("partitions not known: {}", why.map_or("", String::as_str)),
        };
        let _ = writeln!(text, "pipeline {}\ntopic    {topic}, {count}\n", pipeline.name);
        actors.tell(&mut text);
        tell_folders(&mut text, lake.as_deref().unwrap_or("lake.url is not set"), &folders, &pipeline.name);
        tell_tables(&mut text, mart, &tables);
        memory.tell(&mut text);
        change.tell(&mut text);
        crate::text::say_as_is(&text);
    }
    match &change.refusal {
        Some(refusal) => Err(Exit::failed(format!("a run would be refused: {}", refusal.code))),
        None => Ok(()),
    }
}

/// What Kafka says of the topic, or why nobody says it.
async fn ask_kafka(config: &Config, pipeline: &Pipeline, topic: &str) -> Result<TopicFacts, String> {
    let kafka = kafka_config(config, pipeline).map_err(|exit| exit.message)?;
    let admin = Arc::new(Admin::new(&kafka, ASK).map_err(|e| e.to_string())?);
    let ping = Arc::clone(&admin);
    let reached = tokio::task::spawn_blocking(move || ping.ping(ASK)).await;
    reached.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    topic_facts(admin, topic.to_owned(), pipeline.source.start, None).await.map_err(|e| format!("{e:#}"))
}

fn folders(pipeline: &Pipeline) -> Vec<Folder> {
    let folder = |layer: &lakeward_core::pipeline::Layer| Folder {
        layer: layer.name.clone(),
        path: layer.path.clone(),
        holds: layer.holds.as_str(),
        encoding: layer.encoding.as_str(),
    };
    pipeline.layers.iter().map(folder).collect()
}

fn tables(pipeline: &Pipeline) -> Vec<Table> {
    let rows = pipeline.rows.iter().map(|rows| Table {
        table: rows.table.clone(),
        holds: "rows".to_owned(),
        columns: rows.columns.len(),
    });
    let kpis = pipeline.kpis.iter().filter_map(|kpi| {
        let mart = kpi.mart.as_ref()?;
        Some(Table { table: mart.table.clone(), holds: format!("KPI {}", kpi.name), columns: mart.columns.len() })
    });
    let late = pipeline.kpis.iter().filter_map(|kpi| {
        let table = kpi.late_table.as_ref()?.table.clone()?;
        let holds = format!("late rows of KPI {}", kpi.name);
        Some(Table { table, holds, columns: pipeline.late_row_columns().len() })
    });
    rows.chain(kpis).chain(late).collect()
}

fn mart_name(url: &MartUrl) -> &'static str {
    match url {
        MartUrl::None => "none",
        MartUrl::Postgres(_) => "Postgres",
        MartUrl::Sqlite(_) => "SQLite",
    }
}

fn tell_folders(text: &mut String, lake: &str, folders: &[Folder], pipeline: &str) {
    let _ = writeln!(text, "\nfolders below {lake}");
    let row = |f: &Folder| [format!("  {}", f.layer), f.path.clone(), format!("{}, {}", f.holds, f.encoding)];
    let mut rows: Vec<_> = folders.iter().map(row).collect();
    rows.push(["  log".to_owned(), format!("_lakeward/{pipeline}"), "the log, what is unfinished, state".to_owned()]);
    table(text, &rows);
}

fn tell_tables(text: &mut String, mart: &str, tables: &[Table]) {
    let _ = writeln!(text, "\ntables (mart: {mart})");
    if tables.is_empty() {
        text.push_str("  none\n");
    }
    let row = |t: &Table| [format!("  {}", t.table), t.holds.clone(), format!("{} columns", t.columns)];
    table(text, &tables.iter().map(row).collect::<Vec<_>>());
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        bytes if bytes >= 10 << 30 => format!("{} GiB", bytes >> 30),
        bytes if bytes >= MIB => format!("{} MiB", bytes / MIB),
        bytes => format!("{} KiB", bytes.div_ceil(1 << 10)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE: &str = r#"
        name = "p"
        source.topic = "t"
        fields = { id = "string!", amount = "int64!" }
        bronze = {}
        silver = {}
        rows = {}
        [[kpi]]
        name = "k"
        late = "table"
        window = { tumbling = "1m" }
        key = ["id"]
        measures = { n = "count(id)" }
    "#;

    #[test]
    fn a_plan_names_every_folder_and_table() {
        let pipeline = Pipeline::parse(PIPELINE, "p").unwrap();
        let named: Vec<_> = tables(&pipeline).into_iter().map(|table| (table.table, table.holds)).collect();
        let expected = [("p_rows", "rows"), ("k", "KPI k"), ("k_late", "late rows of KPI k")];
        assert_eq!(named, expected.map(|(table, holds)| (table.to_owned(), holds.to_owned())));
        let paths: Vec<_> = folders(&pipeline).into_iter().map(|folder| folder.path).collect();
        assert_eq!(paths, ["bronze/p", "silver/p", "quarantine/p", "gold/p_k", "late/p_k"]);
        let (without, with) = (actors::of(&pipeline, None, false, 9), actors::of(&pipeline, Some(3), true, 9));
        assert_eq!((without.count("partition"), without.count("row_mart")), (None, Some(0)));
        assert_eq!(
            (with.count("partition"), with.count("layer_writer"), with.count("late_mart")),
            (Some(3), Some(5), Some(1))
        );
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [(1, "1 KiB"), (5 << 20, "5 MiB"), (3 << 30, "3072 MiB"), (20 << 30, "20 GiB")] {
            assert_eq!(size(bytes), expected);
        }
    }
}
