//! What Prometheus and an orchestrator ask: metrics, whether the process lives, whether it is ready.

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use super::Shown;

/// The metrics.
pub async fn metrics(shown: web::Data<Shown>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(shown.metrics.render())
}

/// The process lives.
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// The process does what it is there for: it owns its pipelines, or stands by (O2).
pub async fn readyz(shown: web::Data<Shown>) -> HttpResponse {
    let roles: Map<String, Value> = shown
        .pipelines
        .iter()
        .map(|shown| (shown.definition.name.clone(), json!(if shown.board.is_owner() { "owner" } else { "standby" })))
        .collect();
    // A follower that can't go on is named; the lake goes on without it, so the process is ready all the same (O3).
    let troubled: Map<String, Value> = shown
        .pipelines
        .iter()
        .flat_map(|shown| {
            let named = shown.board.followers().iter().filter_map(|follower| {
                let trouble = follower.trouble.clone()?;
                Some((format!("{}/{}", shown.definition.name, follower.key()), json!(trouble)))
            });
            named.collect::<Vec<_>>()
        })
        .collect();
    let role = if roles.values().any(|r| r == "owner") { "owner" } else { "standby" };
    HttpResponse::Ok().json(json!({ "status": "ready", "role": role, "pipelines": roles, "troubled": troubled }))
}
