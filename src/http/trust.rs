//! `/api/v1/trust` and its stream: why the numbers can be believed.

use actix_web::HttpResponse;
use actix_web::web::{Bytes, Data, Query};

use super::flow::Which;
use super::shared::{Shared, events, json};
use super::{Refusal, Shown};
use crate::flow::Flow;
use crate::trust::{Sampled, picture};

/// What is told of one pipeline.
pub type Told = Shared<Sampled>;

/// All there is to say at this moment.
pub async fn trust(shown: Data<Shown>, which: Query<Which>) -> Result<HttpResponse, Refusal> {
    let shown = which.of(&shown)?;
    Ok(json(ask(&shown.told_trust, &shown.flow).await))
}

/// The same, as often as it changes.
pub async fn stream(shown: Data<Shown>, which: Query<Which>) -> Result<HttpResponse, Refusal> {
    let shown = which.of(&shown)?;
    let (told, flow) = (shown.told_trust.clone(), shown.flow.clone());
    Ok(events("trust", move || {
        let (told, flow) = (told.clone(), flow.clone());
        async move { ask(&told, &flow).await }
    }))
}

async fn ask(told: &Told, flow: &Flow) -> Bytes {
    told.get(&flow.clock, async |sampled| picture(flow, sampled).await).await
}
