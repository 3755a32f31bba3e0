//! All that a board shows for one selection, as one JSON answer.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use lakeward_connect::mart::board::{Answer, By, Newest, Origin, Part, Selection};
use lakeward_connect::mart::{MartError, board::BoardReader};
use lakeward_core::duration::format_duration;
use lakeward_core::pipeline::{BoardMeasure, Chart, Dashboard, Figure, Kpi, Pipeline, Plot, Tile};
use lakeward_core::types::DataType;
use serde_json::{Value, json};

use super::amount::Amount;
use super::planner::{Answers, Place, Planner};

/// Newest rows in an answer.
const NEWEST: u32 = 20;
/// Most points of time in a chart; beyond that several spans are drawn as one.
const MOST_SPANS: i64 = 240;
/// Most parts of a stacked chart; the rest is one more.
const MOST_STACKED: usize = 8;
/// Most intervals of a histogram; what lies beyond is in the last one.
const MOST_INTERVALS: usize = 60;
/// What stands for the rest.
const REST: &str = "other";

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Spans that people like.
const SPANS: [i64; 14] = [
    SECOND,
    5 * SECOND,
    15 * SECOND,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    24 * HOUR,
    7 * 24 * HOUR,
    28 * 24 * HOUR,
];

/// Answers for a selection whose bounds are whole multiples of the board's grain.
pub async fn figures(
    pipeline: &Pipeline,
    board: &Dashboard,
    reader: &BoardReader,
    selection: &Selection,
    now: i64,
) -> Result<Value, MartError> {
    let extent = extent(pipeline, board, reader, selection, now).await?;
    let mut planner = Planner::new(pipeline, selection.clone());
    let tiles: Vec<TilePlan<'_>> = board.tiles.iter().map(|tile| TilePlan::new(tile, &mut planner)).collect();
    let charts: Vec<ChartPlan<'_>> =
        board.charts.iter().map(|chart| ChartPlan::new(chart, extent, &mut planner)).collect();
    let checks = Checks::new(board, &tiles, &mut planner);
    let newest = newest(board, selection);
    let (answers, rows) = reader.ask(pipeline, planner.questions(), Some(&newest)).await?;
    let answers = planner.answered(answers);
    let newest_few = usize::try_from(NEWEST).unwrap_or(0);
    let feed: Vec<Vec<_>> =
        rows.iter().take(newest_few).map(|row| row.iter().take(board.rows.len()).collect()).collect();
    Ok(json!({
        "pipeline": pipeline.name,
        "at": moment(now),
        "from": selection.from.map(moment),
        "to": selection.to.map(moment),
        "empty": rows.is_empty(),
        "tiles": tiles.iter().map(|tile| tile.answer(pipeline, &answers)).collect::<Vec<_>>(),
        "charts": charts.iter().map(|chart| chart.answer(pipeline, &answers, &rows, &newest.columns)).collect::<Vec<_>>(),
        "differences": checks.answer(&answers),
        "newest": feed,
    }))
}

