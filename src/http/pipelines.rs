//! `/api/v1/pipelines`: what this process runs.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Shown;

/// Names, and whether this process owns them.
pub async fn pipelines(shown: web::Data<Shown>) -> HttpResponse {
    let pipelines: Vec<_> = shown
        .pipelines
        .iter()
        .map(|shown| json!({ "name": shown.definition.name, "owner": shown.board.is_owner() }))
        .collect();
    HttpResponse::Ok().json(json!({ "version": env!("CARGO_PKG_VERSION"), "pipelines": pipelines }))
}
