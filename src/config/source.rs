//! Brings defaults, file and variables together: the table's defaults first, then the file, then the variables.

use std::collections::BTreeMap;

use lakeward_core::document::{Document, Entry, Section, nearest};

use super::secret::{has_inline_password, is_secret_name};
use super::settings::{SECTIONS, SETTINGS, Setting};
use super::values::Refusal;
use super::{Config, ConfigError, Environment, Mistake, OptionValue, Secret};

/// Options of librdkafka that the engine sets itself, with what to do instead.
pub const RESERVED_OPTIONS: [(&str, &str); 7] = [
    ("bootstrap.servers", "use kafka.brokers"),
    ("metadata.broker.list", "use kafka.brokers"),
    ("group.id", "it is lakeward-<pipeline>"),
    ("enable.auto.commit", "offsets follow the pipeline's log"),
    ("enable.auto.offset.store", "offsets follow the pipeline's log"),
    ("auto.offset.reset", "use source.start in the pipeline's file"),
    ("enable.partition.eof", "the engine needs it as it is"),
];

/// Prefix of variables that set options of librdkafka.
const OPTION_VARIABLE: &str = "LAKEWARD_KAFKA_OPTIONS_";

pub(super) fn read(text: &str, file: &str, environment: &Environment) -> Result<Config, ConfigError> {
    let wrong = |errors: Vec<_>| ConfigError::Wrong(errors.into_iter().map(Mistake::InFile).collect());
    let document = Document::parse(text, file).map_err(wrong)?;
    let mut reader = Reader { config: Config::blank(), environment, origins: BTreeMap::new(), mistakes: Vec::new() };
    reader.apply_defaults();
    reader.apply_file(&document.root());
    reader.apply_variables();
    reader.check_together();
    let Reader { config, mut mistakes, .. } = reader;
    match document.finish(config) {
        Ok(config) if mistakes.is_empty() => Ok(config),
        Ok(_) => Err(ConfigError::Wrong(mistakes)),
        Err(errors) => {
            mistakes.splice(..0, errors.into_iter().map(Mistake::InFile));
            Err(ConfigError::Wrong(mistakes))
        }
    }
}

/// Who said a value, so that complaints about it go there.
#[derive(Clone)]
enum Origin<'d> {
    File(Entry<'d>),
    Variable(String),
}

struct Reader<'d> {
    config: Config,
    environment: &'d Environment,
    origins: BTreeMap<String, Origin<'d>>,
    mistakes: Vec<Mistake>,
}

impl<'d> Reader<'d> {
    fn apply_defaults(&mut self) {
        for setting in SETTINGS {
            if let Err(refusal) = (setting.set)(&mut self.config, setting.default) {
                // A test shows that every default is taken.
                self.mistakes.push(Mistake::Missing { key: setting.key(), message: refusal.message });
            }
        }
    }

    fn apply_file(&mut self, root: &Section<'d>) {
        root.allow(&SECTIONS.map(|(section, _)| section), &["hive", "redis", "s3", "notify"]);
        for (name, _) in SECTIONS {
            let Some(section) = root.section(name) else { continue };
            let settings = SETTINGS.iter().filter(|setting| setting.section == name);
            let mut known: Vec<&str> = settings.clone().map(|setting| setting.name).collect();
            if name == "kafka" {
                known.push("options");
                section.get("options").and_then(|e| e.section()).into_iter().for_each(|s| self.read_options("", &s));
            }
            section.allow(&known, &[]);
            for setting in settings {
                if let Some(entry) = section.get(setting.name) {
                    self.apply_entry(setting, entry);
                }
            }
        }
    }

    fn apply_entry(&mut self, setting: &Setting, entry: Entry<'d>) {
        let Some(text) = entry.scalar() else { return };
        if has_inline_password(&text) || (setting.kind == "secret" && !text.is_empty() && !text.contains("${")) {
            self.warn_inline(&entry);
        }
        let outcome = self.environment.resolve(&text).and_then(|text| (setting.set)(&mut self.config, &text));
        if let Err(refusal) = outcome {
            entry.misspelt(refusal.message, refusal.suggestion.as_deref());
        }
        self.origins.insert(setting.key(), Origin::File(entry));
    }

    fn warn_inline(&mut self, entry: &Entry<'_>) {
        let place = entry.place();
        let key = entry.key();
        self.config.warnings.push(format!(
            "{place}: {key}: a secret is spelt in the file; use ${{env:NAME}} or ${{file:PATH}} instead"
        ));
    }

    /// Reads options; a dotted key makes tables in TOML, so tables are read as parts of the name.
    fn read_options(&mut self, prefix: &str, section: &Section<'d>) {
        for entry in section.entries() {
            let name = format!("{prefix}{}", entry.name());
            if entry.is_table() {
                if let Some(inner) = entry.section() {
                    self.read_options(&format!("{name}."), &inner);
                }
                continue;
            }
            let Some(text) = entry.scalar() else { continue };
            if is_secret_name(&name) && !text.is_empty() && !text.contains("${") {
                self.warn_inline(&entry);
            }
            let referenced = text.contains("${");
            let outcome = self.environment.resolve(&text).and_then(|text| self.set_option(&name, text, referenced));
            if let Err(refusal) = outcome {
                entry.complain_key(refusal.message);
            }
        }
    }