/// A time as people and JavaScript read it.
pub fn moment(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros)
        .map_or_else(|| micros.to_string(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The smallest window among the board's KPIs: what selections are widened to.
pub fn grain(pipeline: &Pipeline, board: &Dashboard) -> i64 {
    let sizes = measures(board).filter_map(|measure| pipeline.kpis.get(measure.kpi?.kpi));
    sizes.map(Kpi::window_size).min().unwrap_or(1).max(1)
}

/// All measures of a board.
pub fn measures(board: &Dashboard) -> impl Iterator<Item = &BoardMeasure> {
    board.tiles.iter().map(|tile| &tile.measure).chain(board.charts.iter().filter_map(|chart| measure_of(&chart.plot)))
}

fn measure_of(plot: &Plot) -> Option<&BoardMeasure> {
    match plot {
        Plot::Line { measure, .. }
        | Plot::Stacked { measure, .. }
        | Plot::Bar { measure, .. }
        | Plot::Doughnut { measure, .. } => Some(measure),
        Plot::Scatter { .. } | Plot::Histogram { .. } => None,
    }
}

/// The rows of the feed, and of the scatter charts, which are among the newest.
fn newest(board: &Dashboard, selection: &Selection) -> Newest {
    let mut columns = board.rows.clone();
    let mut limit = NEWEST;
    for chart in &board.charts {
        if let Plot::Scatter { x, y, points } = &chart.plot {
            columns.extend([*x, *y]);
            limit = limit.max(*points);
        }
    }
    Newest { selection: selection.clone(), columns, limit }
}

/// How much time is drawn: from the first to the last window of a KPI where one knows the selection, which its key
/// finds at once. Otherwise the selection's length; of an open one the rows are looked through.
async fn extent(
    pipeline: &Pipeline,
    board: &Dashboard,
    reader: &BoardReader,
    selection: &Selection,
    now: i64,
) -> Result<i64, MartError> {
    let over_time = board.charts.iter().any(|chart| matches!(chart.plot, Plot::Line { .. } | Plot::Stacked { .. }));
    if !over_time {
        return Ok(0);
    }
    let mut planner = Planner::new(pipeline, Selection { chosen: Vec::new(), ..selection.clone() });
    let kpi = measures(board).filter_map(|measure| measure.kpi).map(|from| from.kpi).find(|kpi| {
        let mart = pipeline.kpis.get(*kpi).and_then(|kpi| kpi.mart.as_ref());
        let window = mart.and_then(|mart| mart.columns.get(mart.window_column));
        window.is_some_and(|window| window.column.ty == DataType::Timestamp) && planner.kpi_answers(*kpi, &[])
    });
    let origin = match (kpi, selection.from) {
        (Some(kpi), _) => Origin::Kpi(kpi),
        (None, Some(from)) => return Ok(selection.to.unwrap_or(now).saturating_sub(from)),
        (None, None) => Origin::Rows,
    };
    let (first, last) = (planner.part(origin, &[], Part::First), planner.part(origin, &[], Part::Last));
    let (answers, _) = reader.ask(pipeline, planner.questions(), None).await?;
    let answers = planner.answered(answers);
    let time = |place: &Place| match place.value(&answers) {
        Some(Amount::Exact { units, .. }) => i64::try_from(units).ok(),
        _ => None,
    };
    Ok(time(&first).zip(time(&last)).map_or(0, |(first, last)| last.saturating_sub(first)))
}

/// The span that is drawn as one, at least `every`: whole multiples of it, so that a KPI can answer.
fn span(every: i64, extent: i64) -> i64 {
    let fits = |span: &i64| extent / span <= MOST_SPANS;
    if fits(&every) {
        return every;
    }
    let nice = SPANS.into_iter().filter(|span| span % every == 0).find(fits);
    nice.unwrap_or_else(|| every.saturating_mul((extent / every / MOST_SPANS).max(1) + 1))
}

/// The name of a table for people.
fn origin_name(pipeline: &Pipeline, origin: Origin) -> Value {
    match origin {
        Origin::Rows => json!(pipeline.rows.as_ref().map(|rows| &rows.table)),
        Origin::Kpi(kpi) => json!(pipeline.kpis.get(kpi).and_then(|kpi| kpi.mart.as_ref()).map(|mart| &mart.table)),
    }
}

fn text(value: Option<Amount>) -> Value {
    value.map_or(Value::Null, |value| json!(value.to_string()))
}

struct TilePlan<'b> {
    tile: &'b Tile,
    place: Place,
}

impl<'b> TilePlan<'b> {
    fn new(tile: &'b Tile, planner: &mut Planner<'_>) -> Self {
        let by: Vec<By> = tile.top.map(By::Column).into_iter().collect();
        Self { tile, place: planner.figure(&tile.measure, &by) }
    }

    fn answer(&self, pipeline: &Pipeline, answers: &Answers) -> Value {
        let source = origin_name(pipeline, self.place.origin);
        if self.tile.top.is_none() {
            return json!({ "title": self.tile.title, "value": text(self.place.value(answers)), "source": source });
        }
        let first = ranked(&self.place, answers).into_iter().next();
        let (label, value) =
            first.map_or((Value::Null, Value::Null), |(label, value)| (json!(label), text(Some(value))));
        json!({ "title": self.tile.title, "label": label, "value": value, "source": source })
    }
}

/// Groups by one column, greatest first; equal ones by label.
pub fn ranked(place: &Place, answers: &Answers) -> Vec<(String, Amount)> {
    let groups =
        place.groups(answers).into_iter().filter_map(|(labels, value)| Some((labels.first()?.to_string(), value?)));
    let mut groups: Vec<_> = groups.collect();
    groups.sort_by(|(a, x), (b, y)| y.float().total_cmp(&x.float()).then_with(|| a.cmp(b)));
    groups
}

struct ChartPlan<'b> {
    chart: &'b Chart,
    /// What a point over time stands for.
    span: i64,
    place: Option<Place>,
}

