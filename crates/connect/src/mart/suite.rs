//! What every mart must do: SQLite, its twin and, where there is one, Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use lakeward_core::ids::{EventTime, Version};
use lakeward_core::types::{Column, DataType};

use super::bench::*;
use super::*;

fn held(claimed: Claimed) -> (BTreeMap<Coordinates, i64>, BTreeMap<String, KpiFence>) {
    match claimed {
        Claimed::Held { next, kpis } => (next, kpis),
        Claimed::Fenced { claim } => panic!("fenced by {claim}"),
    }
}

#[tokio::test]
async fn two_processes_may_prepare_at_once_and_again() {
    on_each_mart(async |bench| {
        let (other, context) = (open(&bench.url).await, bench.under(1));
        let (a, b) = tokio::join!(bench.mart.prepare_under(&context), other.prepare_under(&context));
        a.unwrap();
        b.unwrap();
        other.prepare_under(&context).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn rows_are_in_the_mart_once_however_often_they_are_sent() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(0, 0).await;
        let send = async |batch| bench.mart.copy_rows(&context, batch).await.unwrap();
        assert_eq!(send(rows(0, 0, 3, "a")).await, RowsOutcome::Applied);
        assert_eq!(send(rows(0, 0, 3, "b")).await, RowsOutcome::At { incarnation: 0, partition: 0, next: 3 });
        assert_eq!(send(rows(0, 5, 6, "b")).await, RowsOutcome::At { incarnation: 0, partition: 0, next: 3 });
        assert_eq!(bench.rows().await, ["0|0|a", "0|1|a", "0|2|a"]);
        // A range without rows (filtered, control records) moves the fence all the same.
        let mut empty = rows(0, 3, 3, "a");
        empty.to = 9;
        assert_eq!(send(empty).await, RowsOutcome::Applied);
        assert_eq!(send(rows(0, 9, 10, "a")).await, RowsOutcome::Applied);
    })
    .await;
}

#[tokio::test]
async fn batches_of_several_partitions_are_applied_together_or_not_at_all() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        let good = [rows(0, 0, 2, "a"), rows(1, 0, 1, "a"), rows(0, 2, 3, "a")];
        assert_eq!(bench.mart.copy_many(&context, &good).await.unwrap(), RowsOutcome::Applied);
        let half = [rows(0, 3, 4, "b"), rows(1, 0, 1, "b")];
        let outcome = bench.mart.copy_many(&context, &half).await.unwrap();
        assert_eq!(outcome, RowsOutcome::At { incarnation: 0, partition: 1, next: 1 });
        assert_eq!(bench.rows().await, ["0|0|a", "0|1|a", "0|2|a", "1|0|a"]);
        let torn = [rows(0, 3, 4, "b"), rows(0, 5, 6, "b")];
        assert_eq!(bench.mart.copy_many(&context, &torn).await.unwrap_err().code(), "MART_FAILED");
    })
    .await;
}

#[tokio::test]
async fn an_older_claimant_changes_nothing() {
    on_each_mart(async |bench| {
        let (old, _) = bench.claimed(1, 0).await;
        assert_eq!(bench.mart.copy_rows(&old, rows(0, 0, 2, "old")).await.unwrap(), RowsOutcome::Applied);
        let (new, _) = bench.claimed(5, 2).await;
        let claim = Version(5);
        assert_eq!(bench.mart.copy_rows(&old, rows(0, 2, 3, "old")).await.unwrap(), RowsOutcome::Fenced { claim });
        let preview = live(0, &[(0, "red", 1)], 3);
        assert_eq!(bench.mart.upsert_live(&old, 0, preview).await.unwrap(), LiveOutcome::Fenced { claim });
        let entry = finals(0, 3, &[(0, "red", 1)], &[0]);
        assert_eq!(bench.mart.apply_final(&old, 0, entry).await.unwrap(), FinalOutcome::Fenced { claim });
        let deleted = bench.mart.delete_rows_below(&old, EventTime(DAY)).await.unwrap();
        assert_eq!(deleted, LiveOutcome::Fenced { claim });
        let again = bench.mart.claim(&old, ends(0), &[(0, 0, 0)]).await.unwrap();
        assert_eq!(again, Claimed::Fenced { claim });
        assert_eq!(bench.rows().await, ["0|0|old", "0|1|old"]);
        assert!(bench.kpi().await.is_empty());
        // Rows that the successor has already: the fence speaks, not the primary key.
        assert_eq!(bench.mart.copy_rows(&new, rows(0, 2, 3, "new")).await.unwrap(), RowsOutcome::Applied);
        assert_eq!(bench.mart.copy_rows(&old, rows(0, 2, 3, "old")).await.unwrap(), RowsOutcome::Fenced { claim });
        assert_eq!(bench.rows().await, ["0|0|old", "0|1|old", "0|2|new"]);
    })
    .await;
}

