//! The log as processes see it: looking for the head, creating entries, finding out what became of them, checkpoints.
//!
//! Imitates `LogStore` (`create`, `load`), `Owner::claim` and `Runner::own`; what an answer means is `resolve_create`'s.

use lakeward_core::ids::Version;
use lakeward_core::log::{Found, Resolution, checkpoint_above, resolve_create};

use crate::history::Node;
use crate::rule::Rule;
use crate::state::{Creating, Owner, Part, Process, Role, Sent, State};
use crate::step::{Fate, Step};
use crate::violation::{Invariant, Violation};
use crate::world::Model;
use crate::written::{Content, Tag, Written};

impl Model {
    /// A stand-by tries if nobody owns the pipeline or is about to; taking over from somebody who lives is bounded.
    pub(crate) fn may_look(&self, state: &State) -> bool {
        let claiming = state.processes.iter().any(|p| matches!(p.role, Role::Claiming(_)));
        let owned = (0..state.processes.len()).any(|i| self.owns(state, i));
        (!claiming && !owned) || state.left.take_overs > 0
    }

    pub(crate) fn look(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        let claiming = state.processes.iter().any(|p| matches!(p.role, Role::Claiming(_)));
        if claiming || (0..state.processes.len()).any(|i| self.owns(state, i)) {
            state.left.take_overs -= 1;
        }
        let head = self.read_log(state)?;
        let claim = self.history.at(head).version() + 1;
        let tag = Tag { process: tag_of(i), life: life(state, i), n: u8::MAX };
        let written = Written { parent: head, tag, claim, rolled: None, content: Content::Claim };
        let node = self.history.append(&written);
        if let Some(process) = state.processes.get_mut(i) {
            (process.has_tried, process.role) = (true, Role::Claiming(Creating { node, sent: false }));
        }
        if !self.has(Rule::O1ClaimFirst) && self.setup.rows {
            self.take_rows(state, head, claim)?;
        }
        Ok(())
    }

    /// From the newest checkpoint on, entry after entry (`LogStore::load`).
    fn read_log(&self, state: &State) -> Result<Node, Violation> {
        let checkpoint = state.checkpoints.last().filter(|_| self.has(Rule::L5Probe));
        let mut head = checkpoint.and_then(|v| self.history.ancestor(state.head, *v)).unwrap_or(0);
        while let Some(next) = object(state, self.history.at(head).version() + 1) {
            if self.history.at(next).parent != Some(head) {
                let what = format!("entry {} does not link to the one before", self.history.at(next).version());
                return Violation::of(Invariant::I1, what);
            }
            head = next;
        }
        Ok(head)
    }

    /// A generation that begins at its claim entry.
    pub(crate) fn load(&self, claim: Node) -> Owner {
        let entry = self.history.at(claim);
        let part = |(p, held): (&i32, &lakeward_core::log::PartitionFold)| {
            let part = Part {
                position: u8::try_from(held.to).unwrap_or(u8::MAX),
                watermark: held.watermark.0,
                kept: 0,
                refused: 0,
                slices: Vec::new(),
                in_hand: 0,
            };
            (usize::try_from(*p).unwrap_or(0), part)
        };
        let mut parts: [Option<Part>; crate::setup::PARTS] = Default::default();
        for (p, part) in entry.fold.partitions.iter().map(part) {
            parts[p] = Some(part);
        }
        Owner {
            claim,
            head: claim,
            open: 0,
            parts,
            epochs: Vec::new(),
            creating: None,
            rolled: entry.fold.rolled.map(|v| v.0),
            done: Default::default(),
            rows: Default::default(),
            kpi: Default::default(),
        }
    }

    /// Without O3 a generation goes on under its old claim, if that is still in force.
    pub(crate) fn die(&self, state: &mut State, i: usize) {
        let claim = state.owner(i).map(|owner| owner.claim).filter(|_| self.owns(state, i));
        state.begin_anew(i);
        if let Some(claim) = claim.filter(|_| !self.has(Rule::O3NewClaim)) {
            let mut owner = self.load(state.head);
            owner.claim = claim;
            if let Some(Process { role, .. }) = state.processes.get_mut(i) {
                *role = Role::Owner(Box::new(owner));
            }
        }
    }