impl<'b> ChartPlan<'b> {
    fn new(chart: &'b Chart, extent: i64, planner: &mut Planner<'_>) -> Self {
        let (mut width, place) = (0, None);
        let place = match &chart.plot {
            Plot::Line { measure, every } => {
                width = span(*every, extent);
                Some(planner.figure(measure, &[By::Span(width)]))
            }
            Plot::Stacked { measure, every, by } => {
                width = span(*every, extent);
                Some(planner.figure(measure, &[By::Span(width), By::Column(*by)]))
            }
            Plot::Bar { measure, by, .. } | Plot::Doughnut { measure, by, .. } => {
                Some(planner.figure(measure, &[By::Column(*by)]))
            }
            Plot::Histogram { column, width } => {
                let by = By::Interval { column: *column, width: *width };
                Some(planner.of_rows(Figure::Count, &[by]))
            }
            Plot::Scatter { .. } => place,
        };
        Self { chart, span: width, place }
    }

    fn answer(&self, pipeline: &Pipeline, answers: &Answers, rows: &Answer, columns: &[usize]) -> Value {
        let origin = self.place.as_ref().map_or(Origin::Rows, |place| place.origin);
        let mut answer = json!({ "title": self.chart.title, "source": origin_name(pipeline, origin) });
        let Some(object) = answer.as_object_mut() else { return answer };
        let data = match (&self.chart.plot, &self.place) {
            (Plot::Line { .. }, Some(place)) => self.line(place, answers),
            (Plot::Stacked { .. }, Some(place)) => self.stacked(place, answers),
            (Plot::Bar { top, .. }, Some(place)) => bars(place, answers, *top, false),
            (Plot::Doughnut { measure, top, .. }, Some(place)) => bars(place, answers, *top, adds_up(measure.figure)),
            (Plot::Histogram { width, .. }, Some(place)) => histogram(place, answers, *width),
            (Plot::Scatter { x, y, points }, _) => scatter(rows, columns, *x, *y, *points),
            (_, None) => Vec::new(),
        };
        object.extend(data.into_iter().map(|(name, value)| (name.to_owned(), value)));
        answer
    }

    fn time(&self, label: &str) -> Option<i64> {
        Some(label.parse::<i64>().ok()?.saturating_mul(self.span) / 1_000)
    }

    fn line(&self, place: &Place, answers: &Answers) -> Vec<(&'static str, Value)> {
        let points = place
            .groups(answers)
            .into_iter()
            .filter_map(|(labels, value)| Some((self.time(labels.first()?)?, text(value))));
        let (times, values): (Vec<i64>, Vec<Value>) = points.unzip();
        vec![
            ("span", json!(format_duration(self.span))),
            ("span_ms", json!(self.span / 1_000)),
            ("times", json!(times)),
            ("values", json!(values)),
        ]
    }

    fn stacked(&self, place: &Place, answers: &Answers) -> Vec<(&'static str, Value)> {
        let mut totals: BTreeMap<&str, Amount> = BTreeMap::new();
        let mut cells: BTreeMap<(i64, &str), Amount> = BTreeMap::new();
        for (labels, value) in place.groups(answers) {
            if let ([time, label], Some(value)) = (labels.as_slice(), value)
                && let Some(time) = self.time(time)
            {
                let total = totals.entry(label).or_insert(Amount::ZERO);
                *total = total.plus(value);
                cells.insert((time, label), value);
            }
        }
        let mut labels: Vec<(&str, Amount)> = totals.into_iter().collect();
        labels.sort_by(|(_, x), (_, y)| y.float().total_cmp(&x.float()));
        let kept: Vec<&str> = labels.iter().take(MOST_STACKED).map(|(label, _)| *label).collect();
        let mut times: Vec<i64> = cells.keys().map(|(time, _)| *time).collect();
        times.dedup();
        let mut series: Vec<Value> = kept
            .iter()
            .map(|label| {
                let values: Vec<Value> = times.iter().map(|time| text(cells.get(&(*time, *label)).copied())).collect();
                json!({ "label": label, "values": values })
            })
            .collect();
        if labels.len() > kept.len() {
            let rest = times.iter().map(|time| {
                let others = cells.iter().filter(|((at, label), _)| at == time && !kept.contains(label));
                text(Some(others.fold(Amount::ZERO, |sum, (_, value)| sum.plus(*value))))
            });
            series.push(json!({ "label": REST, "values": rest.collect::<Vec<_>>() }));
        }
        vec![
            ("span", json!(format_duration(self.span))),
            ("span_ms", json!(self.span / 1_000)),
            ("times", json!(times)),
            ("series", json!(series)),
        ]
    }
}

