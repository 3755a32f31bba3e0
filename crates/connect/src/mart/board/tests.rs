//! What a board reads is what is there, in every mart alike.
#![allow(clippy::unwrap_used)]

use lakeward_core::pipeline::Pipeline;

use super::super::bench::{Bench, MINUTE, execute, on_postgres, sqlite};
use super::*;

/// Shop, colour, buyer and cents of the rows at offsets 0, 1, …, one a minute.
const ROWS: [(Option<&str>, &str, Option<&str>, i64); 6] = [
    (Some("north"), "red", Some("ann"), 1010),
    (Some("south"), "red", Some("ann"), 2020),
    (Some("north"), "blue", Some("bob"), -505),
    (None, "o'red\"; DROP TABLE things; --", None, 1),
    (Some("north"), "blue", Some("ann"), 99_999_999),
    (Some("south"), "blue", Some("cid"), 250),
];

fn pipeline(name: &str) -> Pipeline {
    let text = format!(
        r#"
name = "{name}"
[source]
topic = "t"
[fields]
id = "string!"
shop = "string"
colour = "string!"
buyer = "string"
amount = "decimal(10,2)!"
[bronze]
[silver]
[rows]
table = "things"
[[kpi]]
name = "per_minute"
window = {{ tumbling = "1m" }}
key = ["shop"]
[kpi.measures]
things = "count(*)"
total = {{ sql = "sum(amount)", type = "decimal(18,2)" }}
[dashboard]
filters = ["shop", "colour"]
"#
    );
    Pipeline::parse(&text, "feed.toml").unwrap()
}

/// The index of a column in the rows table.
fn column(pipeline: &Pipeline, name: &str) -> usize {
    pipeline.rows.as_ref().unwrap().columns.iter().position(|(held, _)| held == name).unwrap()
}

async fn on_both(test: impl AsyncFn(&BoardReader, &Pipeline)) {
    let filled = async |bench: &Bench| {
        let pipeline = pipeline(&bench.pipeline);
        bench.mart.prepare(&pipeline, "log").await.unwrap();
        fill(bench).await;
        test(&BoardReader::new(&bench.url), &pipeline).await;
    };
    filled(&sqlite().await).await;
    on_postgres(filled).await;
}

async fn fill(bench: &Bench) {
    let postgres = bench.url.starts_with("postgres");
    let text = |value: Option<&str>| value.map_or("NULL".to_owned(), |v| format!("'{}'", v.replace('\'', "''")));
    let time =
        |micros: i64| if postgres { format!("to_timestamp({})", micros / 1_000_000) } else { micros.to_string() };
    let money = |cents: i64| if postgres { format!("{cents} / 100.0") } else { cents.to_string() };
    let raw = if postgres { "" } else { "_raw" };
    let mut sql = format!(
        "INSERT INTO lakeward_claims VALUES ('{0}', 'log', 1); INSERT INTO lakeward_row_fences VALUES ('log', 0, 0, 1, 9), ('log', 0, 1, 1, 9);",
        bench.pipeline
    );
    for (offset, (shop, colour, buyer, cents)) in ROWS.into_iter().enumerate() {
        let at = i64::try_from(offset).unwrap() * MINUTE;
        sql += &format!(
            "INSERT INTO things{raw} (id, shop, colour, buyer, amount, processing_timestamp, kafka_topic, kafka_partition, \
             kafka_offset, kafka_timestamp, kafka_incarnation) VALUES ('{offset}', {}, {}, {}, {}, {}, 't', {}, {offset}, {}, 0);",
            text(shop),
            text(Some(colour)),
            text(buyer),
            money(cents),
            time(0),
            offset % 2,
            time(at),
        );
        sql += &format!(
            "INSERT INTO per_minute{raw} (window_start, window_end, shop, things, total, revision, is_final, processing_timestamp) \
             VALUES ({}, {}, {}, 1, {}, 0, {}, {});",
            time(at),
            time(at + MINUTE),
            text(Some(shop.unwrap_or("unknown"))),
            money(cents),
            if postgres { "false" } else { "0" },
            time(0),
        );
    }
    if postgres {
        execute(&bench.url, &sql).await;
    } else {
        let file = bench.url.trim_start_matches("sqlite://");
        rusqlite::Connection::open(file).unwrap().execute_batch(&sql).unwrap();
    }
}

fn question(by: Vec<By>, parts: Vec<Part>) -> Question {
    Question { origin: Origin::Rows, selection: Selection::default(), by, parts, top: None }
}

