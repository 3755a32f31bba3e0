//! The state of one KpiActor: one KPI, some keys (E2, E3).
//!
//! It holds, per (window, key), the live merge of everything heard, and per open epoch the increments that will be
//! handed over. Final values are those of the epoch that closes the window: `close` proves that nothing of a later epoch
//! lies in them, and refuses otherwise.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::acc::{AccSpec, Accs, MergeError};
use super::bounds::window_end;
use super::increment::Increment;
use super::value::AccValue;
use crate::ids::{Epoch, EventTime};
use crate::pipeline::{Kpi, Window};
use crate::watermark::is_closed;

/// The value of a (window, key).
#[derive(Clone, Debug, PartialEq)]
pub struct WindowRow {
    /// Start of the window, inclusive.
    pub window: EventTime,
    /// Encoded key (N2).
    pub key: Box<[u8]>,
    /// The measures' answers.
    pub values: Vec<AccValue>,
    /// 0 until a late row revises it (T5).
    pub revision: i32,
}

/// What an epoch hands over.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Closed {
    /// The epoch's increments, sorted by (window, key, partition), each once.
    pub increments: Vec<Increment>,
    /// Final rows of the windows that the epoch closes, sorted by (window, key).
    pub finals: Vec<WindowRow>,
    /// Starts of those windows, ascending.
    pub windows: Vec<EventTime>,
    /// Answers among the finals that overflowed into NULL (N1).
    pub overflows: u64,
}

/// Why the generation must stop and start again from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowsError {
    /// E3 would be broken.
    #[error("an increment of epoch {epoch} from partition {partition} lies in window {window}, which {g} has closed")]
    IncrementInClosedWindow {
        /// The epoch it was heard in.
        epoch: u64,
        /// Its source partition.
        partition: i32,
        /// Start of the window, in microseconds.
        window: i64,
        /// G, in microseconds.
        g: i64,
    },
    /// Epochs are closed in order.
    #[error("epoch {closing} is to be closed, but epoch {open} is open")]
    OutOfOrder {
        /// The epoch to be closed.
        closing: u64,
        /// An earlier one.
        open: u64,
    },
    /// State of another definition.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

/// Open windows of one KPI.
#[derive(Debug)]
pub struct Windows {
    window: Window,
    allowed_lateness: i64,
    specs: Vec<AccSpec>,
    live: BTreeMap<EventTime, HashMap<Box<[u8]>, Live>>,
    changed: Vec<(EventTime, Box<[u8]>)>,
    open: BTreeMap<Epoch, HashMap<SliceId, Accs>>,
    g: EventTime,
}

#[derive(Debug)]
struct Live {
    accs: Accs,
    changed: bool,
}

type SliceId = (EventTime, Box<[u8]>, i32);

impl Windows {
    /// No windows; `g` is the G of the log's head.
    #[must_use]
    pub fn new(kpi: &Kpi, g: EventTime) -> Self {
        Self::with_specs(kpi.window, kpi.allowed_lateness, AccSpec::of(kpi), g)
    }

    /// Takes up committed state of an open window; it is not handed over again.
    pub fn restore(&mut self, increment: Increment) -> Result<(), WindowsError> {
        self.merge_live(&increment)
    }

    /// Adds what partitions sent; all of it belongs to `epoch`.
    pub fn apply(&mut self, epoch: Epoch, increments: Vec<Increment>) -> Result<(), WindowsError> {
        for increment in increments {
            self.merge_live(&increment)?;
            let slices = self.open.entry(epoch).or_default();
            match slices.entry((increment.window, increment.key, increment.partition)) {
                hashbrown::hash_map::Entry::Occupied(mut slice) => slice.get_mut().merge(&increment.accs)?,
                hashbrown::hash_map::Entry::Vacant(slot) => {
                    slot.insert(increment.accs);
                }
            }
        }
        Ok(())
    }

