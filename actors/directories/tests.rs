#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use lakeward_connect::lake::{Cue, Operation, checksum_of};
use lakeward_connect::log_store::CreateOutcome;
use lakeward_core::ids::Epoch;
use lakeward_core::log::{Draft, EntryKind, StagedFile, render};

use super::sweep::{LOOK_AGAIN, SWEEP_EVERY};
use super::*;
use crate::testing::{Bell, Ground, author, ground, on_a_paused_clock, pass, settle};

const TEMPORARY: &str = ".0123456789abcdef0123456789abcdef.tmp";

struct Bench {
    ground: Ground,
    board: Board,
    bell: Bell,
    head: watch::Sender<Head>,
    epochs: u64,
}

/// A follower over a log that has one claim.
async fn bench() -> Bench {
    on(ground(&[0]).await)
}

fn on(ground: Ground) -> Bench {
    let (board, bell) = (Board::default(), Bell::new());
    let (head, heard) = watch::channel(Head { fold: Arc::new(ground.fold.clone()), epochs: Arc::default() });
    let keeping = Keeping { pipeline: "p".to_owned(), entries: Some(1) };
    let follower =
        Directories::new(ground.log.clone(), ground.attempts(), heard, keeping, board.clone(), bell.sentinel());
    follower.start();
    Bench { ground, board, bell, head, epochs: 0 }
}

impl Bench {
    /// Stages a file of the next epoch.
    async fn staged(&self, name: &str, text: &str) -> StagedFile {
        let path = format!("{}/{name}.tmp", self.ground.attempts().staging(Epoch(self.epochs)));
        self.ground.lake.put(&path, Bytes::copy_from_slice(text.as_bytes())).await.unwrap();
        StagedFile {
            leaf: String::new(),
            staged: path,
            ext: "json".to_owned(),
            length: text.len() as u64,
            checksum: checksum_of(text.as_bytes()),
            rows: 1,
            event_times: None,
            offsets: BTreeMap::new(),
        }
    }

    /// Commits an epoch of the layer `raw` and tells the follower; answers the final paths.
    async fn commit(&mut self, added: Vec<StagedFile>, removed: &[String]) -> Vec<String> {
        let paths = self.create(added, removed).await;
        self.tell();
        paths
    }

    /// The same, of which the follower is not told yet.
    async fn create(&mut self, added: Vec<StagedFile>, removed: &[String]) -> Vec<String> {
        let mut draft = Draft::empty(EntryKind::Epoch);
        draft.staged.insert("bronze".to_owned(), ("raw".to_owned(), added));
        let attempt = self.ground.attempts().id(Epoch(self.epochs));
        let mut entry = render(&self.ground.fold, &draft, &author(self.ground.fold.claim, &attempt));
        let layer = entry.layers.entry("bronze".to_owned()).or_default();
        layer.removed = removed.to_vec();
        let paths = layer.added.iter().map(|file| file.path.clone()).collect();
        let outcome = self.ground.log.create(&entry, |_| {}).await.unwrap();
        let CreateOutcome::Committed(hash) = outcome else { panic!("not created") };
        self.ground.fold.apply(&entry, hash).unwrap();
        self.epochs += 1;
        paths
    }

    /// What the CommitActor says after a commit.
    fn tell(&self) {
        let epochs: BTreeMap<_, _> = (0..self.epochs).map(|e| (Epoch(e), self.ground.fold.version)).collect();
        self.head.send_replace(Head { fold: Arc::new(self.ground.fold.clone()), epochs: Arc::new(epochs) });
    }

    async fn plant(&self, path: &str) {
        self.ground.lake.put(path, Bytes::from_static(b"x")).await.unwrap();
    }

    async fn there(&self, path: &str) -> bool {
        self.ground.lake.stat(path).await.unwrap().is_some()
    }

    async fn files(&self) -> BTreeSet<String> {
        self.ground.lake.list("raw").await.unwrap().into_iter().map(|entry| format!("raw/{}", entry.name)).collect()
    }

    fn staging(&self, name: &str) -> String {
        format!("{}/{name}", self.ground.log.paths().staging_root())
    }

