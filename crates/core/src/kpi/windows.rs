//! The state of one KpiActor: one KPI, some keys (E2, E3).
//!
//! It holds, per (window, key), the live merge of everything heard, and per open epoch the increments that will be
//! handed over. Final values are those of the epoch that closes the window: `close` proves that nothing of a later epoch
//! lies in them, and refuses otherwise. Where late rows revise closed windows (T5), a later epoch may have added to the
//! window already, so what was handed over is merged beside the live values and stays until no row can come any more.

use std::collections::{BTreeMap, BTreeSet};

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
    /// New values in windows that were closed before, of the keys that the epoch added to, sorted by (window, key). Their
    /// revision is not known here.
    pub revised: Vec<WindowRow>,
    /// Keys of which nothing is held any more.
    pub gone: Vec<Box<[u8]>>,
    /// Answers among these rows that overflowed into NULL (N1).
    pub overflows: u64,
}

/// Why the generation must stop and start again from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowsError {
    /// E3 would be broken.
    #[error("an increment of epoch {epoch} from partition {partition} lies in window {window}, which {g} has settled")]
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
    /// Microseconds after a window's end up to which it is open.
    allowed_lateness: i64,
    /// Microseconds after that up to which it may be revised.
    amend_for: i64,
    specs: Vec<AccSpec>,
    live: BTreeMap<EventTime, HashMap<Box<[u8]>, Live>>,
    changed: Vec<(EventTime, Box<[u8]>)>,
    open: BTreeMap<Epoch, HashMap<SliceId, Accs>>,
    /// What was handed over of the windows that late rows may revise; empty where none does.
    handed: BTreeMap<EventTime, HashMap<Box<[u8]>, Accs>>,
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
        let windows = Self::with_specs(kpi.window, kpi.allowed_lateness, AccSpec::of(kpi), g);
        Self { amend_for: kpi.amend_for, ..windows }
    }

    /// Takes up committed state of a window that is open or may be revised; it is not handed over again.
    pub fn restore(&mut self, increment: Increment) -> Result<(), WindowsError> {
        self.hand_over(increment.window, &increment.key, &increment.accs)?;
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

    /// Whether any window is held for the key: open, or one that may be revised.
    #[must_use]
    pub fn holds(&self, key: &[u8]) -> bool {
        let handed = || self.handed.values().any(|keys| keys.contains_key(key));
        self.live.values().any(|keys| keys.contains_key(key)) || handed()
    }

    /// Hands over `epoch`: its increments, and the final rows of the windows that `g` closes, which leave memory. `g` is
    /// the entry's, made of this epoch's barriers.
    pub fn close(&mut self, epoch: Epoch, g: EventTime) -> Result<Closed, WindowsError> {
        if let Some((open, _)) = self.open.range(..epoch).next() {
            return Err(WindowsError::OutOfOrder { closing: epoch.0, open: open.0 });
        }
        let slices = self.open.remove(&epoch).unwrap_or_default();
        self.refuse_settled(epoch, slices.keys(), self.g)?;
        for (later, slices) in &self.open {
            self.refuse_settled(*later, slices.keys(), g)?;
        }
        for ((window, key, _), accs) in &slices {
            self.hand_over(*window, key, accs)?;
        }
        let mut closed = Closed::default();
        self.revise(&slices, &mut closed);
        self.g = self.g.max(g);
        let mut increments: Vec<_> = slices
            .into_iter()
            .map(|((window, key, partition), accs)| Increment { window, key, partition, accs })
            .collect();
        increments.sort_unstable_by(|a, b| (a.window, &a.key, a.partition).cmp(&(b.window, &b.key, b.partition)));
        closed.increments = increments;
        self.take_closed(&mut closed);
        self.settle(&mut closed);
        Ok(closed)
    }

    /// Whether there is no window and no increment: then the actor may be retired.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.open.is_empty() && self.handed.is_empty()
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
        let handed = self.handed.values().flatten().map(|(key, accs)| entry(key, accs));
        live.chain(open).chain(handed).sum()
    }

    fn with_specs(window: Window, allowed_lateness: i64, specs: Vec<AccSpec>, g: EventTime) -> Self {
        let (live, changed, open, handed) = (BTreeMap::new(), Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { window, allowed_lateness, amend_for: 0, specs, live, changed, open, handed, g }
    }

    fn is_closed(&self, window: EventTime, g: EventTime) -> bool {
        is_closed(window_end(self.window, window), self.allowed_lateness, g)
    }

    fn is_settled(&self, window: EventTime, g: EventTime) -> bool {
        is_closed(window_end(self.window, window), self.allowed_lateness.saturating_add(self.amend_for), g)
    }

    /// Adds to what was handed over, where that is kept.
    fn hand_over(&mut self, window: EventTime, key: &[u8], accs: &Accs) -> Result<(), WindowsError> {
        if self.amend_for > 0 {
            let keys = self.handed.entry(window).or_default();
            keys.entry_ref(key).or_insert_with(|| Accs::new(&self.specs)).merge(accs)?;
        }
        Ok(())
    }

    /// A closed window has no live value: what is added to it shows as a revision.
    fn merge_live(&mut self, increment: &Increment) -> Result<(), WindowsError> {
        if self.amend_for > 0 && self.is_closed(increment.window, self.g) {
            return Ok(());
        }
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

    fn refuse_settled<'a>(
        &self,
        epoch: Epoch,
        slices: impl Iterator<Item = &'a SliceId>,
        g: EventTime,
    ) -> Result<(), WindowsError> {
        for (window, _, partition) in slices {
            if self.is_settled(*window, g) {
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

    /// What the epoch's increments make of windows that the epochs before have closed.
    fn revise(&self, slices: &HashMap<SliceId, Accs>, closed: &mut Closed) {
        let revised: BTreeSet<(EventTime, &[u8])> = slices
            .keys()
            .filter(|(window, _, _)| self.is_closed(*window, self.g))
            .map(|(window, key, _)| (*window, &**key))
            .collect();
        for (window, key) in revised {
            if let Some(accs) = self.handed.get(&window).and_then(|keys| keys.get(key)) {
                let (values, overflows) = accs.finish(&self.specs);
                closed.overflows += overflows;
                closed.revised.push(WindowRow { window, key: key.into(), values, revision: 0 });
            }
        }
    }

    fn take_closed(&mut self, closed: &mut Closed) {
        while let Some((&window, _)) =
            self.live.first_key_value().filter(|(window, _)| self.is_closed(**window, self.g))
        {
            let live = self.live.remove(&window).unwrap_or_default();
            let mut rows: Vec<_> = match self.handed.get(&window) {
                Some(handed) => handed.iter().map(|(key, accs)| (key.clone(), accs.finish(&self.specs))).collect(),
                None if self.amend_for > 0 => continue,
                None => live.into_iter().map(|(key, live)| (key, live.accs.finish(&self.specs))).collect(),
            };
            rows.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (key, (values, overflows)) in rows {
                closed.overflows += overflows;
                closed.finals.push(WindowRow { window, key, values, revision: 0 });
            }
            closed.windows.push(window);
        }
    }

    /// Forgets windows that no row can be in any more, and finds the keys that go with them.
    fn settle(&mut self, closed: &mut Closed) {
        let mut left: BTreeSet<Box<[u8]>> = BTreeSet::new();
        if self.amend_for == 0 {
            left.extend(closed.finals.iter().map(|row| row.key.clone()));
        }
        while let Some((&window, _)) = self.handed.first_key_value().filter(|(w, _)| self.is_settled(**w, self.g)) {
            left.extend(self.handed.remove(&window).into_iter().flat_map(HashMap::into_keys));
        }
        closed.gone = left.into_iter().filter(|key| !self.holds(key)).collect();
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

    fn amending() -> Windows {
        Windows { amend_for: 20, ..windows() }
    }

    #[test]
    fn late_rows_revise_a_closed_window_until_it_is_settled() {
        let mut windows = amending();
        windows.apply(Epoch(1), vec![count(0, 1, 0, 2), count(0, 2, 0, 1)]).unwrap();
        // Of a later epoch, while the window is open: it is no part of what the epoch before closes.
        windows.apply(Epoch(2), vec![count(0, 1, 1, 5), count(0, 3, 1, 7)]).unwrap();
        assert_eq!(windows.live().len(), 3);
        let closed = windows.close(Epoch(1), EventTime(15)).unwrap();
        assert_eq!((closed.finals, closed.revised), (vec![row(0, 1, 2), row(0, 2, 1)], vec![]));
        assert_eq!((closed.windows, closed.gone), (vec![EventTime(0)], vec![]));
        windows.apply(Epoch(2), vec![count(0, 1, 0, 1)]).unwrap();
        assert_eq!(windows.live(), [], "a closed window has no live value");
        assert_eq!((windows.open_windows(), windows.is_empty(), windows.holds(&[2])), (0, false, true));
        let closed = windows.close(Epoch(2), EventTime(15)).unwrap();
        assert_eq!((closed.finals, closed.revised), (vec![], vec![row(0, 1, 8), row(0, 3, 7)]));
        assert_eq!(closed.increments.len(), 3);
        // The last one that may come, in the epoch that settles the window.
        windows.apply(Epoch(3), vec![count(0, 1, 0, 1), count(30, 1, 0, 1)]).unwrap();
        let closed = windows.close(Epoch(3), EventTime(35)).unwrap();
        assert_eq!((closed.revised, closed.gone), (vec![row(0, 1, 9)], vec![[2].into(), [3].into()]));
        windows.apply(Epoch(4), vec![count(0, 1, 0, 1)]).unwrap();
        let settled = WindowsError::IncrementInClosedWindow { epoch: 4, partition: 0, window: 0, g: 35 };
        assert_eq!(windows.close(Epoch(4), EventTime(35)), Err(settled));
    }

    #[test]
    fn a_window_that_closes_with_rows_of_later_epochs_only_has_no_final_row_yet() {
        let mut windows = amending();
        windows.apply(Epoch(2), vec![count(0, 1, 1, 5)]).unwrap();
        let closed = windows.close(Epoch(1), EventTime(15)).unwrap();
        assert_eq!((closed.finals, closed.windows), (vec![], vec![]));
        assert_eq!(windows.close(Epoch(2), EventTime(15)).unwrap().revised, [row(0, 1, 5)]);
    }

    #[test]
    fn what_may_be_revised_is_restored() {
        let mut before = amending();
        before.apply(Epoch(1), vec![count(0, 1, 0, 2), count(20, 1, 0, 3)]).unwrap();
        let closed = before.close(Epoch(1), EventTime(15)).unwrap();
        let mut after = Windows { g: EventTime(15), ..amending() };
        closed.increments.into_iter().for_each(|increment| after.restore(increment).unwrap());
        assert_eq!(after.live(), [row(20, 1, 3)]);
        for windows in [&mut before, &mut after] {
            windows.apply(Epoch(2), vec![count(0, 1, 0, 1)]).unwrap();
            assert_eq!(windows.close(Epoch(2), EventTime(15)).unwrap().revised, [row(0, 1, 3)]);
        }
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
