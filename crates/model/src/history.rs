//! Everything that could become the log: a tree of entries, each made and checked by production's own functions.
//!
//! A state names entries by number, so that it stays small; an entry that is asked for twice is made once. What an entry
//! says is `render`'s, whether it follows from the log before it is `Fold::apply`'s.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use lakeward_core::ids::{EventTime, OffsetRange, Version};
use lakeward_core::log::{
    Author, BarrierFacts, Draft, Entry, EntryKind, Fold, LogPaths, Member, NewPartition, PipelinePaths, StagedFile,
    entry_hash, render, render_first,
};

use crate::recompute::recompute;
use crate::setup::{PARTS, Rows, Setup, Slices, add, closed_at};
use crate::violation::{Invariant, Violation};
use crate::written::{Bar, Content, Tag, Written};

/// The layer of rows, and its folder.
pub const LAYER: &str = "rows";

/// An entry of the tree.
pub type Node = u32;

/// An entry with all that follows from it.
pub struct Appended {
    /// The entry before; none before version 0.
    pub parent: Option<Node>,
    /// The entry.
    pub entry: Entry,
    /// All entries up to it.
    pub fold: Fold,
    /// Rows of all entries up to it.
    pub kept: Rows,
    /// Its file.
    pub file: Option<Tag>,
    /// Files that it takes out.
    pub removes: Vec<Tag>,
    /// Live files, with path and rows.
    pub live: BTreeMap<Tag, (String, Rows)>,
    /// Final rows of this entry.
    pub gold: Slices,
    /// Final rows of all entries up to it.
    pub golds: Slices,
    /// Increments in windows that are open, by partition.
    pub open: [Slices; PARTS],
    /// The recomputation: watermarks, and what windows should hold.
    pub judged: ([i64; PARTS], Slices),
    /// What is wrong with it.
    pub wrong: Option<Violation>,
}

impl Appended {
    /// Its version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.entry.version.0
    }

    /// Where a partition goes on.
    #[must_use]
    pub fn to(&self, partition: usize) -> u8 {
        self.fold.partitions.get(&int(partition)).map_or(0, |p| u8::try_from(p.to).unwrap_or(u8::MAX))
    }
}

/// The tree.
pub struct History {
    setup: Setup,
    nodes: RefCell<Vec<Rc<Appended>>>,
    known: RefCell<HashMap<Written, Node>>,
    /// Names in the lake.
    pub paths: LogPaths,
}

