//! The folders: renaming committed files into sight, sweeping staging, rewriting files (F1, H1, H2).
//!
//! Imitates `actors/directories.rs` (`follow`, `roll_entry`, `sweep`) and `layer::roll_forward`; what may be swept is
//! `removable_staging`'s. Rewriting is explored as the rules have it: no command does it yet.

use std::collections::BTreeSet;

use lakeward_core::ids::Version;
use lakeward_core::log::removable_staging;

use crate::history::{Appended, LAYER};
use crate::log::{life, object, tag_of};
use crate::rule::Rule;
use crate::state::{Creating, Owner, Sent, State};
use crate::step::{Fate, Step};
use crate::violation::{Invariant, Violation};
use crate::world::Model;
use crate::written::{Content, Tag, Written};

impl Model {
    pub(crate) fn folder_steps(&self, state: &State, owner: &Owner, i: usize, steps: &mut Vec<Step>) {
        let head = self.history.at(owner.head);
        let next = owner.rolled.map_or(0, |rolled| rolled + 1);
        let behind = next <= head.version();
        // An entry that is gone: it is tried again for ever.
        if behind && object(state, next).is_some() {
            steps.push(Step::Roll(i, Fate::Arrives));
            let renames = self.file_to_rename(state, &head, next).is_some();
            if renames && state.left.late > 0 {
                steps.push(Step::Roll(i, Fate::Late));
            }
        }
        if (!behind || !self.has(Rule::H2Pending)) && !self.sweepable(state, owner).is_empty() {
            steps.push(Step::Sweep(i));
        }
        let rolled = owner.rolled.map(Version);
        let in_place = !self.has(Rule::H1Rolled) || rolled >= Some(Version(head.version()));
        if state.left.compactions > 0 && owner.creating.is_none() && in_place && head.live.len() > 1 {
            steps.push(Step::Compact(i));
        }
        if state.left.followers > 0 && owner.rolled > self.history.at(owner.claim).fold.rolled.map(|v| v.0) {
            steps.push(Step::FollowerDies(i));
        }
    }

    /// The staged file of entry `version` that is live as `head` sees it.
    fn file_to_rename(&self, state: &State, head: &Appended, version: u64) -> Option<Tag> {
        let entry = self.history.at(object(state, version)?);
        let file = entry.file?;
        let live = head
            .fold
            .files
            .get(LAYER)
            .zip(entry.live.get(&file))
            .is_some_and(|(files, (path, _))| files.contains(path));
        let counts = live || !self.has(Rule::F1Skip);
        counts.then_some(file).filter(|file| state.staged.iter().any(|(staged, _)| staged == file))
    }

    pub(crate) fn roll(&self, state: &mut State, i: usize, fate: Fate) -> Result<(), Violation> {
        let Some(owner) = state.owner(i) else { return Ok(()) };
        let head = self.history.at(owner.head);
        let next = owner.rolled.map_or(0, |rolled| rolled + 1);
        let Some(entry) = object(state, next).map(|node| self.history.at(node)) else { return Ok(()) };
        if self.has(Rule::H3NeverTwice) {
            state.visible.retain(|tag| !entry.removes.contains(tag));
        }
        if fate == Fate::Late {
            // The answer is an error: tried again, from the beginning.
            state.left.late -= 1;
            if let Some(file) = self.file_to_rename(state, &head, next) {
                state.send(Sent::Rename(file));
            }
            return Ok(());
        }
        if let Some(file) = entry.file {
            let live = head.live.contains_key(&file) || !self.has(Rule::F1Skip);
            if self.file_to_rename(state, &head, next).is_some() {
                self.rename_takes_effect(state, file);
            } else if live && (!state.visible.contains(&file) || !self.has(Rule::F1AlreadyThere)) {
                return self.damaged(state, i, next);
            }
        }
        self.never_twice(state)?;
        state.visible.retain(|tag| !entry.removes.contains(tag));
        if let Some(owner) = state.owner_mut(i) {
            owner.rolled = Some(next);
        }
        Ok(())
    }

