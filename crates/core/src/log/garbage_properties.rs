//! I21 over random logs: whatever happens in which order, nothing that somebody still needs is ever removed.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::ids::{EventTime, Version};
use crate::log::{
    Author, BarrierFacts, Draft, EntryKind, Fold, LogPaths, Member, NewPartition, PipelinePaths, StagedFile,
    StagedState, entries_boundary, entry_hash, expired_files, next_g, removable_staging, removable_state,
    removable_state_folders, render, render_first, version_of,
};

/// A step of a log's life.
#[derive(Clone, Debug)]
enum Step {
    /// An epoch with so many files and a delta; every third one with a base in place of all objects before. It takes out
    /// files that came so many epochs before.
    Epoch { files: u8, base: bool, retention: Option<u8> },
    /// An attempt that stages a file and a state object and dies.
    DeadAttempt,
    /// Another owner.
    Claim,
    /// Files are rolled forward, so far below the head.
    Roll { behind: u8 },
    /// A checkpoint of the head.
    Checkpoint,
    /// The follower comes so close to the head.
    Follow { behind: u8 },
    /// What may go goes.
    Sweep { keep: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, prop::bool::weighted(0.3), prop::option::of(0..4_u8))
            .prop_map(|(files, base, retention)| Step::Epoch { files, base, retention }),
        1 => Just(Step::DeadAttempt),
        1 => Just(Step::Claim),
        2 => (0..4_u8).prop_map(|behind| Step::Roll { behind }),
        2 => Just(Step::Checkpoint),
        2 => (0..4_u8).prop_map(|behind| Step::Follow { behind }),
        3 => (0..4_u8).prop_map(|keep| Step::Sweep { keep }),
    ]
}

/// A lake by names only.
struct World {
    paths: LogPaths,
    fold: Fold,
    checkpoints: BTreeMap<Version, Fold>,
    entries: BTreeSet<Version>,
    /// Staging folders, with the files in them that are not in place yet.
    staging: BTreeMap<String, BTreeSet<String>>,
    /// Files in their places.
    visible: BTreeSet<String>,
    /// Files that entries have let go, by entry.
    expired: BTreeMap<Version, Vec<String>>,
    /// Folders of state, with their objects.
    state: BTreeMap<String, BTreeSet<String>>,
    own_done: BTreeSet<String>,
    follower: Option<Version>,
    attempts: u64,
    removed: usize,
}

impl World {
    fn new() -> Self {
        let mut draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        draft.new_partitions.insert(0, NewPartition { incarnation: 0, topic_id: None, start: 0 });
        let entry = render_first("l", &draft, &author(Version(0), 0));
        let fold = Fold::first(&entry, entry_hash(&entry.to_bytes().unwrap())).unwrap();
        Self {
            paths: PipelinePaths::new("p").log("l"),
            fold,
            checkpoints: BTreeMap::new(),
            entries: BTreeSet::from([Version(0)]),
            staging: BTreeMap::new(),
            visible: BTreeSet::new(),
            expired: BTreeMap::new(),
            state: BTreeMap::new(),
            own_done: BTreeSet::new(),
            follower: None,
            attempts: 0,
            removed: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Epoch { files, base, retention } => self.epoch(*files, *base, *retention),
            Step::DeadAttempt => drop(self.attempt(1)),
            Step::Claim => {
                self.commit(&Draft::empty(EntryKind::Claim { takes: "all".to_owned() }));
                self.own_done.clear();
            }
            Step::Roll { behind } => self.roll(Version(self.fold.version.0.saturating_sub((*behind).into()))),
            Step::Checkpoint => drop(self.checkpoints.insert(self.fold.version, self.fold.clone())),
            Step::Follow { behind } => {
                let to = Version(self.fold.version.0.saturating_sub((*behind).into()));
                self.follower = self.follower.max(Some(to));
            }
            Step::Sweep { keep } => self.sweep((*keep).into()),
        }
    }

