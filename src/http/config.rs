//! `/api/v1/config`: what holds for this process, whoever said it; secrets as `***`.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::{Value, json};

use super::Shown;

/// The settings, in the order of the reference.
pub async fn config(shown: Data<Shown>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "file": shown.config.file, "settings": told(&shown.config.settings) }))
}

fn told(settings: &[crate::config::Effective]) -> Vec<Value> {
    let one = |s: &crate::config::Effective| json!({ "section": s.section, "name": s.name, "value": s.value, "default": s.is_default, "doc": s.doc });
    settings.iter().map(one).collect()
}
