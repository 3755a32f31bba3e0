//! The mart of the KPI and its follower (F3).
//!
//! Imitates `KpiMart::{catch_up, show, drop_closed}`, `MartLink::apply_finals` and the statements of `mart::*::kpi`. Who may
//! write is `KpiStanding`'s, when live values may be shown `has_caught_up`'s, which windows an entry closes
//! `last_closed_window`'s. Values count as told when the partitions have come so far; in production a value that was
//! told up to one live tick earlier may still be shown.

use std::collections::BTreeMap;

use lakeward_core::ids::{EventTime, Version};
use lakeward_core::kpi::{last_closed_window, window_end};
use lakeward_core::log::{KpiStanding, KpiWrite, has_caught_up};

use crate::log::life;
use crate::rule::Rule;
use crate::setup::{PARTS, Slices, add, closed_at, window};
use crate::state::{KpiTable, Live, Owner, Sender, Sent, State};
use crate::step::{Fate, Step};
use crate::violation::{Invariant, Violation};
use crate::world::Model;

impl Model {
    pub(crate) fn kpi_steps(&self, state: &State, owner: &Owner, i: usize, steps: &mut Vec<Step>) {
        let follower = &owner.kpi;
        if !follower.claimed {
            steps.push(Step::ClaimKpi(i));
            return;
        }
        if self.may_tell(owner) {
            steps.push(Step::Tell(i));
        }
        if follower.busy {
            return;
        }
        let head = self.history.at(owner.head).version();
        if follower.applied < Some(head) {
            steps.push(Step::Finals(i));
        } else if !follower.waiting.is_empty() {
            steps.push(Step::Live(i, Fate::Arrives));
            if state.left.late > 0 {
                steps.push(Step::Live(i, Fate::Late));
            }
        }
    }

    fn may_tell(&self, owner: &Owner) -> bool {
        let reflected: BTreeMap<i32, i64> =
            (0..).zip(owner.kpi.held_back).map(|(p, offset)| (p, i64::from(offset))).collect();
        let handed = |p: i32| {
            let part = usize::try_from(p).ok().and_then(|p| owner.parts.get(p)?.as_ref());
            part.map(|part| i64::from(part.position))
        };
        let caught_up = has_caught_up(&reflected, handed) || !self.has(Rule::F3HoldBack);
        caught_up && !news(&self.merged(owner), &owner.kpi.told).is_empty()
    }

    /// What is open, of all partitions and epochs.
    fn merged(&self, owner: &Owner) -> Slices {
        let head = self.history.at(owner.head);
        let cut = owner.epochs.iter().flat_map(|epoch| epoch.bars.iter().flatten()).map(|bar| &bar.slices);
        let open = owner.parts.iter().flatten().map(|part| &part.slices);
        let mut merged = Slices::new();
        for (slice, rows) in head.open.iter().chain(cut).chain(open).flatten() {
            add(&mut merged, *slice, *rows);
        }
        merged
    }

    pub(crate) fn claim_kpi(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        let Some(claim) = state.owner(i).map(|owner| self.claim_of(owner.claim)) else { return Ok(()) };
        if state.kpi.claim > Some(claim) && self.has(Rule::O1NotBack) {
            state.fence(i);
            return Ok(());
        }
        state.kpi.claim = Some(claim);
        let (applied, held_back) = (state.kpi.version, state.kpi.reflected);
        if let Some(owner) = state.owner_mut(i) {
            (owner.kpi.claimed, owner.kpi.applied, owner.kpi.held_back) = (true, applied, held_back);
        }
        Ok(())
    }

    pub(crate) fn tell(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        let Some(owner) = state.owner_mut(i) else { return Ok(()) };
        let values = self.live_values(owner)?;
        if values != self.merged(owner) {
            return Violation::of(Invariant::I6, format!("live values are {values:?}, not the merge of all"));
        }
        for (slice, rows) in news(&values, &owner.kpi.told) {
            put(&mut owner.kpi.waiting, slice, rows);
        }
        owner.kpi.told = values;
        Ok(())
    }

    pub(crate) fn finals(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        let Some(owner) = state.owner(i) else { return Ok(()) };
        let (claim, above) = (Version(self.claim_of(owner.claim)), owner.kpi.applied);
        let node = owner.head;
        let head = self.history.at(node);
        match standing(&state.kpi).finals(claim, above.map(Version), Version(head.version())) {
            KpiWrite::Go => {}
            KpiWrite::Fenced { .. } => {
                state.fence(i);
                return Ok(());
            }
            // Only its holder applies entries to a table, one after the other.
            other => return Violation::of(Invariant::I7, format!("entries can't be applied: {other:?}")),
        }
        self.apply(&mut state.kpi, node, above)?;
        state.kpi.version = Some(head.version());
        if let Some(owner) = state.owner_mut(i) {
            owner.kpi.applied = Some(head.version());
            if self.has(Rule::F3ClosedTo) {
                owner.kpi.waiting.retain(|((start, _), _)| !closed_at(&self.setup, *start, head.fold.g.0));
            }
        }
        Ok(())
    }

