//! A mart for tests: SQLite in a folder of its own, opened as told, over a log that tests write by hand.

use std::collections::{BTreeMap, VecDeque};

use lakeward_connect::layer::{AppendMeta, EpochFiles, LayerSpec, ParquetSpec};
use lakeward_connect::mart::{Claimed, Mart, MartContext, MartError, MartFaults, MartOptions, MartTwin};
use lakeward_core::ids::Epoch;
use lakeward_core::kpi::{Windows, gold_batch};
use lakeward_core::log::{BarrierFacts, StagedFile};
use lakeward_core::pipeline::Encoding;
use tokio::sync::watch;

use super::*;
use crate::commit::Head;
use crate::mart_link::{MartLink, OpenMart};

/// What happens at the next opening.
#[derive(Clone, Debug)]
pub enum Opening {
    Fails(MartError),
    Panics,
    /// No answer ever comes.
    Hangs,
    /// It opens, and its calls go as they are told.
    Told(MartFaults),
}

pub struct MartBench {
    pub ground: Ground,
    pub link: Arc<MartLink>,
    pub openings: Arc<Mutex<VecDeque<Opening>>>,
    /// How often the mart was opened, or it was tried.
    pub opened: Arc<Mutex<u32>>,
    pub head: watch::Sender<Head>,
    steps: BTreeMap<i32, PartitionStep>,
    windows: Windows,
    epoch: Epoch,
    url: String,
    eye: rusqlite::Connection,
    _folder: tempfile::TempDir,
}

pub fn unreachable() -> MartError {
    MartError::Unreachable { mart: "m".to_owned(), doing: "opening it".to_owned(), cause: "as told".to_owned() }
}

pub fn broken() -> MartError {
    MartError::Schema { mart: "m".to_owned(), table: "things".to_owned(), difference: "no colour".to_owned() }
}

pub async fn mart_bench(partitions: &[i32]) -> MartBench {
    let ground = ground(partitions).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/mart.db", folder.path().display());
    let eye = rusqlite::Connection::open(folder.path().join("mart.db")).unwrap();
    eye.busy_timeout(PATIENCE).unwrap();
    let _: String = eye.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
    let (openings, opened): (Arc<Mutex<VecDeque<Opening>>>, Arc<Mutex<u32>>) = Default::default();
    let head = Head { fold: Arc::new(ground.fold.clone()), epochs: Arc::default() };
    let steps = partitions.iter().map(|&p| (p, step(p))).collect();
    let windows = Windows::new(&pipeline().kpis[0], EventTime::MIN);
    let head = watch::channel(head).0;
    let link = link(&ground, &head, &url, &openings, &opened);
    MartBench { ground, link, openings, opened, head, steps, windows, epoch: Epoch(0), url, eye, _folder: folder }
}

fn link(
    ground: &Ground,
    head: &watch::Sender<Head>,
    url: &str,
    openings: &Arc<Mutex<VecDeque<Opening>>>,
    opened: &Arc<Mutex<u32>>,
) -> Arc<MartLink> {
    let open = opener(url.to_owned(), Arc::clone(openings), Arc::clone(opened));
    let (log, start) = (ground.log.clone(), Arc::new(ground.fold.clone()));
    Arc::new(MartLink::new(pipeline(), log, ground.fold.claim, start, head.subscribe(), open, specs()))
}

fn opener(url: String, openings: Arc<Mutex<VecDeque<Opening>>>, opened: Arc<Mutex<u32>>) -> OpenMart {
    Box::new(move || {
        let (url, next) = (url.clone(), openings.lock().unwrap().pop_front());
        *opened.lock().unwrap() += 1;
        Box::pin(async move {
            match next {
                None => Mart::open(&url, MartOptions::default()).await,
                Some(Opening::Fails(error)) => Err(error),
                Some(Opening::Panics) => panic!("as told"),
                Some(Opening::Hangs) => std::future::pending().await,
                Some(Opening::Told(faults)) => {
                    let path = url.strip_prefix("sqlite://").unwrap();
                    MartTwin::open(path, &MartOptions::default(), &faults).await.map(Mart::Twin)
                }
            }
        })
    })
}

