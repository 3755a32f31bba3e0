//! Silver, Gold, Quarantine and marts anew from the lake's own Bronze (L0, L6): an owner of the next log whose source is
//! the log in force.
//!
//! It takes the log in force over, so that nobody commits to it meanwhile, writes the next one, which does not count yet,
//! and switches by ending the one in force. Up to there nothing that people see has changed; from there on it ends in
//! the steps of a reset. Cut off anywhere, it goes on from the next log alone. Deliberately not here: asking people,
//! printing.

mod input;
mod replay;

use std::sync::Arc;

use lakeward_actors::directories;
use lakeward_actors::owner::{Claimed, Entering, Owner};
use lakeward_connect::lake::Create;
use lakeward_connect::log_store::LogStore;
use lakeward_core::ids::Version;
use lakeward_core::ledger::Counters;
use lakeward_core::log::{
    ENGINE_SEMANTICS, Entry, Fold, LiveFiles, NewPartition, PipelinePaths, Rebuilt, expired_input,
};
use lakeward_core::pipeline::{Holds, Pipeline};

use crate::admission::definition;
use crate::exit::Exit;
use crate::reset::{Reset, Subject, lake_trouble, log_trouble, random, removed_lately, roll_trouble};
use crate::scribe::{Scribe, ScribeSeed};
use input::INCOMPLETE;
use replay::Replay;

/// What a rebuild works with.
pub struct Rebuild {
    /// Lake, mart and the ways to own and to end a log.
    pub reset: Reset,
    /// The topic, with overrides applied.
    pub topic: String,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// All records of the log before.
    pub before: Counters,
    /// All records of the new one.
    pub after: Counters,
    /// The new log's fold.
    pub fold: Fold,
    /// Whether every entry was decided by the same definition before, and came to the same.
    pub equal: bool,
}

impl Rebuild {
    /// How the definition in force differs from the file's; empty where they are the same.
    pub async fn differences(&self, fold: &Fold) -> Result<Vec<String>, Exit> {
        let pipeline = &self.reset.pipeline;
        if fold.definition == pipeline.definition_hash() {
            return Ok(Vec::new());
        }
        let old = definition(&self.reset.lake, &pipeline.name, &fold.definition).await.map_err(|e| lake_trouble(&e))?;
        let unreadable = || vec![format!("the definition {} is not readable", fold.definition)];
        Ok(old.map_or_else(unreadable, |old| Pipeline::differences(&old, &pipeline.definition())))
    }

    /// Rebuilds and switches. `progress` hears how many records are behind.
    pub async fn carry_out(&self, subject: Subject, progress: &mut dyn FnMut(u64)) -> Result<Outcome, Exit> {
        let Subject { log, fold, .. } = subject;
        self.check_input(&fold)?;
        self.check_layers(&log, &fold).await?;
        let (owner, fold) = self.reset.own(&log, fold).await?;
        let claim = fold.claim;
        let keeper = tokio::spawn(owner.clone().keep_lease(claim));
        let outcome = self.under_claim(&log, fold, progress).await;
        keeper.abort();
        // Not given up on failure: that would say that the followers are where the log is. A dead process' lease stops nobody.
        let outcome = outcome?;
        owner.give_up(claim).await;
        self.reset.clear_ended().await?;
        Ok(outcome)
    }

    async fn under_claim(&self, log: &LogStore, fold: Fold, progress: &mut dyn FnMut(u64)) -> Result<Outcome, Exit> {
        // What stays must be in place: staging goes with the log.
        directories::roll_all(log, &fold).await.map_err(|e| roll_trouble(&e))?;
        let first = self.entry(log, Version(0)).await?;
        self.write_definition().await?;
        let mut replay = self.begin(log, &fold, &first).await?;
        let definition = self.reset.pipeline.definition_hash();
        let mut equal = same(&first, &definition);
        let mut version = Version(1);
        let done = replay.fold().rebuilt.map_or(Version(0), |rebuilt| rebuilt.upto);
        while version <= fold.version {
            let entry = self.entry(log, version).await?;
            equal &= same(&entry, &definition);
            if version > done {
                replay.take(&entry, &fold, equal).await?;
            }
            progress(records(replay.fold()));
            version = version.next();
        }
        let next = replay.fold().clone();
        check_end(&fold, &next)?;
        let outcome = Outcome { before: total(&fold), after: total(&next), fold: next, equal };
        self.reset.switch(log, fold).await?;
        Ok(outcome)
    }

    /// Owns the next log, which begins with the same partitions.
    async fn begin(&self, log: &LogStore, fold: &Fold, first: &Entry) -> Result<Replay, Exit> {
        let under = fold.claim;
        let definition = self.reset.pipeline.definition_hash();
        let (next, begun) = self.reset.next_log(log, under, Some((&definition, ENGINE_SEMANTICS))).await?;
        let upto = begun.as_ref().and_then(|begun| begun.rebuilt).map_or(Version(0), |rebuilt| rebuilt.upto);
        let mut entering = Entering { rebuilt: Some(Rebuilt { under, upto }), ..Entering::default() };
        if begun.is_none() {
            let new = |told: &lakeward_core::log::PartitionEntry| NewPartition {
                incarnation: told.incarnation,
                topic_id: told.topic_id.clone(),
                start: told.from,
            };
            entering.partitions = first.partitions.iter().map(|(&partition, told)| (partition, new(told))).collect();
        }
        let owner = Owner { definition, ..self.reset.owner_of(&next, fold) };
        let claimed = owner.claim(begun, entering, random()).await.map_err(|e| log_trouble(&e))?;
        let Claimed::Ours(begun) = claimed else { return Err(self.reset.running()) };
        let seed = ScribeSeed {
            pipeline: Arc::new(self.reset.pipeline.clone()),
            topic: self.topic.clone(),
            log: next,
            fold: *begun,
            member: self.reset.member.clone(),
            clock: self.reset.clock.clone(),
        };
        Ok(Replay::new(Scribe::new(seed).await?, under))
    }

