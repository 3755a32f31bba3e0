//! What is checked before a claim: whether this process can go on exactly from the log (H4). Nothing is changed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_actors::owner::Entering;
use lakeward_connect::lake::{Lake, LakeError};
use lakeward_connect::log_store::LogStore;
use lakeward_connect::mart::{Fences, MartError, REPLAYED_FENCE, late_fence};
use lakeward_core::log::{
    Fold, Incomplete, NewPartition, PipelinePaths, Refusal, Shown, TopicFacts, check_topic, expired_input,
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
        if let Some(fold) = fold.filter(|fold| self.has_too_many_refused(fold)) {
            return Err(self.too_many_refused(fold));
        }
        self.check_layers(log, fold, new_kpis).await?;
        // Once it runs, a broken mart stops nothing (O3).
        let shown = if again { Shown::new() } else { self.check_mart(log, fold).await? };
        self.entering(fold, new_kpis, shown).await
    }

    /// Whether the newest records were refused beyond what the pipeline allows, and nobody has accepted that.
    pub(crate) fn has_too_many_refused(&self, fold: &Fold) -> bool {
        !self.accept.refused && self.plan.pipeline.max_refused.is_some_and(|percent| fold.recent.exceeds(percent))
    }

    fn too_many_refused(&self, fold: &Fold) -> Exit {
        let (name, recent) = (&self.plan.pipeline.name, fold.recent);
        let message = format!(
            "{} of the newest {} records were refused, quarantine.max_percent is {}; `lakeward quarantine list {name}` shows \
             why. Mend the producer or the pipeline file, then go on with kafka.accept_refused = true until good records \
             have come",
            recent.quarantined,
            recent.records,
            self.plan.pipeline.max_refused.unwrap_or_default()
        );
        Exit::refused("TOO_MANY_REFUSED", message)
    }

    /// Before a layer's first file: refuses folders that hold somebody else's visible files, and such as staged files
    /// can't be renamed into (H4). All layers begin with version 0, later those of KPIs that are taken up.
    async fn check_layers(&self, log: &LogStore, fold: Option<&Fold>, new: &[String]) -> Result<(), Exit> {
        let store = |e: LakeError| Exit::unreachable(e.to_string());
        let kpi = |layer: &Layer| match &layer.holds {
            Holds::FinalWindows { kpi } | Holds::LateRows { kpi } => self.plan.pipeline.kpis.get(*kpi).map(|k| &k.name),
            _ => None,
        };
        let begins = |layer: &&Layer| fold.is_none() || kpi(layer).is_some_and(|name| new.contains(name));
        for layer in self.plan.pipeline.layers.iter().filter(begins) {
            let files = self.lake.list_recursive(&layer.path).await.map_err(store)?;
            if let Some(file) = files.iter().find(|f| !f.is_dir) {
                let message = format!(
                    "the folder {} of layer {} holds files that no log of pipeline {} knows, such as {}; move them \
                     away, or give the layer another path",
                    layer.path, layer.name, self.plan.pipeline.name, file.name
                );
                return Err(Exit::refused("LAYER_NOT_EMPTY", message));
            }
            if !self.lake.same_file_system(&log.paths().staging_root(), &layer.path).await.map_err(store)? {
                let message = format!(
                    "the folder {} of layer {} is on another file system than {}, so a file can't be renamed into \
                     sight at once; keep both on one",
                    layer.path,
                    layer.name,
                    log.paths().staging_root()
                );
                return Err(Exit::refused("STORE", message));
            }
        }
        Ok(())
    }

    /// The KPIs that the log takes up with a definition that only adds to its own; any other one is refused (H4).
    pub(crate) async fn check_definition(&self, fold: Option<&Fold>) -> Result<Vec<String>, Exit> {
        let Some(fold) = fold.filter(|f| f.definition != self.plan.definition) else { return Ok(Vec::new()) };
        let old = definition(&self.lake, &self.plan.pipeline.name, &fold.definition).await.ok().flatten();
        let new = self.plan.pipeline.definition();
        let changes = match old.as_ref().map(|old| (old, Pipeline::change(old, &new))) {
            Some((_, Change::None)) => return Ok(Vec::new()),
            Some((_, Change::Additive { kpis })) => return Ok(kpis),
            Some((old, Change::Rebuild)) => Pipeline::differences(old, &new),
            None => vec![format!("the definition {} is not readable", fold.definition)],
        };
        let anew = match expired_input(fold, &self.plan.pipeline).next() {
            None => ", or decide everything anew with `lakeward rebuild --from bronze`",
            Some(_) => " (retention took records, so nothing can be rebuilt)",
        };
        let message = format!(
            "the pipeline's definition decides rows otherwise than the log so far:\n  {}\nPut the old definition \
             back{anew}, or give the changed pipeline another \
             name and other paths and tables, or start over with `lakeward reset`. What can be taken up is new (KPIs, \
             fields without \"!\", tables in the mart), or refuses less (a \"!\" or a quarantining check that goes, \
             `round`, a larger max_future_skew).",
            changes.join("\n  ")
        );
        Err(Exit::refused("DEFINITION_CHANGED", message))
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
        let start = self.plan.pipeline.source.start;
        let given = self.topic_id.clone();
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
}
