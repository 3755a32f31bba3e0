//! Marts for tests: SQLite in a folder and its twin always, and a schema of its own in the Postgres that `LAKEWARD_TEST_POSTGRES`
//! names (`postgres://user@host:port/database`). Without it the Postgres half is skipped and says so;
//! `LAKEWARD_TEST_REQUIRE_SERVERS=1` makes that a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use lakeward_core::ids::{EventTime, Version};
use lakeward_core::types::{Column, DataType};

use super::plan::{KpiTable, LateTable, Plan, RowsTable, Table, late_fence};
use super::{
    AddedRows, Claimed, FinalRows, LiveRows, Mart, MartContext, MartFaults, MartOptions, MartTwin, ReignEnd, RowsBatch,
};

pub(super) const MINUTE: i64 = 60_000_000;
pub(super) const DAY: i64 = 86_400_000_000;
pub(super) const LOG: &str = "log-a";

/// A mart with a second way to look into it.
pub(super) struct Bench {
    pub mart: Mart,
    pub url: String,
    pub pipeline: String,
    _folder: tempfile::TempDir,
}

/// Runs a test on every kind of mart that there is, and on the twin that nobody tells to fail.
pub(super) async fn on_each_mart(test: impl AsyncFn(&Bench)) {
    test(&sqlite().await).await;
    test(&twin().await).await;
    on_postgres(test).await;
}

/// Runs a test on Postgres, if there is one.
pub(super) async fn on_postgres(test: impl AsyncFn(&Bench)) {
    let Ok(server) = std::env::var("LAKEWARD_TEST_POSTGRES") else {
        assert!(std::env::var("LAKEWARD_TEST_REQUIRE_SERVERS").is_err(), "LAKEWARD_TEST_POSTGRES is not set");
        eprintln!("skipped on postgres: LAKEWARD_TEST_POSTGRES is not set");
        return;
    };
    let schema = unique();
    execute(&server, &format!("CREATE SCHEMA {schema}")).await;
    let url = format!("{server}?options=-c%20search_path%3D{schema}");
    let options = MartOptions { application_name: schema.clone(), ..options() };
    let mart = Mart::open(&url, options).await.unwrap();
    let bench = Bench { mart, url, pipeline: schema.clone(), _folder: tempfile::tempdir().unwrap() };
    test(&bench).await;
    execute(&server, &format!("DROP SCHEMA {schema} CASCADE")).await;
}

/// A mart in a folder of its own.
pub(super) async fn sqlite() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/mart.db", folder.path().display());
    Bench { mart: open(&url).await, url, pipeline: unique(), _folder: folder }
}

/// The twin of other tests, as they use it.
async fn twin() -> Bench {
    let bench = sqlite().await;
    let path = bench.url.trim_start_matches("sqlite://");
    let faults = MartFaults::new(Box::new(|_| None));
    Bench { mart: Mart::Twin(MartTwin::open(path, &options(), &faults).await.unwrap()), ..bench }
}

pub(super) async fn open(url: &str) -> Mart {
    Mart::open(url, options()).await.unwrap()
}

fn options() -> MartOptions {
    MartOptions { patience: Duration::from_secs(3), ..MartOptions::default() }
}

fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nonce = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    format!("t_{}_{}_{nonce:08x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Statements on Postgres, outside of the mart.
pub(super) async fn execute(url: &str, sql: &str) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let task = tokio::spawn(connection);
    let mut rows = Vec::new();
    for message in client.simple_query(sql).await.unwrap() {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            let cells: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or("NULL")).collect();
            rows.push(cells.join("|"));
        }
    }
    drop(client);
    task.await.unwrap().unwrap();
    rows
}

impl Bench {
    /// The context of a claimant.
    pub fn under(&self, claim: u64) -> MartContext {
        self.of(LOG, claim)
    }

    pub fn of(&self, log: &str, claim: u64) -> MartContext {
        self.with(plan(&self.pipeline), log, claim)
    }

    pub fn with(&self, plan: Plan, log: &str, claim: u64) -> MartContext {
        MartContext { plan: Arc::new(plan), log_id: log.into(), claim: Version(claim) }
    }

    /// Prepared and claimed, with partition 0 and 1 from offset 0.
    pub async fn claimed(&self, claim: u64, reign_end: i64) -> (MartContext, Claimed) {
        let context = self.under(claim);
        self.mart.prepare_under(&context).await.unwrap();
        let claimed = self.mart.claim(&context, ends(reign_end), &[(0, 0, 0), (0, 1, 0)]).await.unwrap();
        (context, claimed)
    }

