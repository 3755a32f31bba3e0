//! A board's API as it is served: what is described, and what is refused.

use std::sync::Arc;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use arrow::array::{ArrayRef, Decimal128Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use lakeward_actors::kit::{Board, Clock, Gauges};
use lakeward_connect::lake::Lake;
use lakeward_connect::mart::{Mart, MartContext, MartOptions, RowsBatch, RowsOutcome};
use lakeward_core::ids::Version;
use lakeward_core::pipeline::Pipeline;
use serde_json::Value;

use super::super::{API, Shown, ShownPipeline, openapi};
use super::BoardSource;
use crate::flow::Flow;

const FEED: &str = r#"
name = "feed"
[source]
topic = "t"
[fields]
id = "string!"
colour = "string"
amount = "decimal(10,2)"
[bronze]
[silver]
[rows]
table = "things"
columns = ["id", "colour", "amount"]
[dashboard]
filters = ["colour"]
[[dashboard.tile]]
title = "all"
value = "count(*)"
[[dashboard.tile]]
title = "mean"
value = "avg(amount)"
currency = "EUR"
[[dashboard.tile]]
title = "best"
top = "colour"
value = "sum(amount)"
[[dashboard.chart]]
title = "line"
kind = "line"
value = "count(*)"
[[dashboard.chart]]
title = "stacked"
kind = "stacked"
value = "sum(amount)"
by = "colour"
[[dashboard.chart]]
title = "bar"
kind = "bar"
value = "sum(amount)"
by = "colour"
[[dashboard.chart]]
title = "doughnut"
kind = "doughnut"
value = "count(*)"
by = "colour"
top = 1
[[dashboard.chart]]
title = "scatter"
kind = "scatter"
x = "amount"
y = "amount"
[[dashboard.chart]]
title = "histogram"
kind = "histogram"
column = "amount"
width = 10
"#;

async fn filled(url: &str, pipeline: &Pipeline) {
    let mart = Mart::open(url, MartOptions::default()).await.unwrap();
    mart.prepare(pipeline, "log").await.unwrap();
    let context = MartContext::new(pipeline, "log", Version(1)).unwrap();
    let _ = mart.claim(&context, Arc::new(|_, _, _| 0), &[(0, 0, 0)]).await.unwrap();
    let amounts = Decimal128Array::from(vec![Some(1_000), Some(2_050), None]).with_precision_and_scale(10, 2).unwrap();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["a", "b", "c"])),
        Arc::new(StringArray::from(vec![Some("red"), Some("blue"), None])),
        Arc::new(amounts),
        Arc::new(TimestampMicrosecondArray::from(vec![0, 0, 0]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["t", "t", "t"])),
        Arc::new(Int32Array::from(vec![0, 0, 0])),
        Arc::new(Int64Array::from(vec![0, 1, 2])),
        Arc::new(TimestampMicrosecondArray::from(vec![0, 60_000_000, 120_000_000]).with_timezone("UTC")),
        Arc::new(Int32Array::from(vec![0, 0, 0])),
    ];
    let rows = RecordBatch::try_new(pipeline.rows_schema(), arrays).unwrap();
    let batch = RowsBatch { incarnation: 0, partition: 0, base: 0, to: 3, rows };
    assert_eq!(mart.copy_rows(&context, batch).await.unwrap(), RowsOutcome::Applied);
}

/// Status and body of an address, asked of a board over that mart.
async fn ask(mart: Option<&str>, feed: &str, address: &str) -> (u16, Value) {
    let definition = Arc::new(Pipeline::parse(feed, "feed.toml").unwrap());
    let source = mart.map(BoardSource::new);
    let (board, gauges, (lake, _)) = (Board::default(), Gauges::default(), Lake::memory());
    let flow = Flow::of(definition, "t".to_owned(), board, gauges, Clock::system(), lake);
    let shown = Shown {
        metrics: metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle(),
        pipelines: vec![ShownPipeline::new(flow, source)],
        clock: Clock::system(),
        token: None,
        allowed_hosts: Vec::new(),
        config: Arc::default(),
    };
    let mut pages = App::new().app_data(web::Data::new(shown));
    for (path, route) in API {
        pages = pages.route(path, route());
    }
    let service = init_service(pages).await;
    let answer = call_service(&service, TestRequest::get().uri(address).to_request()).await;
    let status = answer.status().as_u16();
    let body = read_body(answer).await;
    (
        status,
        serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
    )
}

#[actix_web::test]
async fn answers_are_as_described() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/mart.db", folder.path().display());
    filled(&url, &Pipeline::parse(FEED, "feed.toml").unwrap()).await;
    for (path, _) in API {
        let schema = openapi::answer_of(path);
        if !path.starts_with("/api/v1/dashboard") && *path != "/api/v1/pipelines" || schema.is_null() {
            continue;
        }
        let (status, body) = ask(Some(&url), FEED, path).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert_eq!(openapi::differences(&schema, &body, path), Vec::<String>::new(), "{body:#}");
    }
    let (_, data) = ask(Some(&url), FEED, "/api/v1/dashboard/data").await;
    let tile = |i: usize| (data["tiles"][i]["value"].as_str(), data["tiles"][i]["label"].as_str());
    assert_eq!(
        [tile(0), tile(1), tile(2)],
        [(Some("3"), None), (Some("15.2500"), None), (Some("20.50"), Some("blue"))]
    );
    assert_eq!(data["charts"][3]["labels"], serde_json::json!(["blue", "other"]));
    assert_eq!(data["charts"][3]["values"], serde_json::json!(["1", "2"]));
    assert_eq!(data["newest"][0][0], "c");
    let (_, csv) = ask(Some(&url), FEED, "/api/v1/dashboard/rows.csv?colour=red&to=1970-01-01T00:01:00Z").await;
    let head = "id,colour,amount,kafka_partition,kafka_offset,kafka_timestamp,kafka_incarnation\r\n";
    assert_eq!(csv, format!("{head}a,red,10.00,0,0,1970-01-01T00:00:00.000000Z,0\r\n"));
}

#[actix_web::test]
async fn a_question_that_makes_no_sense_is_refused_with_a_word() {
    let (feed, _) = FEED.split_once("[dashboard]").unwrap();
    let check = async |mart: Option<&str>, feed: &str, query: &str, expected: (u16, &str)| {
        let (status, body) = ask(mart, feed, &format!("/api/v1/dashboard/data{query}")).await;
        assert_eq!((status, body["error"]["code"].as_str().unwrap_or_default()), expected, "{query}: {body}");
        assert_eq!(
            openapi::differences(&serde_json::json!({ "$ref": "#/components/schemas/Fault" }), &body, ""),
            Vec::<String>::new()
        );
    };
    let nowhere = Some("sqlite:///nowhere/at/all.db");
    let bad = (400, "BAD_QUESTION");
    for query in [
        "?size=1",
        "?Colour=red",
        "?from=yesterday",
        "?to=1",
        "?last=soon",
        "?last=1h&to=2024-01-01T00:00:00Z",
        "?limit=x",
    ] {
        check(nowhere, FEED, query, bad).await;
    }
    check(nowhere, FEED, "?pipeline=other", (404, "NO_PIPELINE")).await;
    check(nowhere, feed, "", (404, "NO_DASHBOARD")).await;
    check(None, FEED, "", (503, "NO_MART")).await;
    check(nowhere, FEED, "", (503, "MART_UNREACHABLE")).await;
}
