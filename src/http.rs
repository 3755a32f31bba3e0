//! The one HTTP port: `/metrics`, `/healthz`, `/readyz` and the list of live actors. Read-only.

use std::net::{IpAddr, SocketAddr};

use actix_web::dev::RequestHead;
use actix_web::http::header;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, guard, web};
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
    let loopback = listen.ip().is_loopback();
    let app = move || {
        let pages = web::scope("")
            .guard(guard::fn_guard(move |context| is_own(context.head(), loopback)))
            .route("/metrics", web::get().to(metrics))
            .route("/healthz", web::get().to(healthz))
            .route("/readyz", web::get().to(readyz))
            .route("/api/v1/actors", web::get().to(actors));
        App::new().app_data(web::Data::new(shown.clone())).service(pages)
    };
    let server = HttpServer::new(app).workers(1).disable_signals().bind(listen)?;
    let bound = server.addrs().first().copied().unwrap_or(listen);
    Ok((bound, server.run()))
}

/// Whether a request is meant for this port. A page in somebody's browser can make a name of its own mean 127.0.0.1 and
/// ask us by it: on a loopback port only loopback's own names are answered, and nowhere a page of another origin.
fn is_own(head: &RequestHead, loopback: bool) -> bool {
    let text = |name| head.headers().get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).or_else(|| head.uri.authority().map(|authority| authority.as_str()));
    let named_well = !loopback || host.is_none_or(is_loopback);
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    named_well && origin.is_none_or(|origin| Some(origin) == host)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    const TOKEN: &str = "a token of 24 characters";

    /// The status of the answer to a request in these bytes.
    fn ask(port: SocketAddr, request: &str) -> u16 {
        let mut stream = TcpStream::connect(port).unwrap();
        // A server that has read enough may close before all is sent.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[9..]).parse().unwrap()
    }

    fn served(token: Option<&str>, work: impl FnOnce(SocketAddr) + Send + 'static) {
        actix::System::new().block_on(async move {
            let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
            let (clock, token) = (Clock::system(), token.map(str::to_owned));
            let shown = Shown { metrics, pipelines: Vec::new(), clock, token };
            let (port, server) = serve("127.0.0.1:0".parse().unwrap(), shown).unwrap();
            let handle = server.handle();
            actix::spawn(server);
            let asked = tokio::task::spawn_blocking(move || work(port)).await;
            handle.stop(false).await;
            asked.unwrap();
        });
    }

    #[test]
    fn what_is_not_meant_for_the_port_is_refused() {
        served(None, |port| {
            let check = |request: &str, expected: u16| assert_eq!(ask(port, request), expected, "{request:.90}");
            let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
            let own = format!("Host: {port}\r\n");
            for path in ["/metrics", "/healthz", "/readyz", "/api/v1/actors"] {
                check(&get(path, &own), 200);
                check(&get(path, "Host: localhost\r\n"), 200);
                check(&get(path, "Host: [::1]:8501\r\n"), 200);
                check(&get(path, "Host: evil.example\r\n"), 404);
                check(&get(path, "Host: 127.0.0.1.evil.example:8501\r\n"), 404);
                check(&get(path, &format!("{own}Origin: http://evil.example\r\n")), 404);
                check(&get(path, &format!("{own}Origin: null\r\n")), 404);
                check(&get(path, &format!("{own}Origin: http://{port}\r\n")), 200);
                for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
                    let request = get(path, &own).replacen("GET", method, 1);
                    let status = ask(port, &request);
                    assert!((400..500).contains(&status), "{method} {path}: {status}");
                }
                let huge =
                    format!("POST {path} HTTP/1.1\r\n{own}Content-Length: 99999999999\r\n\r\n{}", "x".repeat(70_000));
                let status = ask(port, &huge);
                assert!((400..500).contains(&status), "a huge body: {status}");
            }
            for path in [
                "/",
                "/../../etc/passwd",
                "/..%2f..%2fetc/passwd",
                "/metrics/../../x",
                "/api",
                "/api/v1/actors/x",
                "/%00",
            ] {
                check(&get(path, &own), 404);
            }
            check(&get(&format!("/{}", "x".repeat(200_000)), &own), 431);
        });
    }

    #[test]
    fn only_the_token_opens_the_api() {
        served(Some(TOKEN), |port| {
            let ask = |path: &str, given: &str| {
                ask(port, &format!("GET {path} HTTP/1.1\r\nHost: {port}\r\n{given}Connection: close\r\n\r\n"))
            };
            let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
            assert_eq!(ask("/api/v1/actors", &bearer(TOKEN)), 200);
            for wrong in [String::new(), bearer(""), bearer("a token of 24 character5"), bearer(&TOKEN[1..])] {
                assert_eq!(ask("/api/v1/actors", &wrong), 401, "{wrong}");
            }
            assert_eq!(ask("/api/v1/actors", &format!("Authorization: Basic {TOKEN}\r\n")), 401);
            assert_eq!((ask("/metrics", ""), ask("/healthz", "")), (200, 200));
        });
    }
}