fn specs() -> BTreeMap<String, LayerSpec> {
    let pipeline = pipeline();
    let gold: Vec<_> = pipeline.kpis[0].gold.iter().map(|column| column.column.field()).collect();
    let spec = |layer: &lakeward_core::pipeline::Layer| match layer.encoding {
        Encoding::RawJson => LayerSpec::RawJson,
        Encoding::Parquet if layer.name == "silver" => {
            LayerSpec::Parquet(ParquetSpec::new(pipeline.rows_schema(), Vec::new()))
        }
        Encoding::Parquet if layer.name == "late/per_minute" => {
            LayerSpec::Parquet(ParquetSpec::new(pipeline.late_schema(), Vec::new()))
        }
        Encoding::Parquet => {
            let schema = Arc::new(arrow::datatypes::Schema::new(gold.clone()));
            LayerSpec::Parquet(ParquetSpec::new(schema, Vec::new()))
        }
    };
    pipeline.layers.iter().map(|layer| (layer.name.clone(), spec(layer))).collect()
}

impl MartBench {
    /// What the partition makes of records: rows as a partition sends them.
    pub fn rows(&mut self, batch: &RawBatch) -> arrow::record_batch::RecordBatch {
        self.steps.get_mut(&batch.partition).unwrap().step(batch, WALL).unwrap().rows.unwrap()
    }

    /// Commits the next epoch: one file of each batch's rows, and of the windows that it closes. The head moves.
    pub async fn commit(&mut self, batches: &[RawBatch]) {
        let mut draft = Draft::empty(EntryKind::Epoch);
        let (mut silver, mut too_late) = (Vec::new(), Vec::new());
        for batch in batches {
            let p = batch.partition;
            let mut fresh = PartitionStep::new(&pipeline(), "things", 0, p, self.start(p));
            let out = fresh.step(batch, WALL).unwrap();
            let rows = out.rows.unwrap();
            for late in out.late {
                too_late.extend(self.staged("late/per_minute", p, batch.range, late.rows).await);
            }
            self.windows.apply(self.epoch, fresh.take_increments().remove(0)).unwrap();
            let watermark = Some(fresh.barrier(None).watermark);
            draft.barriers.insert(p, BarrierFacts { to: batch.range.to, watermark, ..BarrierFacts::default() });
            silver.extend(self.staged("silver", p, batch.range, rows).await);
        }
        let g = lakeward_core::log::next_g(&self.ground.fold, &draft.barriers);
        let closed = self.windows.close(self.epoch, g).unwrap();
        let mut gold = Vec::new();
        if !closed.finals.is_empty() {
            let rows = gold_batch(&pipeline(), 0, &closed.finals).unwrap().batch;
            gold = self.staged("gold/per_minute", -1, OffsetRange::default(), rows).await;
            for file in &mut gold {
                file.event_times = closed.windows.first().copied().zip(closed.windows.last().copied());
            }
        }
        draft.staged.insert("silver".to_owned(), ("rows".to_owned(), silver));
        draft.staged.insert("late/per_minute".to_owned(), ("late".to_owned(), too_late));
        draft.staged.insert("gold/per_minute".to_owned(), ("gold".to_owned(), gold));
        self.append(&draft).await;
    }

    /// A partition enters the set, by an entry of the next epoch.
    pub async fn enter(&mut self, partition: i32) {
        let mut draft = Draft::empty(EntryKind::Epoch);
        draft.new_partitions.insert(partition, NewPartition { incarnation: 0, topic_id: None, start: 0 });
        self.steps.insert(partition, step(partition));
        self.append(&draft).await;
    }

    /// Commits the next epoch; the head moves.
    async fn append(&mut self, draft: &Draft) {
        let attempt = format!("epoch{}", self.epoch.0);
        let entry = render(&self.ground.fold, draft, &author(self.ground.fold.claim, &attempt));
        let created = self.ground.log.create(&entry, |_| {}).await.unwrap();
        let CreateOutcome::Committed(hash) = created else { panic!("not created") };
        self.ground.fold.apply(&entry, hash).unwrap();
        let mut epochs = (*self.head.borrow().epochs).clone();
        epochs.insert(self.epoch, entry.version);
        self.epoch = self.epoch.next();
        self.head.send_replace(Head { fold: Arc::new(self.ground.fold.clone()), epochs: Arc::new(epochs) });
    }

