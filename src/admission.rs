//! What is checked before a claim: whether this process can go on exactly from the log (H4). Nothing is changed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_actors::owner::Entering;
use lakeward_connect::kafka::Admin;
use lakeward_connect::lake::{Lake, LakeError};
use lakeward_connect::log_store::LogStore;
use lakeward_connect::mart::{Fences, MartError, REPLAYED_FENCE, late_fence};
use lakeward_core::log::{
    Accept, Fold, Incomplete, NewPartition, PipelinePaths, Refusal, Shown, TopicFacts, check_topic, expired_input,
    first_windows, kpi_is_whole, rows_are_whole,
};
use lakeward_core::pipeline::{Change, Holds, Layer, Pipeline, StartOffset};
use serde_json::Value;

use crate::exit::Exit;
use crate::run::{Runner, patiently};

/// The definition of that hash, as the lake keeps it; `None` where it is gone or can't be read.
pub async fn definition(lake: &Lake, pipeline: &str, hash: &str) -> Result<Option<Value>, LakeError> {
    let bytes = lake.read(&PipelinePaths::new(pipeline).definition(hash)).await?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Whether every table of the mart holds, or finds in the lake, what it must hold: retention may have taken some (H1).
fn check_whole(fold: &Fold, pipeline: &Pipeline, fences: &Fences) -> Result<(), Incomplete> {
    let applied = |fence: &str| fences.kpis.get(fence).and_then(|fence| fence.version);
    let next = |incarnation, partition| fences.rows.get(&(incarnation, partition)).map(|(_, next)| *next);
    rows_are_whole(fold, pipeline, next, applied(REPLAYED_FENCE))?;
    for (number, kpi) in pipeline.kpis.iter().enumerate() {
        kpi_is_whole(fold, pipeline, number, false, applied(&kpi.name))?;
        kpi_is_whole(fold, pipeline, number, true, applied(&late_fence(&kpi.name)))?;
    }
    Ok(())
}

/// What a start makes of a pipeline file, held against the log (H4).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// There is no entry yet.
    First,
    /// It decides as the newest entry's definition does.
    Unchanged,
    /// It only adds, or refuses less: the next run takes it up.
    TakenUp {
        /// The KPIs that are new.
        kpis: Vec<String>,
        /// What differs.
        changes: Vec<String>,
    },
    /// It decides rows otherwise (`DEFINITION_CHANGED`).
    Refused {
        /// What differs.
        changes: Vec<String>,
    },
}

/// The ways out of `DEFINITION_CHANGED`.
#[must_use]
pub fn ways(fold: Option<&Fold>, pipeline: &Pipeline) -> String {
    let anew = match fold.and_then(|fold| expired_input(fold, pipeline).next()) {
        None => ", or decide everything anew with `lakeward rebuild --from bronze`",
        Some(_) => " (retention took records, so nothing can be rebuilt)",
    };
    format!(
        "Put the old definition back{anew}, or give the changed pipeline another name and other paths and tables, or start over \
         with `lakeward reset`. What can be taken up is new (KPIs, fields without \"!\", tables in the mart), or refuses less \
         (a \"!\" or a quarantining check that goes, `round`, a larger max_future_skew)."
    )
}

/// Holds `pipeline` against the definition of the newest entry.
pub async fn judge(lake: &Lake, pipeline: &Pipeline, fold: Option<&Fold>) -> Judgement {
    let Some(fold) = fold else { return Judgement::First };
    if fold.definition == pipeline.definition_hash() {
        return Judgement::Unchanged;
    }
    let old = definition(lake, &pipeline.name, &fold.definition).await.ok().flatten();
    let Some(old) = old else {
        return Judgement::Refused { changes: vec![format!("the definition {} is not readable", fold.definition)] };
    };
    let new = pipeline.definition();
    let changes = Pipeline::differences(&old, &new);
    match Pipeline::change(&old, &new) {
        Change::None => Judgement::Unchanged,
        Change::Additive { kpis } => Judgement::TakenUp { kpis, changes },
        Change::Rebuild => Judgement::Refused { changes },
    }
}

