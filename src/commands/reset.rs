//! `lakeward reset`: says what would go, asks, and starts the pipeline over.

use std::sync::Arc;
use std::time::Duration;

use lakeward_actors::kit::Clock;
use lakeward_connect::host::Process;
use lakeward_connect::kafka::Admin;
use lakeward_connect::lake::Lake;
use lakeward_core::log::Member;
use serde::Serialize;

use super::ask;
use super::run::{kafka_config, open_mart, owner_times};
use crate::builtin;
use crate::cli::ResetArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::reset::{Reset, Subject};
use crate::run::patiently;
use crate::text::table;

/// How long one question to Kafka may take.
const ASK: Duration = Duration::from_secs(10);

/// Kafka's group of the pipeline, whose offsets tell lag tools how far it has come.
pub(super) struct Group {
    admin: Arc<Admin>,
    name: String,
    topic: String,
}

/// Ends the pipeline's log and clears what it had put into lake, mart and Kafka's group.
pub async fn reset(config: &Config, args: &ResetArgs) -> Result<(), Exit> {
    let (reset, group) = prepare(config, &args.pipeline).await?;
    let mut found = reset.find().await?;
    if let Some(subject) = found.take_if(|subject| subject.rebuilt) {
        // A rebuild had switched to the log that is to be reset; what it replaced is no more than in the way.
        reset.check_mart(&subject).await?;
        reset.clear_ended().await?;
        found = reset.find().await?;
    }
    let Some(subject) = found else {
        let message =
            format!("there is nothing to reset: pipeline {} has no log in {}", reset.pipeline.name, reset.lake.store());
        return Err(Exit::failed(message));
    };
    reset.check_mart(&subject).await?;
    reset.refuse_while_running(&subject).await?;
    let survey = Survey::of(&reset, &subject, &group).await?;
    let agreed = args.yes
        || (!args.json && ask(&survey.pipeline, &format!("{}\nAll of this goes, for good. ", survey.to_text()))?);
    if agreed {
        reset.carry_out(subject).await?;
        group.forget().await;
    }
    survey.tell(args.json, agreed);
    if agreed {
        return Ok(());
    }
    Err(Exit::usage("nothing was removed; say --yes to go through with it".to_owned()))
}

/// What a reset or a rebuild of the pipeline works with.
pub(super) async fn prepare(config: &Config, name: &str) -> Result<(Reset, Group), Exit> {
    let (pipeline, patience) = (builtin::load(name)?, config.start.patience);
    let url = config.lake_url().map_err(|e| Exit::usage(e.to_string()))?.clone();
    let open = || Lake::open(url.expose(), config.lake.hadoop_conf.as_deref());
    let lake = patiently(patience, open, "the lake").await?;
    let kafka = kafka_config(config, &pipeline)?;
    let admin = Arc::new(Admin::new(&kafka, ASK).map_err(|e| Exit::usage(e.to_string()))?);
    let topic = config.kafka.topic.clone().unwrap_or_else(|| pipeline.source.topic.clone());
    let group = Group { admin, name: kafka.group().to_owned(), topic };
    let mart = match open_mart(config) {
        None => None,
        Some(open) => {
            let reach = || async {
                match async {
                    let mart = open()().await?;
                    mart.holding(&pipeline).await?;
                    Ok(mart)
                }
                .await
                {
                    Err(error) if lakeward_connect::mart::MartError::is_retryable(&error) => Err(error),
                    answered => Ok(answered),
                }
            };
            let answered = patiently(patience, reach, "the mart").await?;
            Some(answered.map_err(|e| Exit::refused(e.code(), e.to_string()))?)
        }
    };
    let process = Process::this();
    let member = Member {
        id: format!("{:016x}", rand::random::<u64>()),
        host: process.host,
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Ok((Reset { pipeline, lake, mart, times: owner_times(config), member, clock: Clock::system() }, group))
}

impl Group {
    /// Partitions with an offset; `None` where nobody answers.
    async fn offsets(&self) -> Option<usize> {
        let (admin, name, topic) = (Arc::clone(&self.admin), self.name.clone(), self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || admin.committed_offsets(&name, &topic)).await;
        asked.ok()?.ok().map(|offsets| offsets.len())
    }

    /// The offsets are advice: the next run commits its own, so a failure is only told.
    async fn forget(&self) {
        let (admin, name) = (Arc::clone(&self.admin), self.name.clone());
        match tokio::task::spawn_blocking(move || admin.forget_group(&name)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, group = self.name, "the group's offsets stay until the next commit")
            }
            Err(error) => tracing::warn!(%error, group = self.name, "the group's offsets stay until the next commit"),
        }
    }
}

