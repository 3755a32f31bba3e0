//! What a run would change against what is there: the same judgement that a start makes, before it claims anything.

use std::fmt::Write;

use lakeward_connect::lake::Lake;
use lakeward_connect::log_store::LogStore;
use lakeward_core::log::{
    Fold, PipelinePaths, Refusal as TopicRefusal, ResetStanding, TopicFacts, check_topic, reset_standing,
};
use lakeward_core::pipeline::Pipeline;
use serde::Serialize;

use crate::admission::{Judgement, check_layers, judge, too_many_refused, ways};
use crate::commands::run::accepted;
use crate::config::Config;
use crate::exit::Exit;

/// What a run would change.
#[derive(Debug, Default, Serialize)]
pub struct Change {
    /// In a word.
    pub state: State,
    /// The log's newest entry; `None` where there is none.
    version: Option<u64>,
    /// What differs from the definition of that entry, a sentence each.
    changes: Vec<String>,
    /// KPIs that begin with their first full window.
    new_kpis: Vec<String>,
    /// Why a run would be refused.
    pub refusal: Option<Refusal>,
    /// What could not be looked at.
    unknown: Vec<String>,
    /// Bytes of windows and dedup keys in the log.
    #[serde(skip)]
    pub state_bytes: Option<u64>,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The lake can't be looked at.
    #[default]
    Unknown,
    /// The pipeline has never run here.
    First,
    /// It goes on as before.
    Unchanged,
    /// Something is added, or less is refused, from the next entry on.
    TakenUp,
    /// It would not start.
    Refused,
}

/// Why a start would be refused, and what leads on.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// The word that a run would end with.
    pub code: String,
    message: String,
}

impl From<Exit> for Refusal {
    fn from(exit: Exit) -> Self {
        Self { code: exit.reason, message: exit.message }
    }
}

/// Holds the file against lake and topic, as far as they can be looked at.
pub async fn look(config: &Config, pipeline: &Pipeline, topic: &str, facts: Option<&TopicFacts>) -> Change {
    let mut change = Change::default();
    let Some(url) = config.lake.url.clone() else {
        change.unknown.push("lake.url is not set".to_owned());
        return change;
    };
    let fold = match Lake::open_to_look(url.expose(), config.lake.hadoop_conf.as_deref()).await {
        Ok(lake) => change.hold_against(&lake, pipeline).await,
        Err(error) => Err(error.to_string()),
    };
    match fold {
        Ok(fold) => {
            change.judge_quarantine(config, pipeline, fold.as_ref());
            change.compare_topic(config, topic, fold.as_ref(), facts);
        }
        Err(error) => change.unknown.push(error),
    }
    if change.refusal.is_some() {
        change.state = State::Refused;
    }
    change
}

impl Change {
    async fn hold_against(&mut self, lake: &Lake, pipeline: &Pipeline) -> Result<Option<Fold>, String> {
        let logs = LogStore::all(lake, &pipeline.name).await.map_err(|e| e.to_string())?;
        let standing = LogStore::standing(&logs).await.map_err(|e| e.to_string())?;
        if reset_standing(&standing) == ResetStanding::Unfinished {
            let message = "a reset or a rebuild was cut off; run the same command again".to_owned();
            self.refusal = Some(Refusal { code: "RESET_UNFINISHED".to_owned(), message });
        }
        let fold = match logs.last() {
            Some(log) => log.load().await.map_err(|e| e.to_string())?,
            None => None,
        };
        self.version = fold.as_ref().map(|fold| fold.version.0);
        self.state_bytes = fold.as_ref().map(|fold| fold.state.iter().map(|object| object.length).sum());
        self.judge(lake, pipeline, fold.as_ref()).await;
        let staging = PipelinePaths::new(&pipeline.name).log("log").staging_root();
        match check_layers(lake, pipeline, &staging, fold.is_none(), &self.new_kpis).await {
            Ok(()) => {}
            Err(exit) if exit.is_unreachable() => self.unknown.push(exit.message),
            Err(exit) => self.refuse(exit.into()),
        }
        Ok(fold)
    }