    async fn entry(&self, log: &LogStore, version: Version) -> Result<Entry, Exit> {
        let found = log.entry(version).await.map_err(|e| log_trouble(&e))?;
        let gone = || {
            let message = format!(
                "entry {version} of the log is gone (lake.keep_entries), and with it the floors that its records were \
                 judged by"
            );
            Exit::refused(INCOMPLETE, message)
        };
        found.map(|(entry, _)| entry).ok_or_else(gone)
    }

    /// The definition is there before the first entry that carries its hash (L2).
    async fn write_definition(&self) -> Result<(), Exit> {
        let pipeline = &self.reset.pipeline;
        let path = PipelinePaths::new(&pipeline.name).definition(&pipeline.definition_hash());
        let bytes = serde_json::to_vec_pretty(&pipeline.definition()).map_err(|e| Exit::bug(e.to_string()))?;
        match self.reset.lake.create_new(&path, bytes.into()).await {
            Create::Created | Create::Exists => Ok(()),
            Create::Unknown(error) | Create::Failed(error) => Err(lake_trouble(&error)),
        }
    }

    /// Refuses where retention has taken records, before anything is changed.
    pub fn check_input(&self, fold: &Fold) -> Result<(), Exit> {
        let told: Vec<String> = expired_input(fold, &self.reset.pipeline)
            .map(|(layer, gone)| format!("{} files of {layer} with {} records", gone.files, gone.rows))
            .collect();
        if told.is_empty() {
            return Ok(());
        }
        let message = format!(
            "retention took {}: what is gone can't be decided anew, and Kafka may have it no more either. The log in force \
             stays as it is",
            told.join(" and ")
        );
        Err(Exit::refused(INCOMPLETE, message))
    }

    /// Refuses a pipeline without Bronze, and folders that hold what no log knows or can't be renamed into (H4).
    async fn check_layers(&self, log: &LogStore, fold: &Fold) -> Result<(), Exit> {
        let Reset { pipeline, lake, .. } = &self.reset;
        if pipeline.layer(|holds| *holds == Holds::Records).is_none() {
            let message = format!("pipeline {} keeps no Bronze, so there is nothing to rebuild from", pipeline.name);
            return Err(Exit::refused(INCOMPLETE, message));
        }
        let removed = removed_lately(log, fold).await.map_err(|e| log_trouble(&e))?;
        let live = |path: &str| fold.files.values().any(|files: &LiveFiles| files.contains(path));
        let known = |path: &str| live(path) || removed.iter().any(|removed| removed == path);
        for layer in &pipeline.layers {
            let files = lake.list_recursive(&layer.path).await.map_err(|e| lake_trouble(&e))?;
            let mut visible =
                files.into_iter().filter(|file| !file.is_dir).map(|file| format!("{}/{}", layer.path, file.name));
            if let Some(path) = visible.find(|path| !known(path)) {
                let message = format!("{path} is in the folder of layer {}, and the log doesn't know it", layer.name);
                return Err(Exit::refused("LAYER_NOT_EMPTY", message));
            }
            let staging = log.paths().staging_root();
            if !lake.same_file_system(&staging, &layer.path).await.map_err(|e| lake_trouble(&e))? {
                let message = format!("the folder {} is on another file system than {staging}", layer.path);
                return Err(Exit::refused("STORE", message));
            }
        }
        Ok(())
    }
}

fn same(entry: &Entry, definition: &str) -> bool {
    entry.definition == definition && entry.semantics == ENGINE_SEMANTICS
}

/// All partitions must have come to where they were: else the logs would not join with what Kafka brings next.
fn check_end(was: &Fold, is: &Fold) -> Result<(), Exit> {
    let ends = |fold: &Fold| -> Vec<_> {
        let now =
            fold.partitions.iter().map(|(&p, held)| (p, held.incarnation, held.start, held.to, held.total.records));
        let past = fold.past_incarnations.iter().map(|(&(p, i), held)| (p, i, held.start, held.to, held.total.records));
        past.chain(now).collect()
    };
    if ends(was) == ends(is) {
        return Ok(());
    }
    let message = format!("the logs end apart, at {:?} and {:?}; the one in force stays", ends(was), ends(is));
    Err(Exit::bug(message))
}

/// What became of all records of a log.
pub fn total(fold: &Fold) -> Counters {
    let mut sum = Counters::default();
    let held = fold.partitions.values().chain(fold.past_incarnations.values());
    held.for_each(|held| sum.add(&held.total));
    sum
}

/// Records in a log.
pub fn records(fold: &Fold) -> u64 {
    fold.partitions.values().chain(fold.past_incarnations.values()).map(|held| held.total.records).sum()
}
