//! One contract, every store: what the rules of exactness need from a lake.

use std::{env, path::Path, time::Instant};

use bytes::Bytes;

use super::*;

/// Runs `test` over a fresh local lake, a fresh memory lake and, where there is one, an HDFS.
fn every_store<F, T>(name: &str, test: F)
where
    F: Fn(Lake) -> T,
    T: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        test(Lake::memory().0).await;
        test(Lake::open(&format!("file://{}/lake", folder.path().display()), None).await.unwrap()).await;
        if let Some(url) = hdfs_url() {
            let url = format!("{url}/lake-contract/{name}-{}", path::unique());
            let conf = env::var("LAKEWARD_TEST_HDFS_CONF").ok();
            test(Lake::open(&url, conf.as_deref().map(Path::new)).await.unwrap()).await;
        }
    });
}

/// `LAKEWARD_TEST_HDFS` is the URL of a folder that tests may write to, such as `hdfs://127.0.0.1:9000/tmp`.
fn hdfs_url() -> Option<String> {
    let url = env::var("LAKEWARD_TEST_HDFS").ok().map(|url| url.trim_end_matches('/').to_owned());
    if url.is_none() {
        assert_ne!(
            env::var("LAKEWARD_TEST_REQUIRE_SERVERS").as_deref(),
            Ok("1"),
            "LAKEWARD_TEST_HDFS is not set, but servers are required"
        );
        eprintln!("HDFS part skipped: LAKEWARD_TEST_HDFS is not set");
    }
    url
}

fn text(s: &str) -> Bytes {
    Bytes::copy_from_slice(s.as_bytes())
}

/// At any depth.
async fn temporary_files(lake: &Lake) -> Vec<DirEntry> {
    lake.entries("", true).await.unwrap().into_iter().filter(temporary).collect()
}

async fn names(lake: &Lake, dir: &str) -> Vec<String> {
    lake.list_recursive(dir).await.unwrap().into_iter().filter(|e| !e.is_dir).map(|e| e.name).collect()
}

#[test]
fn a_file_is_read_in_parts() {
    every_store("parts", |lake| async move {
        assert_eq!(lake.read_part("a/gone.json", 0, 4).await.unwrap(), None);
        lake.put("a/f.json", text("0123456789")).await.unwrap();
        for (from, most, expected) in
            [(0, 4, "0123"), (4, 4, "4567"), (8, 4, "89"), (10, 4, ""), (99, 4, ""), (3, 0, "")]
        {
            let part = lake.read_part("a/f.json", from, most).await.unwrap().unwrap();
            assert_eq!(part, expected, "{most} bytes from {from}, {}", lake.store());
        }
        lake.put("a/empty.json", text("")).await.unwrap();
        assert_eq!(lake.read_part("a/empty.json", 0, 4).await.unwrap().unwrap(), "");
    });
}

#[test]
fn a_create_happens_once_and_keeps_its_content() {
    every_store("create", |lake| async move {
        assert_eq!(lake.create_new("p/log/0/1.json", text("one")).await, Create::Created);
        assert_eq!(lake.create_new("p/log/0/1.json", text("two, longer")).await, Create::Exists);
        assert_eq!(lake.read_durable("p/log/0/1.json").await.unwrap().unwrap(), "one");
        assert_eq!(lake.create_new("p/log/0/2.json", Bytes::new()).await, Create::Created);
        assert_eq!(lake.read("p/log/0/2.json").await.unwrap().unwrap(), "");
        assert_eq!(lake.read("p/log/0/3.json").await.unwrap(), None);
        assert_eq!(names(&lake, "").await, ["p/log/0/1.json", "p/log/0/2.json"]);
        assert_eq!(temporary_files(&lake).await, []);
    });
}

#[test]
fn of_many_creates_at_once_exactly_one_wins_and_its_bytes_stay() {
    every_store("race", |lake| async move {
        for round in 0..5 {
            let path = format!("log/{round}");
            let tries = (0..8).map(|i| lake.create_new(&path, text(&format!("writer {i}"))));
            let outcomes = futures::future::join_all(tries.collect::<Vec<_>>()).await;
            let winners: Vec<_> = (0..8).filter(|i| outcomes[*i] == Create::Created).collect();
            assert_eq!(winners.len(), 1, "{outcomes:?}");
            assert!(outcomes.iter().all(|o| matches!(o, Create::Created | Create::Exists)));
            assert_eq!(lake.read(&path).await.unwrap().unwrap(), format!("writer {}", winners[0]));
        }
    });
}

