//! The one HTTP port: the dashboard's pages and their API, `/metrics`, `/healthz` and `/readyz`. Read-only.

mod actors;
mod config;
mod dashboard;
mod files;
mod flow;
mod guard;
#[cfg(test)]
pub mod openapi;
mod pipelines;
mod probes;
mod refusal;
mod shared;
mod token;
mod trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, HttpServer, Route, guard as routing, web};
use lakeward_actors::kit::{Board, Clock, Gauges};
use lakeward_core::pipeline::Pipeline;
use metrics_exporter_prometheus::PrometheusHandle;

pub use dashboard::BoardSource;
use refusal::Refusal;

use crate::config::{Config, Effective};
use crate::flow::Flow;

/// What the pages show.
#[derive(Clone)]
pub struct Shown {
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Pipelines of this process.
    pub pipelines: Vec<ShownPipeline>,
    /// Time.
    pub clock: Clock,
    /// What pages and `/api` ask for; `None` on a loopback port without one.
    pub token: Option<String>,
    /// Host names that are answered beyond loopback; empty: all.
    pub allowed_hosts: Vec<String>,
    /// What holds for this process.
    pub config: Arc<ShownConfig>,
}

/// The configuration, without its secrets.
#[derive(Debug, Default)]
pub struct ShownConfig {
    /// The file that was read.
    pub file: Option<String>,
    /// All settings.
    pub settings: Vec<Effective>,
}

impl From<&Config> for ShownConfig {
    fn from(config: &Config) -> Self {
        let file = config.file.as_ref().map(|file| file.display().to_string());
        Self { file, settings: config.effective() }
    }
}

/// One pipeline of this process.
#[derive(Clone)]
pub struct ShownPipeline {
    /// What it does.
    pub definition: Arc<Pipeline>,
    /// Where it is.
    pub board: Board,
    /// Its actors.
    pub gauges: Gauges,
    /// Where its board's figures come from; `None` without a mart.
    pub source: Option<BoardSource>,
    /// How records flow through it.
    pub flow: Flow,
    told_flow: flow::Told,
    told_trust: trust::Told,
}

impl ShownPipeline {
    /// A pipeline that is watched by `flow`.
    #[must_use]
    pub fn new(flow: Flow, source: Option<BoardSource>) -> Self {
        Self {
            definition: Arc::clone(&flow.pipeline),
            board: flow.board.clone(),
            gauges: flow.gauges.clone(),
            told_flow: flow::Told::default(),
            told_trust: trust::Told::default(),
            source,
            flow,
        }
    }
}

impl Shown {
    /// The pipeline of that name; without a name, the first.
    fn pipeline(&self, name: Option<&str>) -> Result<&ShownPipeline, Refusal> {
        let is_meant = |shown: &&ShownPipeline| name.is_none_or(|name| shown.definition.name == name);
        self.pipelines.iter().find(is_meant).ok_or_else(|| {
            let names: Vec<&str> = self.pipelines.iter().map(|shown| shown.definition.name.as_str()).collect();
            let message = format!("this process runs no pipeline of that name; it runs {}", names.join(", "));
            Refusal::new(StatusCode::NOT_FOUND, "NO_PIPELINE", message)
        })
    }
}

/// An address, and what answers it.
type Address = (&'static str, fn() -> Route);

/// Everything below `/api`, as docs/openapi.json describes it.
const API: &[Address] = &[
    ("/api/v1/actors", || web::get().to(actors::actors)),
    ("/api/v1/config", || web::get().to(config::config)),
    ("/api/v1/dashboard", || web::get().to(dashboard::dashboard)),
    ("/api/v1/dashboard/choices", || web::get().to(dashboard::choices)),
    ("/api/v1/dashboard/data", || web::get().to(dashboard::data)),
    ("/api/v1/dashboard/rows", || web::get().to(dashboard::rows)),
    ("/api/v1/dashboard/rows.csv", || web::get().to(dashboard::rows_csv)),
    ("/api/v1/dashboard/stream", || web::get().to(dashboard::stream)),
    ("/api/v1/flow", || web::get().to(flow::flow)),
    ("/api/v1/flow/stream", || web::get().to(flow::stream)),
    ("/api/v1/pipelines", || web::get().to(pipelines::pipelines)),
    ("/api/v1/trust", || web::get().to(trust::trust)),
    ("/api/v1/trust/stream", || web::get().to(trust::stream)),
];

/// Scripts, styles and data come from here and from nowhere else, nobody shows these pages within their own, and no
/// address of ours is told to others.
const HEADERS: [(&str, &str); 4] = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
];

/// Connections at a time; more wait until one is closed. A file that a pipeline opens counts among the same descriptors.
const MOST_CONNECTIONS: usize = 512;

/// How long a connection may be open without a whole request, the first one or the next.
const IDLE: Duration = Duration::from_secs(5);