    /// The rows of a query, cells joined by `|`.
    pub async fn query(&self, sql: &str) -> Vec<String> {
        match self.url.strip_prefix("sqlite://") {
            None => execute(&self.url, sql).await,
            Some(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.busy_timeout(Duration::from_secs(2)).unwrap();
                let mut statement = connection.prepare(sql).unwrap();
                let columns = statement.column_count();
                let row = |row: &rusqlite::Row<'_>| {
                    let cells = (0..columns).map(|i| cell(row.get_ref(i).unwrap()));
                    Ok(cells.collect::<Vec<_>>().join("|"))
                };
                statement.query_map([], row).unwrap().map(Result::unwrap).collect()
            }
        }
    }

    /// Somebody drops a table.
    pub async fn drop_table(&self, name: &str) {
        match self.url.strip_prefix("sqlite://") {
            None => drop(execute(&self.url, &format!("DROP TABLE {name}")).await),
            Some(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.execute_batch(&format!("DROP TABLE {name}_raw")).unwrap();
            }
        }
    }

    /// Partition and offset of every row, in order.
    pub async fn rows(&self) -> Vec<String> {
        self.query("SELECT kafka_partition, kafka_offset, note FROM things ORDER BY 1, 2").await
    }

    /// Partition and offset of every late row, in order.
    pub async fn late(&self) -> Vec<String> {
        self.query("SELECT kafka_partition, kafka_offset FROM too_late ORDER BY 1, 2").await
    }

    /// The first KPI: minute, colour, total, whether final.
    pub async fn kpi(&self) -> Vec<String> {
        let minute = match &self.mart {
            Mart::Postgres(_) => "(extract(epoch FROM window_start) / 60)::bigint",
            Mart::Sqlite(_) | Mart::Twin(_) => "CAST(strftime('%s', window_start) AS INTEGER) / 60",
        };
        let sql = format!(
            "SELECT {minute}, colour, total, CASE WHEN is_final THEN 'final' ELSE 'live' END \
             FROM per_minute ORDER BY 1, 2"
        );
        self.query(&sql).await
    }
}

fn cell(value: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef;
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(i) => i.to_string(),
        ValueRef::Real(x) => x.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    }
}

/// Every reign ended at this offset.
pub(super) fn ends(offset: i64) -> ReignEnd {
    Arc::new(move |_, _, _| offset)
}

/// A table of rows and two KPIs, by minute and by day; the first has a table of late rows, which looks like that of rows.
pub(super) fn plan(pipeline: &str) -> Plan {
    let money = DataType::Decimal { precision: 18, scale: 2 };
    let rows = Table {
        name: "things".into(),
        columns: vec![
            Column::new("note", DataType::String, true),
            Column::new("kafka_partition", DataType::Int32, false),
            Column::new("kafka_offset", DataType::Int64, false),
            Column::new("kafka_timestamp", DataType::Timestamp, true),
            Column::new("kafka_incarnation", DataType::Int32, false),
        ],
        key: vec![4, 1, 2],
    };
    let kpi = |kpi: &str, window: Column| KpiTable {
        kpi: kpi.into(),
        table: Table {
            name: kpi.into(),
            columns: vec![
                window,
                Column::new("colour", DataType::String, false),
                Column::new("total", money, true),
                Column::new("is_final", DataType::Bool, false),
            ],
            key: vec![0, 1],
        },
        window: 0,
        is_final: 3,
    };
    let late = LateTable {
        fence: late_fence("per_minute"),
        table: Table { name: "too_late".into(), ..rows.clone() },
        timestamp: "kafka_timestamp".into(),
    };
    Plan {
        pipeline: pipeline.into(),
        rows: Some(RowsTable {
            table: rows,
            sources: vec![0, 1, 2, 3, 4],
            incarnation: "kafka_incarnation".into(),
            partition: "kafka_partition".into(),
            offset: "kafka_offset".into(),
            timestamp: Some("kafka_timestamp".into()),
        }),
        kpis: vec![
            Some(kpi("per_minute", Column::new("window_start", DataType::Timestamp, false))),
            Some(kpi("per_day", Column::new("day", DataType::Date, false))),
            None,
        ],
        late: vec![Some(late), None, None],
    }
}

/// A batch of one array per column.
pub(super) fn batch(columns: &[Column], arrays: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>())), arrays).unwrap()
}