#[tokio::test]
async fn a_claim_takes_back_what_the_reign_of_the_fence_did_not_commit_and_moves_nothing_forward() {
    on_each_mart(async |bench| {
        let (first, claimed) = bench.claimed(1, 99).await;
        assert_eq!(held(claimed).0, [((0, 0), 0), ((0, 1), 0)].into());
        let shown = [rows(0, 0, 4, "a"), rows(1, 0, 2, "a")];
        assert_eq!(bench.mart.copy_many(&first, &shown).await.unwrap(), RowsOutcome::Applied);
        // Claim 1 committed up to 3 of partition 0, and more than was shown of partition 1.
        let end: ReignEnd = Arc::new(|claim, _, partition| match (claim, partition) {
            (Version(1), 0) => 3,
            _ => 50,
        });
        let second = bench.under(7);
        let claimed = bench.mart.claim(&second, end, &[(0, 0, 3), (0, 1, 50), (1, 0, 0)]).await.unwrap();
        assert_eq!(held(claimed).0, [((0, 0), 3), ((0, 1), 2), ((1, 0), 0)].into());
        assert_eq!(bench.rows().await, ["0|0|a", "0|1|a", "0|2|a", "1|0|a", "1|1|a"]);
        // Again under the same claim: what it wrote since stays.
        assert_eq!(bench.mart.copy_rows(&second, rows(0, 3, 5, "b")).await.unwrap(), RowsOutcome::Applied);
        let again = bench.mart.claim(&second, ends(0), &[(0, 0, 3)]).await.unwrap();
        assert_eq!(held(again).0, [((0, 0), 5), ((0, 1), 2), ((1, 0), 0)].into());
        assert_eq!(bench.rows().await.len(), 7);
    })
    .await;
}

#[tokio::test]
async fn final_rows_stand_and_previews_of_closed_windows_go() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        let show = async |rows: &[(i64, &str, i128)], at| {
            assert_eq!(bench.mart.upsert_live(&context, 0, live(0, rows, at)).await.unwrap(), LiveOutcome::Applied);
        };
        show(&[(0, "red", 100), (0, "ghost", 1), (MINUTE, "red", 5), (2 * MINUTE, "red", 7)], 4).await;
        show(&[(MINUTE, "red", 6)], 5).await;
        assert_eq!(bench.kpi().await, ["0|ghost|0.01|live", "0|red|1.00|live", "1|red|0.06|live", "2|red|0.07|live"]);
        let apply = async |entry| bench.mart.apply_final(&context, 0, entry).await.unwrap();
        // The entry closes minutes 0 and 1; minute 0's ghost and the whole of minute 1 have no rows in the log.
        let entry = finals(0, 9, &[(0, "red", 200), (0, "blue", 3)], &[MINUTE]);
        assert_eq!(apply(entry.clone()).await, FinalOutcome::Applied);
        let expected = ["0|blue|0.03|final", "0|red|2.00|final", "2|red|0.07|live"];
        assert_eq!(bench.kpi().await, expected);
        assert_eq!(apply(entry).await, FinalOutcome::AlreadyApplied);
        show(&[(0, "red", 1), (MINUTE, "late", 1)], 6).await;
        assert_eq!(bench.kpi().await, expected);
        // A revision: a later entry writes the final row anew, and closed_to does not go back.
        let revision = FinalRows { closed_windows: None, ..finals(0, 10, &[(0, "red", 250)], &[]) };
        assert_eq!(apply(revision).await, FinalOutcome::Applied);
        show(&[(MINUTE, "late", 1)], 7).await;
        assert_eq!(bench.kpi().await, ["0|blue|0.03|final", "0|red|2.50|final", "2|red|0.07|live"]);
        let (_, claimed) = bench.claimed(12, 0).await;
        let fence = held(claimed).1.remove("per_minute").unwrap();
        let closed_to = EventTime(2 * MINUTE);
        assert_eq!(fence, KpiFence { version: Some(Version(10)), closed_to, reflected: [(0, 7)].into() });
    })
    .await;
}

