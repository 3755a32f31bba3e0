//! Values that must not be seen: they print as `***` (I17).

use std::fmt;

/// A password, token or key. Printing it in any way gives `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A URL that may hold credentials; it prints redacted.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Url(String);

impl Url {
    /// Wraps a URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with its credentials, for the one place that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stands before `://`.
    #[cfg(test)]
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

/// `url` with `***` for its password and for secret query parameters; user, host and path stay.
#[must_use]
pub fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // A password may hold any character, so the credentials end at the last "@" before the query.
    let (location, query) = match rest.split_once('?') {
        Some((location, query)) => (location, Some(query)),
        None => (rest, None),
    };
    let location = match location.rsplit_once('@') {
        Some((credentials, host)) => match credentials.split_once(':') {
            Some((user, _)) => format!("{user}:***@{host}"),
            None => format!("{credentials}@{host}"),
        },
        None => location.to_owned(),
    };
    match query {
        Some(query) => format!("{scheme}://{location}?{}", redacted_query(query)),
        None => format!("{scheme}://{location}"),
    }
}

/// Whether the URL's text itself spells a password, instead of naming a place for it by `${…}`.
#[must_use]
pub fn has_inline_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let location = rest.split_once('?').map_or(rest, |(location, _)| location);
    let in_credentials = location.rsplit_once('@').and_then(|(credentials, _)| credentials.split_once(':'));
    let in_query = rest.split_once('?').map_or("", |(_, query)| query).split('&').filter_map(|p| p.split_once('='));
    let spelt = |value: &str| !value.is_empty() && !value.contains("${");
    in_credentials.is_some_and(|(_, password)| spelt(password))
        || in_query.into_iter().any(|(name, value)| is_secret_name(name) && spelt(value))
}

/// Whether an option of that name holds a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    let words = ["password", "secret", "token", "passphrase", "jaas", "credential"];
    words.iter().any(|word| name.contains(word)) || name.ends_with(".pem") || name.ends_with(".key")
}

fn redacted_query(query: &str) -> String {
    let parameter = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if is_secret_name(name) => format!("{name}=***"),
        _ => parameter.to_owned(),
    };
    query.split('&').map(parameter).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn urls_print_without_their_passwords() {
        let cases = [
            ("postgres://mart:pw@db:5433/martdb", "postgres://mart:***@db:5433/martdb"),
            ("postgres://mart:p@/w:x@db/martdb", "postgres://mart:***@db/martdb"),
            ("postgres://mart@db/martdb", "postgres://mart@db/martdb"),
            ("postgres://db/m?user=a&password=b", "postgres://db/m?user=a&password=***"),
            ("hdfs://namenode:8020/lake", "hdfs://namenode:8020/lake"),
            ("sqlite:///tmp/a.db", "sqlite:///tmp/a.db"),
            ("none", "none"),
        ];
        for (url, expected) in cases {
            assert_eq!(redacted(url), expected);
            assert_eq!(format!("{:?}", Url::new(url)), expected);
        }
    }

    #[test]
    fn a_password_in_the_text_is_told_from_a_reference() {
        let cases = [
            ("postgres://mart:pw@db/m", true),
            ("postgres://db/m?password=pw", true),
            ("postgres://mart:${env:PW}@db/m", false),
            ("postgres://mart@db/m", false),
            ("hdfs://n:8020/x", false),
        ];
        for (url, inline) in cases {
            assert_eq!(has_inline_password(url), inline, "{url}");
        }
    }
}