/// One row per offset of `[base, to)`; the note tells by whom.
pub(super) fn rows(partition: i32, base: i64, to: i64, by: &str) -> RowsBatch {
    let offsets: Vec<i64> = (base..to).collect();
    let n = offsets.len();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![by; n])),
        Arc::new(Int32Array::from(vec![partition; n])),
        Arc::new(Int64Array::from(offsets.clone())),
        Arc::new(
            TimestampMicrosecondArray::from(offsets.iter().map(|o| o * MINUTE).collect::<Vec<_>>())
                .with_timezone("UTC"),
        ),
        Arc::new(Int32Array::from(vec![0; n])),
    ];
    let rows = batch(&plan("p").rows.unwrap().table.columns, arrays);
    RowsBatch { incarnation: 0, partition, base, to, rows }
}

/// Late rows at these offsets of partition 0, of the entries above `above` up to `version`.
pub(super) fn late(above: Option<u64>, version: u64, offsets: std::ops::Range<i64>) -> AddedRows {
    let rows = vec![rows(0, offsets.start, offsets.end, "late").rows];
    AddedRows { above: above.map(Version), version: Version(version), rows }
}

/// Values of a KPI: (window start in microseconds, colour, total in cents). The `is_final` column holds nonsense: marts
/// must not believe it.
pub(super) fn values(kpi: usize, values: &[(i64, &str, i128)]) -> RecordBatch {
    let starts = values.iter().map(|v| v.0);
    let totals: Decimal128Array = values.iter().map(|v| Some(v.2)).collect();
    let arrays: Vec<ArrayRef> = vec![
        windows(kpi, &starts.collect::<Vec<_>>()),
        Arc::new(StringArray::from(values.iter().map(|v| v.1).collect::<Vec<_>>())),
        Arc::new(totals.with_precision_and_scale(18, 2).unwrap()),
        Arc::new(BooleanArray::from((0..values.len()).map(|i| i % 2 == 0).collect::<Vec<_>>())),
    ];
    batch(&plan("p").kpis[kpi].as_ref().unwrap().table.columns, arrays)
}

/// The window column of a KPI.
pub(super) fn windows(kpi: usize, starts: &[i64]) -> ArrayRef {
    match kpi {
        0 => Arc::new(TimestampMicrosecondArray::from(starts.to_vec()).with_timezone("UTC")),
        _ => Arc::new(Date32Array::from(starts.iter().map(|s| i32::try_from(s / DAY).unwrap()).collect::<Vec<_>>())),
    }
}

pub(super) fn size(kpi: usize) -> i64 {
    if kpi == 0 { MINUTE } else { DAY }
}

/// Live values.
pub(super) fn live(kpi: usize, rows: &[(i64, &str, i128)], reflected: i64) -> LiveRows {
    LiveRows {
        rows: values(kpi, rows),
        window_ends: rows.iter().map(|row| EventTime(row.0 + size(kpi))).collect(),
        reflected: [(0, reflected)].into(),
    }
}

/// An entry that closes these windows.
pub(super) fn finals(kpi: usize, version: u64, rows: &[(i64, &str, i128)], closed: &[i64]) -> FinalRows {
    FinalRows {
        version: Version(version),
        above: None,
        closed_to: closed.iter().max().map_or(EventTime::MIN, |start| EventTime(start + size(kpi))),
        rows: vec![values(kpi, rows)],
        closed_windows: Some(windows(kpi, closed)),
    }
}

/// A proxy to Postgres that passes the first COMMIT on and lets it happen, but never passes its answer back; and whether that
/// has happened.
pub(super) async fn swallows_first_commit_answer(
    server: std::net::SocketAddr,
) -> (std::net::SocketAddr, Arc<std::sync::atomic::AtomicBool>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swallowed = done.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let swallowed = swallowed.clone();
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let server = tokio::net::TcpStream::connect(server).await.unwrap();
                let (mut from_server, mut to_server) = server.into_split();
                let answers = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut buffer = vec![0; 65_536];
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    let sent = &buffer[..read];
                    if sent.ends_with(b"COMMIT\0") && !swallowed.swap(true, Ordering::SeqCst) {
                        answers.abort();
                        // Aborted: dropped with its half of the client's connection.
                        let _ = answers.await;
                        to_server.write_all(sent).await.unwrap();
                        to_server.shutdown().await.unwrap();
                        return;
                    }
                    to_server.write_all(sent).await.unwrap();
                }
            });
        }
    });
    (address, done)
}