    /// Stages files and a state object; answers the folder, the files and the object.
    fn attempt(&mut self, files: u8) -> (String, Vec<StagedFile>, StagedState) {
        self.attempts += 1;
        let (claim, attempt) = (self.fold.claim, format!("{:032x}", self.attempts));
        let (root, name) = (self.paths.staging(claim, &attempt), format!("{}-{attempt}", claim.0));
        let staged: Vec<_> = (0..files).map(|n| staged(format!("{root}/{n}.tmp"))).collect();
        self.staging.entry(name.clone()).or_default().extend(staged.iter().map(|f| f.staged.clone()));
        let path = self.paths.state(claim, &attempt, "delta");
        self.state.entry(name.clone()).or_default().insert(path.clone());
        (name, staged, StagedState { path, base_of: None, length: 1, checksum: "c".to_owned(), items: 1 })
    }

    fn epoch(&mut self, files: u8, base: bool, retention: Option<u8>) {
        let (name, staged, mut state) = self.attempt(files);
        let mut draft = Draft::empty(EntryKind::Epoch);
        draft.staged.insert("rows".to_owned(), ("rows".to_owned(), staged));
        if base {
            draft.state_removed = self.fold.state.iter().map(|object| object.path.clone()).collect();
            state.base_of = Some(self.fold.version);
        }
        draft.state.push(state);
        // An epoch is a second of event time.
        let watermark = Some(EventTime(self.fold.g.0.max(0) + 1_000_000));
        draft.barriers.insert(0, BarrierFacts { watermark, ..BarrierFacts::default() });
        if let Some(epochs) = retention {
            let before = next_g(&self.fold, &draft.barriers).minus(i64::from(epochs) * 1_000_000);
            let expired = expired_files(&self.fold, "rows", before, self.fold.rolled.min(self.follower), files.into());
            for path in &expired {
                let came = self.fold.files["rows"].get(path).unwrap().as_of.unwrap();
                assert!(came <= before, "{path} came at {came:?}, and {before:?} is kept");
            }
            draft.expired.insert("rows".to_owned(), expired);
        }
        self.commit(&draft);
        self.expired.insert(self.fold.version, draft.expired.remove("rows").unwrap_or_default());
        self.own_done.insert(name);
    }

    fn commit(&mut self, draft: &Draft) {
        self.attempts += 1;
        let entry = render(&self.fold, draft, &author(self.fold.claim, self.attempts));
        self.fold.apply(&entry, entry_hash(&entry.to_bytes().unwrap())).unwrap();
        self.entries.insert(self.fold.version);
    }

    fn roll(&mut self, to: Version) {
        if Some(to) <= self.fold.rolled {
            return;
        }
        let above = self.fold.rolled;
        for (_, paths) in self.expired.range(above.map_or(Version(0), Version::next)..=to) {
            for path in paths {
                assert!(self.visible.remove(path), "{path} was not in place when it was let go");
            }
        }
        let files = self
            .fold
            .layer_files_above("rows", above)
            .filter(|file| version_of(&file.path).is_some_and(|version| version <= to));
        for file in files {
            let found = self.staging.values_mut().any(|folder| folder.remove(&file.staged.staged));
            assert!(found, "{} is gone from staging before it was put in place", file.path);
            self.visible.insert(file.path.clone());
        }
        self.fold.rolled = Some(to);
    }

    fn sweep(&mut self, keep: u64) {
        let checkpoints: Vec<_> = self.checkpoints.keys().copied().collect();
        let last_but_one = checkpoints.iter().rev().nth(1).copied();
        let folders: Vec<_> = self.staging.keys().cloned().collect();
        for name in removable_staging(&self.fold, &self.paths, &folders, &self.own_done) {
            self.staging.remove(&name);
            self.removed += 1;
        }
        for path in removable_state(&self.fold, last_but_one) {
            self.removed += usize::from(self.state.values_mut().any(|folder| folder.remove(&path)));
        }
        let folders: Vec<_> = self.state.keys().cloned().collect();
        for name in removable_state_folders(&self.fold, &self.paths, &folders, last_but_one) {
            self.state.remove(&name);
            self.removed += 1;
        }
        if let Some(boundary) = entries_boundary(&self.fold, &checkpoints, [self.follower], keep) {
            let before = self.entries.len();
            self.entries.retain(|version| *version >= boundary);
            self.removed += before - self.entries.len();
        }
    }