    /// The live values that changed since the last call, in no particular order.
    pub fn live(&mut self) -> Vec<WindowRow> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|(window, key)| self.changed_row(window, key)).collect()
    }

    /// Everything that is open counts as changed: whoever was told before has forgotten it.
    pub fn show_all(&mut self) {
        for (window, keys) in &mut self.live {
            for (key, live) in keys.iter_mut().filter(|(_, live)| !live.changed) {
                live.changed = true;
                self.changed.push((*window, key.clone()));
            }
        }
    }

    /// Whether any window is open for the key.
    #[must_use]
    pub fn holds(&self, key: &[u8]) -> bool {
        self.live.values().any(|keys| keys.contains_key(key))
    }

    /// Hands over `epoch`: its increments, and the final rows of the windows that `g` closes, which leave memory. `g` is
    /// the entry's, made of this epoch's barriers.
    pub fn close(&mut self, epoch: Epoch, g: EventTime) -> Result<Closed, WindowsError> {
        if let Some((open, _)) = self.open.range(..epoch).next() {
            return Err(WindowsError::OutOfOrder { closing: epoch.0, open: open.0 });
        }
        let slices = self.open.remove(&epoch).unwrap_or_default();
        self.refuse_closed(epoch, slices.keys(), self.g)?;
        for (later, slices) in &self.open {
            self.refuse_closed(*later, slices.keys(), g)?;
        }
        self.g = self.g.max(g);
        let mut increments: Vec<_> = slices
            .into_iter()
            .map(|((window, key, partition), accs)| Increment { window, key, partition, accs })
            .collect();
        increments.sort_unstable_by(|a, b| (a.window, &a.key, a.partition).cmp(&(b.window, &b.key, b.partition)));
        let mut closed = Closed { increments, ..Closed::default() };
        self.take_closed(&mut closed);
        Ok(closed)
    }

    /// Whether there is no window and no increment: then the actor may be retired.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.open.is_empty()
    }

    /// Number of open windows.
    #[must_use]
    pub fn open_windows(&self) -> usize {
        self.live.len()
    }

    /// Number of (window, key) pairs held.
    #[must_use]
    pub fn open_slices(&self) -> usize {
        self.live.values().map(HashMap::len).sum()
    }

    /// Estimated memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let entry = |key: &[u8], accs: &Accs| 48 + key.len() + accs.bytes();
        let live = self.live.values().flatten().map(|(key, live)| entry(key, &live.accs));
        let open = self.open.values().flatten().map(|((_, key, _), accs)| entry(key, accs));
        live.chain(open).sum()
    }

    fn with_specs(window: Window, allowed_lateness: i64, specs: Vec<AccSpec>, g: EventTime) -> Self {
        let (live, changed, open) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Self { window, allowed_lateness, specs, live, changed, open, g }
    }

    fn merge_live(&mut self, increment: &Increment) -> Result<(), WindowsError> {
        let keys = self.live.entry(increment.window).or_default();
        let live =
            keys.entry_ref(&*increment.key).or_insert_with(|| Live { accs: Accs::new(&self.specs), changed: false });
        live.accs.merge(&increment.accs)?;
        if !live.changed {
            live.changed = true;
            self.changed.push((increment.window, increment.key.clone()));
        }
        Ok(())
    }

    fn changed_row(&mut self, window: EventTime, key: Box<[u8]>) -> Option<WindowRow> {
        let live = self.live.get_mut(&window)?.get_mut(&key)?;
        live.changed = false;
        Some(WindowRow { window, key, values: live.accs.finish(&self.specs).0, revision: 0 })
    }

    fn refuse_closed<'a>(
        &self,
        epoch: Epoch,
        slices: impl Iterator<Item = &'a SliceId>,
        g: EventTime,
    ) -> Result<(), WindowsError> {
        for (window, _, partition) in slices {
            if is_closed(window_end(self.window, *window), self.allowed_lateness, g) {
                return Err(WindowsError::IncrementInClosedWindow {
                    epoch: epoch.0,
                    partition: *partition,
                    window: window.0,
                    g: g.0,
                });
            }
        }
        Ok(())
    }

    fn take_closed(&mut self, closed: &mut Closed) {
        while let Some(first) = self.live.first_entry() {
            let window = *first.key();
            if !is_closed(window_end(self.window, window), self.allowed_lateness, self.g) {
                break;
            }
            let mut keys: Vec<_> = first.remove().into_iter().collect();
            keys.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (key, live) in keys {
                let (values, overflows) = live.accs.finish(&self.specs);
                closed.overflows += overflows;
                closed.finals.push(WindowRow { window, key, values, revision: 0 });
            }
            closed.windows.push(window);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::acc::Acc;
    use super::super::state::{StateIncrements, decode, encode};
    use super::super::value::Value;
    use super::*;
    use crate::expr::Aggregate;
    use crate::types::DataType;

    fn windows() -> Windows {
        let spec = AccSpec { aggregate: Aggregate::Count, arg: None, ty: DataType::Int64 };
        Windows::with_specs(Window::Tumbling { size: 10 }, 5, vec![spec], EventTime::MIN)
    }

    fn count(window: i64, key: u8, partition: i32, rows: u64) -> Increment {
        let accs = [Acc::Count(rows)].into_iter().collect();
        Increment { window: EventTime(window), key: [key].into(), partition, accs }
    }

    fn row(window: i64, key: u8, value: i64) -> WindowRow {
        let values = vec![Some(Value::Int(value))];
        WindowRow { window: EventTime(window), key: [key].into(), values, revision: 0 }
    }

    #[test]
    fn live_values_are_the_merge_of_all_partitions_and_only_changes_are_told() {
        let mut windows = windows();
        windows.apply(Epoch(1), vec![count(0, 1, 0, 2), count(0, 1, 1, 3), count(10, 1, 0, 1)]).unwrap();
        assert_eq!(windows.live(), [row(0, 1, 5), row(10, 1, 1)]);
        assert_eq!(windows.live(), []);
        windows.apply(Epoch(2), vec![count(0, 1, 0, 1)]).unwrap();
        assert_eq!(windows.live(), [row(0, 1, 6)]);
        assert_eq!(windows.open_windows(), 2);
    }

    #[test]
    fn what_is_shown_again_is_everything_open_and_each_value_once() {
        let mut windows = windows();
        windows.apply(Epoch(1), vec![count(0, 1, 0, 2), count(10, 2, 0, 1)]).unwrap();
        assert_eq!(windows.live().len(), 2);
        windows.apply(Epoch(1), vec![count(10, 2, 0, 1)]).unwrap();
        windows.show_all();
        let mut shown = windows.live();
        shown.sort_by_key(|row| row.window);
        assert_eq!(shown, [row(0, 1, 2), row(10, 2, 2)]);
        assert_eq!(windows.live(), []);
    }

    #[test]
    fn a_key_is_held_until_its_last_window_closes() {
        let mut windows = windows();
        windows.apply(Epoch(1), vec![count(0, 1, 0, 2), count(10, 1, 0, 1), count(0, 2, 0, 1)]).unwrap();
        let _closed = windows.close(Epoch(1), EventTime(15)).unwrap();
        assert!(windows.holds(&[1]) && !windows.holds(&[2]));
        let _closed = windows.close(Epoch(2), EventTime(25)).unwrap();
        assert!(!windows.holds(&[1]));
    }

    #[test]
    fn an_epoch_hands_over_its_increments_and_the_windows_that_g_closes() {
        let mut windows = windows();
        let first = vec![count(10, 2, 0, 1), count(0, 1, 1, 1), count(0, 1, 0, 2), count(0, 1, 0, 2)];
        windows.apply(Epoch(1), first).unwrap();
        windows.apply(Epoch(2), vec![count(10, 2, 0, 4)]).unwrap();
        let closed = windows.close(Epoch(1), EventTime(15)).unwrap();
        assert_eq!(closed.increments, [count(0, 1, 0, 4), count(0, 1, 1, 1), count(10, 2, 0, 1)]);
        assert_eq!(closed.finals, [row(0, 1, 5)]);
        assert_eq!(closed.windows, [EventTime(0)]);
        let closed = windows.close(Epoch(2), EventTime(25)).unwrap();
        assert_eq!((closed.increments, closed.finals), (vec![count(10, 2, 0, 4)], vec![row(10, 2, 5)]));
        assert!(windows.is_empty() && windows.live().is_empty());
    }

    #[test]
    fn an_increment_in_a_closed_window_stops_the_generation() {
        let mut later = windows();
        later.apply(Epoch(2), vec![count(0, 1, 3, 1)]).unwrap();
        let error = WindowsError::IncrementInClosedWindow { epoch: 2, partition: 3, window: 0, g: 15 };
        assert_eq!(later.close(Epoch(1), EventTime(15)), Err(error));
        let mut after = windows();
        assert!(after.close(Epoch(1), EventTime(15)).is_ok());
        after.apply(Epoch(2), vec![count(0, 1, 3, 1)]).unwrap();
        assert_eq!(after.close(Epoch(2), EventTime(15)), Err(error));
    }

    #[test]
    fn epochs_close_in_order() {
        let mut windows = windows();
        windows.apply(Epoch(1), vec![count(0, 1, 0, 1)]).unwrap();
        assert_eq!(windows.close(Epoch(2), EventTime::MIN), Err(WindowsError::OutOfOrder { closing: 2, open: 1 }));
    }

    /// What all epochs together give: final rows, and what is left open.
    fn run(epochs: &[Vec<(i64, u8, i32, u64)>], restart_after: Option<usize>) -> (Vec<WindowRow>, Vec<WindowRow>) {
        let mut state = Vec::new();
        let mut finals = Vec::new();
        let mut kpi = windows();
        let mut g = 0;
        for (number, increments) in epochs.iter().enumerate() {
            let increments = increments.iter().map(|&(w, key, partition, n)| count(g + w * 10, key, partition, n));
            let epoch = Epoch(number as u64);
            kpi.apply(epoch, increments.collect()).unwrap();
            g += 20;
            let closed = kpi.close(epoch, EventTime(g)).unwrap();
            finals.extend(closed.finals);
            state.extend(closed.increments);
            state.retain(|i| !closed.windows.contains(&i.window));
            if restart_after == Some(number) {
                let object = StateIncrements { kpis: vec![("k".into(), state.clone())], dedup: Vec::new() };
                kpi = Windows { g: EventTime(g), ..windows() };
                for (_, increments) in decode(&encode(&object).unwrap()).unwrap().kpis {
                    increments.into_iter().for_each(|i| kpi.restore(i).unwrap());
                }
            }
        }
        let rest = kpi.close(Epoch(u64::MAX), EventTime(i64::MAX)).unwrap();
        (finals, rest.finals)
    }

    proptest! {
        #[test]
        fn restoring_the_state_at_any_epoch_equals_the_straight_run(
            epochs in prop::collection::vec(prop::collection::vec((0..6_i64, 0..3_u8, 0..3_i32, 1..9_u64), 0..12), 1..6),
            restart in 0..6_usize,
        ) {
            prop_assert_eq!(run(&epochs, Some(restart)), run(&epochs, None));
        }
    }
}
