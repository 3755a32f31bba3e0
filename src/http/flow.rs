//! `/api/v1/flow` and its stream: how records flow through a pipeline now.

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Query};
use serde::Deserialize;

use super::shared::{Shared, events, json as answer};
use super::{Refusal, Shown, ShownPipeline};
use crate::flow::{Flow, Kpis};

/// Which pipeline; the first where none is named.
#[derive(Debug, Default, Deserialize)]
pub struct Which {
    /// Its name.
    pub pipeline: Option<String>,
}

impl Which {
    /// The pipeline.
    pub fn of<'s>(&self, shown: &'s Shown) -> Result<&'s ShownPipeline, Refusal> {
        shown.pipeline(self.pipeline.as_deref())
    }
}

/// What is told of one pipeline, with all KPI actors and with the busiest only.
#[derive(Clone, Default)]
pub struct Told {
    whole: Shared<()>,
    short: Shared<()>,
}

/// All there is to say at this moment.
pub async fn flow(shown: Data<Shown>, which: Query<Which>) -> Result<HttpResponse, Refusal> {
    let shown = which.of(&shown)?;
    Ok(answer(ask(&shown.told_flow.whole, &shown.flow, Kpis::All).await))
}

/// The same every second, with the busiest KPI actors only.
pub async fn stream(shown: Data<Shown>, which: Query<Which>) -> Result<HttpResponse, Refusal> {
    let shown = which.of(&shown)?;
    let (told, flow) = (shown.told_flow.short.clone(), shown.flow.clone());
    Ok(events("flow", move || {
        let (told, flow) = (told.clone(), flow.clone());
        async move { ask(&told, &flow, Kpis::Busiest).await }
    }))
}

async fn ask(told: &Shared<()>, flow: &Flow, kpis: Kpis) -> Bytes {
    told.get(&flow.clock, async |_| flow.picture(kpis)).await
}
