//! What the commands that only read share: opening a pipeline's log.

use lakeward_connect::lake::Lake;
use lakeward_connect::log_store::LogStore;
use lakeward_core::log::Fold;
use lakeward_core::pipeline::Pipeline;

use crate::builtin;
use crate::config::Config;
use crate::exit::Exit;
use crate::run::patiently;

/// A pipeline's definition and its log, for reading.
pub struct Inspected {
    /// The definition.
    pub pipeline: Pipeline,
    /// Its log.
    pub log: LogStore,
    /// The fold of all entries.
    pub fold: Fold,
}

/// Opens the log of a pipeline that has run in the configured lake.
pub async fn inspect(config: &Config, name_or_file: &str) -> Result<Inspected, Exit> {
    let pipeline = builtin::load(name_or_file)?;
    let url = config.lake_url().map_err(|e| Exit::usage(e.to_string()))?.clone();
    let open = || Lake::open(url.expose(), config.lake.hadoop_conf.as_deref());
    let lake = patiently(config.start.patience, open, "the lake").await?;
    let absent = || {
        let message =
            format!("pipeline {} has never run in {}; start it with `lakeward run`", pipeline.name, lake.store());
        Exit::failed(message)
    };
    let log = LogStore::open_existing(&lake, &pipeline.name).await.map_err(|e| Exit::failed(e.to_string()))?;
    let log = log.ok_or_else(absent)?;
    let fold = log.load().await.map_err(|e| Exit::failed(e.to_string()))?.ok_or_else(absent)?;
    Ok(Inspected { pipeline, log, fold })
}