    fn start(&self, partition: i32) -> PartitionStart {
        PartitionStart {
            watermark: self.ground.fold.partitions[&partition].watermark,
            dedup: Vec::new(),
            first_windows: BTreeMap::new(),
        }
    }

    async fn staged(
        &self,
        layer: &str,
        partition: i32,
        range: OffsetRange,
        rows: arrow::record_batch::RecordBatch,
    ) -> Vec<StagedFile> {
        let folder = format!("{}/{}-{partition}", self.ground.attempts().staging(self.epoch), layer.replace('/', "-"));
        let mut files = EpochFiles::new(self.ground.lake.clone(), folder, "f".to_owned(), &specs()[layer]).unwrap();
        let meta = AppendMeta { partition, range, rows: rows.num_rows() as u64, event_times: None };
        files.append_rows(rows, meta).await.unwrap();
        files.close().await.unwrap()
    }

    /// Followers that start from now on connect anew.
    pub fn reconnected(&mut self) {
        self.link = link(&self.ground, &self.head, &self.url, &self.openings, &self.opened);
    }

    /// Somebody else takes the mart over.
    pub async fn taken_over(&self, claim: u64) {
        let mart = Mart::open(&self.url, MartOptions::default()).await.unwrap();
        let context = MartContext::new(&pipeline(), "log-a", Version(claim)).unwrap();
        let claimed = mart.claim(&context, Arc::new(|_, _, _| 0), &[]).await.unwrap();
        assert!(matches!(claimed, Claimed::Held { .. }));
    }

    /// Somebody runs SQL on the database.
    pub fn sql(&self, statement: &str) {
        self.eye.execute_batch(statement).unwrap();
    }

    /// Partition and offset of the rows in the table, in order; none while there is no table.
    pub fn table(&self) -> Vec<(i32, i64)> {
        let sql = "SELECT kafka_partition, kafka_offset FROM things ORDER BY 1, 2";
        self.read(sql, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Offsets of the late rows in the table, in order.
    pub fn late(&self) -> Vec<i64> {
        self.read("SELECT kafka_offset FROM too_late ORDER BY 1", |row| row.get(0))
    }

    /// Waits until the table of late rows holds exactly these offsets.
    pub async fn until_late(&self, expected: &[i64]) {
        until_same(expected, || self.late()).await;
    }

    /// Window, count and finality of the KPI's rows, in order.
    pub fn kpi(&self) -> Vec<String> {
        let sql = "SELECT window_start || ' ' || things || CASE WHEN is_final THEN ' final' ELSE ' live' END \
                   FROM per_minute ORDER BY 1";
        self.read(sql, |row| row.get(0))
    }

    /// Readers don't stand in a writer's way.
    fn read<T>(&self, sql: &str, of: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let Ok(mut statement) = self.eye.prepare(sql) else { return Vec::new() };
        statement.query_map([], of).and_then(Iterator::collect).unwrap_or_default()
    }

    /// Waits until the table of rows holds exactly these offsets of each partition.
    pub async fn until_table(&self, expected: &[(i32, std::ops::Range<i64>)]) {
        let expected: Vec<(i32, i64)> = expected.iter().flat_map(|(p, r)| r.clone().map(|o| (*p, o))).collect();
        until_same(&expected, || self.table()).await;
    }

    /// Waits until the KPI's table holds exactly these rows.
    pub async fn until_kpi(&self, expected: &[&str]) {
        let expected: Vec<String> = expected.iter().map(|row| (*row).to_owned()).collect();
        until_same(&expected, || self.kpi()).await;
    }

    pub fn opened(&self) -> u32 {
        *self.opened.lock().unwrap()
    }
}

async fn until_same<T: PartialEq + std::fmt::Debug>(expected: &[T], found: impl Fn() -> Vec<T>) {
    let started = Instant::now();
    while found() != expected {
        assert!(started.elapsed() < PATIENCE, "the table holds {:?}", found());
        tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
        pass(Duration::from_millis(5)).await;
    }
}
