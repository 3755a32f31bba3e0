//! Who may read pages and `/api`: whoever has the token, as a header, as a cookie, or in a link that sets the cookie.

use actix_web::HttpResponse;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::web::Data;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Shown;

/// The cookie's name. It doesn't hold the token, but a hash of it that is good for nothing else.
const COOKIE: &str = "lakeward";

/// Paths that need no token: what probes and Prometheus ask.
const OPEN: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

const NOT_ALLOWED: &str = include_str!("token.html");

/// Lets a request through, answers 401, or, for a link with `?token=…`, sets the cookie and sends the browser to the
/// same address without it.
pub async fn ask_for_token<B: MessageBody>(
    shown: Data<Shown>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let Some(token) = shown.token.as_deref() else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    if let Some(answer) = follow_link(&request, token) {
        return Ok(request.into_response(answer).map_into_right_body());
    }
    if OPEN.contains(&request.path()) || has_header(&request, token) || has_cookie(&request, token) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let answer = if request.path().starts_with("/api/") {
        let message = "send Authorization: Bearer <http.token>, or open the page by its link with ?token=";
        HttpResponse::Unauthorized().json(json!({ "error": { "code": "TOKEN", "message": message } }))
    } else {
        HttpResponse::Unauthorized().content_type("text/html; charset=utf-8").body(NOT_ALLOWED)
    };
    Ok(request.into_response(answer).map_into_right_body())
}

/// The answer to a page's address with the right token in it.
fn follow_link(request: &ServiceRequest, token: &str) -> Option<HttpResponse> {
    if request.method() != Method::GET || request.path().starts_with("/api/") {
        return None;
    }
    let (given, rest) = without_token(request.query_string())?;
    if !same(&given, token) {
        return None;
    }
    let path = request.path().trim_start_matches('/');
    let place = if rest.is_empty() { format!("/{path}") } else { format!("/{path}?{rest}") };
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", mark(token));
    let mut answer = HttpResponse::SeeOther();
    Some(answer.insert_header((header::SET_COOKIE, cookie)).insert_header((header::LOCATION, place)).finish())
}

/// The token of a query, and the query without it.
fn without_token(query: &str) -> Option<(String, String)> {
    let parts: Vec<(String, String)> = pairs(query);
    let token = parts.iter().find(|(name, _)| name == "token")?.1.clone();
    let rest: Vec<&str> = query.split('&').filter(|part| !part.starts_with("token=")).collect();
    Some((token, rest.join("&")))
}

fn pairs(query: &str) -> Vec<(String, String)> {
    actix_web::web::Query::<Vec<(String, String)>>::from_query(query).map(|q| q.into_inner()).unwrap_or_default()
}

fn has_header(request: &ServiceRequest, token: &str) -> bool {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|given| same(given, token))
}

fn has_cookie(request: &ServiceRequest, token: &str) -> bool {
    let given = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut cookies = given.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('='));
    cookies.any(|(name, value)| name == COOKIE && same(value, &mark(token)))
}

/// What the cookie holds.
fn mark(token: &str) -> String {
    let digest = Sha256::digest(format!("lakeward dashboard {token}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Equality in a time that doesn't tell how much of the token was right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differing, (x, y)| differing | (x ^ y)) == 0
}
