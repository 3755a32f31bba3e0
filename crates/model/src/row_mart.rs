//! The mart of rows and its follower (F2).
//!
//! Imitates `MartLink::{claim_on, copy, fill}` and the statements of `mart::*::{claim, rows}`: a transaction happens whole
//! or not at all, its rows have a primary key. What a fence says is `judge_steps`', what a take-over takes back is
//! `take_back`'s and `Fold::reign_end`'s. A mart that is away for long is one that is claimed late.

use std::collections::BTreeMap;

use lakeward_core::ids::Version;
use lakeward_core::log::{FenceStep, RowsOutcome, judge_steps, take_back};

use crate::history::{Node, int};
use crate::log::life;
use crate::rule::Rule;
use crate::state::{Copy, Owner, Sender, Sent, State};
use crate::step::{Fate, Step};
use crate::violation::{Invariant, Violation};
use crate::world::Model;

impl Model {
    pub(crate) fn row_steps(&self, state: &State, owner: &Owner, i: usize, steps: &mut Vec<Step>) {
        if !owner.rows.claimed {
            steps.push(Step::ClaimRows(i));
            return;
        }
        for partition in (0..owner.parts.len()).filter(|p| self.next_copy(state, owner, i, *p).is_some()) {
            steps.push(Step::Copy { process: i, partition, fate: Fate::Arrives });
            if state.left.late > 0 {
                steps.push(Step::Copy { process: i, partition, fate: Fate::Late });
            }
        }
    }

    /// From hand if everything from the fence on is there, else from Silver's files, up to the head.
    fn next_copy(&self, state: &State, owner: &Owner, i: usize, p: usize) -> Option<Copy> {
        let part = owner.parts[p].as_ref()?;
        let base = owner.rows.fences[p];
        let claim = self.history.at(owner.claim);
        let (to, rows) = if base < claim.to(p) && self.has(Rule::F2Fill) {
            let head = self.history.at(owner.head);
            (head.to(p), head.kept)
        } else {
            (part.position, part.in_hand)
        };
        let rows = rows & self.setup.bits_from(p, base.into()) & !self.setup.bits_from(p, to.into());
        let by = Sender { process: i, life: life(state, i), claim: claim.version() };
        (to > base).then_some(Copy { by, partition: p, base, to, rows })
    }

    pub(crate) fn claim_rows(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        let Some(owner) = state.owner(i) else { return Ok(()) };
        let (node, claim, half) = (owner.claim, self.claim_of(owner.claim), owner.rows.half);
        if state.rows.claim > Some(claim) {
            state.fence(i);
            return Ok(());
        }
        if !self.has(Rule::F2ClaimFirst) && !half {
            self.take_fences_back(state, node, claim);
            if let Some(owner) = state.owner_mut(i) {
                owner.rows.half = true;
            }
            return Ok(());
        }
        self.take_rows(state, node, claim)?;
        let fences = state.rows.fences.map(|fence| fence.map_or(0, |(_, next)| next));
        if let Some(owner) = state.owner_mut(i) {
            (owner.rows.claimed, owner.rows.half, owner.rows.fences) = (true, false, fences);
        }
        Ok(())
    }

    /// One transaction: the claim row, then every fence of a smaller claim.
    pub(crate) fn take_rows(&self, state: &mut State, node: Node, claim: u64) -> Result<(), Violation> {
        state.rows.claim = Some(claim);
        if self.has(Rule::F2ClaimFirst) {
            self.take_fences_back(state, node, claim);
        }
        for fence in state.rows.fences.iter_mut().take(self.setup.topic.len()) {
            let (held, next) = fence.unwrap_or((claim, 0));
            *fence = Some((held.max(claim), next));
        }
        let entry = self.history.ancestor(state.head, claim).map(|entry| self.history.at(entry));
        if entry.is_none_or(|entry| !entry.entry.is_claim()) {
            return Violation::of(
                Invariant::I9,
                format!("the mart was claimed under {claim}, which is no claim of the log"),
            );
        }
        Ok(())
    }

    fn take_fences_back(&self, state: &mut State, node: Node, claim: u64) {
        let fold = &self.history.at(node).fold;
        for p in 0..self.setup.topic.len() {
            let Some((held, next)) = state.rows.fences[p].filter(|(held, _)| *held < claim) else { continue };
            let end = match self.has(Rule::F2ReignEnd) {
                true => fold.reign_end(Version(held), 0, int(p)),
                false => fold.partitions.get(&int(p)).map_or(0, |partition| partition.to),
            };
            let back = take_back(next.into(), end);
            if self.has(Rule::F2Delete) {
                state.rows.rows &= !self.setup.bits_from(p, back.rows_from);
            }
            let next = if self.has(Rule::F2Min) { back.next } else { end };
            state.rows.fences[p] = Some((held, u8::try_from(next).unwrap_or(u8::MAX)));
        }
    }

    pub(crate) fn copy(&self, state: &mut State, i: usize, p: usize, fate: Fate) -> Result<(), Violation> {
        let Some(copy) = state.owner(i).and_then(|owner| self.next_copy(state, owner, i, p)) else { return Ok(()) };
        match fate {
            Fate::Arrives | Fate::Lost => self.copy_takes_effect(state, copy, true),
            // The connection is lost: the follower opens the mart again and claims it, under the same claim.
            Fate::Late => {
                state.left.late -= 1;
                if let Some(owner) = state.owner_mut(i) {
                    owner.rows.claimed = false;
                }
                state.send(Sent::Copy(copy));
                Ok(())
            }
        }
    }

    /// The mart's side, and what the follower makes of the answer if it is there to hear it.
    pub(crate) fn copy_takes_effect(&self, state: &mut State, copy: Copy, heard: bool) -> Result<(), Violation> {
        let p = copy.partition;
        let fences: BTreeMap<_, _> = (0..)
            .zip(state.rows.fences)
            .filter_map(|(p, f)| f.map(|(c, n)| ((0, p), (Version(c), n.into()))))
            .collect();
        let step = FenceStep { at: (0, int(p)), base: copy.base.into(), to: copy.to.into() };
        let held = state.rows.fences[p].map_or(0, |(claim, _)| claim);
        let claim = if self.has(Rule::F2OwnClaim) { copy.by.claim } else { held };
        let stands = state.rows.fences[p].map_or(0, |(_, next)| next);
        let expected = |step: &FenceStep| if self.has(Rule::F2Base) { step.base } else { stands.into() };
        let next = match judge_steps(&[step], &fences, Version(claim), expected) {
            None => {
                if state.rows.rows & copy.rows != 0 {
                    let what = format!("rows of p{p} above the fence are in the table already");
                    return Violation::of(Invariant::I7, what);
                }
                state.rows.rows |= copy.rows;
                state.rows.fences[p] = Some((held, copy.to));
                Some(copy.to)
            }
            Some(Ok(RowsOutcome::At { next, .. })) => Some(u8::try_from(next).unwrap_or(u8::MAX)),
            Some(Ok(RowsOutcome::Fenced { .. } | RowsOutcome::Applied)) => None,
            Some(Err(what)) => return Violation::of(Invariant::I9, what),
        };
        if !heard || life(state, copy.by.process) != copy.by.life {
            return Ok(());
        }
        match (next, state.owner_mut(copy.by.process)) {
            (Some(next), Some(owner)) => owner.rows.fences[p] = next,
            (None, Some(_)) => state.fence(copy.by.process),
            (_, None) => {}
        }
        Ok(())
    }
}