fn adds_up(figure: Figure) -> bool {
    matches!(figure, Figure::Count | Figure::CountOf(_) | Figure::Sum(_))
}

fn bars(place: &Place, answers: &Answers, top: u32, with_rest: bool) -> Vec<(&'static str, Value)> {
    let mut groups = ranked(place, answers);
    let rest = groups.split_off(usize::try_from(top).unwrap_or(usize::MAX).min(groups.len()));
    if with_rest && !rest.is_empty() {
        groups.push((REST.to_owned(), rest.iter().fold(Amount::ZERO, |sum, (_, value)| sum.plus(*value))));
    }
    let (labels, values): (Vec<String>, Vec<String>) =
        groups.into_iter().map(|(label, value)| (label, value.to_string())).unzip();
    vec![("labels", json!(labels)), ("values", json!(values))]
}

fn histogram(place: &Place, answers: &Answers, width: u32) -> Vec<(&'static str, Value)> {
    let found = place
        .groups(answers)
        .into_iter()
        .filter_map(|(labels, count)| Some((labels.first()?.parse::<i64>().ok()?, count?)));
    let counts: BTreeMap<i64, Amount> = found.collect();
    let (mut lows, mut values) = (Vec::new(), Vec::<Amount>::new());
    let mut cut = false;
    if let (Some(first), Some(last)) = (counts.keys().next().copied(), counts.keys().next_back().copied()) {
        for interval in first..=last {
            let count = counts.get(&interval).copied().unwrap_or(Amount::ZERO);
            if lows.len() < MOST_INTERVALS {
                lows.push(interval.saturating_mul(i64::from(width)));
                values.push(count);
                continue;
            }
            cut = true;
            let beyond = counts.range(interval..).fold(Amount::ZERO, |sum, (_, count)| sum.plus(*count));
            if let Some(end) = values.last_mut() {
                *end = end.plus(beyond);
            }
            break;
        }
    }
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    vec![("lows", json!(lows)), ("width", json!(width)), ("values", json!(values)), ("cut", json!(cut))]
}

fn scatter(rows: &Answer, columns: &[usize], x: usize, y: usize, points: u32) -> Vec<(&'static str, Value)> {
    // A pair of a scatter chart stands behind the feed's columns.
    let at = columns.windows(2).rposition(|pair| pair == [x, y]);
    let point = |row: &Vec<Option<String>>| {
        let at = at?;
        Some(json!([row.get(at)?.as_ref()?, row.get(at + 1)?.as_ref()?]))
    };
    let points: Vec<Value> = rows.iter().take(usize::try_from(points).unwrap_or(0)).filter_map(point).collect();
    vec![("points", json!(points))]
}

/// Figures that were read from a KPI, held against the rows: late rows and retention make them differ.
struct Checks<'b> {
    pairs: Vec<(&'b Tile, Place, Place)>,
}

impl<'b> Checks<'b> {
    /// Only where the rows are looked through anyway: for a distinct count.
    fn new(board: &'b Dashboard, tiles: &[TilePlan<'b>], planner: &mut Planner<'_>) -> Self {
        let looked_through = planner.questions().iter().any(|q| q.origin == Origin::Rows && q.by.is_empty());
        let mut pairs = Vec::new();
        if looked_through && !board.tiles.is_empty() {
            for plan in tiles {
                let figure = plan.tile.measure.figure;
                if plan.tile.top.is_none() && adds_up(figure) && plan.place.origin != Origin::Rows {
                    pairs.push((plan.tile, plan.place.clone(), planner.of_rows(figure, &[])));
                }
            }
        }
        Self { pairs }
    }

    fn answer(&self, answers: &Answers) -> Vec<Value> {
        let found = self.pairs.iter().filter_map(|(tile, kpi, rows)| {
            let kpi = kpi.value(answers).unwrap_or(Amount::ZERO);
            let rows = rows.value(answers).unwrap_or(Amount::ZERO);
            let by = rows.minus(kpi);
            if by.is_zero() {
                return None;
            }
            Some(json!({ "title": tile.title, "kpi": kpi.to_string(), "rows": rows.to_string(), "by": by.to_string() }))
        });
        found.collect()
    }
}
