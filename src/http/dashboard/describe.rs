//! What a board consists of, and what its filters can be set to.

use lakeward_connect::mart::MartError;
use lakeward_connect::mart::board::{BoardReader, By, Selection};
use lakeward_core::pipeline::{BoardMeasure, Dashboard, Figure, Pipeline, Plot};
use lakeward_core::types::DataType;
use serde_json::{Value, json};

use super::figures::{measures, ranked};
use super::planner::{Place, Planner};

/// The board without its figures: a page is laid out by it.
pub fn describe(pipeline: &Pipeline, board: &Dashboard) -> Value {
    let tiles = board.tiles.iter().map(|tile| {
        let mut described = measure(pipeline, &tile.measure);
        described["title"] = json!(tile.title);
        described["top"] = json!(tile.top.and_then(|column| name(pipeline, column)));
        described
    });
    let charts = board.charts.iter().map(|chart| {
        let mut described = match &chart.plot {
            Plot::Line { measure: m, .. } | Plot::Stacked { measure: m, .. } => measure(pipeline, m),
            Plot::Bar { measure: m, by, .. } | Plot::Doughnut { measure: m, by, .. } => {
                let mut described = measure(pipeline, m);
                described["by"] = json!(name(pipeline, *by));
                described
            }
            Plot::Scatter { x, y, .. } => json!({ "x": name(pipeline, *x), "y": name(pipeline, *y) }),
            Plot::Histogram { column, .. } => json!({ "column": name(pipeline, *column) }),
        };
        described["title"] = json!(chart.title);
        described["kind"] = json!(kind(&chart.plot));
        described
    });
    json!({
        "pipeline": pipeline.name,
        "title": board.title,
        "time": name(pipeline, board.time),
        "last": board.last.map(lakeward_core::duration::format_duration),
        "filters": board.filters.iter().filter_map(|filter| name(pipeline, *filter)).collect::<Vec<_>>(),
        "columns": columns(pipeline, &board.rows),
        "tiles": tiles.collect::<Vec<_>>(),
        "charts": charts.collect::<Vec<_>>(),
    })
}

/// Columns of the rows table with their kinds.
pub fn columns(pipeline: &Pipeline, columns: &[usize]) -> Vec<Value> {
    let described = columns.iter().filter_map(|index| {
        let (_, column) = pipeline.rows_column(*index)?;
        let kind = match column.ty {
            DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Decimal { .. } => "number",
            DataType::Timestamp => "time",
            _ => "text",
        };
        Some(json!({ "name": column.name, "type": column.ty.to_string(), "kind": kind }))
    });
    described.collect()
}

fn name(pipeline: &Pipeline, index: usize) -> Option<String> {
    pipeline.rows_column(index).map(|(_, column)| column.name)
}

fn kind(plot: &Plot) -> &'static str {
    match plot {
        Plot::Line { .. } => "line",
        Plot::Stacked { .. } => "stacked",
        Plot::Bar { .. } => "bar",
        Plot::Doughnut { .. } => "doughnut",
        Plot::Scatter { .. } => "scatter",
        Plot::Histogram { .. } => "histogram",
    }
}

/// How many digits people see, and in which currency.
fn measure(pipeline: &Pipeline, measure: &BoardMeasure) -> Value {
    let digits = match measure.figure {
        Figure::Count | Figure::CountOf(_) | Figure::Distinct(_) => 0,
        Figure::Average(_) => 2,
        Figure::Sum(column) => match pipeline.rows_column(column).map(|(_, column)| column.ty) {
            Some(DataType::Decimal { scale, .. }) => scale.min(2),
            Some(DataType::Float64) => 2,
            _ => 0,
        },
    };
    json!({ "digits": digits, "currency": measure.currency })
}

/// The labels of every filter with the rows behind them, the most frequent first.
pub async fn choices(
    pipeline: &Pipeline,
    board: &Dashboard,
    reader: &BoardReader,
    selection: Selection,
) -> Result<Value, MartError> {
    let mut planner = Planner::new(pipeline, selection);
    let count = measures(board).find(|measure| measure.figure == Figure::Count && measure.kpi.is_some()).cloned();
    let count = count.unwrap_or(BoardMeasure { figure: Figure::Count, kpi: None, currency: None });
    let places: Vec<(usize, Place)> =
        board.filters.iter().map(|filter| (*filter, planner.figure(&count, &[By::Column(*filter)]))).collect();
    let (answers, _) = reader.ask(pipeline, planner.questions(), None).await?;
    let answers = planner.answered(answers);
    let filters = places.iter().map(|(filter, place)| {
        let ranked = ranked(place, &answers).into_iter();
        let values: Vec<Value> =
            ranked.map(|(label, rows)| json!({ "label": label, "rows": rows.to_string() })).collect();
        json!({ "name": name(pipeline, *filter), "values": values })
    });
    Ok(json!({ "filters": filters.collect::<Vec<_>>() }))
}