    /// What came by a reference is hidden whatever the option is called: the name may be misspelt (I17).
    fn set_option(&mut self, name: &str, text: String, referenced: bool) -> Result<(), Refusal> {
        if let Some((_, instead)) = RESERVED_OPTIONS.iter().find(|(reserved, _)| *reserved == name) {
            return Err(Refusal::new(format!("the engine sets {name} itself: {instead}")));
        }
        let hidden = referenced || is_secret_name(name);
        let value = if hidden { OptionValue::Hidden(Secret::new(text)) } else { OptionValue::Plain(text) };
        self.config.kafka.options.insert(name.to_owned(), value);
        Ok(())
    }

    fn apply_variables(&mut self) {
        let environment = self.environment;
        for (variable, value) in environment.overrides() {
            let referenced = value.contains("${");
            let outcome = environment.resolve(value).and_then(|value| self.apply_variable(variable, value, referenced));
            if let Err(Refusal { message, suggestion }) = outcome {
                self.mistakes.push(Mistake::InVariable { variable: variable.to_owned(), message, suggestion });
            }
        }
    }

    fn apply_variable(&mut self, variable: &str, value: String, referenced: bool) -> Result<(), Refusal> {
        if let Some(option) = variable.strip_prefix(OPTION_VARIABLE) {
            return self.set_option(&option.to_lowercase().replace('_', "."), value, referenced);
        }
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == variable) {
            self.origins.insert(setting.key(), Origin::Variable(variable.to_owned()));
            return (setting.set)(&mut self.config, &value);
        }
        let section =
            |(section, _): &(&str, &str)| variable.starts_with(&format!("LAKEWARD_{}_", section.to_uppercase()));
        let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
        let near = nearest(variable, known.iter().map(String::as_str));
        if near.is_none() && !SECTIONS.iter().any(section) {
            return Ok(()); // somebody else's
        }
        Err(Refusal { message: "names no setting".to_owned(), suggestion: near.map(str::to_owned) })
    }

    fn check_together(&mut self) {
        let http = &self.config.http;
        if !http.listen.ip().is_loopback() && http.token.is_none() {
            let listen = http.listen;
            self.complain(
                "http.listen",
                format!("{listen} is beyond loopback; set http.token, or listen on 127.0.0.1"),
            );
        }
        let owner = &self.config.owner;
        if owner.lease_expiry <= owner.lease_renew {
            self.complain("owner.lease_expiry", "must be longer than owner.lease_renew".to_owned());
        }
    }

    fn complain(&mut self, key: &str, message: String) {
        match self.origins.get(key) {
            Some(Origin::File(entry)) => entry.complain(message),
            Some(Origin::Variable(variable)) => {
                self.mistakes.push(Mistake::InVariable { variable: variable.clone(), message, suggestion: None });
            }
            None => self.mistakes.push(Mistake::Missing { key: key.to_owned(), message }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{MartUrl, RowsMode};

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        read(text, "lakeward.toml", &Environment::of(variables))
    }

    fn refusal(text: &str, variables: &[(&str, &str)]) -> String {
        parse(text, variables).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let config = parse("", &[]).unwrap();
        assert_eq!(config.kafka.brokers, "localhost:9092");
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8501");
        assert_eq!(config.epoch.age, Duration::from_secs(30));
        assert_eq!((config.epoch.rows, config.epoch.bronze_bytes), (1_000_000, 1 << 30));
        assert_eq!(config.live.tick, Duration::from_millis(200));
        assert_eq!((config.mart.url.clone(), config.mart.rows), (MartUrl::None, RowsMode::Preview));
        assert_eq!(config.owner.min_tenure, Duration::from_secs(60));
        assert!(config.warnings.is_empty());
        assert!(config.lake_url().unwrap_err().to_string().contains("LAKEWARD_LAKE_URL"));
    }

    #[test]
    fn variables_beat_the_file_and_the_file_beats_the_defaults() {
        let text = "[epoch]\nage = \"5s\"\nrows = 10_000\n[http]\nlisten = \"127.0.0.1:9000\"\n";
        let config = parse(text, &[("LAKEWARD_EPOCH_AGE", "1s"), ("LAKEWARD_LAKE_URL", "file:///l")]).unwrap();
        assert_eq!((config.epoch.age, config.epoch.rows), (Duration::from_secs(1), 10_000));
        assert_eq!(config.http.listen.port(), 9000);
        assert_eq!(config.lake_url().unwrap().expose(), "file:///l");
    }

    #[test]
    fn mistakes_name_their_place_and_the_near_name() {
        let cases = [
            ("[kafak]\nbrokers = \"a\"", "lakeward.toml:1:2: kafak: unknown key; did you mean \"kafka\"?"),
            ("[epoch]\naeg = \"1s\"", "lakeward.toml:2:1: epoch.aeg: unknown key; did you mean \"age\"?"),
            ("[epoch]\nage = \"0s\"", "lakeward.toml:2:7: epoch.age: must be longer than 0"),
            ("[memory]\ncap = \"0MiB\"", "lakeward.toml:2:7: memory.cap: must be more than 0"),
            ("[http]\nlisten = \"127.0.0.1:65536\"", "lakeward.toml:2:10: http.listen: \"65536\" is no port"),
            ("[http]\nlisten = \"0.0.0.0:80\"", "lakeward.toml:2:10: http.listen: 0.0.0.0:80 is beyond loopback"),
            ("[log]\nlevel = \"inof\"", "did you mean \"info\"?"),
            ("[owner]\nlease_expiry = \"1s\"", "lakeward.toml:2:16: owner.lease_expiry: must be longer"),
            (
                "[kafka.options]\n\"group.id\" = \"x\"",
                "lakeward.toml:2:1: kafka.options.\"group.id\": the engine sets group.id",
            ),
            ("[mart]\nurl = \"${env:NOT_SET}\"", "mart.url: the environment variable NOT_SET is not set"),
            ("[lake\n", "lakeward.toml:1:"),
        ];
        for (text, expected) in cases {
            let refusal = refusal(text, &[]);
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_misspelt_variable_is_refused_and_a_strange_one_is_not() {
        let refusal = refusal("", &[("LAKEWARD_LAKE_ULR", "file:///x"), ("LAKEWARD_EPOCH_AGE", "soon")]);
        assert!(
            refusal.contains("LAKEWARD_LAKE_ULR: names no setting; did you mean \"LAKEWARD_LAKE_URL\"?"),
            "{refusal}"
        );
        assert!(refusal.contains("LAKEWARD_EPOCH_AGE: "), "{refusal}");
        assert!(parse("", &[("LAKEWARD_CONFIG", "x"), ("LAKEWARD_ZZZ_FOR_OTHERS", "y")]).is_ok());
    }

    #[test]
    fn options_pass_through_and_secrets_print_as_stars() {
        let text = "[kafka.options]\nsasl.password = \"${env:PW}\"\n\"security.protocol\" = \"SASL_SSL\"\nfetch.min.bytes = 5\n";
        let config = parse(text, &[("PW", "hunter2"), ("LAKEWARD_KAFKA_OPTIONS_SSL_KEY_PASSWORD", "hunter3")]).unwrap();
        let options = &config.kafka.options;
        assert_eq!(options["sasl.password"].expose(), "hunter2");
        assert_eq!(options["ssl.key.password"].expose(), "hunter3");
        assert_eq!(options["fetch.min.bytes"], OptionValue::Plain("5".to_owned()));
        assert!(!format!("{config:?}").contains("hunter"));
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn a_secret_spelt_in_the_file_is_warned_about_but_never_shown() {
        let text = "[mart]\nurl = \"postgres://m:hunter2@db/x\"\n[http]\ntoken = \"hunter2hunter2hunter2\"\n";
        let config = parse(text, &[]).unwrap();
        assert_eq!(config.warnings.len(), 2);
        assert!(config.warnings.iter().any(|w| w.starts_with("lakeward.toml:2:7: mart.url")), "{:?}", config.warnings);
        assert!(!format!("{config:?}").contains("hunter2"));
        let refusal = refusal("[mart]\nurl = \"mysql://m:hunter2@db/x\"\n[http]\ntoken = \"hunter2\"\n", &[]);
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_file_must_be_closed_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let text = format!("[http]\ntoken = \"${{file:{}}}\"\n", path.display());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refusal(&text, &[]).contains("open to every user"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = parse(&text, &[]).unwrap();
        assert_eq!(config.http.token.unwrap().expose(), "0123456789abcdef");
        assert!(refusal("[http]\ntoken = \"${file:/nowhere/at/all}\"", &[]).contains("/nowhere/at/all"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whatever stands in the file, it is taken or refused by name, and no secret is told (I17).
        #[test]
        fn a_mutated_file_is_taken_or_refused(
            edits in proptest::collection::vec((0..400_usize, 0..9_usize, "[\\[\\]{}=\"'\\\\#.,$a-z0-9\n\u{0}é-]{0,6}"), 0..4),
        ) {
            const SECRET: &str = "hunter2hunter2hunter2";
            let mut text: Vec<char> = "[http]\nlisten = \"127.0.0.1:8501\"\n[kafka]\nbrokers = \"h:9092\"\n[kafka.options]\n\
                 \"sasl.password\" = \"${env:S}\"\n[mart]\nurl = \"postgres://u:${env:S}@h:5432/d\"\n[lake]\n\
                 url = \"file:///lake\"\n[epoch]\nage = \"5s\"\nrows = 10\n[memory]\ncap = \"64MiB\"\n"
                .chars().collect();
            for (place, cut, piece) in edits {
                let at = place.min(text.len());
                let end = (at + cut).min(text.len());
                text.splice(at..end, piece.chars());
            }
            let text: String = text.into_iter().collect();
            let told = match parse(&text, &[("S", SECRET)]) {
                Ok(config) => format!("{:?} {:?}", config.kafka, config.warnings),
                Err(error) => error.to_string(),
            };
            proptest::prop_assert!(!told.contains(SECRET), "{told}");
        }
    }
}
