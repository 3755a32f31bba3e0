//! Which requests are meant for this port.

use std::net::IpAddr;

use actix_web::dev::RequestHead;
use actix_web::http::header;

/// Whether a request is meant for this port. A page in somebody's browser can make a name of its own mean 127.0.0.1 and
/// ask us by it: on a loopback port only loopback's own names are answered, elsewhere only the `allowed` ones (all,
/// where none is named), and nowhere a page of another origin.
pub fn is_own(head: &RequestHead, loopback: bool, allowed: &[String]) -> bool {
    let text = |name| head.headers().get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).or_else(|| head.uri.authority().map(|authority| authority.as_str()));
    let named_well = match host {
        None => loopback || allowed.is_empty(),
        Some(host) if loopback => is_loopback(host),
        Some(host) => allowed.is_empty() || allowed.iter().any(|name| name.eq_ignore_ascii_case(name_of(host))),
    };
    let origin = text(header::ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    named_well && origin.is_none_or(|origin| Some(origin) == host)
}

/// A Host header without its port and without the brackets of an IPv6 address.
fn name_of(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_start_matches('[').trim_end_matches(']')
}

fn is_loopback(host: &str) -> bool {
    let name = name_of(host);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn beyond_loopback_the_allowed_names_are_answered() {
        let check = |host: &str, allowed: &[&str], expected: bool| {
            let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
            let request = TestRequest::get().insert_header((header::HOST, host)).to_http_request();
            assert_eq!(is_own(request.head(), false, &allowed), expected, "{host} {allowed:?}");
        };
        check("any.example:8501", &[], true);
        check("lake.example:8501", &["lake.example"], true);
        check("LAKE.example", &["lake.example"], true);
        check("10.1.2.3:80", &["lake.example", "10.1.2.3"], true);
        check("[fd00::1]:8501", &["fd00::1"], true);
        check("evil.example:8501", &["lake.example"], false);
        check("lake.example.evil.example", &["lake.example"], false);
        check("localhost", &["lake.example"], false);
    }
}