/// H5: the table may hold them already, where it was filled from the lake behind the replay.
#[tokio::test]
async fn replayed_rows_are_added_below_the_fences_unless_they_are_there() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        let copied = bench.mart.copy_rows(&context, rows(0, 0, 2, "filled")).await.unwrap();
        assert_eq!(copied, RowsOutcome::Applied);
        let add = async |above: Option<u64>, version, from, to| {
            let rows = vec![rows(0, from, to, "replayed").rows];
            let added = AddedRows { above: above.map(Version), version: Version(version), rows };
            bench.mart.add(&context, Added::Replayed, added).await.unwrap()
        };
        assert_eq!(add(None, 3, 1, 3).await, AddOutcome::Applied);
        assert_eq!(add(None, 3, 1, 9).await, AddOutcome::At { version: Some(Version(3)) }, "sent again, with more");
        assert_eq!(add(Some(3), 4, 3, 4).await, AddOutcome::Applied);
        assert_eq!(bench.rows().await, ["0|0|filled", "0|1|filled", "0|2|replayed", "0|3|replayed"]);
        // A table that was made anew holds none of them, and neither does its fence.
        let (_, claimed) = bench.claimed(7, 0).await;
        assert_eq!(held(claimed).1[REPLAYED_FENCE].version, Some(Version(4)));
        assert_eq!(add(Some(4), 8, 4, 5).await, AddOutcome::Fenced { claim: Version(7) });
        bench.drop_table("things").await;
        assert!(held(bench.claimed(7, 0).await.1).1[REPLAYED_FENCE].is_new());
    })
    .await;
}

const LATE: Added = Added::Late { kpi: 0 };

#[tokio::test]
async fn late_rows_are_added_once_behind_those_of_the_entries_before() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        let add = async |above, version, offsets| {
            bench.mart.add(&context, LATE, late(above, version, offsets)).await.unwrap()
        };
        let at = |version: Option<u64>| AddOutcome::At { version: version.map(Version) };
        assert_eq!(add(Some(2), 3, 0..9).await, at(None), "the table lacks what came before");
        assert_eq!(add(None, 3, 0..2).await, AddOutcome::Applied);
        assert_eq!(add(None, 3, 0..2).await, at(Some(3)), "sent again");
        assert_eq!(add(None, 4, 0..3).await, at(Some(3)), "with more");
        assert_eq!(add(Some(3), 5, 2..2).await, AddOutcome::Applied);
        assert_eq!(add(Some(5), 6, 2..3).await, AddOutcome::Applied);
        assert_eq!(bench.late().await, ["0|0", "0|1", "0|2"]);
        let status = bench.mart.status_for(&context).await.unwrap();
        let newest = Some(EventTime(2 * MINUTE));
        assert!(status.tables.contains(&TableStatus { name: "too_late".into(), rows: 3, newest }), "{status:?}");
        // An owner that was fenced, and a table that was made anew under the present one.
        let (next, claimed) = bench.claimed(7, 0).await;
        assert_eq!(held(claimed).1["late/per_minute"].version, Some(Version(6)));
        assert_eq!(add(Some(6), 7, 3..4).await, AddOutcome::Fenced { claim: Version(7) });
        bench.drop_table("too_late").await;
        bench.mart.prepare_under(&next).await.unwrap();
        assert!(bench.mart.add(&next, LATE, late(Some(6), 8, 3..4)).await.is_err(), "not claimed since");
        assert!(held(bench.claimed(7, 0).await.1).1["late/per_minute"].is_new());
        assert_eq!(bench.mart.add(&next, LATE, late(Some(6), 8, 3..4)).await.unwrap(), at(None));
        assert_eq!(bench.mart.add(&next, LATE, late(None, 8, 0..4)).await.unwrap(), AddOutcome::Applied);
        assert_eq!(bench.late().await, ["0|0", "0|1", "0|2", "0|3"]);
        // Rows that somebody else wrote are told, nothing is added to them.
        assert!(bench.mart.add(&next, LATE, late(Some(8), 9, 3..5)).await.is_err());
        assert_eq!(bench.late().await.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_window_column_that_is_a_date_closes_like_its_windows() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        let preview = live(1, &[(0, "red", 1), (DAY, "red", 2), (2 * DAY, "red", 3)], 1);
        assert_eq!(bench.mart.upsert_live(&context, 1, preview).await.unwrap(), LiveOutcome::Applied);
        let entry = finals(1, 2, &[(DAY, "blue", 9)], &[0, DAY]);
        assert_eq!(bench.mart.apply_final(&context, 1, entry).await.unwrap(), FinalOutcome::Applied);
        let rows = bench.query("SELECT CAST(day AS text), colour FROM per_day ORDER BY 1").await;
        assert_eq!(rows, ["1970-01-02|blue", "1970-01-03|red"]);
    })
    .await;
}

