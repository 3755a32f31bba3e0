//! Breadth-first exploration of everything that can happen: every state once, the shortest history of what is wrong.
//!
//! States are told apart by 64-bit hashes: among ten million of them two meet by chance once in 370 000 explorations.
//! Nothing here is random, so a run is the same each time.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::violation::Violation;

/// What can be explored.
pub trait World {
    /// All that matters for what can happen next.
    type State: Clone + Hash;
    /// One thing that happens at once.
    type Step: Display;

    /// Where everything begins.
    fn first(&self) -> Self::State;
    /// What can happen in a state, in a fixed order.
    fn steps(&self, state: &Self::State, steps: &mut Vec<Self::Step>);
    /// What comes of it.
    fn take(&self, state: &Self::State, step: &Self::Step) -> Result<Self::State, Violation>;
    /// What must hold where nothing can happen any more.
    fn at_rest(&self, state: &Self::State) -> Result<(), Violation>;
}

/// What an exploration saw.
#[derive(Debug, Default)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps taken, those to known states included.
    pub steps: usize,
    /// Steps of the longest shortest history.
    pub depth: usize,
    /// States in which nothing can happen any more.
    pub rests: usize,
    /// Whether everything within the bounds was seen.
    pub complete: bool,
    /// Whether every history ends in a state of rest: no step leads back to where one has been. Known if `complete`.
    pub ends: bool,
    /// The first thing that was wrong.
    pub found: Option<CounterExample>,
}

/// How to come to what is wrong.
#[derive(Debug)]
pub struct CounterExample {
    /// What is wrong.
    pub violation: Violation,
    /// The steps, in words.
    pub history: Vec<String>,
}

/// What is remembered of the states seen, which are numbered in the order in which they were found.
#[derive(Default)]
struct Seen {
    numbers: HashMap<u64, u32>,
    /// Per state its predecessor and which of that one's steps led here.
    origins: Vec<(u32, u32)>,
    /// All steps, from state to state.
    edges: Vec<(u32, u32)>,
}

/// Explores until something is wrong, everything was seen, or `limit` states were.
pub fn explore<W: World>(world: &W, limit: usize) -> Explored {
    let (mut seen, mut explored, mut steps) = (Seen::default(), Explored::default(), Vec::new());
    let first = world.first();
    seen.number(&first, (0, 0));
    let mut queue = VecDeque::from([(first, 0, 0)]);
    while let Some((state, number, depth)) = queue.pop_front() {
        explored.depth = explored.depth.max(depth);
        steps.clear();
        world.steps(&state, &mut steps);
        if steps.is_empty() {
            explored.rests += 1;
            if let Err(violation) = world.at_rest(&state) {
                return seen.found(world, explored, violation, number, None);
            }
        }
        for (which, step) in (0..).zip(&steps) {
            explored.steps += 1;
            match world.take(&state, step) {
                Ok(next) => {
                    let (reached, is_new) = seen.number(&next, (number, which));
                    seen.edges.push((number, reached));
                    if is_new {
                        queue.push_back((next, reached, depth + 1));
                    }
                }
                Err(violation) => return seen.found(world, explored, violation, number, Some(which)),
            }
        }
        explored.states = seen.origins.len();
        if explored.states > limit {
            return explored;
        }
    }
    (explored.complete, explored.ends) = (true, seen.ends());
    explored
}

impl Seen {
    /// The state's number, and whether it is new.
    fn number(&mut self, state: &impl Hash, origin: (u32, u32)) -> (u32, bool) {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        let next = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
        match self.numbers.entry(hasher.finish()) {
            Entry::Occupied(known) => (*known.get(), false),
            Entry::Vacant(slot) => {
                slot.insert(next);
                self.origins.push(origin);
                (next, true)
            }
        }
    }

    fn found<W: World>(
        &self,
        world: &W,
        explored: Explored,
        violation: Violation,
        at: u32,
        last: Option<u32>,
    ) -> Explored {
        let history = self.history(world, at, last);
        Explored { states: self.origins.len(), found: Some(CounterExample { violation, history }), ..explored }
    }

    /// Walks back to the beginning, then forward again to put the steps into words.
    fn history<W: World>(&self, world: &W, end: u32, last: Option<u32>) -> Vec<String> {
        let mut which: Vec<u32> = last.into_iter().collect();
        let mut at = end;
        while let Some((before, step)) = self.origins.get(at as usize).copied().filter(|_| at != 0) {
            which.push(step);
            at = before;
        }
        let (mut state, mut words, mut steps) = (world.first(), Vec::new(), Vec::new());
        for which in which.into_iter().rev() {
            steps.clear();
            world.steps(&state, &mut steps);
            let Some(step) = steps.get(which as usize) else { break };
            words.push(step.to_string());
            match world.take(&state, step) {
                Ok(next) => state = next,
                Err(_) => break,
            }
        }
        words
    }

    /// Whether no step leads back: states that nothing leads to are taken away until none is left.
    fn ends(&self) -> bool {
        let mut into = vec![0_u32; self.origins.len()];
        let mut first_edge = vec![0_usize; self.origins.len() + 1];
        for (from, to) in &self.edges {
            into[*to as usize] += 1;
            first_edge[*from as usize + 1] += 1;
        }
        for at in 1..first_edge.len() {
            first_edge[at] += first_edge[at - 1];
        }
        // Edges lie in the order of the states that they leave.
        let mut free: Vec<usize> = (0..into.len()).filter(|state| into[*state] == 0).collect();
        let mut taken = 0;
        while let Some(state) = free.pop() {
            taken += 1;
            for (_, to) in &self.edges[first_edge[state]..first_edge[state + 1]] {
                into[*to as usize] -= 1;
                if into[*to as usize] == 0 {
                    free.push(*to as usize);
                }
            }
        }
        taken == self.origins.len()
    }
}