    pub(crate) fn create_steps(&self, state: &State, i: usize, creating: Creating, steps: &mut Vec<Step>) {
        if !self.setup.creates {
            steps.push(Step::Create(i));
        } else if creating.sent {
            steps.push(Step::ReadBack(i));
        } else {
            steps.push(Step::Send(i, Fate::Arrives));
            if state.left.lost > 0 {
                steps.push(Step::Send(i, Fate::Lost));
            }
            if state.left.late > 0 {
                steps.push(Step::Send(i, Fate::Late));
            }
        }
    }

    /// All of it at once.
    pub(crate) fn create(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        self.send(state, i, Fate::Arrives)?;
        self.read_back(state, i)
    }

    pub(crate) fn send(&self, state: &mut State, i: usize, fate: Fate) -> Result<(), Violation> {
        let Some(creating) = creating(state, i) else { return Ok(()) };
        creating.sent = true;
        let node = creating.node;
        match fate {
            Fate::Arrives => self.create_takes_effect(state, node)?,
            Fate::Lost => state.left.lost -= 1,
            Fate::Late => {
                state.left.late -= 1;
                state.send(Sent::Create(node));
            }
        }
        if fate != Fate::Arrives && !self.has(Rule::L3ReadBack) {
            return self.committed(state, i, node);
        }
        if !self.has(Rule::L4OneAtATime)
            && let Some(next) = self.entry_after(state, i, node)?
        {
            state.send(Sent::Create(next));
        }
        Ok(())
    }

    /// The store's side: put if absent. What is created above the head is the commit; below it, where an entry was
    /// removed, it is on a stray branch.
    pub(crate) fn create_takes_effect(&self, state: &mut State, node: Node) -> Result<(), Violation> {
        let entry = self.history.at(node);
        let version = entry.version();
        if let Some(there) = object(state, version) {
            return match there == node || self.has(Rule::L1Absent) {
                true => Ok(()),
                false => Violation::of(Invariant::I2, format!("entry {version} was overwritten")),
            };
        }
        let next = self.history.at(state.head).version() + 1;
        if version > next {
            return Violation::of(Invariant::I1, format!("entry {version} was created, entry {next} is not there"));
        }
        let slot = usize::try_from(version).unwrap_or(usize::MAX);
        if version < next {
            state.objects[slot] = Some(node);
            return Ok(());
        }
        if entry.parent != Some(state.head) {
            return Violation::of(Invariant::I1, format!("entry {version} does not link to the one before"));
        }
        if let Some(wrong) = &entry.wrong {
            return Err(wrong.clone());
        }
        if entry.file.is_some_and(|tag| !state.staged.iter().any(|(staged, _)| *staged == tag)) {
            return Violation::of(Invariant::I21, format!("entry {version} names a staged file that was cleared away"));
        }
        state.objects.push(Some(node));
        state.head = node;
        Ok(())
    }

    pub(crate) fn read_back(&self, state: &mut State, i: usize) -> Result<(), Violation> {
        let Some(creating) = creating(state, i) else { return Ok(()) };
        let node = creating.node;
        let mine = Found::from(&self.history.at(node).entry);
        let version = self.history.at(node).version();
        let there = object(state, version).map(|there| Found::from(&self.history.at(there).entry));
        let above = self.has(Rule::L5Checkpoint) && self.checkpoint_above(state, version);
        let resolution = resolve_create(&mine, there.as_ref(), above);
        let claiming = matches!(state.processes.get(i).map(|p| &p.role), Some(Role::Claiming(_)));
        match resolution {
            Resolution::Committed => self.committed(state, i, node),
            Resolution::SendAgain => {
                self.send_again(state, i);
                Ok(())
            }
            // `Claimed::NotYet`: look again.
            _ if claiming => {
                if let Some(process) = state.processes.get_mut(i) {
                    process.role = Role::StandBy;
                }
                Ok(())
            }
            Resolution::StepDown { .. } if !self.has(Rule::L3StepDown) => {
                let head = state.head;
                if let Some(owner) = state.owner_mut(i) {
                    (owner.creating, owner.head) = (None, head);
                }
                Ok(())
            }
            Resolution::StepDown { .. } | Resolution::Stray => {
                state.fence(i);
                Ok(())
            }
            Resolution::Behind => {
                state.begin_anew(i);
                Ok(())
            }
            Resolution::Bug => {
                Violation::of(Invariant::OneAttempt, format!("entry {version} is another attempt under the own claim"))
            }
        }
    }

