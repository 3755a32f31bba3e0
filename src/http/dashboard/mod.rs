//! The board of a pipeline: its description, figures for a selection, newest rows, all rows, and a stream that tells of
//! every change.

mod amount;
mod csv;
mod describe;
mod figures;
mod hub;
mod planner;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use lakeward_actors::kit::Clock;
use lakeward_connect::mart::board::{BoardReader, Newest, Selection};
use lakeward_core::pipeline::{Dashboard, Pipeline};
use serde_json::{Value, json};

use super::{Refusal, Shown, ShownPipeline};
use hub::Hub;
use request::Asked;

/// Rows of `/rows` where nobody says how many, and at most.
const ROWS: u32 = 50;
const MOST_ROWS: u32 = 1_000;

/// What a pipeline's board is answered with.
#[derive(Clone)]
pub struct BoardSource {
    reader: Arc<BoardReader>,
    hub: Arc<Hub>,
}

impl BoardSource {
    /// Of the mart at this URL. Connects nothing yet.
    pub fn new(mart: &str) -> Self {
        Self { reader: Arc::new(BoardReader::new(mart)), hub: Arc::default() }
    }
}

type Pairs = web::Query<Vec<(String, String)>>;

/// A board with what is needed to answer for it.
#[derive(Clone)]
struct Seen {
    shown: ShownPipeline,
    source: BoardSource,
    clock: Clock,
}

impl Seen {
    fn pipeline(&self) -> &Pipeline {
        &self.shown.definition
    }

    fn board(&self) -> Result<&Dashboard, Refusal> {
        let missing = || Refusal::new(StatusCode::NOT_FOUND, "NO_DASHBOARD", "the pipeline's file has no [dashboard]");
        self.shown.definition.dashboard.as_ref().ok_or_else(missing)
    }

    fn asked(&self, pairs: &Pairs) -> Result<Asked, Refusal> {
        Asked::read(pairs, self.pipeline(), self.board()?)
    }

    fn selection(&self, asked: &Asked) -> Result<Selection, Refusal> {
        Ok(asked.selection(self.clock.wall_micros(), figures::grain(self.pipeline(), self.board()?)))
    }

    /// The figures of this moment.
    async fn figures(&self, asked: &Asked) -> Result<Value, Refusal> {
        let selection = self.selection(asked)?;
        let now = self.clock.wall_micros();
        Ok(figures::figures(self.pipeline(), self.board()?, &self.source.reader, &selection, now).await?)
    }
}

/// The board that a question names.
fn seen(shown: &Shown, pairs: &Pairs) -> Result<Seen, Refusal> {
    let name = pairs.iter().find(|(name, _)| name == "pipeline").map(|(_, value)| value.as_str());
    let found = shown.pipeline(name)?.clone();
    let no_mart = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "NO_MART", "no mart is configured: set mart.url");
    let source = found.source.clone().ok_or_else(no_mart)?;
    Ok(Seen { shown: found, source, clock: shown.clock.clone() })
}

/// What the board consists of.
pub async fn dashboard(shown: web::Data<Shown>, pairs: Pairs) -> Result<HttpResponse, Refusal> {
    let seen = seen(&shown, &pairs)?;
    Ok(HttpResponse::Ok().json(describe::describe(seen.pipeline(), seen.board()?)))
}

/// The values that filters can take, over a stretch of time.
pub async fn choices(shown: web::Data<Shown>, pairs: Pairs) -> Result<HttpResponse, Refusal> {
    let seen = seen(&shown, &pairs)?;
    let mut asked = seen.asked(&pairs)?;
    asked.chosen.clear();
    let selection = seen.selection(&asked)?;
    let answer = describe::choices(seen.pipeline(), seen.board()?, &seen.source.reader, selection).await?;
    Ok(HttpResponse::Ok().json(answer))
}

/// Tiles, charts and newest rows of a selection.
pub async fn data(shown: web::Data<Shown>, pairs: Pairs) -> Result<HttpResponse, Refusal> {
    let seen = seen(&shown, &pairs)?;
    let asked = seen.asked(&pairs)?;
    Ok(HttpResponse::Ok().json(seen.figures(&asked).await?))
}

/// The newest rows of a selection.
pub async fn rows(shown: web::Data<Shown>, pairs: Pairs) -> Result<HttpResponse, Refusal> {
    let seen = seen(&shown, &pairs)?;
    let asked = seen.asked(&pairs)?;
    let limit = asked.limit.unwrap_or(ROWS).clamp(1, MOST_ROWS);
    let columns = seen.board()?.rows.clone();
    let newest = Newest { selection: seen.selection(&asked)?, columns, limit };
    let (_, rows) = seen.source.reader.ask(seen.pipeline(), &[], Some(&newest)).await?;
    let columns = describe::columns(seen.pipeline(), &newest.columns);
    Ok(HttpResponse::Ok().json(json!({ "columns": columns, "rows": rows })))
}

/// All rows of a selection as a file.
pub async fn rows_csv(shown: web::Data<Shown>, pairs: Pairs) -> Result<HttpResponse, Refusal> {
    let seen = seen(&shown, &pairs)?;
    let asked = seen.asked(&pairs)?;
    let selection = seen.selection(&asked)?;
    csv::file(seen.pipeline(), &seen.source.reader, &selection).await
}

/// Tells of every change of a selection's figures.
pub async fn stream(shown: web::Data<Shown>, pairs: Pairs) -> Result<HttpResponse, Refusal> {
    let seen = seen(&shown, &pairs)?;
    let asked = seen.asked(&pairs)?;
    hub::listen(seen, asked)
}
