//! Partitions: reading, cuts, floors and barriers.
//!
//! Imitates `PartitionStep::pass` (late is judged before the record moves the watermark), `CommitActor::{maybe_cut, cut}`
//! and `PartitionActor::cut`. Floors are `watermark::{floors, floor_at}`'s. A partition that has read everything there
//! is may be found idle at any cut: whatever `IdleJudge` answers lies in between.

use lakeward_core::ids::EventTime;
use lakeward_core::kpi::{window_end, window_start};
use lakeward_core::watermark::{Standing, Watermark, floor_at, floors, is_late};

use crate::history::int;
use crate::log::{life, tag_of};
use crate::rule::Rule;
use crate::setup::{Grain, PARTS, Record, add, window};
use crate::state::{Epoch, Owner, Part, State};
use crate::step::Step;
use crate::world::Model;
use crate::written::{Bar, Tag};

/// Epochs under way at once.
const EPOCHS: usize = 2;

impl Model {
    pub(crate) fn partition_steps(&self, state: &State, owner: &Owner, i: usize, steps: &mut Vec<Step>) {
        let room = owner.epochs.len() < if self.setup.grain == Grain::Epochs { 1 } else { EPOCHS };
        for (p, part) in owner.parts.iter().enumerate() {
            let Some(part) = part else { continue };
            if part.position < state.produced[p] {
                if self.setup.grain == Grain::Records && room {
                    steps.push(Step::Work(i, p));
                } else if self.setup.grain != Grain::Records {
                    steps.push(Step::Read { process: i, partition: p, refuse: false });
                    if self.record(p, part.position).is_some_and(|record| record.future) {
                        steps.push(Step::Read { process: i, partition: p, refuse: true });
                    }
                }
            }
            if owner.epochs.last().is_some_and(|epoch| epoch.waiting.contains(&p)) {
                steps.push(Step::Barrier(i, p));
            }
        }
        if self.setup.grain != Grain::Records && room && owner.epochs.iter().all(|epoch| epoch.waiting.is_empty()) {
            let moved = self.has_moved(owner) || self.may_enter(state, owner).is_some();
            if moved {
                steps.push(Step::Cut { process: i, idle: false });
            }
            if self.setup.idle && (moved || !self.floors(state, owner).is_empty()) {
                steps.push(Step::Cut { process: i, idle: true });
            }
        }
    }

    /// Whether there is something to commit behind what the epochs cut so far reach.
    fn has_moved(&self, owner: &Owner) -> bool {
        let reached = |p: usize| {
            let cut = owner.epochs.iter().rev().find_map(|epoch| epoch.bars[p].as_ref().map(|bar| bar.to));
            cut.unwrap_or_else(|| self.history.at(owner.head).to(p))
        };
        owner.parts.iter().enumerate().any(|(p, part)| part.as_ref().is_some_and(|part| part.position > reached(p)))
    }

    fn record(&self, p: usize, offset: u8) -> Option<&Record> {
        self.setup.topic.get(p).and_then(|topic| topic.get(usize::from(offset)))
    }

    pub(crate) fn read(&self, state: &mut State, i: usize, p: usize, refuse: bool) {
        let Some(owner) = state.owner_mut(i) else { return };
        let committed_g = self.history.at(owner.head).fold.g;
        let Some(part) = owner.parts[p].as_mut() else { return };
        let Some(record) = self.record(p, part.position) else { return };
        part.position += 1;
        if refuse {
            part.refused |= record.bit;
            return;
        }
        part.kept |= record.bit;
        part.in_hand |= record.bit;
        let start = window_start(window(&self.setup), EventTime(record.time));
        let mut watermark = Watermark::at(EventTime(part.watermark));
        let judged_by = if self.has(Rule::T1OwnWatermark) { watermark.value() } else { committed_g };
        if self.setup.kpi && !is_late(window_end(window(&self.setup), start), self.setup.lateness, judged_by) {
            add(&mut part.slices, (start.0, record.key), record.bit);
        }
        watermark.observe(EventTime(record.time), self.setup.disorder);
        part.watermark = watermark.value().0;
    }