#[tokio::test]
async fn a_window_column_of_text_loses_the_named_windows_only() {
    on_each_mart(async |bench| {
        let mut plan = plan(&bench.pipeline);
        plan.kpis.truncate(1);
        let table = plan.kpis[0].as_mut().unwrap();
        table.table.columns[0] = Column::new("label", DataType::String, false);
        let columns = table.table.columns.clone();
        let context = bench.with(plan, LOG, 1);
        bench.mart.prepare_under(&context).await.unwrap();
        let _held = bench.mart.claim(&context, ends(0), &[]).await.unwrap();
        let mut arrays = values(0, &[(0, "x", 1), (MINUTE, "x", 2)]).columns().to_vec();
        arrays[0] = Arc::new(StringArray::from(vec!["z first", "a second"]));
        let window_ends = vec![EventTime(MINUTE), EventTime(2 * MINUTE)];
        let preview = LiveRows { rows: batch(&columns, arrays), window_ends, reflected: BTreeMap::new() };
        assert_eq!(bench.mart.upsert_live(&context, 0, preview).await.unwrap(), LiveOutcome::Applied);
        let closed: ArrayRef = Arc::new(StringArray::from(vec!["z first"]));
        let (closed_to, closed_windows) = (EventTime(MINUTE), Some(closed));
        let entry = FinalRows { version: Version(2), above: None, closed_to, rows: vec![], closed_windows };
        assert_eq!(bench.mart.apply_final(&context, 0, entry).await.unwrap(), FinalOutcome::Applied);
        assert_eq!(bench.query("SELECT label FROM per_minute").await, ["a second"]);
    })
    .await;
}

