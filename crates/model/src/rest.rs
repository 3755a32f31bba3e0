//! What must hold where nothing can happen any more: somebody went on, and all followers have converged (I8).
//!
//! Faults are bounded and everything else either moves something forward or is not offered, so every history ends in such
//! a state, whatever order its steps have. Hence from every state that was visited, whoever is served first, all input is
//! committed in the end.

use crate::setup::{Slices, closed_at};
use crate::state::{Owner, State};
use crate::violation::{Invariant, Violation};
use crate::world::Model;

impl Model {
    pub(crate) fn rest(&self, state: &State) -> Result<(), Violation> {
        let Some(owner) = (0..state.processes.len()).find(|i| self.owns(state, *i)).and_then(|i| state.owner(i)) else {
            return Violation::of(Invariant::GoesOn, "nobody owns the pipeline");
        };
        let head = self.history.at(state.head);
        if owner.head != state.head {
            return Violation::of(Invariant::GoesOn, "the owner is behind the log");
        }
        for (p, topic) in self.setup.topic.iter().enumerate() {
            if usize::from(head.to(p)) < topic.len() {
                return Violation::of(Invariant::GoesOn, format!("p{p} is committed up to {}", head.to(p)));
            }
        }
        let furthest = head.fold.partitions.values().map(|p| p.watermark).max();
        if self.setup.idle && furthest != Some(head.fold.g) {
            return Violation::of(Invariant::GoesOn, format!("G stands at {}", crate::history::t(head.fold.g.0)));
        }
        self.rows_at_rest(state)?;
        self.kpi_at_rest(state, owner)?;
        self.folders_at_rest(state, owner)
    }

    fn rows_at_rest(&self, state: &State) -> Result<(), Violation> {
        let head = self.history.at(state.head);
        if !self.setup.rows {
            return Ok(());
        }
        if state.rows.rows != head.kept {
            let (missing, extra) = (head.kept & !state.rows.rows, state.rows.rows & !head.kept);
            return Violation::of(
                Invariant::I8,
                format!("the table of rows lacks {missing:b} and has {extra:b} too many"),
            );
        }
        let behind =
            (0..self.setup.topic.len()).find(|p| state.rows.fences[*p].is_none_or(|(_, next)| next != head.to(*p)));
        match behind {
            Some(p) => Violation::of(Invariant::I8, format!("the fence of p{p} is not at the head")),
            None => Ok(()),
        }
    }

    fn kpi_at_rest(&self, state: &State, owner: &Owner) -> Result<(), Violation> {
        let head = self.history.at(state.head);
        if !self.setup.live {
            return Ok(());
        }
        if state.kpi.version != Some(head.version()) || state.kpi.finals != head.golds {
            return Violation::of(Invariant::I8, "the final rows of the KPI's table are not Gold's");
        }
        if let Some((slice, _)) = state.kpi.live.iter().find(|((w, _), _)| closed_at(&self.setup, *w, head.fold.g.0)) {
            return Violation::of(Invariant::I8, format!("a preview of {slice:?} is left, whose window is closed"));
        }
        let values = self.live_values(owner)?;
        let shown: Slices = values.iter().filter(|value| state.kpi.live.contains(value)).copied().collect();
        if shown != values {
            return Violation::of(
                Invariant::I8,
                format!("live values are {values:?}, the table shows {:?}", state.kpi.live),
            );
        }
        Ok(())
    }

    fn folders_at_rest(&self, state: &State, owner: &Owner) -> Result<(), Violation> {
        let head = self.history.at(state.head);
        if !self.setup.folders {
            return Ok(());
        }
        if owner.rolled != Some(head.version()) {
            return Violation::of(Invariant::I8, format!("files are in place up to {:?} only", owner.rolled));
        }
        if !state.visible.iter().eq(head.live.keys()) {
            let what = format!("visible are {:?}, live are {:?}", state.visible, head.live.keys());
            return Violation::of(Invariant::I5, what);
        }
        if !state.staged.is_empty() {
            return Violation::of(Invariant::I8, format!("staging still holds {:?}", state.staged));
        }
        Ok(())
    }
}