/// The refusal where the newest records were refused beyond what the pipeline allows, and nobody has accepted that.
pub fn too_many_refused(pipeline: &Pipeline, fold: &Fold, accept: Accept) -> Option<Exit> {
    let percent = pipeline.max_refused.filter(|percent| !accept.refused && fold.recent.exceeds(*percent))?;
    let (name, recent) = (&pipeline.name, fold.recent);
    let message = format!(
        "{} of the newest {} records were refused, quarantine.max_percent is {percent}; `lakeward quarantine list {name}` shows \
         why. Mend the producer or the pipeline file, then go on with kafka.accept_refused = true until good records have \
         come",
        recent.quarantined, recent.records,
    );
    Some(Exit::refused("TOO_MANY_REFUSED", message))
}

/// Before a layer's first file: refuses folders that hold somebody else's visible files, and such as files staged below
/// `staging` can't be renamed into (H4). All layers begin with version 0 (`first`), later those of KPIs that are taken up.
pub async fn check_layers(
    lake: &Lake,
    pipeline: &Pipeline,
    staging: &str,
    first: bool,
    new: &[String],
) -> Result<(), Exit> {
    let store = |e: LakeError| Exit::unreachable(e.to_string());
    let kpi = |layer: &Layer| match &layer.holds {
        Holds::FinalWindows { kpi } | Holds::LateRows { kpi } => pipeline.kpis.get(*kpi).map(|k| &k.name),
        _ => None,
    };
    let begins = |layer: &&Layer| first || kpi(layer).is_some_and(|name| new.contains(name));
    for layer in pipeline.layers.iter().filter(begins) {
        let files = lake.list_recursive(&layer.path).await.map_err(store)?;
        if let Some(file) = files.iter().find(|f| !f.is_dir) {
            let message = format!(
                "the folder {} of layer {} holds files that no log of pipeline {} knows, such as {}; move them \
                 away, or give the layer another path",
                layer.path, layer.name, pipeline.name, file.name
            );
            return Err(Exit::refused("LAYER_NOT_EMPTY", message));
        }
        if !lake.same_file_system(staging, &layer.path).await.map_err(store)? {
            let message = format!(
                "the folder {} of layer {} is on another file system than {staging}, so a file can't be renamed into \
                 sight at once; keep both on one",
                layer.path, layer.name,
            );
            return Err(Exit::refused("STORE", message));
        }
    }
    Ok(())
}

/// What Kafka says of the topic, and where partitions begin that the log doesn't know. `given`: an id to use where
/// Kafka tells none.
pub async fn topic_facts(
    admin: Arc<Admin>,
    topic: String,
    start: StartOffset,
    given: Option<String>,
) -> anyhow::Result<TopicFacts> {
    let facts = tokio::task::spawn_blocking(move || -> anyhow::Result<TopicFacts> {
        let facts = admin.topic(&topic)?;
        let mut offsets = BTreeMap::new();
        for &partition in &facts.partitions {
            offsets.insert(partition, admin.watermarks(&topic, partition)?);
        }
        let starts = match start {
            StartOffset::Earliest => offsets.iter().map(|(&p, &(low, _))| (p, low)).collect(),
            StartOffset::Latest => offsets.iter().map(|(&p, &(_, high))| (p, high)).collect(),
            StartOffset::Timestamp(ms) => admin.offsets_at(&topic, ms)?,
        };
        Ok(TopicFacts { id: facts.id.or(given), offsets, starts, shown: Shown::new() })
    });
    facts.await?
}

