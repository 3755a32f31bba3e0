//! Retention of layers (H1): what the next entry takes out. Which files have served their time, the core says; here is who
//! must have passed them.

use std::collections::BTreeMap;

use lakeward_core::ids::Version;
use lakeward_core::log::{Draft, Fold, expired_files, next_g};
use lakeward_core::pipeline::{Holds, Layer, Pipeline};

use crate::kit::Board;
use crate::kpi_mart::KpiMart;
use crate::late_mart::LateMart;
use crate::row_mart;

/// Files that the entry of this draft takes out, by layer. What it takes out otherwise is not among them.
pub(super) fn expired(pipeline: &Pipeline, fold: &Fold, draft: &Draft, board: &Board) -> BTreeMap<String, Vec<String>> {
    let (g, rolled) = (next_g(fold, &draft.barriers), draft.rolled.max(fold.rolled));
    let of = |layer: &Layer| {
        let before = g.minus(layer.retention?);
        let added = draft.staged.get(&layer.name).map_or(0, |(_, files)| files.len());
        let mut files = expired_files(fold, &layer.name, before, passed(pipeline, layer, rolled, board), added);
        if let Some(removed) = draft.removed.get(&layer.name) {
            files.retain(|path| !removed.contains(path));
        }
        (!files.is_empty()).then(|| (layer.name.clone(), files))
    };
    pipeline.layers.iter().filter_map(of).collect()
}

/// The entry up to which the layer's files are in place and in the table that is filled from them, if one follows.
fn passed(pipeline: &Pipeline, layer: &Layer, rolled: Option<Version>, board: &Board) -> Option<Version> {
    let kpi = |number: usize| pipeline.kpis.get(number).map(|kpi| kpi.name.as_str());
    let follower = match layer.holds {
        Holds::Records | Holds::Rejects => None,
        Holds::Rows { .. } => Some(row_mart::NAME.to_owned()),
        Holds::FinalWindows { kpi: number } => kpi(number).map(KpiMart::follower_name),
        Holds::LateRows { kpi: number } => kpi(number).map(LateMart::follower_name),
    };
    match follower.and_then(|name| board.followers().get(&name).map(|state| state.done)) {
        Some(done) => done.min(rolled),
        None => rolled,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_waits_until_it_is_in_place_and_for_the_table_that_is_filled_from_it() {
        let text = "name = \"p\"\nsource.topic = \"t\"\nfields = { id = \"string!\" }\nbronze = {}\nsilver = {}\nrows = {}\n\
                    [[kpi]]\nname = \"k\"\nwindow = { tumbling = \"1m\" }\nmeasures = { n = \"count(*)\" }\nlate = \"table\"\n";
        let pipeline = Pipeline::parse(text, "p").unwrap();
        let (board, rolled) = (Board::default(), Some(Version(9)));
        let passed = |layer: &str| {
            let layer = pipeline.layers.iter().find(|l| l.name == layer).unwrap();
            passed(&pipeline, layer, rolled, &board)
        };
        assert_eq!((passed("bronze"), passed("silver"), passed("late/k")), (rolled, rolled, rolled), "no mart follows");
        for name in [row_mart::NAME, &KpiMart::follower_name("k"), &LateMart::follower_name("k")] {
            board.follower_started(name);
        }
        assert_eq!((passed("bronze"), passed("quarantine")), (rolled, rolled), "nothing is filled from them");
        assert_eq!((passed("silver"), passed("gold/k"), passed("late/k")), (None, None, None), "nobody knows how far");
        board.follower_done(row_mart::NAME, Version(4));
        board.follower_done(&KpiMart::follower_name("k"), Version(12));
        assert_eq!((passed("silver"), passed("gold/k"), passed("late/k")), (Some(Version(4)), rolled, None));
    }
}
