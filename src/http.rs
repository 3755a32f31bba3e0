//! The one HTTP port: `/metrics`, `/healthz`, `/readyz` and the list of live actors. Read-only.

use std::net::SocketAddr;

use actix_web::http::header;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use lakeward_actors::kit::{Board, Clock, Gauges};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

/// What the pages show.
#[derive(Clone)]
pub struct Shown {
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Pipelines of this process.
    pub pipelines: Vec<(String, Board, Gauges)>,
    /// Time.
    pub clock: Clock,
    /// What `/api` asks for as `Authorization: Bearer …`; `None` on a loopback port without one.
    pub token: Option<String>,
}

/// Binds the port and gives the server's future. A port in use is an error here, before anything else starts.
pub fn serve(listen: SocketAddr, shown: Shown) -> std::io::Result<(SocketAddr, actix_web::dev::Server)> {
    let app = move || {
        App::new()
            .app_data(web::Data::new(shown.clone()))
            .route("/metrics", web::get().to(metrics))
            .route("/healthz", web::get().to(healthz))
            .route("/readyz", web::get().to(readyz))
            .route("/api/v1/actors", web::get().to(actors))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().bind(listen)?;
    let bound = server.addrs().first().copied().unwrap_or(listen);
    Ok((bound, server.run()))
}

async fn metrics(shown: web::Data<Shown>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(shown.metrics.render())
}

/// The process lives.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// The process does what it is there for: it owns its pipelines, or stands by (O2).
async fn readyz(shown: web::Data<Shown>) -> HttpResponse {
    let roles: serde_json::Map<String, serde_json::Value> = shown
        .pipelines
        .iter()
        .map(|(name, board, _)| (name.clone(), json!(if board.is_owner() { "owner" } else { "standby" })))
        .collect();
    // A follower that can't go on is named; the lake goes on without it, so the process is ready all the same (O3).
    let troubled: serde_json::Map<String, serde_json::Value> = shown
        .pipelines
        .iter()
        .flat_map(|(name, board, _)| {
            let named = board.followers().iter().filter_map(|follower| {
                let trouble = follower.trouble.clone()?;
                Some((format!("{name}/{}", follower.key()), json!(trouble)))
            });
            named.collect::<Vec<_>>()
        })
        .collect();
    let role = if roles.values().any(|r| r == "owner") { "owner" } else { "standby" };
    HttpResponse::Ok().json(json!({ "status": "ready", "role": role, "pipelines": roles, "troubled": troubled }))
}

/// Whether the request may read `/api`. Probes and metrics need no token.
fn allowed(shown: &Shown, request: &HttpRequest) -> bool {
    let Some(token) = &shown.token else { return true };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|given| same(given, token))
}

/// Equality in a time that doesn't tell how much of the token was right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differing, (x, y)| differing | (x ^ y)) == 0
}

async fn actors(shown: web::Data<Shown>, request: HttpRequest) -> HttpResponse {
    if !allowed(&shown, &request) {
        return HttpResponse::Unauthorized().json(json!({ "error": "send Authorization: Bearer <http.token>" }));
    }
    let now = shown.clock.steady();
    let mut all = Vec::new();
    for (pipeline, _, gauges) in &shown.pipelines {
        for gauge in gauges.live() {
            let r = gauge.read(now);
            all.push(json!({
                "pipeline": pipeline, "kind": gauge.kind, "index": gauge.index, "queue_depth": r.depth,
                "queue_peak": r.peak, "credits": r.capacity, "credits_free": r.credits_free,
                "lag_records": r.lag_records, "lag_seconds": r.lag_seconds, "messages": r.handled,
            }));
        }
    }
    HttpResponse::Ok().json(json!({ "actors": all }))
}
