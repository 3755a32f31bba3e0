//! The world: where it begins, what can happen, and who carries each step out.

use lakeward_core::pipeline::Kpi;

use crate::commit::kpi;
use crate::explorer::World;
use crate::history::{History, Node};
use crate::rule::Rule;
use crate::setup::{Grain, Setup};
use crate::state::{KpiTable, Process, Role, RowTable, Sent, State};
use crate::step::Step;
use crate::violation::Violation;

/// A configuration, with all rules or without one.
pub struct Model {
    pub(crate) setup: Setup,
    pub(crate) history: History,
    pub(crate) kpi: Option<Kpi>,
    without: Option<Rule>,
}

impl Model {
    /// The configuration under all rules.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let (history, kpi) = (History::new(&setup), kpi(&setup, setup.lateness));
        Self { setup, history, kpi, without: None }
    }

    /// The configuration with a rule left out.
    #[must_use]
    pub fn without(setup: Setup, rule: Rule) -> Self {
        let mut model = Self::new(setup);
        if rule == Rule::E3Lateness {
            model.kpi = kpi(&model.setup, 0);
        }
        model.without = Some(rule);
        model
    }

    pub(crate) fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether process `i` owns the pipeline, as the log says.
    pub(crate) fn owns(&self, state: &State, i: usize) -> bool {
        state.owner(i).is_some_and(|owner| self.claim_of(owner.claim) == self.history.at(state.head).fold.claim.0)
    }

    pub(crate) fn claim_of(&self, claim: Node) -> u64 {
        self.history.at(claim).version()
    }

    fn land(&self, state: &mut State, number: usize) -> Result<(), Violation> {
        if number >= state.under_way.len() {
            return Ok(());
        }
        match state.under_way.remove(number) {
            Sent::Create(node) => self.create_takes_effect(state, node),
            Sent::Rename(tag) => {
                self.rename_takes_effect(state, tag);
                Ok(())
            }
            Sent::Copy(copy) => self.copy_takes_effect(state, copy, false),
            Sent::Live(live) => self.live_takes_effect(state, &live, true),
        }
    }

    fn process_steps(&self, state: &State, i: usize, steps: &mut Vec<Step>) {
        match state.processes.get(i).map(|process| &process.role) {
            Some(Role::StandBy) => {
                if self.may_look(state) && is_first_of_its_kind(state, i) {
                    steps.push(Step::Look(i));
                }
            }
            Some(Role::Claiming(creating)) => {
                self.create_steps(state, i, *creating, steps);
                self.die_steps(state, i, steps);
            }
            Some(Role::Owner(owner)) => {
                match owner.creating {
                    Some(creating) => self.create_steps(state, i, creating, steps),
                    None => self.build_steps(owner, i, steps),
                }
                self.partition_steps(state, owner, i, steps);
                self.checkpoint_steps(state, owner, i, steps);
                if self.setup.rows {
                    self.row_steps(state, owner, i, steps);
                }
                if self.setup.live {
                    self.kpi_steps(state, owner, i, steps);
                }
                if self.setup.folders {
                    self.folder_steps(state, owner, i, steps);
                }
                self.die_steps(state, i, steps);
            }
            Some(Role::Fenced) | None => {}
        }
    }

    fn die_steps(&self, state: &State, i: usize, steps: &mut Vec<Step>) {
        if state.left.deaths > 0 {
            steps.push(Step::Die(i));
        }
    }

    fn do_step(&self, next: &mut State, step: Step) -> Result<(), Violation> {
        match step {
            Step::Produce(p) => {
                next.produced[p] += 1;
                Ok(())
            }
            Step::Land(number) => self.land(next, number),
            Step::Die(i) => {
                next.left.deaths -= 1;
                self.die(next, i);
                Ok(())
            }
            Step::Look(i) => self.look(next, i),
            Step::Send(i, fate) => self.send(next, i, fate),
            Step::ReadBack(i) => self.read_back(next, i),
            Step::Create(i) => self.create(next, i),
            Step::Read { process, partition, refuse } => {
                self.read(next, process, partition, refuse);
                Ok(())
            }
            Step::Cut { process, idle } => {
                self.cut(next, process, idle);
                if self.setup.grain == Grain::Epochs {
                    self.barriers(next, process);
                    self.build(next, process)?;
                }
                Ok(())
            }
            Step::Barrier(i, p) => {
                self.barrier(next, i, p);
                Ok(())
            }
            Step::Work(i, p) => {
                self.work(next, i, p);
                Ok(())
            }
            Step::Build(i) => self.build(next, i),
            Step::Checkpoint(i) => {
                self.checkpoint(next, i);
                Ok(())
            }
            Step::Retain => {
                self.retain(next);
                Ok(())
            }
            Step::ClaimRows(i) => self.claim_rows(next, i),
            Step::Copy { process, partition, fate } => self.copy(next, process, partition, fate),
            Step::ClaimKpi(i) => self.claim_kpi(next, i),
            Step::Finals(i) => self.finals(next, i),
            Step::Tell(i) => self.tell(next, i),
            Step::Live(i, fate) => self.live(next, i, fate),
            Step::Roll(i, fate) => self.roll(next, i, fate),
            Step::Sweep(i) => self.sweep(next, i),
            Step::Compact(i) => self.compact(next, i),
            Step::FollowerDies(i) => {
                self.follower_dies(next, i);
                Ok(())
            }
        }
    }
}

impl World for Model {
    type State = State;
    type Step = Step;

    /// Process 0 owns the pipeline by the claim at version 0, the others stand by.
    fn first(&self) -> State {
        let mut state = State {
            produced: self.setup.ready,
            objects: vec![Some(0)],
            head: 0,
            checkpoints: Default::default(),
            under_way: Vec::new(),
            staged: Default::default(),
            visible: Default::default(),
            rows: RowTable::default(),
            kpi: KpiTable {
                claim: None,
                version: None,
                closed_to: i64::MIN,
                reflected: [0; 3],
                live: Vec::new(),
                finals: Vec::new(),
            },
            processes: vec![
                Process { life: 0, has_tried: false, role: Role::StandBy };
                usize::from(self.setup.processes)
            ],
            left: self.setup.faults,
        };
        if let Some(first) = state.processes.first_mut() {
            (first.has_tried, first.role) = (true, Role::Owner(Box::new(self.load(0))));
        }
        state
    }

    fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        for (p, topic) in self.setup.topic.iter().enumerate() {
            if usize::from(state.produced[p]) < topic.len() {
                steps.push(Step::Produce(p));
            }
        }
        steps.extend((0..state.under_way.len()).map(Step::Land));
        if self.may_retain(state) {
            steps.push(Step::Retain);
        }
        for i in 0..state.processes.len() {
            self.process_steps(state, i, steps);
        }
    }

    fn take(&self, state: &State, step: &Step) -> Result<State, Violation> {
        let mut next = state.clone();
        self.do_step(&mut next, *step)?;
        Ok(next)
    }

    fn at_rest(&self, state: &State) -> Result<(), Violation> {
        self.rest(state)
    }
}

/// Processes that have not tried yet are alike: which of them tries first doesn't matter.
fn is_first_of_its_kind(state: &State, i: usize) -> bool {
    let untried = |process: &Process| !process.has_tried;
    !state.processes.get(i).is_some_and(untried) || !state.processes.iter().take(i).any(untried)
}
