//! From an epoch to the log's next entry.
//!
//! Imitates `CommitActor::{progress, draft, committed, start_new_partitions}` and `KpiRegistry::handed`. G is `next_g`'s,
//! what an epoch closes is `kpi::Windows`', which also refuses an increment in a window that is closed.

use std::collections::BTreeMap;

use lakeward_core::ids::{self, EventTime};
use lakeward_core::kpi::{Acc, Increment, Value, WindowRow, Windows, WindowsError};
use lakeward_core::log::next_g;
use lakeward_core::pipeline::{Kpi, Pipeline};
use lakeward_core::watermark::global;

use crate::history::{Appended, Node, facts, int};
use crate::log::{life, tag_of};
use crate::rule::Rule;
use crate::setup::{PARTS, Rows, Setup, Slices, window};
use crate::state::{Creating, Epoch, Owner, Part, State};
use crate::step::Step;
use crate::violation::{Invariant, Violation};
use crate::world::Model;
use crate::written::{Bar, Content, Tag, Written};

/// A pipeline with a KPI that counts. A record counts as its bit, so the count says which were counted.
const PIPELINE: &str = "name = \"p\"\nsource.topic = \"t\"\nfields = { id = \"string!\" }\n[[kpi]]\nname = \"k\"\n\
                        window = { tumbling = \"1m\" }\nmeasures = { n = \"count(*)\" }\n";

impl Model {
    pub(crate) fn build_steps(&self, owner: &Owner, i: usize, steps: &mut Vec<Step>) {
        if owner.epochs.first().is_some_and(|epoch| epoch.waiting.is_empty()) {
            steps.push(Step::Build(i));
        }
    }

    pub(crate) fn build(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        let Some(owner) = state.owner(i) else { return Ok(()) };
        let Some(epoch) = owner.epochs.first() else { return Ok(()) };
        let (enters, head) = (self.may_enter(state, owner), owner.head);
        let node = self.entry_of(state, i, owner, epoch, head, owner.epochs.get(1))?;
        let Some(owner) = state.owner_mut(i) else { return Ok(()) };
        owner.creating = Some(Creating { node, sent: false });
        if let Some(p) = enters.filter(|_| !self.has(Rule::T3AfterCommit)) {
            owner.parts[p] = Some(begins(self.history.at(head).fold.g.0));
        }
        Ok(())
    }

    /// The entry after one that is not committed yet (a mutant's).
    pub(crate) fn entry_after(&self, state: &State, i: usize, before: Node) -> Result<Option<Node>, Violation> {
        let Some(owner) = state.owner(i) else { return Ok(None) };
        let Some(epoch) = owner.epochs.get(1).filter(|epoch| epoch.waiting.is_empty()) else { return Ok(None) };
        self.entry_of(state, i, owner, epoch, before, None).map(Some)
    }

    fn entry_of(
        &self,
        state: &State,
        i: usize,
        owner: &Owner,
        epoch: &Epoch,
        parent: Node,
        later: Option<&Epoch>,
    ) -> Result<Node, Violation> {
        let before = self.history.at(parent);
        let barriers: BTreeMap<i32, _> = said(&epoch.bars).map(|(p, bar)| (int(p), facts(bar))).collect();
        let g = match () {
            () if !self.has(Rule::E3AllPartitions) => {
                global(barriers.values().filter_map(|b| b.watermark), before.fold.g)
            }
            () if !self.has(Rule::T2NotAFlag) => {
                let awake: Vec<EventTime> =
                    said(&epoch.bars).filter(|(_, b)| !b.idle).map(|(_, b)| EventTime(b.watermark)).collect();
                global(awake.into_iter(), before.fold.g)
            }
            () if !self.has(Rule::E3Barriers) => {
                let newest = owner.parts.iter().flatten().map(|part| EventTime(part.watermark));
                global(newest, before.fold.g)
            }
            () => next_g(&before.fold, &barriers),
        };
        let gold = if self.setup.kpi { self.close(&before, epoch, later, owner, g)? } else { Vec::new() };
        let floor = if self.has(Rule::T3Floor) { None } else { Some(i64::MIN) };
        let content = Content::Epoch {
            bars: Box::new(epoch.bars.clone()),
            enters: self.may_enter(state, owner).map(|p| (p, floor)),
            g: g.0,
            gold,
        };
        let written = Written {
            parent,
            tag: Tag { process: tag_of(i), life: life(state, i), n: epoch.n },
            claim: self.claim_of(owner.claim),
            rolled: owner.rolled,
            content,
        };
        Ok(self.history.append(&written))
    }

    /// The partition that is to enter the set (T3).
    pub(crate) fn may_enter(&self, state: &State, owner: &Owner) -> Option<usize> {
        let there = |p: &usize| state.produced[*p] > 0;
        self.setup.added.filter(there).filter(|p| !self.history.at(owner.head).fold.partitions.contains_key(&int(*p)))
    }