impl History {
    /// A log of one entry, the claim of process 0, whose set holds the partitions that are there.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        let tag = Tag { process: 0, life: 0, n: u8::MAX };
        let mut draft = Draft::empty(claim());
        for p in (0..setup.topic.len()).filter(|p| setup.added != Some(*p)) {
            draft.new_partitions.insert(int(p), first_of_partition());
        }
        let entry = render_first("log", &draft, &author(tag, 0));
        let paths = PipelinePaths::new("p").log("log");
        let history = Self { setup: setup.clone(), nodes: RefCell::default(), known: RefCell::default(), paths };
        let Ok(fold) = Fold::first(&entry, hash_of(&entry)) else { return history };
        let first = Appended {
            parent: None,
            entry,
            fold,
            kept: 0,
            file: None,
            removes: Vec::new(),
            live: BTreeMap::new(),
            gold: Vec::new(),
            golds: Vec::new(),
            open: Default::default(),
            judged: ([i64::MIN; PARTS], Vec::new()),
            wrong: None,
        };
        history.nodes.borrow_mut().push(Rc::new(first));
        history
    }

    /// The entry of that number.
    #[must_use]
    pub fn at(&self, node: Node) -> Rc<Appended> {
        Rc::clone(&self.nodes.borrow()[node as usize])
    }

    /// The entry of that version in the log that ends with `node`.
    #[must_use]
    pub fn ancestor(&self, node: Node, version: u64) -> Option<Node> {
        let mut at = node;
        loop {
            let entry = self.at(at);
            match entry.version().cmp(&version) {
                std::cmp::Ordering::Equal => return Some(at),
                std::cmp::Ordering::Less => return None,
                std::cmp::Ordering::Greater => at = entry.parent?,
            }
        }
    }

    /// Makes an entry, or finds it.
    pub fn append(&self, written: &Written) -> Node {
        if let Some(node) = self.known.borrow().get(written) {
            return *node;
        }
        let appended = self.make(written);
        let mut nodes = self.nodes.borrow_mut();
        let node = Node::try_from(nodes.len()).unwrap_or(Node::MAX);
        nodes.push(Rc::new(appended));
        self.known.borrow_mut().insert(written.clone(), node);
        node
    }

    fn make(&self, written: &Written) -> Appended {
        let before = self.at(written.parent);
        let entry = self.entry(written, &before);
        let mut fold = before.fold.clone();
        let refused = fold.apply(&entry, hash_of(&entry)).err().map(|error| {
            let invariant = match error.what.as_str() {
                what if what.contains("went back") => Invariant::I10,
                what if what.contains("is not the claim") => Invariant::I9,
                _ => Invariant::I1,
            };
            Violation::new(invariant, error.to_string())
        });
        let mut next = Appended {
            parent: Some(written.parent),
            entry,
            fold,
            kept: before.kept,
            file: None,
            removes: Vec::new(),
            live: before.live.clone(),
            gold: Vec::new(),
            golds: before.golds.clone(),
            open: before.open.clone(),
            judged: before.judged.clone(),
            wrong: refused,
        };
        match &written.content {
            Content::Claim => {}
            Content::Epoch { bars, gold, .. } => self.take_epoch(&mut next, written.tag, bars, gold),
            Content::Compaction { removes } => take_compaction(&mut next, written.tag, removes),
        }
        next
    }

    fn entry(&self, written: &Written, before: &Appended) -> Entry {
        let kind = if written.content == Content::Claim { claim() } else { EntryKind::Epoch };
        let mut draft = Draft::empty(kind);
        draft.rolled = written.rolled.map(Version);
        if let Content::Epoch { bars, enters, .. } = &written.content {
            for (p, bar) in bars.iter().enumerate() {
                if let Some(bar) = bar {
                    draft.barriers.insert(int(p), facts(bar));
                }
            }
            if let Some((p, _)) = enters {
                draft.new_partitions.insert(int(*p), first_of_partition());
            }
        }
        if self.setup.folders && written.content != Content::Claim {
            let staged = self.staged(written);
            draft.staged.insert(LAYER.to_owned(), (LAYER.to_owned(), vec![staged]));
        }
        let mut entry = render(&before.fold, &draft, &author(written.tag, written.claim));
        match &written.content {
            // What a mutant has decided otherwise than `render` does.
            Content::Epoch { g, enters, .. } => {
                entry.g = EventTime(*g);
                if let Some((p, Some(watermark))) = enters
                    && let Some(partition) = entry.partitions.get_mut(&int(*p))
                {
                    partition.watermark = EventTime(*watermark);
                    partition.floor = None;
                }
            }
            Content::Compaction { removes } => {
                let removed = removes.iter().filter_map(|tag| before.live.get(tag)).map(|(path, _)| path.clone());
                if let Some(change) = entry.layers.get_mut(LAYER) {
                    change.removed = removed.collect();
                }
            }
            Content::Claim => {}
        }
        entry
    }

    fn staged(&self, written: &Written) -> StagedFile {
        StagedFile {
            leaf: String::new(),
            staged: format!("{}/f.tmp", self.paths.staging(Version(written.claim), &written.tag.attempt())),
            ext: "parquet".to_owned(),
            length: 1,
            checksum: "c".to_owned(),
            rows: 1,
            event_times: None,
            offsets: BTreeMap::from([(0, OffsetRange::default())]),
        }
    }

    fn take_epoch(&self, next: &mut Appended, tag: Tag, bars: &[Option<Bar>; PARTS], gold: &Slices) {
        let rows = bars.iter().flatten().fold(0, |rows, bar| rows | bar.kept);
        next.kept |= rows;
        if self.setup.folders {
            take_file(next, tag, rows);
        }
        for (p, bar) in bars.iter().enumerate() {
            let Some(bar) = bar else { continue };
            for (slice, rows) in &bar.slices {
                add(&mut next.open[p], *slice, *rows);
            }
        }
        let g = next.entry.g.0;
        next.open.iter_mut().for_each(|open| open.retain(|((start, _), _)| !closed_at(&self.setup, *start, g)));
        next.gold.clone_from(gold);
        for (slice, rows) in gold {
            if next.golds.iter().any(|(known, _)| known == slice) && next.wrong.is_none() {
                next.wrong = Some(Violation::new(Invariant::I11, format!("window {slice:?} is closed a second time")));
            }
            add(&mut next.golds, *slice, *rows);
        }
        let recomputed = recompute(&self.setup, next, bars);
        if next.wrong.is_none() {
            next.wrong = recomputed.err();
        }
    }
}

fn take_compaction(next: &mut Appended, tag: Tag, removes: &[Tag]) {
    let rows = removes.iter().filter_map(|tag| next.live.remove(tag)).fold(0, |rows, (_, more)| rows | more);
    next.removes = removes.to_vec();
    take_file(next, tag, rows);
}

fn take_file(next: &mut Appended, tag: Tag, rows: Rows) {
    let path = next.entry.layers.get(LAYER).and_then(|change| change.added.first()).map(|file| file.path.clone());
    next.file = Some(tag);
    next.live.insert(tag, (path.unwrap_or_default(), rows));
}

/// A partition's number as core has it.
#[must_use]
pub fn int(partition: usize) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// The facts of a barrier as core has them.
#[must_use]
pub fn facts(bar: &Bar) -> BarrierFacts {
    BarrierFacts {
        to: i64::from(bar.to),
        watermark: Some(EventTime(bar.watermark)),
        floor: bar.floor.map(EventTime),
        idle: bar.idle,
        ..BarrierFacts::default()
    }
}

/// A time in words.
pub fn t(time: i64) -> String {
    if time == i64::MIN { "none".to_owned() } else { time.to_string() }
}

fn claim() -> EntryKind {
    EntryKind::Claim { takes: "all".to_owned() }
}

fn first_of_partition() -> NewPartition {
    NewPartition { incarnation: 0, topic_id: None, start: 0 }
}

fn author(tag: Tag, claim: u64) -> Author {
    Author {
        claim: Version(claim),
        attempt: tag.attempt(),
        member: Member::default(),
        definition: "d".to_owned(),
        now: 0,
    }
}

fn hash_of(entry: &Entry) -> String {
    entry_hash(&entry.to_bytes().unwrap_or_default())
}