impl Runner {
    /// Before a claim: a mart that only a person can mend refuses the start (H4). One that is away for now doesn't: its
    /// follower tries again.
    /// Answers up to where it shows each (incarnation, partition).
    async fn check_mart(&self, log: &LogStore, fold: Option<&Fold>) -> Result<Shown, Exit> {
        let Some(open) = &self.plan.mart else { return Ok(Shown::new()) };
        let something_gone = fold.filter(|fold| !fold.expired.is_empty() && !self.plan.accept_incomplete);
        let prepared = async {
            let mart = open()().await?;
            mart.prepare(&self.plan.pipeline, log.id()).await?;
            let fences = match something_gone {
                Some(_) => Some(mart.snapshot(&self.plan.pipeline, log.id()).await?.fences().clone()),
                None => None,
            };
            Ok::<_, MartError>((mart.holding(&self.plan.pipeline).await?, fences))
        };
        match prepared.await {
            Ok((holding, fences)) => {
                if let Some((fold, fences)) = something_gone.zip(fences) {
                    check_whole(fold, &self.plan.pipeline, &fences)
                        .map_err(|gone| Exit::refused("MART_INCOMPLETE", gone.to_string()))?;
                }
                let fences = holding.fences.into_iter().filter(|(of, ..)| of == log.id());
                Ok(fences.map(|(_, at, _, next)| (at, next)).collect())
            }
            Err(error) if !error.is_retryable() => Err(Exit::refused(error.code(), error.to_string())),
            Err(_) => Ok(Shown::new()),
        }
    }

    /// All that must be right before a claim, and what comes into the log with it. `again`: this process ran before.
    pub(crate) async fn admit(
        &self,
        log: &LogStore,
        fold: Option<&Fold>,
        new_kpis: &[String],
        again: bool,
    ) -> Result<Entering, Exit> {
        if let Some(exit) = fold.and_then(|fold| too_many_refused(&self.plan.pipeline, fold, self.accept)) {
            return Err(exit);
        }
        let staging = log.paths().staging_root();
        check_layers(&self.lake, &self.plan.pipeline, &staging, fold.is_none(), new_kpis).await?;
        // Once it runs, a broken mart stops nothing (O3).
        let shown = if again { Shown::new() } else { self.check_mart(log, fold).await? };
        self.entering(fold, new_kpis, shown).await
    }

    /// The KPIs that the log takes up with a definition that only adds to its own; any other one is refused (H4).
    pub(crate) async fn check_definition(&self, fold: Option<&Fold>) -> Result<Vec<String>, Exit> {
        match judge(&self.lake, &self.plan.pipeline, fold).await {
            Judgement::First | Judgement::Unchanged => Ok(Vec::new()),
            Judgement::TakenUp { kpis, .. } => Ok(kpis),
            Judgement::Refused { changes } => {
                let message = format!(
                    "the pipeline's definition decides rows otherwise than the log so far:\n  {}\n{}",
                    changes.join("\n  "),
                    ways(fold, &self.plan.pipeline)
                );
                Err(Exit::refused("DEFINITION_CHANGED", message))
            }
        }
    }

    /// What comes into the log with the claim: partitions, as the topic compares with the log, and new KPIs.
    async fn entering(&self, fold: Option<&Fold>, new_kpis: &[String], shown: Shown) -> Result<Entering, Exit> {
        let mut facts = patiently(self.patience, || self.topic_facts(), "Kafka").await?;
        facts.shown = shown;
        let checked = check_topic(fold, &self.plan.topic, &facts, self.accept);
        let entering = checked.map_err(|refusals| {
            let code = refusals.first().map_or("REFUSED", Refusal::code);
            let all: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            Exit::refused(code, all.join("\n"))
        })?;
        // Later partitions enter by an epoch (T3); a claim takes up the first set, or a new incarnation's.
        let known = |p: &i32| fold.and_then(|f| f.partitions.get(p)).map(|held| held.incarnation);
        let enters =
            |(p, new): &(i32, NewPartition)| fold.is_none() || known(p).is_some_and(|old| old < new.incarnation);
        Ok(Entering {
            partitions: entering.into_iter().filter(enters).collect(),
            first_windows: fold.map(|f| first_windows(f, &self.plan.pipeline, new_kpis)).unwrap_or_default(),
            rebuilt: None,
        })
    }

    pub(crate) async fn topic_facts(&self) -> anyhow::Result<TopicFacts> {
        let (admin, topic) = (Arc::clone(&self.plan.admin), self.plan.topic.clone());
        topic_facts(admin, topic, self.plan.pipeline.source.start, self.topic_id.clone()).await
    }
}
