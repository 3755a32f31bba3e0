//! `lakeward status`: what each layer, mart and partition holds.

use std::sync::Arc;
use std::time::Duration;

use lakeward_connect::kafka::Admin;
use lakeward_core::log::Fold;
use lakeward_core::pipeline::Pipeline;

use super::inspect::inspect;
use super::run::{kafka_config, open_mart};
use crate::config::Config;
use crate::exit::Exit;
use crate::text::{table, timestamp};

/// How long one question to Kafka may take.
const ASK: Duration = Duration::from_secs(5);

/// Prints the status of a pipeline; what does not answer is said, and is no failure.
pub async fn status(config: &Config, pipeline: &str) -> Result<(), Exit> {
    let seen = inspect(config, pipeline).await?;
    let mut out = String::new();
    layers(&mut out, &seen.pipeline, &seen.fold);
    out.push('\n');
    partitions(&mut out, config, &seen.pipeline, &seen.fold).await?;
    out.push('\n');
    marts(&mut out, config, &seen.pipeline).await;
    crate::text::say!(
        "{} at version {}, claim {}, last entry {}\n\n{out}",
        seen.pipeline.name,
        seen.fold.version,
        seen.fold.claim,
        timestamp(seen.fold.updated_at)
    );
    Ok(())
}

fn layers(out: &mut String, pipeline: &Pipeline, fold: &Fold) {
    let mut rows = vec![["layer", "files", "rows", "bytes", "newest event"].map(str::to_owned)];
    for layer in &pipeline.layers {
        let files: Vec<_> = fold.layer_files(&layer.name).collect();
        let newest = files.iter().filter_map(|f| f.staged.event_times).map(|(_, last)| last.0).max();
        rows.push([
            layer.name.clone(),
            files.len().to_string(),
            files.iter().map(|f| f.staged.rows).sum::<u64>().to_string(),
            files.iter().map(|f| f.staged.length).sum::<u64>().to_string(),
            newest.map_or_else(|| "-".to_owned(), timestamp),
        ]);
    }
    table(out, &rows);
}

async fn partitions(out: &mut String, config: &Config, pipeline: &Pipeline, fold: &Fold) -> Result<(), Exit> {
    let kafka = kafka_config(config, pipeline)?;
    let admin = Arc::new(Admin::new(&kafka, ASK).map_err(|e| Exit::usage(e.to_string()))?);
    let topic = config.kafka.topic.clone().unwrap_or_else(|| pipeline.source.topic.clone());
    let mut rows = vec![["partition", "committed", "lag", "watermark"].map(str::to_owned)];
    for (&partition, held) in &fold.partitions {
        let (admin, topic) = (Arc::clone(&admin), topic.clone());
        let asked = tokio::task::spawn_blocking(move || admin.watermarks(&topic, partition)).await;
        let lag = match asked {
            Ok(Ok((_, high))) => (high - held.to).to_string(),
            _ => "kafka does not answer".to_owned(),
        };
        rows.push([partition.to_string(), held.to.to_string(), lag, timestamp(held.watermark.0)]);
    }
    table(out, &rows);
    Ok(())
}

async fn marts(out: &mut String, config: &Config, pipeline: &Pipeline) {
    let Some(open) = open_mart(config) else {
        out.push_str("no mart is configured\n");
        return;
    };
    let status = match open()().await {
        Ok(mart) => mart.status(pipeline).await,
        Err(error) => Err(error),
    };
    match status {
        Ok(status) => {
            let mut rows = vec![["table", "rows", "newest"].map(str::to_owned)];
            for t in status.tables {
                rows.push([t.name, t.rows.to_string(), t.newest.map_or_else(|| "-".to_owned(), |n| timestamp(n.0))]);
            }
            table(out, &rows);
        }
        Err(error) => out.push_str(&format!("{error}\n")),
    }
}