#[tokio::test]
async fn writing_without_a_claim_is_a_bug_that_is_told() {
    on_each_mart(async |bench| {
        let (_, _) = bench.claimed(1, 0).await;
        let unclaimed = bench.under(2);
        let rows = bench.mart.copy_rows(&unclaimed, rows(0, 0, 1, "x")).await.unwrap_err();
        let kpi = bench.mart.upsert_live(&unclaimed, 0, live(0, &[], 0)).await.unwrap_err();
        assert_eq!((rows.code(), kpi.code()), ("MART_FAILED", "MART_FAILED"));
        assert!(bench.rows().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_table_of_another_shape_is_refused_with_the_difference_and_two_ways_out() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        let mut plan = (*context.plan).clone();
        let table = &mut plan.rows.as_mut().unwrap().table;
        table.columns[0].ty = DataType::Bool;
        table.columns.push(Column::new("weight", DataType::Int32, false));
        table.key.pop();
        let error = bench.mart.prepare_under(&bench.with(plan, LOG, 1)).await.unwrap_err();
        assert_eq!(error.code(), "MART_SCHEMA");
        let text = error.to_string();
        for part in ["things", "note", "weight", "is missing", "primary key", "drop or rename", "another database"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        let mut wider = (*context.plan).clone();
        wider.rows.as_mut().unwrap().table.columns.push(Column::new(
            "extra",
            DataType::Decimal { precision: 9, scale: 3 },
            true,
        ));
        bench.mart.prepare_under(&bench.with(wider.clone(), LOG, 1)).await.unwrap();
        bench.mart.prepare_under(&bench.with(wider, LOG, 1)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn rows_of_unknown_origin_and_other_logs_are_refused() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        assert_eq!(bench.mart.copy_rows(&context, rows(0, 0, 1, "a")).await.unwrap(), RowsOutcome::Applied);
        let other = bench.of("log-b", 3);
        assert_eq!(bench.mart.prepare_under(&other).await.unwrap_err().code(), "OTHER_LOG");
        assert_eq!(bench.mart.claim(&other, ends(0), &[]).await.unwrap_err().code(), "OTHER_LOG");
        let mut plan = plan(&bench.pipeline);
        plan.pipeline = format!("{}_2", bench.pipeline);
        let stranger = bench.with(plan, "log-c", 1);
        let error = bench.mart.prepare_under(&stranger).await.unwrap_err();
        assert_eq!(error.code(), "MART_SCHEMA");
        assert!(error.to_string().contains("where they come from"), "{error}");
        bench.mart.hand_over_for(&other, &[LOG.to_owned()]).await.unwrap();
        bench.mart.prepare_under(&other).await.unwrap();
        let _held = bench.mart.claim(&other, ends(0), &[]).await.unwrap();
        assert!(bench.rows().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_mart_is_handed_over_once_and_past_owners_change_nothing_in_it() {
    on_each_mart(async |bench| {
        let (old, _) = bench.claimed(7, 0).await;
        assert_eq!(bench.mart.copy_rows(&old, rows(0, 0, 3, "old")).await.unwrap(), RowsOutcome::Applied);
        let entry = finals(0, 3, &[(0, "red", 1)], &[0]);
        assert_eq!(bench.mart.apply_final(&old, 0, entry).await.unwrap(), FinalOutcome::Applied);
        let (past, next) = ([LOG.to_owned()], bench.of("log-b", 0));
        bench.mart.hand_over_for(&next, &past).await.unwrap();
        assert!(bench.rows().await.is_empty() && bench.kpi().await.is_empty());
        // The old owner thaws: it has no fence to move, and can't claim.
        assert!(bench.mart.copy_rows(&old, rows(0, 3, 4, "old")).await.is_err());
        assert!(bench.mart.upsert_live(&old, 0, live(0, &[(60_000_000, "red", 1)], 3)).await.is_err());
        assert!(bench.mart.apply_final(&old, 0, finals(0, 4, &[(0, "red", 1)], &[0])).await.is_err());
        assert!(bench.mart.delete_rows_below(&old, EventTime(DAY)).await.is_err());
        assert_eq!(bench.mart.claim(&old, ends(0), &[(0, 0, 0)]).await.unwrap_err().code(), "OTHER_LOG");
        assert_eq!(bench.mart.prepare_under(&old).await.unwrap_err().code(), "OTHER_LOG");
        assert!(bench.rows().await.is_empty() && bench.kpi().await.is_empty());
        // The next log's owner is at work when the reset is repeated, or thaws.
        bench.mart.prepare_under(&next).await.unwrap();
        let (fences, _) = held(bench.mart.claim(&next, ends(0), &[(0, 0, 0)]).await.unwrap());
        assert_eq!(fences, [((0, 0), 0)].into());
        assert_eq!(bench.mart.copy_rows(&next, rows(0, 0, 1, "new")).await.unwrap(), RowsOutcome::Applied);
        bench.mart.hand_over_for(&next, &past).await.unwrap();
        assert_eq!(bench.rows().await, ["0|0|new"]);
        assert_eq!(bench.mart.copy_rows(&next, rows(0, 1, 2, "new")).await.unwrap(), RowsOutcome::Applied);
        // A mart that neither of them holds is not theirs.
        let stranger = bench.of("log-x", 0);
        assert_eq!(bench.mart.hand_over_for(&stranger, &past).await.unwrap_err().code(), "OTHER_LOG");
    })
    .await;
}

#[tokio::test]
async fn a_mart_that_nobody_holds_is_closed_to_past_owners_by_the_hand_over() {
    on_each_mart(async |bench| {
        bench.mart.hand_over_for(&bench.of("log-b", 0), &[LOG.to_owned()]).await.unwrap();
        assert_eq!(bench.mart.prepare_under(&bench.under(1)).await.unwrap_err().code(), "OTHER_LOG");
        bench.mart.prepare_under(&bench.of("log-b", 0)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_table_made_anew_is_claimed_as_empty_and_takes_nothing_before() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        assert_eq!(bench.mart.copy_rows(&context, rows(0, 0, 3, "a")).await.unwrap(), RowsOutcome::Applied);
        let entry = finals(0, 3, &[(0, "red", 1)], &[0]);
        assert_eq!(bench.mart.apply_final(&context, 0, entry).await.unwrap(), FinalOutcome::Applied);
        bench.drop_table("things").await;
        bench.drop_table("per_minute").await;
        bench.mart.prepare_under(&context).await.unwrap();
        let error = bench.mart.copy_rows(&context, rows(0, 3, 4, "a")).await.unwrap_err();
        assert!(error.to_string().contains("no fence"), "{error}");
        let error = bench.mart.upsert_live(&context, 0, live(0, &[(60_000_000, "red", 1)], 3)).await.unwrap_err();
        assert!(error.to_string().contains("was not claimed"), "{error}");
        let (next, kpis) = held(bench.claimed(1, 0).await.1);
        assert_eq!(next, [((0, 0), 0), ((0, 1), 0)].into());
        assert!(kpis["per_minute"].is_new() && kpis.len() == 4);
        let later = FinalRows { above: Some(Version(3)), ..finals(0, 4, &[], &[1]) };
        let error = bench.mart.apply_final(&context, 0, later).await.unwrap_err();
        assert!(error.to_string().contains("lost entries"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn retention_deletes_by_kafka_time_and_status_counts() {
    on_each_mart(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        assert_eq!(bench.mart.copy_rows(&context, rows(0, 0, 9, "a")).await.unwrap(), RowsOutcome::Applied);
        let deleted = bench.mart.delete_rows_below(&context, EventTime(6 * MINUTE)).await.unwrap();
        assert_eq!(deleted, LiveOutcome::Applied);
        assert_eq!(bench.rows().await, ["0|6|a", "0|7|a", "0|8|a"]);
        let status = bench.mart.status_for(&context).await.unwrap();
        let newest = Some(EventTime(8 * MINUTE));
        assert_eq!(status.tables[0], TableStatus { name: "things".into(), rows: 3, newest });
        let holding = bench.mart.holding_for(&context).await.unwrap();
        assert_eq!(holding.holder, Some((LOG.to_owned(), Version(1))));
        assert_eq!(holding.fences[0], (LOG.to_owned(), (0, 0), Version(1), 9));
    })
    .await;
}

/// A table with a column of each type, and rows of extremes.
fn all_types(bench: &Bench) -> (MartContext, RowsBatch) {
    let mut plan = plan(&bench.pipeline);
    plan.kpis.clear();
    let rows = plan.rows.as_mut().unwrap();
    let decimal = |precision, scale| DataType::Decimal { precision, scale };
    let added = [
        ("yes", DataType::Bool),
        ("small", DataType::Int32),
        ("large", DataType::Int64),
        ("ratio", DataType::Float64),
        ("amount", decimal(12, 2)),
        ("huge", decimal(38, 10)),
        ("whole", decimal(38, 0)),
        ("fine", decimal(38, 38)),
        ("day", DataType::Date),
        ("at", DataType::Timestamp),
        ("text", DataType::String),
    ];
    for (name, ty) in added {
        rows.sources.push(rows.table.columns.len());
        rows.table.columns.push(Column::new(name, ty, true));
    }
    const MOST: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;
    let decimals = |values: [Option<i128>; 5], precision, scale| -> ArrayRef {
        let array: Decimal128Array = values.into_iter().collect();
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
    };
    let mut batch_of = super::bench::rows(0, 0, 5, "n");
    let mut arrays = batch_of.rows.columns().to_vec();
    arrays.extend::<[ArrayRef; 11]>([
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true), Some(false)])),
        Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None, Some(0), Some(-1)])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None, Some(0), Some(-1)])),
        Arc::new(Float64Array::from(vec![Some(-1.5), Some(0.25), None, Some(0.0), Some(1e300)])),
        decimals([Some(-999_999_999_999), Some(999_999_999_999), None, Some(0), Some(-5)], 12, 2),
        decimals([Some(-MOST), Some(MOST), None, Some(10_000_000_000), Some(-1)], 38, 10),
        decimals([Some(-MOST), Some(MOST), None, Some(100_000_000), Some(-10_000)], 38, 0),
        decimals([Some(-MOST), Some(MOST), None, Some(0), Some(1)], 38, 38),
        Arc::new(Date32Array::from(vec![Some(-719_162), Some(2_932_896), None, Some(0), Some(-1)])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![
                Some(-62_135_596_800_000_000),
                Some(253_402_300_799_999_999),
                None,
                Some(0),
                Some(-1),
            ])
            .with_timezone("UTC"),
        ),
        Arc::new(StringArray::from(vec![Some("é😀\n\t\"';--"), Some(""), None, Some("a\0b"), Some("=cmd()")])),
    ]);
    batch_of.rows = batch(&rows.table.columns, arrays);
    (bench.with(plan, LOG, 1), batch_of)
}

async fn copied(bench: &Bench) {
    let (context, batch) = all_types(bench);
    bench.mart.prepare_under(&context).await.unwrap();
    let _held = bench.mart.claim(&context, ends(0), &[(0, 0, 0)]).await.unwrap();
    assert_eq!(bench.mart.copy_rows(&context, batch).await.unwrap(), RowsOutcome::Applied);
}

#[tokio::test]
async fn every_type_arrives_exactly() {
    on_each_mart(async |bench| {
        copied(bench).await;
        let sql = "SELECT small, large, CAST(amount AS text), CAST(huge AS text), CAST(whole AS text), CAST(fine AS text), \
                   CAST(day AS text), CASE WHEN yes THEN 'yes' WHEN NOT yes THEN 'no' END, CAST(ratio AS text) \
                   FROM things ORDER BY kafka_offset";
        let nines = "9".repeat(38);
        let (ten, fraction) = ("9".repeat(28), "9".repeat(10));
        let rows = bench.query(sql).await;
        let expected = [
            format!("-2147483648|-9223372036854775808|-9999999999.99|-{ten}.{fraction}|-{nines}|-0.{nines}|0001-01-01|yes|-1.5"),
            format!("2147483647|9223372036854775807|9999999999.99|{ten}.{fraction}|{nines}|0.{nines}|9999-12-31|no|0.25"),
            "NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL".to_owned(),
            format!("0|0|0.00|1.0000000000|100000000|0.{}|1970-01-01|yes|", "0".repeat(38)),
            format!("-1|-1|-0.05|-0.0000000001|-10000|0.{}1|1969-12-31|no|", "0".repeat(37)),
        ];
        for (row, expected) in rows.iter().zip(&expected) {
            assert!(row.starts_with(expected), "{row}\ninstead of\n{expected}");
        }
        assert_eq!(rows.len(), expected.len());
    })
    .await;
}

#[tokio::test]
async fn times_arrive_to_the_microsecond_and_text_untouched() {
    let sqlite = sqlite().await;
    copied(&sqlite).await;
    let rows = sqlite.query("SELECT at, replace(text, char(0), '<nul>') FROM things ORDER BY kafka_offset").await;
    let expected = [
        "0001-01-01T00:00:00.000000Z|é😀\n\t\"';--",
        "9999-12-31T23:59:59.999999Z|",
        "NULL|NULL",
        "1970-01-01T00:00:00.000000Z|a<nul>b",
        "1969-12-31T23:59:59.999999Z|=cmd()",
    ];
    assert_eq!(rows[..3], expected[..3]);
    assert_eq!(rows[4], expected[4]);
    on_postgres(async |bench| {
        copied(bench).await;
        let sql =
            "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), text FROM things ORDER BY kafka_offset";
        let expected = [
            "0001-01-01 00:00:00.000000|é😀\n\t\"';--",
            "9999-12-31 23:59:59.999999|",
            "NULL|NULL",
            "1970-01-01 00:00:00.000000|a\u{fffd}b",
            "1969-12-31 23:59:59.999999|=cmd()",
        ];
        assert_eq!(bench.query(sql).await, expected);
    })
    .await;
}

#[tokio::test]
async fn keys_that_postgres_makes_equal_are_one_row() {
    on_postgres(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        let preview = live(0, &[(0, "a\0", 1), (0, "a\u{fffd}", 1)], 1);
        assert_eq!(bench.mart.upsert_live(&context, 0, preview).await.unwrap(), LiveOutcome::Applied);
        assert_eq!(bench.kpi().await, ["0|a\u{fffd}|0.01|live"]);
    })
    .await;
}

#[tokio::test]
async fn a_claimant_ends_the_session_of_a_frozen_owner() {
    on_postgres(async |bench| {
        let (old, _) = bench.claimed(1, 0).await;
        let (mut client, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
        let ended = tokio::spawn(connection);
        let tx = client.transaction().await.unwrap();
        let name = format!("SET LOCAL application_name = '{}1'", super::postgres::claimant_prefix(&bench.pipeline));
        tx.batch_execute(&name).await.unwrap();
        tx.batch_execute("SELECT * FROM lakeward_row_fences FOR UPDATE").await.unwrap();
        tx.batch_execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let (new, claimed) = bench.claimed(2, 0).await;
        let _held = held(claimed);
        assert!(ended.await.unwrap().is_err());
        assert_eq!(bench.mart.copy_rows(&new, rows(0, 0, 1, "new")).await.unwrap(), RowsOutcome::Applied);
        let fenced = bench.mart.copy_rows(&old, rows(0, 1, 2, "old")).await.unwrap();
        assert_eq!(fenced, RowsOutcome::Fenced { claim: Version(2) });
    })
    .await;
}

#[tokio::test]
async fn looking_tables_over_again_waits_for_no_writer() {
    on_postgres(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        let (mut client, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let tx = client.transaction().await.unwrap();
        tx.batch_execute("LOCK TABLE things IN ROW EXCLUSIVE MODE").await.unwrap();
        bench.mart.prepare_under(&context).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_dropped_column_is_named_and_a_restarted_session_goes_on() {
    on_postgres(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        // The mart's sessions are known by the schema that they were opened for.
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                   AND application_name = current_schema()";
        bench.query(end).await;
        let mut tries = 0;
        let outcome = loop {
            match bench.mart.copy_rows(&context, rows(0, 0, 1, "a")).await {
                Ok(outcome) => break outcome,
                Err(error) => assert!(error.is_retryable() && tries < 5, "{error}"),
            }
            tries += 1;
        };
        assert_eq!(outcome, RowsOutcome::Applied);
        bench.query("ALTER TABLE things DROP COLUMN note").await;
        let error = bench.mart.copy_rows(&context, rows(0, 1, 2, "a")).await.unwrap_err();
        assert_eq!(error.code(), "MART_SCHEMA");
        assert!(error.to_string().contains("note"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_in_the_fence() {
    on_postgres(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        let config: tokio_postgres::Config = bench.url.parse().unwrap();
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let (proxy, swallowed) = swallows_first_commit_answer(([127, 0, 0, 1], port).into()).await;
        let mart = open(&bench.url.replacen(&format!("127.0.0.1:{port}"), &proxy.to_string(), 1)).await;
        assert_eq!(mart.copy_rows(&context, rows(0, 0, 2, "a")).await.unwrap(), RowsOutcome::Applied);
        assert!(swallowed.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(mart.copy_rows(&context, rows(0, 2, 3, "a")).await.unwrap(), RowsOutcome::Applied);
        assert_eq!(bench.rows().await, ["0|0|a", "0|1|a", "0|2|a"]);
    })
    .await;
}

#[tokio::test]
async fn a_backend_killed_at_commit_leaves_nothing_and_the_same_call_may_be_made_again() {
    on_postgres(async |bench| {
        let (context, _) = bench.claimed(1, 0).await;
        // A deferred trigger runs within COMMIT.
        let dies = "CREATE FUNCTION dies() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                    PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; \
                    CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED \
                    FOR EACH ROW EXECUTE FUNCTION dies()";
        bench.query(dies).await;
        let error = bench.mart.copy_rows(&context, rows(0, 0, 2, "a")).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        bench.query("DROP TRIGGER dies ON things").await;
        assert_eq!(bench.mart.copy_rows(&context, rows(0, 0, 2, "a")).await.unwrap(), RowsOutcome::Applied);
    })
    .await;
}

#[tokio::test]
async fn a_locked_sqlite_file_is_refused_with_the_holder() {
    let bench = sqlite().await;
    let (context, _) = bench.claimed(1, 0).await;
    let options = MartOptions { patience: std::time::Duration::from_millis(10), ..MartOptions::default() };
    let mart = Mart::open(&bench.url, options).await.unwrap();
    let holder = rusqlite::Connection::open(bench.url.strip_prefix("sqlite://").unwrap()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = mart.claim(&context, ends(0), &[]).await.unwrap_err();
    assert_eq!(error.code(), "MART_LOCKED");
    assert!(error.is_retryable());
    holder.execute_batch("ROLLBACK").unwrap();
    let _held = held(mart.claim(&context, ends(0), &[]).await.unwrap());
}

#[tokio::test]
async fn no_message_tells_the_password() {
    let check = async |url: &str, code: &str| {
        let options = MartOptions { patience: std::time::Duration::from_millis(300), ..MartOptions::default() };
        let opened = Mart::open(url, options).await;
        let error = match opened {
            Err(error) => error,
            Ok(mart) => mart
                .claim(&MartContext { plan: Arc::new(plan("p")), log_id: LOG.into(), claim: Version(1) }, ends(0), &[])
                .await
                .unwrap_err(),
        };
        assert_eq!(error.code(), code, "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    };
    // A port that was just free refuses.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    check(&format!("postgres://me:s3cret@127.0.0.1:{free}/db"), "MART_UNREACHABLE").await;
    check("postgres://me:s3cret@127.0.0.1/db?sslmode=require", "MART_CONFIG").await;
    check("postgres://me:s3cret@127.0.0.1/db?sslmode=verify-full", "MART_CONFIG").await;
    check("postgres://me:s3cret@127.0.0.1/db?nonsense=s3cret", "MART_CONFIG").await;
    check("mysql://me:s3cret@127.0.0.1/db", "MART_CONFIG").await;
    check("sqlite://", "MART_CONFIG").await;
}

/// Not a test: prints how fast rows of 24 columns arrive. Run with `--ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn copy_speed_of_a_table_of_24_columns() {
    on_each_mart(async |bench| {
        const ROWS: i64 = 8_000;
        let mut plan = plan(&bench.pipeline);
        let table = plan.rows.as_mut().unwrap();
        let n = usize::try_from(ROWS).unwrap();
        let mut added: Vec<ArrayRef> = Vec::new();
        for i in 0..19 {
            let (ty, array): (DataType, ArrayRef) = match i % 4 {
                0 => {
                    let amounts: Decimal128Array = (0..n).map(|r| Some(12_345 + r as i128)).collect();
                    let ty = DataType::Decimal { precision: 12, scale: 2 };
                    (ty, Arc::new(amounts.with_precision_and_scale(12, 2).unwrap()))
                }
                1 => (DataType::Date, Arc::new(Date32Array::from(vec![19_000; n]))),
                _ => (DataType::String, Arc::new(StringArray::from(vec!["some words"; n]))),
            };
            table.sources.push(table.table.columns.len());
            table.table.columns.push(Column::new(format!("c{i}"), ty, false));
            added.push(array);
        }
        let columns = table.table.columns.clone();
        let context = bench.with(plan, LOG, 1);
        bench.mart.prepare_under(&context).await.unwrap();
        let _held = bench.mart.claim(&context, ends(0), &[(0, 0, 0)]).await.unwrap();
        let begin = std::time::Instant::now();
        for i in 0..25 {
            let mut batch_of = super::bench::rows(0, i * ROWS, (i + 1) * ROWS, "n");
            let mut arrays = batch_of.rows.columns().to_vec();
            arrays.extend(added.iter().cloned());
            batch_of.rows = batch(&columns, arrays);
            assert_eq!(bench.mart.copy_rows(&context, batch_of).await.unwrap(), RowsOutcome::Applied);
        }
        let seconds = begin.elapsed().as_secs_f64();
        eprintln!("{}: {:.0} rows/s", bench.url, 25.0 * ROWS as f64 / seconds);
    })
    .await;
}