    /// The log promises a file that is neither staged nor there. An owner of the past may find that so: the present one
    /// has rewritten it.
    fn damaged(&self, state: &mut State, i: usize, version: u64) -> Result<(), Violation> {
        if self.owns(state, i) {
            return Violation::of(Invariant::I21, format!("LAKE_DAMAGED: the file of entry {version} is nowhere"));
        }
        state.fence(i);
        Ok(())
    }

    pub(crate) fn rename_takes_effect(&self, state: &mut State, tag: Tag) {
        let staged = state.staged.len();
        state.staged.retain(|(staged, _)| *staged != tag);
        if state.staged.len() < staged {
            state.visible.insert(tag);
        }
    }

    /// No row is visible in two files.
    pub(crate) fn never_twice(&self, state: &State) -> Result<(), Violation> {
        let mut shown = 0;
        let mut at = Some(state.head);
        while let Some(entry) = at.map(|at| self.history.at(at)) {
            if let Some((_, rows)) = entry.file.filter(|f| state.visible.contains(f)).and_then(|f| entry.live.get(&f)) {
                if shown & rows != 0 {
                    return Violation::of(Invariant::I5, "rows are visible twice");
                }
                shown |= rows;
            }
            at = entry.parent;
        }
        Ok(())
    }

    fn sweepable(&self, state: &State, owner: &Owner) -> Vec<String> {
        let folders: Vec<String> = state.staged.iter().map(|(tag, claim)| folder(*tag, *claim)).collect();
        let mut fold = self.history.at(owner.head).fold.clone();
        fold.rolled = owner.rolled.map(Version);
        if !self.has(Rule::H2Pending) {
            fold.rolled = Some(fold.version);
        }
        let mine = self.claim_of(owner.claim);
        let own = |tag: &Tag, claim: u64| owner.done.contains(tag) || claim == mine && !self.has(Rule::H2OwnStaging);
        let done: BTreeSet<String> = state
            .staged
            .iter()
            .filter(|(tag, claim)| own(tag, *claim))
            .map(|(tag, claim)| folder(*tag, *claim))
            .collect();
        removable_staging(&fold, &self.history.paths, &folders, &done)
    }

    pub(crate) fn sweep(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        let Some(owner) = state.owner(i) else { return Ok(()) };
        let swept = self.sweepable(state, owner);
        let head = self.history.at(state.head);
        let needed = |tag: &Tag| head.live.contains_key(tag) && !state.visible.contains(tag);
        let lost = state.staged.iter().find(|(tag, claim)| swept.contains(&folder(*tag, *claim)) && needed(tag));
        if let Some((tag, _)) = lost {
            return Violation::of(Invariant::I21, format!("the staged file {tag:?} is cleared away, the log needs it"));
        }
        state.staged.retain(|(tag, claim)| !swept.contains(&folder(*tag, *claim)));
        Ok(())
    }

    /// All files that are live become one.
    pub(crate) fn compact(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        let life = life(state, i);
        let Some(owner) = state.owner(i) else { return Ok(()) };
        let head = self.history.at(owner.head);
        let tag = Tag { process: tag_of(i), life, n: 50 + owner.open };
        let claim = self.claim_of(owner.claim);
        let written = Written {
            parent: owner.head,
            tag,
            claim,
            rolled: owner.rolled,
            content: Content::Compaction { removes: head.live.keys().copied().collect() },
        };
        let node = self.history.append(&written);
        state.left.compactions -= 1;
        state.staged.insert((tag, claim));
        if let Some(owner) = state.owner_mut(i) {
            owner.creating = Some(Creating { node, sent: false });
        }
        Ok(())
    }

    /// It begins at what the generation's claim said (`Wiring::directories`).
    pub(crate) fn follower_dies(&self, state: &mut State, i: usize) {
        state.left.followers -= 1;
        if let Some(owner) = state.owner_mut(i) {
            owner.rolled = self.history.at(owner.claim).fold.rolled.map(|v| v.0);
        }
    }
}

/// The name of a staging folder.
fn folder(tag: Tag, claim: u64) -> String {
    format!("{claim}-{}", tag.attempt())
}
