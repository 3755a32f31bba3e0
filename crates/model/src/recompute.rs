//! What the log's Gold should be: recomputed record by record, under the log's floors, by one thread that knows nothing of
//! owners, epochs under way or followers (I6).

use lakeward_core::ids::EventTime;
use lakeward_core::kpi::{window_end, window_start};
use lakeward_core::watermark::{Watermark, is_late};

use crate::history::{Appended, int, t};
use crate::setup::{PARTS, Setup, Slices, add, closed_at, window};
use crate::violation::{Invariant, Violation};
use crate::written::Bar;

/// One thread, one record after the other, under the log's floors.
pub fn recompute(setup: &Setup, next: &mut Appended, bars: &[Option<Bar>; PARTS]) -> Result<(), Violation> {
    for (p, topic) in setup.topic.iter().enumerate() {
        let Some(said) = next.entry.partitions.get(&int(p)) else { continue };
        let mut watermark = Watermark::at(EventTime(next.judged.0[p]));
        for offset in said.from..said.to {
            let Some(record) = usize::try_from(offset).ok().and_then(|o| topic.get(o)) else { continue };
            let refused = bars[p].as_ref().is_some_and(|bar| bar.refused & record.bit != 0);
            if !refused {
                let start = window_start(window(setup), EventTime(record.time));
                let end = window_end(window(setup), start);
                if !is_late(end, setup.lateness, watermark.value()) {
                    add(&mut next.judged.1, (start.0, record.key), record.bit);
                }
                watermark.observe(EventTime(record.time), setup.disorder);
            }
        }
        if let Some(floor) = said.floor {
            watermark.raise_to(floor);
        }
        next.judged.0[p] = watermark.value().0;
        if watermark.value() != said.watermark {
            let what = format!(
                "p{p} is at watermark {}, its records and floors give {}",
                t(said.watermark.0),
                t(watermark.value().0)
            );
            return Violation::of(Invariant::I6, what);
        }
    }
    if !setup.kpi {
        return Ok(());
    }
    let should: Slices =
        next.judged.1.iter().filter(|((w, _), _)| closed_at(setup, *w, next.entry.g.0)).copied().collect();
    if should == next.golds {
        return Ok(());
    }
    Violation::of(Invariant::I6, format!("closed windows hold {:?}, recomputed {should:?}", next.golds))
}