    fn done(&self) -> Option<u64> {
        self.board.followers().get(NAME).and_then(|f| f.done).map(|version| version.0)
    }

    fn trouble(&self) -> Option<String> {
        self.board.followers().get(NAME).and_then(|f| f.trouble.clone())
    }
}

#[test]
fn committed_files_come_into_sight_in_order_and_others_do_not() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        let mine = bench.staged("a", "1\n").await;
        bench.staged("not-committed", "0\n").await;
        settle().await;
        assert_eq!(bench.files().await, BTreeSet::new());
        let first = bench.commit(vec![mine], &[]).await;
        let second = vec![bench.staged("b", "2\n").await];
        let second = bench.commit(second, &[]).await;
        settle().await;
        assert_eq!(bench.files().await, first.into_iter().chain(second).collect());
        assert_eq!(bench.done(), Some(2));
    });
}

#[test]
fn a_file_that_a_later_entry_removed_is_never_put_in_place() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        let file = bench.staged("a", "1\n").await;
        bench.ground.memory.fail_next(Operation::Rename, "/a.tmp", Cue::LostRequest);
        let first = bench.commit(vec![file], &[]).await;
        settle().await;
        assert!(bench.trouble().is_some());
        let kept = vec![bench.staged("b", "2\n").await];
        let kept = bench.commit(kept, &first).await;
        pass(BACK_OFF.0).await;
        assert_eq!(bench.files().await, kept.into_iter().collect(), "a cue for it would have been met");
        assert_eq!(bench.done(), Some(2));
    });
}

#[test]
fn a_rename_that_failed_or_whose_answer_was_lost_is_tried_again() {
    on_a_paused_clock(async {
        for cue in [Cue::LostRequest, Cue::LostAnswer] {
            let mut bench = bench().await;
            let file = bench.staged("a", "1\n").await;
            bench.ground.memory.fail_next(Operation::Rename, "/a.tmp", cue);
            let paths = bench.commit(vec![file], &[]).await;
            settle().await;
            assert_eq!(bench.done(), Some(0), "{cue:?}");
            pass(BACK_OFF.0).await;
            assert_eq!((bench.done(), bench.trouble()), (Some(1), None), "{cue:?}");
            assert_eq!(bench.files().await, paths.into_iter().collect(), "{cue:?}");
        }
    });
}

#[test]
fn a_file_that_is_nowhere_stops_the_pipeline() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        let file = bench.staged("a", "1\n").await;
        bench.ground.lake.delete(&file.staged).await.unwrap();
        bench.commit(vec![file], &[]).await;
        settle().await;
        let Some(Cause::Stop { code: "LAKE_DAMAGED", message }) = bench.bell.cause() else { panic!("it goes on") };
        assert!(message.contains("neither here nor staged"), "{message}");
    });
}

/// I9: what a follower misses that wakes behind another owner, he may have let go.
#[test]
fn who_misses_a_file_behind_another_owner_steps_down() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        let file = bench.staged("a", "1\n").await;
        bench.ground.lake.delete(&file.staged).await.unwrap();
        bench.create(vec![file], &[]).await;
        bench.ground.taken_over().await;
        bench.tell();
        settle().await;
        assert!(matches!(bench.bell.cause(), Some(Cause::Fenced(Version(2)))));
    });
}

