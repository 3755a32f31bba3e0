//! The configuration as it holds, for people. Secrets print as `***`, also within URLs (I17).

use super::settings::SETTINGS;
use super::{Config, OptionValue};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Section.
    pub section: String,
    /// Key in the section.
    pub name: String,
    /// The value, as it would be written.
    pub value: String,
    /// Whether it is the one that holds where nothing is said.
    pub is_default: bool,
    /// What it is for.
    pub doc: String,
}

impl Config {
    /// All settings, in the order of the reference, then librdkafka's options.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let mut defaults = Self::blank();
        for setting in SETTINGS {
            // A test shows that every default is taken.
            let _ = (setting.set)(&mut defaults, setting.default);
        }
        let told = |setting: &super::settings::Setting| {
            let value = (setting.get)(self);
            Effective {
                section: setting.section.to_owned(),
                name: setting.name.to_owned(),
                is_default: value == (setting.get)(&defaults),
                value,
                doc: setting.doc.to_owned(),
            }
        };
        let option = |(name, value): (&String, &OptionValue)| Effective {
            section: "kafka.options".to_owned(),
            name: name.clone(),
            value: match value {
                OptionValue::Plain(text) => text.clone(),
                OptionValue::Hidden(secret) => secret.to_string(),
            },
            is_default: false,
            doc: "An option of librdkafka.".to_owned(),
        };
        SETTINGS.iter().map(told).chain(self.kafka.options.iter().map(option)).collect()
    }
}

/// Nothing where nothing was said.
pub fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A span as it would be written.
pub fn span(duration: std::time::Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0 => "0s".to_owned(),
        _ if micros.is_multiple_of(1_000_000) => format!("{}s", micros / 1_000_000),
        _ if micros.is_multiple_of(1_000) => format!("{}ms", micros / 1_000),
        _ => format!("{micros}us"),
    }
}

/// Bytes as they would be written.
pub fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fits = units.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    fits.map_or_else(|| format!("{bytes}B"), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use super::super::Environment;
    use super::*;

    #[test]
    fn every_setting_is_told_as_it_would_be_written() {
        let config = Config::parse("", "lakeward.toml", &Environment::default()).unwrap();
        for (setting, told) in SETTINGS.iter().zip(config.effective()) {
            assert!(told.is_default, "{}", setting.key());
            // What is told means the same when it is written.
            let mut again = Config::blank();
            assert!((setting.set)(&mut again, &told.value).is_ok(), "{}: {}", setting.key(), told.value);
            assert_eq!((setting.get)(&again), told.value);
            assert_eq!(told.value.is_empty(), setting.default.is_empty(), "{}", setting.key());
        }
    }

    #[test]
    fn no_secret_is_told_and_what_was_said_is_marked() {
        let text = r#"
            kafka.brokers = "b:1"
            kafka.options = { "sasl.password" = "tell-nobody-1", "client.id" = "me" }
            lake.url = "file:///tmp/lake"
            mart.url = "postgres://mart:tell-nobody-2@db:5432/m?password=tell-nobody-3"
            http.token = "tell-nobody-4-tell-nobody"
        "#;
        let config = Config::parse(text, "lakeward.toml", &Environment::default()).unwrap();
        let told = config.effective();
        assert!(!format!("{told:?}").contains("tell-nobody"), "{told:?}");
        let value = |name: &str| told.iter().find(|s| s.name == name).map(|s| (s.value.as_str(), s.is_default));
        assert_eq!(value("brokers"), Some(("b:1", false)));
        assert_eq!(value("sasl.password"), Some(("***", false)));
        assert_eq!(value("token"), Some(("***", false)));
        assert_eq!(value("client.id"), Some(("me", false)));
        assert_eq!(value("age"), Some(("30s", true)));
        assert!(told.iter().any(|s| s.value.starts_with("postgres://mart:***@db:5432/m")));
    }
}
