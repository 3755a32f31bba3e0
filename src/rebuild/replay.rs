//! Entry after entry of the log before, decided anew by the pipeline's own functions, into entries of the log after it.
//!
//! Ranges, floors, idleness, partitions and incarnations are those of the log before (T2, T3), so each entry becomes one
//! entry.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_core::ids::Version;
use lakeward_core::lake_line::{identity, read_quarantine};
use lakeward_core::log::{BarrierFacts, Entry, Fold, GoldItem, LiveFile, NewPartition, PartitionEntry, Rebuilt};
use lakeward_core::pipeline::Holds;

use super::input::{INCOMPLETE, Input, unreadable};
use crate::exit::Exit;
use crate::replay::{Records, Refusals, lines, take};
use crate::scribe::{Making, Scribe};

/// The writing of a log from the one before it.
pub struct Replay {
    scribe: Scribe,
    /// The claim of the log before under which it is written.
    under: Version,
}

/// Where an entry's records of one partition come from.
struct Source<'a> {
    input: &'a Input,
    /// Those that were replayed in it.
    again: Option<&'a Records>,
    /// Whether they were decided by the same definition.
    exactly: bool,
}

impl Replay {
    /// Goes on where the log of `scribe` ends. `under`: this process's claim of the log before.
    pub fn new(scribe: Scribe, under: Version) -> Self {
        Self { scribe, under }
    }

    /// The fold of the log that is written.
    pub fn fold(&self) -> &Fold {
        self.scribe.fold()
    }

    /// Makes the entry that says the same as `entry` of the log before, whose fold is `before`. `exactly`: it was decided
    /// by the same definition, so it must come to the same.
    pub async fn take(&mut self, entry: &Entry, before: &Fold, exactly: bool) -> Result<(), Exit> {
        let (input, kept) = self.input(entry, before).await?;
        if kept.is_empty() && self.says_nothing(entry) {
            return Ok(());
        }
        let mut making = self.scribe.open()?;
        making.draft.kept = kept;
        making.draft.rows_boundary = entry.rows_boundary;
        making.draft.rebuilt = Some(Rebuilt { under: self.under, upto: entry.version });
        let again = self.refused_again(entry).await?;
        for (&partition, told) in &entry.partitions {
            input.check(partition, told)?;
            if self.enters(partition, told) {
                let new =
                    NewPartition { incarnation: told.incarnation, topic_id: told.topic_id.clone(), start: told.from };
                making.draft.new_partitions.insert(partition, new);
            } else {
                let source = Source { input: &input, again: again.get(&partition), exactly };
                self.partition(partition, told, &source, &mut making).await?;
            }
        }
        drop(input);
        let same = |made: &Entry| match deviation(entry, made, before).filter(|_| exactly) {
            None => Ok(()),
            Some(what) => Err(Exit::bug(format!(
                "entry {} of the log in force, decided again by the same definition, came out otherwise: {what}. It stays in \
                 force",
                entry.version
            ))),
        };
        self.scribe.commit(making, same).await
    }

    /// Records of the entry, and the files of Bronze that stay.
    async fn input(&self, entry: &Entry, before: &Fold) -> Result<(Input, BTreeMap<String, Vec<LiveFile>>), Exit> {
        let (mut input, mut kept) = (Input::default(), BTreeMap::new());
        for layer in &self.scribe.seed().pipeline.layers {
            if !matches!(layer.holds, Holds::Records | Holds::Rejects) {
                continue;
            }
            let files = entry.layers.get(&layer.name).map_or(&[][..], |change| &change.added);
            for file in files {
                if !before.files.get(&layer.name).is_some_and(|live| live.contains(&file.path)) {
                    let message = format!("{} was taken out of the lake, which held records", file.path);
                    return Err(Exit::refused(INCOMPLETE, message));
                }
                if layer.holds == Holds::Records && !file.path.starts_with(&format!("{}/", layer.path)) {
                    let message = format!("{} is not below {}: Bronze can't move in a rebuild", file.path, layer.path);
                    return Err(Exit::refused(INCOMPLETE, message));
                }
                input.add(self.scribe.lake(), file, layer.holds == Holds::Rejects).await?;
            }
            if layer.holds == Holds::Records && !files.is_empty() {
                kept.insert(layer.name.clone(), files.to_vec());
            }
        }
        Ok((input, kept))
    }