#[test]
fn staging_of_dead_claims_and_of_finished_epochs_goes_and_the_rest_stays() {
    on_a_paused_clock(async {
        let ground = ground(&[0]).await;
        let dead = format!("{}/0-dead/f.tmp", ground.log.paths().staging_root());
        ground.lake.put(&dead, Bytes::new()).await.unwrap();
        ground.taken_over().await;
        let fold = ground.log.load().await.unwrap().unwrap();
        let mut bench = on(Ground { fold, ..ground });
        let foreign = bench.staging("notes/readme");
        bench.plant(&foreign).await;
        let own = bench.staged("a", "1\n").await;
        let own_path = own.staged.clone();
        bench.plant(&format!("{}/left-over.tmp", bench.ground.attempts().staging(Epoch(0)))).await;
        settle().await;
        assert!(!bench.there(&dead).await, "the claim that it belongs to is over");
        assert!(bench.there(&own_path).await, "an epoch under way");
        bench.commit(vec![own], &[]).await;
        let open = bench.staged("b", "2\n").await;
        for _ in 0..SWEEP_EVERY {
            let staged = vec![bench.staged("c", "3\n").await];
            bench.commit(staged, &[]).await;
            settle().await;
        }
        assert_eq!(bench.done(), Some(SWEEP_EVERY + 2));
        let under_way = bench.staged("d", "4\n").await;
        let folders = bench.ground.lake.list(&bench.ground.log.paths().staging_root()).await.unwrap();
        let names: Vec<_> = folders.into_iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), 2, "{names:?}: all but a foreign one and the one under way");
        assert!(bench.there(&foreign).await && bench.there(&under_way.staged).await);
        assert!(!bench.there(&open.staged).await, "its epoch is committed without it");
    });
}

#[test]
fn a_folder_waits_until_its_files_are_taken_from_a_frozen_writer() {
    on_a_paused_clock(async {
        let ground = ground(&[0]).await;
        let folder = format!("{}/0-frozen", ground.log.paths().staging_root());
        ground.lake.put(&format!("{folder}/closed.tmp"), Bytes::new()).await.unwrap();
        let mut frozen = ground.lake.writer(&format!("{folder}/open.tmp")).await.unwrap();
        ground.taken_over().await;
        let fold = ground.log.load().await.unwrap().unwrap();
        let bench = on(Ground { fold, ..ground });
        settle().await;
        assert!(bench.there(&folder).await, "the store has not closed it yet");
        pass(LOOK_AGAIN).await;
        assert!(!bench.there(&folder).await);
        let _ = frozen.write(Bytes::from_static(b"late")).await;
        assert!(frozen.close().await.is_err(), "a writer that wakes up can't bring it back");
    });
}

#[test]
fn a_temporary_file_goes_when_a_second_look_finds_it_too() {
    on_a_paused_clock(async {
        let ground = ground(&[0]).await;
        let lease = ground.log.paths().lease();
        let root = lease.strip_suffix("/lease").unwrap();
        let folders = [root.to_owned(), format!("{root}/log/0"), format!("{root}/checkpoint")];
        let left: Vec<_> = folders.iter().map(|folder| format!("{folder}/{TEMPORARY}")).collect();
        let staged = format!("{root}/staging/{}-x/{TEMPORARY}", ground.fold.claim.0);
        for path in left.iter().chain([&staged]) {
            ground.lake.put(path, Bytes::new()).await.unwrap();
        }
        let bench = on(ground);
        settle().await;
        for path in &left {
            assert!(bench.there(path).await, "{path} may be of a call under way");
        }
        pass(LOOK_AGAIN).await;
        for path in &left {
            assert!(!bench.there(path).await, "{path}");
        }
        assert!(bench.there(&staged).await, "staging has rules of its own");
        assert!(bench.there(&bench.ground.log.paths().entry(Version(0))).await);
    });
}

#[test]
fn a_sweep_that_failed_is_tried_again() {
    on_a_paused_clock(async {
        let ground = ground(&[0]).await;
        let dead = format!("{}/0-dead/f.tmp", ground.log.paths().staging_root());
        ground.lake.put(&dead, Bytes::new()).await.unwrap();
        ground.taken_over().await;
        ground.memory.fail_next(Operation::Recover, "0-dead", Cue::LostRequest);
        ground.memory.fail_next(Operation::Delete, "0-dead", Cue::LostRequest);
        let fold = ground.log.load().await.unwrap().unwrap();
        let bench = on(Ground { fold, ..ground });
        settle().await;
        pass(LOOK_AGAIN).await;
        assert!(bench.there(&dead).await);
        pass(LOOK_AGAIN).await;
        assert!(!bench.there(&dead).await);
        assert_eq!(bench.ground.memory.cues_left(), 0);
    });
}
