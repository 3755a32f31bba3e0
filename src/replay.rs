//! Records out of Quarantine, judged again (H5): those that are not refused any more become rows, and count in their
//! windows, exactly once.
//!
//! It works under a claim of its own while nobody runs the pipeline. Each entry takes some records in: their partitions read
//! no further in Kafka, and each judges them as if they had come now, by its own watermark and dedup. So one whose window is
//! closed is late like any other. The lines in Quarantine stay; the log remembers which of them were replayed. Cut off
//! anywhere, a replay is gone on with by running it again. The marts follow when the pipeline runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use lakeward_actors::directories;
use lakeward_connect::lake::Lake;
use lakeward_connect::layer::Lines;
use lakeward_connect::log_store::LogStore;
use lakeward_core::lake_line::{LakeRecord, read_quarantine};
use lakeward_core::ledger::Counters;
use lakeward_core::log::{BarrierFacts, Fold, LiveFile, OffsetSet};
use lakeward_core::partition_step::{PartitionStart, PartitionStep};
use lakeward_core::pipeline::{Holds, Pipeline};
use lakeward_core::record::RawBatch;

use crate::exit::Exit;
use crate::reset::{Reset, Subject, lake_trouble, roll_trouble};
use crate::scribe::{Making, Scribe, ScribeSeed};

/// Records and bytes that one entry takes in: bounds memory.
const ENTRY: (usize, usize) = (20_000, 16 << 20);

/// What a replay works with.
pub struct Replay {
    /// Lake, mart and the ways to own a log.
    pub reset: Reset,
    /// The topic, with overrides applied.
    pub topic: String,
    /// Which lines of Quarantine are to be judged again.
    pub wanted: Box<dyn Fn(&str) -> bool>,
}

/// What there is to replay.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Records that would not be refused any more.
    pub accepted: u64,
    /// Those that would be refused again, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Those that were replayed before.
    pub replayed: u64,
    /// Those of the topic before it was made anew: only a rebuild can put them where they belong.
    pub past: u64,
}

/// Some records of one partition, by offset.
pub type Records = BTreeMap<i64, LakeRecord>;

/// Records that an entry takes in, by partition.
#[derive(Default)]
struct Share {
    records: BTreeMap<i32, Records>,
    count: usize,
    bytes: usize,
}

/// Where a line stands to the log.
enum Standing {
    Open(LakeRecord),
    Replayed,
    Past,
}

impl Replay {
    /// Counts what would come of it now; changes nothing.
    pub async fn survey(&self, subject: &Subject) -> Result<Survey, Exit> {
        let (mut survey, mut share) = (Survey::default(), Share::default());
        let mut refusals = Refusals::new(&self.reset.lake, &subject.fold, &self.reset.pipeline);
        while let Some((piece, file)) = refusals.more().await? {
            for line in lines(&piece, file)?.filter(|line| (self.wanted)(line)) {
                match standing(&subject.fold, line, file)? {
                    Standing::Open(record) => share.add(record),
                    Standing::Replayed => survey.replayed += 1,
                    Standing::Past => survey.past += 1,
                }
            }
            if share.is_full() {
                self.judge(std::mem::take(&mut share), &subject.fold, &mut survey);
            }
        }
        self.judge(share, &subject.fold, &mut survey);
        Ok(survey)
    }

    fn judge(&self, share: Share, fold: &Fold, survey: &mut Survey) {
        let now = self.reset.clock.wall_micros();
        for (partition, records) in share.records {
            let Some(held) = fold.partitions.get(&partition) else { continue };
            let start = PartitionStart { watermark: held.watermark, dedup: Vec::new(), first_windows: BTreeMap::new() };
            let pipeline = &self.reset.pipeline;
            let mut step = PartitionStep::new(pipeline, &self.topic, held.incarnation, partition, start);
            let batch = batch_of(partition, &records, |_| true);
            let refused = step.refused(&batch, now);
            survey.accepted += u64::try_from(batch.records.len() - refused.len()).unwrap_or(u64::MAX);
            refused.values().for_each(|reason| *survey.refused.entry(reason.as_str()).or_default() += 1);
        }
    }

    /// Replays; gives what became of all.
    pub async fn carry_out(&self, subject: Subject) -> Result<Counters, Exit> {
        let Subject { log, fold, .. } = subject;
        let (owner, fold) = self.reset.own(&log, fold).await?;
        let claim = fold.claim;
        let keeper = tokio::spawn(owner.keep_lease(claim));
        let done = self.under_claim(&log, fold).await;
        // Not given up: that would say that the followers are where the log is. A dead process' lease stops nobody.
        keeper.abort();
        done
    }

    async fn under_claim(&self, log: &LogStore, fold: Fold) -> Result<Counters, Exit> {
        let seed = ScribeSeed {
            pipeline: Arc::new(self.reset.pipeline.clone()),
            topic: self.topic.clone(),
            log: log.clone(),
            fold: fold.clone(),
            member: self.reset.member.clone(),
            clock: self.reset.clock.clone(),
        };
        let mut scribe = Scribe::new(seed).await?;
        let (mut done, mut share) = (Counters::default(), Share::default());
        let mut refusals = Refusals::new(&self.reset.lake, &fold, &self.reset.pipeline);
        while let Some((piece, file)) = refusals.more().await? {
            for line in lines(&piece, file)?.filter(|line| (self.wanted)(line)) {
                if let Standing::Open(record) = standing(scribe.fold(), line, file)? {
                    share.add(record);
                }
            }
            if share.is_full() {
                done.add(&entry(&mut scribe, std::mem::take(&mut share)).await?);
            }
        }
        done.add(&entry(&mut scribe, share).await?);
        directories::roll_all(log, scribe.fold()).await.map_err(|e| roll_trouble(&e))?;
        Ok(done)
    }
}