    async fn judge(&mut self, lake: &Lake, pipeline: &Pipeline, fold: Option<&Fold>) {
        match judge(lake, pipeline, fold).await {
            Judgement::First => self.state = State::First,
            Judgement::Unchanged => self.state = State::Unchanged,
            Judgement::TakenUp { kpis, changes } => {
                (self.state, self.new_kpis, self.changes) = (State::TakenUp, kpis, changes);
            }
            Judgement::Refused { changes } => {
                self.changes = changes;
                self.refuse(Refusal { code: "DEFINITION_CHANGED".to_owned(), message: ways(fold, pipeline) });
            }
        }
    }

    fn judge_quarantine(&mut self, config: &Config, pipeline: &Pipeline, fold: Option<&Fold>) {
        if let Some(exit) = fold.and_then(|fold| too_many_refused(pipeline, fold, accepted(config))) {
            self.refuse(exit.into());
        }
    }

    fn compare_topic(&mut self, config: &Config, topic: &str, fold: Option<&Fold>, facts: Option<&TopicFacts>) {
        let Some(facts) = facts else {
            return self
                .unknown
                .push("Kafka could not be asked whether the topic goes on where the log ends".to_owned());
        };
        if let Err(refusals) = check_topic(fold, topic, facts, accepted(config)) {
            let code = refusals.first().map_or("REFUSED", TopicRefusal::code).to_owned();
            let messages: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            self.refuse(Refusal { code, message: messages.join("; ") });
        }
    }

    /// The first refusal is the one that a start would end with.
    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    /// What a run would change, in sentences.
    pub fn tell(&self, text: &mut String) {
        let at = self.version.map_or_else(String::new, |version| format!(" (the newest entry is {version})"));
        let word = match self.state {
            State::Unknown => "not known".to_owned(),
            State::First => "nothing is there yet: the first run begins the log".to_owned(),
            State::Unchanged => format!("none: a run goes on as before{at}"),
            State::TakenUp => format!("taken up from the next entry on{at}"),
            State::Refused => {
                let code = self.refusal.as_ref().map_or("", |refusal| refusal.code.as_str());
                format!("a run would be REFUSED with {code}{at}")
            }
        };
        let _ = writeln!(text, "\nchange: {word}");
        for change in &self.changes {
            let _ = writeln!(text, "  {change}");
        }
        if !self.new_kpis.is_empty() {
            let _ = writeln!(text, "  from their first full window on: {}", self.new_kpis.join(", "));
        }
        if let Some(refusal) = &self.refusal {
            let _ = writeln!(text, "  {}", refusal.message);
        }
        for unknown in &self.unknown {
            let _ = writeln!(text, "  not looked at: {unknown}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(fields: &str) -> Pipeline {
        let text =
            format!("name = \"p\"\nsource.topic = \"t\"\nfields = {{ {fields} }}\nbronze = {{}}\nsilver = {{}}\n");
        Pipeline::parse(&text, "p").unwrap()
    }

    #[test]
    fn a_lake_that_is_not_there_is_looked_at_and_not_made() {
        actix::System::new().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("lake");
            let lake = Lake::open_to_look(&format!("file://{}", root.display()), None).await.unwrap();
            let mut change = Change::default();
            assert!(change.hold_against(&lake, &pipeline("a = \"string\"")).await.unwrap().is_none());
            assert_eq!((change.state, change.version), (State::First, None));
            assert!(!root.exists());
            std::fs::create_dir_all(root.join("silver/p")).unwrap();
            std::fs::write(root.join("silver/p/x.parquet"), "x").unwrap();
            assert!(change.hold_against(&lake, &pipeline("a = \"string\"")).await.unwrap().is_none());
            assert_eq!(change.refusal.unwrap().code, "LAYER_NOT_EMPTY");
        });
    }
}