/// What would go.
#[derive(Debug, Serialize)]
struct Survey {
    pipeline: String,
    log: String,
    /// An earlier reset was cut off.
    unfinished: bool,
    entries: usize,
    layers: Vec<LayerSurvey>,
    tables: Vec<TableSurvey>,
    group_offsets: Option<usize>,
}

#[derive(Debug, Serialize)]
struct LayerSurvey {
    layer: String,
    files: usize,
    bytes: u64,
    rows: u64,
}

#[derive(Debug, Serialize)]
struct TableSurvey {
    table: String,
    rows: i64,
}

impl Survey {
    async fn of(reset: &Reset, subject: &Subject, group: &Group) -> Result<Self, Exit> {
        let layer = |(name, files): (&String, &lakeward_core::log::LiveFiles)| LayerSurvey {
            layer: name.clone(),
            files: files.len(),
            bytes: files.iter().map(|f| f.staged.length).sum(),
            rows: files.iter().map(|f| f.staged.rows).sum(),
        };
        let entries = reset.lake.list_recursive(&subject.log.paths().entries_root()).await;
        let entries = entries.map_err(|e| Exit::unreachable(e.to_string()))?.iter().filter(|e| !e.is_dir).count();
        let tables = match &reset.mart {
            None => Vec::new(),
            Some(mart) => {
                let status = mart.status(&reset.pipeline).await;
                let tables = status.map_err(|e| Exit::unreachable(e.to_string()))?.tables.into_iter();
                tables.map(|t| TableSurvey { table: t.name, rows: t.rows }).collect()
            }
        };
        Ok(Self {
            pipeline: reset.pipeline.name.clone(),
            log: subject.log.id().to_owned(),
            unfinished: subject.fold.ended.is_some(),
            entries,
            layers: subject.fold.files.iter().map(layer).collect(),
            tables,
            group_offsets: group.offsets().await,
        })
    }

    fn to_text(&self) -> String {
        let mut out = String::new();
        let mut rows = vec![["layer", "files", "bytes", "rows"].map(str::to_owned)];
        rows.extend(
            self.layers.iter().map(|l| [l.layer.clone(), l.files.to_string(), l.bytes.to_string(), l.rows.to_string()]),
        );
        table(&mut out, &rows);
        if !self.tables.is_empty() {
            out.push('\n');
            let mut rows = vec![["table", "rows"].map(str::to_owned)];
            rows.extend(self.tables.iter().map(|t| [t.table.clone(), t.rows.to_string()]));
            table(&mut out, &rows);
        }
        let offsets = self.group_offsets.map_or_else(|| "kafka does not answer".to_owned(), |n| n.to_string());
        out.push_str(&format!("\nentries of log {}: {}\ngroup offsets: {offsets}\n", self.log, self.entries));
        out
    }

    fn tell(&self, as_json: bool, done: bool) {
        if as_json {
            let mut value = serde_json::to_value(self).unwrap_or_default();
            value["done"] = done.into();
            crate::text::say!("{value}");
        } else if done {
            crate::text::say!("{}pipeline {} starts from nothing at the next run", self.to_text(), self.pipeline);
        } else {
            crate::text::say_as_is(&self.to_text());
        }
    }
}