#[test]
fn a_rename_never_overwrites_and_says_what_it_found() {
    every_store("rename", |lake| async move {
        lake.put("staging/a", text("a")).await.unwrap();
        lake.put("layer/b", text("b")).await.unwrap();
        assert_eq!(lake.rename("staging/a", "layer/b").await, Rename::TargetExists);
        assert_eq!(lake.read("layer/b").await.unwrap().unwrap(), "b");
        assert_eq!(lake.rename("staging/a", "layer/new/deep=1/a").await, Rename::Done);
        assert_eq!(lake.read("staging/a").await.unwrap(), None);
        assert_eq!(lake.read("layer/new/deep=1/a").await.unwrap().unwrap(), "a");
        assert_eq!(lake.rename("staging/a", "layer/new/deep=1/a").await, Rename::SourceMissing);
        assert_eq!(lake.rename("staging/gone", "layer/elsewhere/a").await, Rename::SourceMissing);
    });
}

#[test]
fn a_writer_streams_sums_and_is_whole_when_closed() {
    every_store("writer", |lake| async move {
        let piece = Bytes::from(vec![7u8; 300_000]);
        let mut writer = lake.writer("s/1-a/bronze-0.json.tmp").await.unwrap();
        assert!(lake.writer("s/1-a/bronze-0.json.tmp").await.is_err(), "a name is written once");
        let mut all = Vec::new();
        for piece in [piece.clone(), text("x"), piece.clone(), Bytes::from(vec![9u8; 3 << 20]), piece] {
            all.extend_from_slice(&piece);
            writer.write(piece).await.unwrap();
        }
        let closed = writer.close().await.unwrap();
        assert_eq!(closed, Closed { length: all.len() as u64, checksum: checksum_of(&all) });
        assert_eq!(lake.read("s/1-a/bronze-0.json.tmp").await.unwrap().unwrap(), all);
        assert_eq!(lake.checksum("s/1-a/bronze-0.json.tmp").await.unwrap(), Some(closed.checksum));
        assert_eq!(lake.checksum("s/none").await.unwrap(), None);
        assert!(lake.writer("s/1-a/bronze-0.json.tmp").await.is_err(), "nor after it is closed");

        let mut given_up = lake.writer("s/1-a/x.tmp").await.unwrap();
        given_up.write(Bytes::from(vec![1u8; 2 << 20])).await.unwrap();
        given_up.abort().await;
        assert_eq!(names(&lake, "s").await, ["1-a/bronze-0.json.tmp"]);
    });
}

#[test]
fn a_hint_is_replaced_and_its_stat_is_right() {
    every_store("put", |lake| async move {
        lake.put("p/head", text("1")).await.unwrap();
        lake.put("p/head", text("22")).await.unwrap();
        assert_eq!(lake.read("p/head").await.unwrap().unwrap(), "22");
        let stat = lake.stat("p/head").await.unwrap().unwrap();
        assert_eq!((stat.len, stat.is_dir), (2, false));
        assert!(stat.modified_us > 0);
        assert!(lake.stat("p").await.unwrap().unwrap().is_dir);
        assert_eq!(lake.stat("p/none").await.unwrap(), None);
        assert_eq!(temporary_files(&lake).await, []);
    });
}

#[test]
fn lists_are_sorted_relative_and_empty_for_what_is_absent() {
    every_store("list", |lake| async move {
        for path in ["t/b/2", "t/a", "t/b/c/3", "t/col=x%2Fy ü🦀/f"] {
            lake.put(path, text(path)).await.unwrap();
        }
        let entry = |name: &str, is_dir, len| DirEntry { name: name.into(), is_dir, len };
        assert_eq!(
            lake.list("t").await.unwrap(),
            [entry("a", false, 3), entry("b", true, 0), entry("col=x%2Fy ü🦀", true, 0)]
        );
        assert_eq!(names(&lake, "t").await, ["a", "b/2", "b/c/3", "col=x%2Fy ü🦀/f"]);
        assert_eq!(lake.list("t/none").await.unwrap(), []);
        assert_eq!(lake.list_recursive("none").await.unwrap(), []);
        assert!(lake.list("").await.unwrap().iter().any(|e| e.name == "t"));
    });
}

