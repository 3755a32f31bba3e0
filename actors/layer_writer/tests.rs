#![allow(clippy::unwrap_used, clippy::panic)]

use lakeward_connect::lake::{Cue, Operation};
use lakeward_connect::layer::ParquetSpec;
use lakeward_core::ids::EventTime;
use lakeward_core::log::StagedFile;

use super::*;
use crate::testing::{Bell, Ground, Heard, ground, inbox, listener, on_a_paused_clock, pipeline, range, settle, until};

const FIRST: Epoch = Epoch(0);
const SECOND: Epoch = Epoch(1);

struct Bench {
    ground: Ground,
    commit: Heard<CommitMsg>,
    bell: Bell,
    writer: crate::kit::Inbox<LayerMsg>,
}

async fn bench(spec: LayerSpec) -> Bench {
    let (ground, bell) = (ground(&[0, 1]).await, Bell::new());
    let (commit, heard) = listener();
    let writer = LayerWriter::new(
        "raw".to_owned(),
        ground.lake.clone(),
        spec,
        ground.attempts(),
        commit.edge(8),
        bell.sentinel(),
    );
    Bench { ground, commit: heard, bell, writer: inbox(writer.start()) }
}

impl Bench {
    /// What was reported: epoch, layer, files.
    fn reported(&self) -> Vec<(Epoch, String, Vec<StagedFile>)> {
        let closed = |message| match message {
            CommitMsg::LayerClosed { epoch, layer, files } => (epoch, layer, files),
            other => panic!("{other:?}"),
        };
        self.commit.take().into_iter().map(closed).collect()
    }

    async fn staged(&self, file: &StagedFile) -> String {
        let bytes = self.ground.lake.read(&file.staged).await.unwrap().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }
}

fn line(epoch: Epoch, partition: i32, from: i64, text: &str) -> LayerMsg {
    let meta = AppendMeta {
        partition,
        range: range(from, from + 1),
        rows: 1,
        event_times: Some((EventTime(5), EventTime(5))),
    };
    LayerMsg::Lines { epoch, bytes: Bytes::from(format!("{text}\n")), meta }
}

fn barrier(epoch: Epoch) -> LayerMsg {
    LayerMsg::Barrier { epoch, expected: 2 }
}

#[test]
fn two_epochs_are_open_at_once_and_each_closes_at_its_last_barrier() {
    on_a_paused_clock(async {
        let bench = bench(LayerSpec::RawJson).await;
        let (zero, one) = (bench.writer.edge(8), bench.writer.edge(8));
        for message in [line(FIRST, 0, 0, "a"), barrier(FIRST), line(SECOND, 0, 1, "b")] {
            zero.send(message).await.unwrap();
        }
        one.send(line(FIRST, 1, 0, "c")).await.unwrap();
        settle().await;
        assert_eq!(bench.reported(), [], "partition 1 has not passed the barrier");
        one.send(barrier(FIRST)).await.unwrap();
        settle().await;
        let (epoch, layer, files) = bench.reported().pop().unwrap();
        assert_eq!((epoch, layer.as_str(), files.len()), (FIRST, "raw", 1));
        assert_eq!(bench.staged(&files[0]).await, "a\nc\n", "the second epoch's line is in another file");
        assert_eq!((files[0].rows, files[0].offsets[&0], files[0].offsets[&1]), (2, range(0, 1), range(0, 1)));

        for edge in [zero, one] {
            edge.send(barrier(SECOND)).await.unwrap();
        }
        settle().await;
        let (epoch, _, files) = bench.reported().pop().unwrap();
        assert_eq!((epoch, bench.staged(&files[0]).await), (SECOND, "b\n".to_owned()));
    });
}

#[test]
fn an_epoch_without_rows_reports_no_files() {
    on_a_paused_clock(async {
        let bench = bench(LayerSpec::RawJson).await;
        let edge = bench.writer.edge(2);
        for _ in 0..2 {
            edge.send(barrier(FIRST)).await.unwrap();
        }
        settle().await;
        assert_eq!(bench.reported(), [(FIRST, "raw".to_owned(), vec![])]);
    });
}

#[test]
fn rows_become_a_parquet_file_and_the_credit_comes_back_when_they_are_taken_up() {
    on_a_paused_clock(async {
        let bench = bench(LayerSpec::Parquet(ParquetSpec::new(pipeline().rows_schema(), Vec::new()))).await;
        let edge = bench.writer.edge(1);
        let rows = crate::testing::step(0).step(&crate::testing::records(0, 0, &[1, 2]), 0).unwrap().rows.unwrap();
        let meta = AppendMeta { partition: 0, range: range(0, 2), rows: 2, event_times: None };
        edge.send(LayerMsg::Rows { epoch: FIRST, rows, meta }).await.unwrap();
        until("the credit is back", || edge.has_credit()).await;
        edge.send(LayerMsg::Barrier { epoch: FIRST, expected: 1 }).await.unwrap();
        until("the file is reported", || bench.commit.len() == 1).await;
        let files = bench.reported().pop().unwrap().2;
        assert_eq!((files[0].rows, files[0].ext.as_str()), (2, "parquet"));
    });
}

#[test]
fn an_append_that_fails_ends_the_generation_and_the_epoch_is_never_reported_without_its_rows() {
    on_a_paused_clock(async {
        let mut bench = bench(LayerSpec::RawJson).await;
        bench.ground.memory.fail_next(Operation::Write, "raw", Cue::Full);
        let edge = bench.writer.edge(8);
        for message in [line(FIRST, 0, 0, "lost"), line(FIRST, 0, 1, "b"), barrier(FIRST), barrier(FIRST)] {
            let _ = edge.send(message).await;
        }
        settle().await;
        assert!(bench.bell.failure().starts_with("layer raw: "));
        assert_eq!(bench.reported(), []);
    });
}

#[test]
fn a_file_that_cannot_be_closed_ends_the_generation() {
    on_a_paused_clock(async {
        let mut bench = bench(LayerSpec::RawJson).await;
        bench.ground.memory.fail_next(Operation::Close, "raw", Cue::LostRequest);
        let edge = bench.writer.edge(8);
        for message in [line(FIRST, 0, 0, "a"), barrier(FIRST), barrier(FIRST), barrier(SECOND), barrier(SECOND)] {
            let _ = edge.send(message).await;
        }
        settle().await;
        assert!(bench.bell.failure().starts_with("layer raw: "));
        assert_eq!(bench.reported(), []);
    });
}