    /// Claims and the like, which only say who owned the log before.
    fn says_nothing(&self, entry: &Entry) -> bool {
        let nothing = |(partition, told): (&i32, &PartitionEntry)| {
            told.from == told.to
                && told.replayed.is_empty()
                && told.floor.is_none()
                && !told.idle
                && !self.enters(*partition, told)
        };
        entry.partitions.iter().all(nothing) && entry.rows_boundary <= self.scribe.fold().rows_boundary
    }

    fn enters(&self, partition: i32, told: &PartitionEntry) -> bool {
        self.scribe.incarnation(partition) != Some(told.incarnation)
    }

    /// One partition's share of the entry, up to its barrier.
    async fn partition(
        &mut self,
        partition: i32,
        told: &PartitionEntry,
        source: &Source<'_>,
        making: &mut Making,
    ) -> Result<(), Exit> {
        for judged in source.input.batches(partition, told, source.exactly) {
            let judged = judged?;
            let now = self.scribe.seed().clock.wall_micros();
            let Some(step) = self.scribe.step(partition) else { continue };
            let output = step.step_judged(&judged.batch, judged.judged_us, now);
            let output = output.map_err(|e| Exit::bug(e.to_string()))?;
            self.scribe.write(partition, output, making).await?;
        }
        // What was from the future then is not any more.
        let replayed = match source.again {
            Some(records) => take(&mut self.scribe, partition, records, i64::MAX, making).await?,
            None => None,
        };
        let Some(said) = self.scribe.barrier(partition, told.floor, making)? else { return Ok(()) };
        let floor = told.floor.filter(|floor| Some(*floor) == said.watermark);
        making.draft.barriers.insert(
            partition,
            BarrierFacts { to: told.to, floor, idle: told.idle, replayed: replayed.unwrap_or_default(), ..said },
        );
        Ok(())
    }
}

impl Replay {
    /// Records that an entry of the log before replayed and the new log has refused too, by partition.
    async fn refused_again(&self, entry: &Entry) -> Result<BTreeMap<i32, Records>, Exit> {
        let mut found: BTreeMap<i32, Records> = BTreeMap::new();
        if entry.partitions.values().all(|told| told.replayed.is_empty()) {
            return Ok(found);
        }
        let mut refusals = Refusals::new(self.scribe.lake(), self.fold(), &self.scribe.seed().pipeline);
        while let Some((piece, file)) = refusals.more().await? {
            for line in lines(&piece, file)? {
                let Some((incarnation, partition, offset)) = identity(line.as_bytes()) else { continue };
                let told = entry.partitions.get(&partition).filter(|told| told.incarnation == incarnation);
                if told.is_some_and(|told| told.replayed.contains(offset)) {
                    let refused = read_quarantine(line).map_err(|what| unreadable(&file.path, what))?;
                    found.entry(partition).or_default().insert(offset, refused.into_record());
                }
            }
        }
        Ok(found)
    }
}

/// What two entries that must say the same do not (I14). KPIs that the log before took up later begin earlier now.
fn deviation(was: &Entry, is: &Entry, before: &Fold) -> Option<String> {
    let later: BTreeSet<&String> = before.first_windows.keys().collect();
    for (partition, was) in &was.partitions {
        let Some(is) = is.partitions.get(partition) else { return Some(format!("partition {partition} is missing")) };
        let told = |told: &PartitionEntry| {
            let mut counters = told.counters.clone();
            counters.late.retain(|kpi, _| !later.contains(kpi));
            counters.amended.retain(|kpi, _| !later.contains(kpi));
            counters.before_first.retain(|kpi, _| !later.contains(kpi));
            (told.to, told.watermark, counters)
        };
        if told(was) != told(is) {
            return Some(format!("partition {partition} was {:?} and is {:?}", told(was), told(is)));
        }
    }
    let closed = |entry: &Entry| {
        let items = entry.gold.iter().filter(|item| !later.contains(&item.kpi));
        let told = |item: &GoldItem| (item.windows.clone(), item.rows, item.revised.clone(), item.revisions);
        items.map(|item| (item.kpi.clone(), told(item))).collect::<BTreeMap<_, _>>()
    };
    (was.g != is.g || closed(was) != closed(is)).then(|| {
        format!("G was {} and is {}, windows were {:?} and are {:?}", was.g.0, is.g.0, closed(was), closed(is))
    })
}