    /// Previews of closed windows go, final rows come.
    fn apply(&self, table: &mut KpiTable, node: u32, above: Option<u64>) -> Result<(), Violation> {
        let head = self.history.at(node);
        let closes = |start: i64| closed_at(&self.setup, start, head.fold.g.0);
        if self.has(Rule::F3Ghosts) {
            table.live.retain(|((start, _), _)| !closes(*start));
        }
        let last = self.kpi.as_ref().and_then(|kpi| last_closed_window(kpi, head.fold.g));
        let closed_to = last.map_or(i64::MIN, |start| window_end(window(&self.setup), start).0);
        table.closed_to = table.closed_to.max(closed_to);
        let mut at = Some(node);
        while let Some(entry) = at.map(|at| self.history.at(at)).filter(|entry| Some(entry.version()) > above) {
            for (slice, rows) in &entry.gold {
                if table.finals.iter().any(|(known, held)| known == slice && held != rows) {
                    return Violation::of(Invariant::I11, format!("the final row of {slice:?} changes"));
                }
                table.live.retain(|(known, _)| known != slice);
                put(&mut table.finals, *slice, *rows);
            }
            at = entry.parent;
        }
        Ok(())
    }

    pub(crate) fn live(&self, state: &mut State, i: usize, fate: Fate) -> Result<(), Violation> {
        let Some(owner) = state.owner(i) else { return Ok(()) };
        let mut reflected = [0; PARTS];
        for (reflected, part) in reflected.iter_mut().zip(&owner.parts) {
            *reflected = part.as_ref().map_or(0, |part| part.position);
        }
        let by = Sender { process: i, life: life(state, i), claim: self.claim_of(owner.claim) };
        let Some(owner) = state.owner_mut(i) else { return Ok(()) };
        let live = Live { by, values: std::mem::take(&mut owner.kpi.waiting), reflected };
        if fate != Fate::Late {
            return self.live_takes_effect(state, &live, true);
        }
        owner.kpi.busy = true;
        state.left.late -= 1;
        state.send(Sent::Live(live));
        Ok(())
    }

    /// The mart's side, and what the follower makes of the answer if it is there to hear it.
    pub(crate) fn live_takes_effect(&self, state: &mut State, live: &Live, heard: bool) -> Result<(), Violation> {
        let fence = standing(&state.kpi);
        let claim = if self.has(Rule::F3OwnClaim) { Version(live.by.claim) } else { fence.claim };
        let write = fence.live(claim);
        if write == KpiWrite::Go {
            self.show(&mut state.kpi, live)?;
        }
        if !heard || life(state, live.by.process) != live.by.life {
            return Ok(());
        }
        match (write, state.owner_mut(live.by.process)) {
            (KpiWrite::Go, Some(owner)) => owner.kpi.busy = false,
            (_, Some(_)) => state.fence(live.by.process),
            (_, None) => {}
        }
        Ok(())
    }

    fn show(&self, table: &mut KpiTable, live: &Live) -> Result<(), Violation> {
        let fence = standing(table);
        for (slice, rows) in &live.values {
            let end = window_end(window(&self.setup), EventTime(slice.0));
            let is_final = table.finals.iter().any(|(known, _)| known == slice);
            if self.has(Rule::F3ClosedTo) && (!fence.shows(end) || is_final) {
                continue;
            }
            if is_final {
                return Violation::of(Invariant::I11, format!("a live value overwrites the final row of {slice:?}"));
            }
            let before = table.live.iter().find(|(known, _)| known == slice).map_or(0, |(_, rows)| *rows);
            if before & !self.setup.doubtful() & !rows != 0 {
                return Violation::of(
                    Invariant::Shown,
                    format!("the value of {slice:?} goes back from {before:b} to {rows:b}"),
                );
            }
            put(&mut table.live, *slice, *rows);
        }
        table.reflected = live.reflected;
        Ok(())
    }
}

fn standing(table: &KpiTable) -> KpiStanding {
    KpiStanding {
        claim: Version(table.claim.unwrap_or(0)),
        version: table.version.map(Version),
        closed_to: EventTime(table.closed_to),
    }
}

fn news(values: &Slices, told: &Slices) -> Slices {
    values.iter().filter(|value| !told.contains(value)).copied().collect()
}

/// An absolute upsert.
fn put(slices: &mut Slices, slice: (i64, u8), rows: u32) {
    slices.retain(|(known, _)| *known != slice);
    add(slices, slice, rows);
}
