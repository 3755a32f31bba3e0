//! The dashboard's files, part of the binary.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use sha2::{Digest, Sha256};

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal $kind:ident $file:literal,)*) => {
        &[$(File { path: $path, kind: $kind, bytes: include_bytes!(concat!("../../ui/", $file)) },)*]
    };
}

struct File {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const FILES: &[File] = files! {
    "/" HTML "index.html",
    "/api.js" SCRIPT "api.js",
    "/app.js" SCRIPT "app.js",
    "/chart.js" SCRIPT "chart.js",
    "/dom.js" SCRIPT "dom.js",
    "/flow.js" SCRIPT "flow.js",
    "/filters.js" SCRIPT "filters.js",
    "/format.js" SCRIPT "format.js",
    "/graph.js" SCRIPT "graph.js",
    "/icon.svg" PICTURE "icon.svg",
    "/live.js" SCRIPT "live.js",
    "/plots.js" SCRIPT "plots.js",
    "/sales.js" SCRIPT "sales.js",
    "/style.css" STYLE "style.css",
    "/theme.js" SCRIPT "theme.js",
    "/trust.js" SCRIPT "trust.js",
    "/vendor/chart.umd.js" SCRIPT "vendor/chart.umd.js",
};

/// Serves them.
pub fn routes(config: &mut web::ServiceConfig) {
    for file in FILES {
        let tag = tag(file.bytes);
        let answer = move |request: HttpRequest| std::future::ready(serve(file, &tag, &request));
        config.route(file.path, web::get().to(answer));
    }
}

/// A browser keeps its copy, and asks each time whether it is the one of this build.
fn serve(file: &File, tag: &str, request: &HttpRequest) -> HttpResponse {
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut answer = match known {
        Some(known) if known == tag => HttpResponse::NotModified(),
        _ => HttpResponse::Ok(),
    };
    answer.insert_header((header::ETAG, tag)).insert_header((header::CACHE_CONTROL, "no-cache"));
    if known == Some(tag) { answer.finish() } else { answer.content_type(file.kind).body(file.bytes) }
}

fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}