    fn send_again(&self, state: &mut State, i: usize) {
        if let Some(creating) = creating(state, i) {
            creating.sent = false;
        }
        if !self.has(Rule::L3SameBytes)
            && let Some(owner) = state.owner_mut(i)
            && let Some(epoch) = owner.epochs.first_mut()
        {
            epoch.n += 100;
            owner.creating = None;
        }
    }

    /// The process knows that its entry is in the log.
    fn committed(&self, state: &mut State, i: usize, node: Node) -> Result<(), Violation> {
        let entry = self.history.at(node);
        if self.history.ancestor(state.head, entry.version()) != Some(node) {
            let what = format!("entry {} is believed to be committed, and is not in the log", entry.version());
            return Violation::of(Invariant::I2, what);
        }
        match state.processes.get_mut(i).map(|process| &mut process.role) {
            Some(role @ Role::Claiming(_)) => *role = Role::Owner(Box::new(self.load(node))),
            Some(Role::Owner(owner)) => self.goes_on(owner, node),
            _ => {}
        }
        Ok(())
    }

    fn checkpoint_above(&self, state: &State, version: u64) -> bool {
        let next = version.next_multiple_of(self.setup.checkpoint.max(1));
        let looked_at = |checkpoint: &&u64| self.has(Rule::L5AnyAbove) || **checkpoint == next;
        let checkpoints: Vec<Version> = state.checkpoints.iter().filter(looked_at).map(|v| Version(*v)).collect();
        checkpoint_above(&checkpoints, Version(version))
    }

    /// A checkpoint is written by who has committed an epoch at a multiple (`CommitActor::housekeeping`), if it lives on.
    pub(crate) fn checkpoint_steps(&self, state: &State, owner: &Owner, i: usize, steps: &mut Vec<Step>) {
        let version = self.history.at(owner.head).version();
        let due = self.setup.checkpoint > 0 && version > 0 && version.is_multiple_of(self.setup.checkpoint);
        if due && owner.head != owner.claim && !state.checkpoints.contains(&version) {
            steps.push(Step::Checkpoint(i));
        }
    }

    pub(crate) fn checkpoint(&self, state: &mut State, i: usize) {
        if let Some(version) = state.owner(i).map(|owner| self.history.at(owner.head).version()) {
            state.checkpoints.insert(version);
        }
    }

    /// Nothing in production removes entries yet; this is how it must.
    pub(crate) fn may_retain(&self, state: &State) -> bool {
        let Some(newest) = state.checkpoints.last().copied().filter(|_| state.left.retentions > 0) else {
            return false;
        };
        let rolled = self.history.at(state.head).fold.rolled;
        let followed = !self.setup.folders || rolled.is_some_and(|rolled| rolled >= Version(newest - 1));
        followed || !self.has(Rule::F6Followers)
    }

    pub(crate) fn retain(&self, state: &mut State) {
        state.left.retentions -= 1;
        let newest = state.checkpoints.last().copied().unwrap_or(0);
        let below = usize::try_from(newest).unwrap_or(0);
        state.objects.iter_mut().take(below).for_each(|object| *object = None);
    }
}

/// The store's object at a version.
pub(crate) fn object(state: &State, version: u64) -> Option<Node> {
    usize::try_from(version).ok().and_then(|v| state.objects.get(v).copied().flatten())
}

pub(crate) fn tag_of(i: usize) -> u8 {
    u8::try_from(i).unwrap_or(u8::MAX)
}

pub(crate) fn life(state: &State, i: usize) -> u8 {
    state.processes.get(i).map_or(0, |process| process.life)
}

fn creating(state: &mut State, i: usize) -> Option<&mut Creating> {
    match state.processes.get_mut(i).map(|process| &mut process.role) {
        Some(Role::Claiming(creating)) => Some(creating),
        Some(Role::Owner(owner)) => owner.creating.as_mut(),
        _ => None,
    }
}