    fn floors(&self, state: &State, owner: &Owner) -> Vec<(usize, (i64, u8))> {
        let standing = |(p, part): (usize, &Option<Part>)| {
            let part = part.as_ref()?;
            let idle = part.position == state.produced[p];
            let (watermark, position) = (EventTime(part.watermark), i64::from(part.position));
            Some(Standing { partition: int(p), watermark, position, idle })
        };
        let standing: Vec<Standing> = owner.parts.iter().enumerate().filter_map(standing).collect();
        let lowest = standing.iter().map(|s| s.watermark).min();
        let all_idle = standing.iter().all(|s| s.idle);
        let given = if !self.has(Rule::T2Floor) || !self.has(Rule::T2NotAFlag) || all_idle && !self.has(Rule::T2AllIdle)
        {
            Default::default()
        } else {
            floors(&standing)
        };
        let floor = |(p, (floor, position)): (i32, (EventTime, i64))| {
            let floor = lowest.filter(|_| !self.has(Rule::T2NotIdle)).unwrap_or(floor);
            (usize::try_from(p).unwrap_or(0), (floor.0, u8::try_from(position).unwrap_or(u8::MAX)))
        };
        given
            .into_iter()
            .map(floor)
            .filter(|(p, (floor, _))| owner.parts[*p].as_ref().is_some_and(|part| part.watermark < *floor))
            .collect()
    }

    pub(crate) fn cut(&self, state: &mut State, i: usize, idle: bool) {
        let Some(owner) = state.owner(i) else { return };
        let floors = if idle { self.floors(state, owner) } else { Vec::new() };
        let flagged = idle && !self.has(Rule::T2NotAFlag);
        let at_end = |p: usize| owner.parts[p].as_ref().is_some_and(|part| part.position == state.produced[p]);
        let ended: Vec<usize> = (0..PARTS).filter(|p| flagged && at_end(*p)).collect();
        let Some(owner) = state.owner_mut(i) else { return };
        let waiting = (0..PARTS).filter(|p| owner.parts[*p].is_some()).collect();
        let mut epoch = Epoch { n: owner.open, floors: [None; PARTS], waiting, bars: Default::default() };
        for (p, floor) in floors {
            epoch.floors[p] = Some(floor);
            if let Some(part) = owner.parts[p].as_mut().filter(|_| !self.has(Rule::T2OneMessage)) {
                part.watermark = part.watermark.max(floor.0);
            }
        }
        for p in ended {
            epoch.floors[p] = Some((i64::MIN, u8::MAX));
        }
        owner.open += 1;
        owner.epochs.push(epoch);
    }

    pub(crate) fn barrier(&self, state: &mut State, i: usize, p: usize) {
        let Some(owner) = state.owner_mut(i) else { return };
        let (Some(epoch), Some(part)) = (owner.epochs.last_mut(), owner.parts[p].as_mut()) else { return };
        epoch.waiting.remove(&p);
        let given = epoch.floors[p].map(|(floor, position)| (EventTime(floor), i64::from(position)));
        let floor = floor_at(i64::from(part.position), given);
        let mut watermark = Watermark::at(EventTime(part.watermark));
        if let Some(floor) = floor {
            watermark.raise_to(floor);
        }
        part.watermark = watermark.value().0;
        epoch.bars[p] = Some(Bar {
            to: part.position,
            watermark: part.watermark,
            floor: floor.filter(|floor| *floor == watermark.value()).map(|floor| floor.0),
            idle: floor.is_some() || given.is_some_and(|(floor, _)| floor == EventTime::MIN),
            kept: std::mem::take(&mut part.kept),
            refused: std::mem::take(&mut part.refused),
            slices: if self.has(Rule::E2Increments) { std::mem::take(&mut part.slices) } else { part.slices.clone() },
        });
    }

    pub(crate) fn barriers(&self, state: &mut State, i: usize) {
        for p in 0..PARTS {
            if state.owner(i).is_some_and(|owner| owner.parts[p].is_some()) {
                self.barrier(state, i, p);
            }
        }
    }

    /// A record is an epoch of its own; its file is staged.
    pub(crate) fn work(&self, state: &mut State, i: usize, p: usize) {
        self.read(state, i, p, false);
        self.cut(state, i, false);
        self.barriers(state, i);
        if !self.setup.folders {
            return;
        }
        let life = life(state, i);
        if let Some(owner) = state.owner(i) {
            let tag = Tag { process: tag_of(i), life, n: owner.open - 1 };
            let claim = self.claim_of(owner.claim);
            state.staged.insert((tag, claim));
        }
    }
}