#[test]
fn deletes_say_whether_there_was_something() {
    every_store("delete", |lake| async move {
        lake.put("d/a/1", text("1")).await.unwrap();
        lake.put("d/a/2", text("2")).await.unwrap();
        assert!(lake.delete("d/a/1").await.unwrap());
        assert!(!lake.delete("d/a/1").await.unwrap());
        assert!(lake.delete_dir("d/a").await.unwrap());
        assert!(!lake.delete_dir("d/a").await.unwrap());
        assert_eq!(lake.create_new("d/a/1", text("new")).await, Create::Created);
    });
}

#[test]
fn the_self_test_passes_and_leaves_nothing() {
    every_store("self-test", |lake| async move {
        lake.self_test().await.unwrap();
        assert_eq!(names(&lake, "").await, [""; 0]);
        assert!(lake.same_file_system("_lakeward/staging", "silver").await.unwrap());
        let free = lake.free_bytes().await.unwrap();
        assert_eq!(free.is_some_and(|bytes| bytes > 0), lake.store().starts_with("file://"), "{free:?}");
    });
}

#[test]
fn a_path_that_leaves_the_root_is_refused() {
    every_store("paths", |lake| async move {
        for bad in ["../x", "/x", "a//b", ""] {
            assert!(matches!(lake.create_new(bad, Bytes::new()).await, Create::Failed(_)));
            assert!(lake.read(bad).await.is_err());
            assert!(lake.put(bad, Bytes::new()).await.is_err());
            assert!(lake.writer(bad).await.is_err());
            assert!(matches!(lake.rename("a", bad).await, Rename::Unknown(_)));
        }
    });
}

#[test]
fn many_files_close_side_by_side() {
    every_store("close", |lake| async move {
        let files: Vec<_> = (0..40).map(|i| format!("s/silver-{i}.parquet.tmp")).collect();
        let started = Instant::now();
        let closes = files.iter().map(|path| async {
            let mut writer = lake.writer(path).await.unwrap();
            writer.write(Bytes::from(vec![1u8; 100_000])).await.unwrap();
            writer.close().await.unwrap().length
        });
        let lengths = futures::future::join_all(closes.collect::<Vec<_>>()).await;
        eprintln!("40 files written and closed side by side in {:?} on {}", started.elapsed(), lake.store());
        assert_eq!(lengths, [100_000; 40]);
    });
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_says_who_acts() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let taken = format!("file://{}/file", folder.path().display());
    for url in [taken.as_str(), "s3://bucket/x", "file://relative", "/plain", "hdfs://no-such-name-service/x"] {
        let error = Lake::open(url, None).await.unwrap_err();
        assert!(error.to_string().contains(url), "{error}");
    }
    let limit = Duration::from_millis(300);
    let nobody = Lake::open_within("hdfs://127.0.0.1:1/x", None, limit).await.unwrap_err();
    assert!(matches!(nobody, LakeError::Unreachable(_)), "{nobody}");
}

#[tokio::test]
async fn the_memory_twin_fails_on_cue() {
    let (lake, memory) = Lake::memory();
    memory.fail_next(Operation::Create, "a", Cue::Full);
    assert!(matches!(lake.create_new("a", text("1")).await, Create::Failed(LakeError::Full(_))));
    memory.fail_next(Operation::Create, "a", Cue::LostRequest);
    assert!(matches!(lake.create_new("a", text("1")).await, Create::Unknown(_)));
    assert_eq!(lake.read("a").await.unwrap(), None);
    memory.fail_next(Operation::Create, "a", Cue::Late);
    assert!(matches!(lake.create_new("a", text("late")).await, Create::Unknown(_)));
    assert_eq!(lake.create_new("a", text("first")).await, Create::Created);
    assert_eq!(memory.deliver_late(), 0);
    assert_eq!(lake.read("a").await.unwrap().unwrap(), "first");
    memory.fail_next(Operation::Rename, "a", Cue::LostAnswer);
    assert!(matches!(lake.rename("a", "b").await, Rename::Unknown(_)));
    assert_eq!(lake.read("b").await.unwrap().unwrap(), "first");
    let mut half = lake.writer("half").await.unwrap();
    memory.fail_next(Operation::Write, "half", Cue::Full);
    assert!(half.write(Bytes::from(vec![1; 2 << 20])).await.is_err());
    assert!(half.close().await.is_err(), "a file with a hole is never closed as whole");
    memory.fail_next(Operation::Close, "w", Cue::Full);
    let writer = lake.writer("w").await.unwrap();
    assert!(writer.close().await.is_err());
    assert_eq!(lake.read("w").await.unwrap(), None);
    assert_eq!(memory.cues_left(), 0);
}