/// Binds the port and gives the server's future. A port in use is an error here, before anything else starts.
pub fn serve(listen: SocketAddr, shown: Shown) -> std::io::Result<(SocketAddr, actix_web::dev::Server)> {
    let loopback = listen.ip().is_loopback();
    let shown = web::Data::new(shown);
    let app = move || {
        let allowed = shown.allowed_hosts.clone();
        let own = routing::fn_guard(move |context| guard::is_own(context.head(), loopback, &allowed));
        let mut pages = web::scope("")
            .guard(own)
            .wrap(from_fn(token::ask_for_token))
            .route("/metrics", web::get().to(probes::metrics))
            .route("/healthz", web::get().to(probes::healthz))
            .route("/readyz", web::get().to(probes::readyz))
            .configure(files::routes);
        for (path, route) in API {
            pages = pages.route(path, route());
        }
        let headers = HEADERS.iter().fold(DefaultHeaders::new(), |headers, header| headers.add(*header));
        App::new().app_data(shown.clone()).wrap(headers).service(pages)
    };
    let server = HttpServer::new(app).workers(1).max_connections(MOST_CONNECTIONS).client_request_timeout(IDLE);
    let server = server.keep_alive(IDLE).disable_signals().bind(listen)?;
    let bound = server.addrs().first().copied().unwrap_or(listen);
    Ok((bound, server.run()))
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

    pub(super) fn served(token: Option<&str>, work: impl FnOnce(SocketAddr) + Send + 'static) {
        let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
        served_with(metrics, token, work);
    }

    fn served_with(metrics: PrometheusHandle, token: Option<&str>, work: impl FnOnce(SocketAddr) + Send + 'static) {
        actix::System::new().block_on(async move {
            let (clock, token) = (Clock::system(), token.map(str::to_owned));
            let shown = Shown {
                metrics,
                pipelines: Vec::new(),
                clock,
                token,
                allowed_hosts: Vec::new(),
                config: Arc::default(),
            };
            let (port, server) = serve("127.0.0.1:0".parse().unwrap(), shown).unwrap();
            let handle = server.handle();
            actix::spawn(server);
            let asked = tokio::task::spawn_blocking(move || work(port)).await;
            handle.stop(false).await;
            asked.unwrap();
        });
    }

    #[test]
    fn five_thousand_series_are_rendered_whole_and_it_is_told_how_long_that_takes() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            for n in 0..5_000_u32 {
                let (partition, topic) = (n.to_string(), format!("topic-{}", n % 7));
                metrics::gauge!("series", "pipeline" => "p", "topic" => topic, "partition" => partition)
                    .set(f64::from(n));
            }
        });
        served_with(recorder.handle(), None, |port| {
            let began = Clock::system().steady();
            let mut stream = TcpStream::connect(port).unwrap();
            write!(stream, "GET /metrics HTTP/1.1\r\nHost: {port}\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            println!("{:?}", Clock::system().steady().saturating_duration_since(began));
            assert_eq!(answer.lines().filter(|line| line.starts_with("series{")).count(), 5_000);
        });
    }

    #[test]
    fn what_is_not_meant_for_the_port_is_refused() {
        served(None, |port| {
            let check = |request: &str, expected: u16| assert_eq!(ask(port, request), expected, "{request:.90}");
            let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
            let own = format!("Host: {port}\r\n");
            for path in ["/", "/app.js", "/metrics", "/healthz", "/readyz", "/api/v1/actors"] {
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
            for path in
                ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/metrics/../../x", "/api", "/api/v1/actors/x", "/%00"]
            {
                check(&get(path, &own), 404);
            }
            check(&get(&format!("/{}", "x".repeat(200_000)), &own), 431);
        });
    }

    #[test]
    fn a_link_with_the_token_sets_a_cookie_that_opens_the_pages() {
        served(Some(TOKEN), |port| {
            let ask = |path: &str, given: &str| {
                let mut stream = TcpStream::connect(port).unwrap();
                write!(stream, "GET {path} HTTP/1.1\r\nHost: {port}\r\n{given}Connection: close\r\n\r\n").unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                (answer[9..12].parse::<u16>().unwrap(), answer.to_lowercase())
            };
            let token = TOKEN.replace(' ', "%20");
            let (status, answer) = ask(&format!("/?a=1&token={token}"), "");
            assert!(
                status == 303 && answer.contains("location: /?a=1\r\n") && answer.contains("httponly; samesite=strict")
            );
            assert!(!answer.contains(TOKEN), "the cookie doesn't hold the token itself");
            let cookie = answer.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap();
            for path in ["/", "/app.js", "/api/v1/pipelines"] {
                assert_eq!(ask(path, &format!("Cookie: a=b; {cookie}\r\n")).0, 200, "{path}");
                assert_eq!(ask(path, &format!("Cookie: {cookie}0\r\n")).0, 401, "{path}");
                assert_eq!(ask(path, "").0, 401, "{path}");
            }
            let (status, page) = ask("/?token=wrong", "");
            assert!(status == 401 && page.contains("needs a token") && page.contains("default-src 'none'"));
            // What runs by a link must not be had by a link alone.
            assert_eq!(ask(&format!("/api/v1/actors?token={token}"), "").0, 401);
            assert_eq!(
                ask(&format!("//evil.example/?token={token}"), "")
                    .1
                    .split("location: ")
                    .nth(1)
                    .map(|l| l.starts_with("/evil")),
                Some(true)
            );
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
