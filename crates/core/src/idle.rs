//! Whether a partition is idle (T2), and whether it must wait for slower ones (T7).

use crate::ids::EventTime;

/// How many equal answers make a partition idle; they are asked every `idle_after / 4`.
const ANSWERS: u32 = 4;

/// The answers to "where does the partition end?" since something last contradicted idleness.
#[derive(Clone, Debug, Default)]
pub struct IdleJudge {
    equal: u32,
    position: Option<i64>,
}

impl IdleJudge {
    /// Takes one answer up: `end` is the partition's end offset of the isolation level, `None` if the question failed;
    /// `position` the next offset to fetch; `paused` whether the partition is out of credit.
    pub fn observe(&mut self, end: Option<i64>, position: i64, paused: bool) {
        let quiet = !paused && end == Some(position);
        let still = self.position.is_none_or(|before| before == position);
        self.equal = match (quiet, still) {
            (true, true) => (self.equal + 1).min(ANSWERS),
            (true, false) => 1,
            (false, _) => 0,
        };
        self.position = quiet.then_some(position);
    }

    /// Whether the position equalled each of the last four answers, and still is what it was.
    #[must_use]
    pub fn is_idle(&self, position: i64) -> bool {
        self.equal >= ANSWERS && self.position == Some(position)
    }
}

/// One partition's progress, for `must_wait`.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Its watermark.
    pub watermark: EventTime,
    /// Whether records wait in Kafka.
    pub lagging: bool,
    /// Whether its watermark has moved within `idle_after`.
    pub moving: bool,
}

/// Whether a partition with watermark `own` must pause (T7): it is `max_drift` microseconds ahead of the slowest one
/// that has lag and moves.
#[must_use]
pub fn must_wait(own: EventTime, others: impl IntoIterator<Item = Progress>, max_drift: i64) -> bool {
    let slowest = others.into_iter().filter(|p| p.lagging && p.moving).map(|p| p.watermark).min();
    slowest.is_some_and(|slow| slow > EventTime::MIN && own >= slow.plus(max_drift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_equal_answers_make_a_partition_idle_and_one_failure_starts_anew() {
        let mut judge = IdleJudge::default();
        for _ in 0..3 {
            judge.observe(Some(7), 7, false);
        }
        assert!(!judge.is_idle(7));
        judge.observe(None, 7, false);
        for _ in 0..3 {
            judge.observe(Some(7), 7, false);
        }
        assert!(!judge.is_idle(7));
        judge.observe(Some(7), 7, false);
        assert!(judge.is_idle(7) && !judge.is_idle(8));
    }

    #[test]
    fn a_paused_partition_or_one_that_moved_is_not_idle() {
        let mut judge = IdleJudge::default();
        for position in [7, 7, 7, 8] {
            judge.observe(Some(position), position, false);
        }
        assert!(!judge.is_idle(8));
        for _ in 0..4 {
            judge.observe(Some(8), 8, true);
        }
        assert!(!judge.is_idle(8));
    }

    #[test]
    fn only_lagging_and_moving_partitions_hold_others_back() {
        let at = |w, lagging, moving| Progress { watermark: EventTime(w), lagging, moving };
        assert!(must_wait(EventTime(110), [at(10, true, true), at(105, true, true)], 100));
        assert!(!must_wait(EventTime(109), [at(10, true, true)], 100));
        assert!(!must_wait(EventTime(500), [at(10, false, true), at(10, true, false)], 100));
    }
}