/// One entry with those of the records that are not refused now; none where all are.
async fn entry(scribe: &mut Scribe, share: Share) -> Result<Counters, Exit> {
    let (mut making, mut done) = (scribe.open()?, Counters::default());
    let now = scribe.seed().clock.wall_micros();
    for (partition, records) in share.records {
        if let Some(said) = take(scribe, partition, &records, now, &mut making).await? {
            let to = scribe.fold().partitions.get(&partition).map_or(0, |held| held.to);
            let Some(barrier) = scribe.barrier(partition, None, &mut making)? else { continue };
            done.add(&barrier.counters);
            making.draft.barriers.insert(partition, BarrierFacts { to, replayed: said, ..barrier });
        }
    }
    if !making.draft.barriers.is_empty() {
        scribe.commit(making, |_| Ok(())).await?;
    }
    Ok(done)
}

/// Gives those of a partition's records to its step that are not refused at this clock; which they are.
pub async fn take(
    scribe: &mut Scribe,
    partition: i32,
    records: &Records,
    judged_us: i64,
    making: &mut Making,
) -> Result<Option<OffsetSet>, Exit> {
    let now = scribe.seed().clock.wall_micros();
    let Some(step) = scribe.step(partition) else { return Ok(None) };
    let all = batch_of(partition, records, |_| true);
    let refused = step.refused(&all, judged_us);
    let is_refused = |place: usize| refused.contains_key(&place);
    let accepted = batch_of(partition, records, |place| !is_refused(place));
    if accepted.records.is_empty() {
        return Ok(None);
    }
    let output = step.replay(&accepted, judged_us, now).map_err(|e| Exit::bug(e.to_string()))?;
    if output.quarantine_rows > 0 || output.counters.quarantined > 0 {
        return Err(Exit::bug(format!("partition {partition}: a record was accepted and refused at one time")));
    }
    scribe.write(partition, output, making).await?;
    Ok(Some(accepted.records.iter().map(|record| record.offset).collect()))
}

/// The records as Kafka gave them, but for those at places that are left out.
fn batch_of(partition: i32, records: &Records, wanted: impl Fn(usize) -> bool) -> RawBatch {
    let mut chosen =
        records.iter().enumerate().filter(|(place, _)| wanted(*place)).map(|(_, record)| record).peekable();
    let mut batch = RawBatch::new(partition, chosen.peek().map_or(0, |(offset, _)| **offset));
    for (&offset, record) in chosen {
        let (key, payload) = (record.key.as_deref(), record.payload.as_deref());
        batch.push(offset, record.timestamp_ms.unwrap_or(-1), key, payload, record.headers.clone());
    }
    batch
}

impl Share {
    fn add(&mut self, record: LakeRecord) {
        self.count += 1;
        self.bytes += record.payload.as_ref().map_or(0, Vec::len);
        self.records.entry(record.partition).or_default().insert(record.offset, record);
    }

    fn is_full(&self) -> bool {
        self.count >= ENTRY.0 || self.bytes >= ENTRY.1
    }
}

fn standing(fold: &Fold, line: &str, file: &LiveFile) -> Result<Standing, Exit> {
    let record = read_quarantine(line).map_err(|what| unreadable(file, what))?.into_record();
    Ok(match fold.partitions.get(&record.partition) {
        Some(held) if held.incarnation != record.incarnation => Standing::Past,
        Some(held) if held.replayed.contains(record.offset) => Standing::Replayed,
        _ => Standing::Open(record),
    })
}

/// The lines of Quarantine that a fold knows, file by file in the order of the log, in pieces.
pub struct Refusals<'f> {
    lake: Lake,
    files: Vec<&'f LiveFile>,
    open: Option<(Lines<'f>, &'f LiveFile)>,
}

impl<'f> Refusals<'f> {
    /// Begins with the oldest file.
    pub fn new(lake: &Lake, fold: &'f Fold, pipeline: &Pipeline) -> Self {
        let layer = pipeline.layer(|holds| *holds == Holds::Rejects);
        let mut files: Vec<_> = layer.into_iter().flat_map(|(_, layer)| fold.layer_files(&layer.name)).collect();
        files.reverse();
        Self { lake: lake.clone(), files, open: None }
    }

    /// Some whole lines and the file that holds them; `None` behind the last.
    pub async fn more(&mut self) -> Result<Option<(Bytes, &'f LiveFile)>, Exit> {
        loop {
            if let Some((lines, file)) = &mut self.open
                && let Some(piece) = lines.more().await.map_err(|e| lake_trouble(&e))?
            {
                return Ok(Some((piece, file)));
            }
            let Some(file) = self.files.pop() else { return Ok(None) };
            self.open = Some((Lines::of(&self.lake, file), file));
        }
    }
}

/// The lines of a piece.
pub fn lines<'p>(piece: &'p Bytes, file: &LiveFile) -> Result<std::str::Lines<'p>, Exit> {
    std::str::from_utf8(piece).map(str::lines).map_err(|_| unreadable(file, "is no text"))
}

fn unreadable(file: &LiveFile, what: &str) -> Exit {
    Exit::refused("LAKE_DAMAGED", format!("{}: a line of Quarantine {what}", file.path))
}
