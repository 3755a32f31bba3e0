//! `/api/v1/actors`: the actors that live now.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Shown;

/// Each with its queue, credits and lag.
pub async fn actors(shown: web::Data<Shown>) -> HttpResponse {
    let now = shown.clock.steady();
    let mut all = Vec::new();
    for shown in &shown.pipelines {
        for gauge in shown.gauges.live() {
            let r = gauge.read(now);
            all.push(json!({
                "pipeline": shown.definition.name, "kind": gauge.kind, "index": gauge.index, "queue_depth": r.depth,
                "queue_peak": r.peak, "credits": r.capacity, "credits_free": r.credits_free,
                "lag_records": r.lag_records, "lag_seconds": r.lag_seconds, "messages": r.handled,
            }));
        }
    }
    HttpResponse::Ok().json(json!({ "actors": all }))
}