    /// What must be there at any moment.
    fn check(&self) {
        let staged: BTreeSet<_> = self.staging.values().flatten().collect();
        for file in self.fold.layer_files_above("rows", self.fold.rolled) {
            assert!(staged.contains(&file.staged.staged), "{} is not in place and gone from staging", file.path);
        }
        let live = self.fold.layer_files("rows").filter(|file| version_of(&file.path) <= self.fold.rolled);
        let let_go = self.expired.iter().filter(|(version, _)| Some(**version) > self.fold.rolled);
        let in_place = live.map(|file| &file.path).chain(let_go.flat_map(|(_, paths)| paths)).collect::<BTreeSet<_>>();
        assert_eq!(self.visible.iter().collect::<BTreeSet<_>>(), in_place, "what is in sight");
        let needed = self.expired.values().flatten().find(|path| version_of(path) > self.follower);
        assert_eq!(needed, None, "the follower at {:?} needs that file", self.follower);
        let state: BTreeSet<_> = self.state.values().flatten().collect();
        let newest = self.checkpoints.values().rev().take(2);
        for fold in newest.chain([&self.fold]) {
            for object in &fold.state {
                assert!(state.contains(&object.path), "state that the fold at {} holds is gone", fold.version);
            }
        }
        // A start: from the newest checkpoint, and from the one before it if the newest can't be read.
        for from in self.checkpoints.keys().rev().take(2) {
            self.check_entries(from.next(), "a start");
        }
        if self.checkpoints.is_empty() {
            self.check_entries(Version(0), "a start");
        }
        self.check_entries(self.fold.rolled.map_or(Version(0), Version::next), "the folders' follower");
        self.check_entries(self.follower.map_or(Version(0), Version::next), "another follower");
    }

    fn check_entries(&self, from: Version, whose: &str) {
        let missing = (from.0..=self.fold.version.0).map(Version).find(|version| !self.entries.contains(version));
        assert_eq!(missing, None, "{whose} from {from} on needs that entry");
    }
}

fn author(claim: Version, attempt: u64) -> Author {
    let member = Member::default();
    Author { claim, attempt: format!("{attempt:032x}"), member, definition: "d".to_owned(), now: 0 }
}

fn staged(path: String) -> StagedFile {
    StagedFile {
        leaf: String::new(),
        staged: path,
        ext: "json".to_owned(),
        length: 1,
        checksum: "c".to_owned(),
        rows: 1,
        event_times: None,
        offsets: BTreeMap::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_somebody_needs_is_ever_removed(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
    }

    #[test]
    fn once_all_is_in_place_only_what_is_needed_is_left(steps in prop::collection::vec(step(), 40..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.take(&Step::Claim);
        world.take(&Step::Roll { behind: 0 });
        world.take(&Step::Follow { behind: 0 });
        world.take(&Step::Checkpoint);
        world.take(&Step::Epoch { files: 1, base: true, retention: Some(0) });
        world.take(&Step::Checkpoint);
        world.take(&Step::Claim);
        world.take(&Step::Checkpoint);
        world.take(&Step::Roll { behind: 0 });
        world.take(&Step::Follow { behind: 0 });
        world.take(&Step::Sweep { keep: 0 });
        world.check();
        prop_assert!(world.staging.is_empty(), "{:?}", world.staging);
        let state: Vec<_> = world.state.values().flatten().collect();
        prop_assert_eq!(state, world.fold.state.iter().map(|object| &object.path).collect::<Vec<_>>());
        prop_assert_eq!(world.entries.len(), 2, "the last checkpoint but one's entry and the head: {:?}", world.entries);
    }
}