    /// The final rows of the windows that an epoch closes. What was heard of later epochs is there too.
    fn close(
        &self,
        before: &Appended,
        epoch: &Epoch,
        later: Option<&Epoch>,
        owner: &Owner,
        g: EventTime,
    ) -> Result<Slices, Violation> {
        let heard = said(&epoch.bars).map(|(p, bar)| (0, p, &bar.slices));
        let cut = later.into_iter().flat_map(|epoch| said(&epoch.bars)).map(|(p, bar)| (1, p, &bar.slices));
        let open = owner.parts.iter().enumerate().filter_map(|(p, part)| Some((2, p, &part.as_ref()?.slices)));
        let mut windows = self.windows(before, heard.chain(cut).chain(open))?;
        let closed = windows.close(ids::Epoch(0), g).map_err(refused)?;
        Ok(values(&closed.finals))
    }

    /// What live values are.
    pub(crate) fn live_values(&self, owner: &Owner) -> Result<Slices, Violation> {
        let cut = owner.epochs.iter().flat_map(|epoch| said(&epoch.bars)).map(|(p, bar)| (0, p, &bar.slices));
        let open = owner.parts.iter().enumerate().filter_map(|(p, part)| Some((0, p, &part.as_ref()?.slices)));
        let mut windows = self.windows(&self.history.at(owner.head), cut.chain(open))?;
        windows.show_all();
        Ok(values(&windows.live()))
    }

    fn windows<'a>(
        &self,
        before: &Appended,
        added: impl Iterator<Item = (u64, usize, &'a Slices)>,
    ) -> Result<Windows, Violation> {
        let Some(kpi) = &self.kpi else { return Violation::of(Invariant::GoesOn, "the model has no KPI") };
        let mut windows = Windows::new(kpi, before.fold.g);
        for (p, slices) in before.open.iter().enumerate() {
            for increment in increments(p, slices) {
                windows.restore(increment).map_err(refused)?;
            }
        }
        for (epoch, p, slices) in added {
            windows.apply(ids::Epoch(epoch), increments(p, slices)).map_err(refused)?;
        }
        Ok(windows)
    }

    /// The owner knows that its entry is committed.
    pub(crate) fn goes_on(&self, owner: &mut Owner, node: Node) {
        let entry = self.history.at(node);
        let known = self.history.at(owner.head);
        (owner.head, owner.creating) = (node, None);
        if entry.removes.is_empty() && !owner.epochs.is_empty() {
            let epoch = owner.epochs.remove(0);
            owner.done.extend(entry.file);
            debug_assert!(entry.file.is_none_or(|tag| tag.n == epoch.n));
        }
        for (p, held) in &entry.fold.partitions {
            let p = usize::try_from(*p).unwrap_or(0);
            if !known.fold.partitions.contains_key(&int(p)) && owner.parts[p].is_none() {
                owner.parts[p] = Some(begins(held.watermark.0));
            }
        }
    }
}

/// The KPI of a configuration.
pub(crate) fn kpi(setup: &Setup, lateness: i64) -> Option<Kpi> {
    let mut kpi = Pipeline::parse(PIPELINE, "p").ok()?.kpis.pop()?;
    (kpi.window, kpi.allowed_lateness) = (window(setup), lateness);
    Some(kpi)
}

/// A partition that begins at its first record.
fn begins(watermark: i64) -> Part {
    Part { position: 0, watermark, kept: 0, refused: 0, slices: Vec::new(), in_hand: 0 }
}

fn said(bars: &[Option<Bar>; PARTS]) -> impl Iterator<Item = (usize, &Bar)> {
    bars.iter().enumerate().filter_map(|(p, bar)| Some((p, bar.as_ref()?)))
}

fn increments(p: usize, slices: &Slices) -> Vec<Increment> {
    let increment = |((start, key), rows): &((i64, u8), Rows)| Increment {
        window: EventTime(*start),
        key: Box::new([*key]),
        partition: int(p),
        accs: [Acc::Count(u64::from(*rows))].into_iter().collect(),
    };
    slices.iter().map(increment).collect()
}

fn values(rows: &[WindowRow]) -> Slices {
    let value = |row: &WindowRow| match row.values.first() {
        Some(Some(Value::Int(count))) => Rows::try_from(*count).unwrap_or(Rows::MAX),
        _ => 0,
    };
    let mut slices: Slices =
        rows.iter().map(|row| ((row.window.0, row.key.first().copied().unwrap_or(0)), value(row))).collect();
    slices.sort_unstable();
    slices
}

fn refused(error: WindowsError) -> Violation {
    Violation::new(Invariant::I6, error.to_string())
}