fn said(answer: &Answer) -> Vec<String> {
    answer.iter().map(|row| row.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|")).collect()
}

#[tokio::test]
async fn figures_are_exact_and_the_same_from_rows_and_windows() {
    on_both(async |reader, pipeline| {
        let (shop, buyer, amount) = (column(pipeline, "shop"), column(pipeline, "buyer"), column(pipeline, "amount"));
        let ask = async |question: Question| said(&reader.ask(pipeline, &[question], None).await.unwrap().0[0]);
        // One who bought in two shops and three minutes is one buyer.
        let all = question(vec![], vec![Part::Distinct(buyer), Part::Count, Part::Sum(amount), Part::CountOf(buyer)]);
        assert_eq!(ask(all.clone()).await, ["3|6|1000027.75|5"]);
        let by_shop = question(vec![By::Column(shop)], vec![Part::Sum(amount), Part::Count]);
        let shops = ["north|1000005.04|3", "south|22.70|2", "unknown|0.01|1"];
        assert_eq!(ask(Question { top: Some(5), ..by_shop.clone() }).await, shops);
        assert_eq!(ask(Question { top: Some(1), ..by_shop.clone() }).await, &shops[..1]);
        let table = pipeline.kpis[0].mart.as_ref().unwrap();
        let part = |name: &str| Part::Of(table.columns.iter().position(|c| c.column.name == name).unwrap());
        let of_kpi =
            Question { origin: Origin::Kpi(0), parts: vec![part("total"), part("things")], top: Some(5), ..by_shop };
        assert_eq!(ask(of_kpi.clone()).await, shops);
        let by_time = |origin, part| Question { origin, ..question(vec![By::Span(2 * MINUTE)], vec![part]) };
        let spans = ["0|30.30", "1|-5.04", "2|1000002.49"];
        assert_eq!(ask(by_time(Origin::Rows, Part::Sum(amount))).await, spans);
        assert_eq!(ask(by_time(Origin::Kpi(0), part("total"))).await, spans);
        let bounds = |origin| Question { origin, ..question(vec![], vec![Part::First, Part::Last]) };
        assert_eq!(ask(bounds(Origin::Rows)).await, [format!("0|{}", 5 * MINUTE)]);
        assert_eq!(ask(bounds(Origin::Kpi(0))).await, [format!("0|{}", 5 * MINUTE)]);
        // Intervals go down below zero: -5.05 is in the one that begins at -10.
        let intervals = question(vec![By::Interval { column: amount, width: 10 }], vec![Part::Count]);
        assert_eq!(ask(intervals).await, ["-1|1", "0|2", "1|1", "2|1", "99999|1"]);
        let nobody = Selection { chosen: vec![(shop, vec!["nowhere".into()])], ..Selection::default() };
        assert_eq!(ask(Question { selection: nobody, ..all }).await, ["0|0|NULL|0"]);
    })
    .await;
}

#[tokio::test]
async fn a_selection_is_met_exactly_whatever_its_values_hold() {
    on_both(async |reader, pipeline| {
        let (shop, colour, id) = (column(pipeline, "shop"), column(pipeline, "colour"), column(pipeline, "id"));
        let check = async |from: Option<i64>, to: Option<i64>, chosen: &[(usize, &[&str])], expected: &[&str]| {
            let chosen =
                chosen.iter().map(|(c, labels)| (*c, labels.iter().map(|l| (*l).to_owned()).collect())).collect();
            let selection = Selection { from, to, chosen };
            let newest = Newest { selection: selection.clone(), columns: vec![id], limit: 10 };
            let (_, rows) = reader.ask(pipeline, &[], Some(&newest)).await.unwrap();
            assert_eq!(said(&rows), expected, "{selection:?}");
            let mut exported = Vec::new();
            let mut chunks = reader.export(pipeline, &selection, &[id]).await.unwrap();
            while let Some(chunk) = chunks.recv().await {
                exported.extend(said(&chunk.unwrap()));
            }
            exported.sort_by(|a, b| b.cmp(a));
            assert_eq!(exported, expected, "{selection:?}");
        };
        check(None, None, &[], &["5", "4", "3", "2", "1", "0"]).await;
        check(Some(MINUTE), Some(4 * MINUTE), &[], &["3", "2", "1"]).await;
        check(None, None, &[(shop, &["north"])], &["4", "2", "0"]).await;
        check(None, None, &[(shop, &["unknown"])], &["3"]).await;
        check(Some(MINUTE), None, &[(shop, &["north", "south"]), (colour, &["blue"])], &["5", "4", "2"]).await;
        check(None, None, &[(colour, &["o'red\"; DROP TABLE things; --"])], &["3"]).await;
        check(None, None, &[(colour, &["' OR 1 = 1 --"])], &[]).await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_writes_nothing_and_names_what_is_wrong() {
    on_both(async |reader, pipeline| {
        let mut other = pipeline.clone();
        other.rows.as_mut().unwrap().table = "nothings".into();
        let error = reader.ask(&other, &[question(vec![], vec![Part::Count])], None).await.unwrap_err();
        assert_eq!(error.code(), "MART_SCHEMA", "{error}");
        let (answers, _) = reader.ask(pipeline, &[question(vec![], vec![Part::Count])], None).await.unwrap();
        assert_eq!(said(&answers[0]), ["6"]);
        // No name can become a statement of its own: even that would be refused.
        let write = |sql: &str| Statement { sql: sql.to_owned(), params: vec![], outputs: vec![] };
        let delete = match reader.open().await.unwrap() {
            Mart::Postgres(mart) => mart.board_answers(vec![write("DELETE FROM things")]).await,
            Mart::Sqlite(mart) => mart.board_answers(vec![write("DELETE FROM things_raw")]).await,
            Mart::Twin(_) => unreachable!(),
        };
        assert!(delete.is_err());
    })
    .await;
    let nowhere = BoardReader::new("sqlite:///nowhere/at/all.db");
    let asked = nowhere.ask(&pipeline("feed"), &[], None).await;
    assert_eq!(asked.unwrap_err().code(), "MART_UNREACHABLE");
    let refusing = BoardReader::new("postgres://nobody@127.0.0.1:1/none");
    let asked = refusing.ask(&pipeline("feed"), &[question(vec![], vec![Part::Count])], None).await;
    assert_eq!(asked.unwrap_err().code(), "MART_UNREACHABLE");
}
