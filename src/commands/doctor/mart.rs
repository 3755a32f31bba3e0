//! The mart, if there is one.

use lakeward_actors::kit::Clock;
use lakeward_core::pipeline::Pipeline;

use super::{Finding, clock};
use crate::commands::run::open_mart;
use crate::config::Config;

/// Looks at it.
pub async fn look(config: &Config, pipeline: &Pipeline) -> Vec<Finding> {
    let wants = pipeline.rows.is_some() || pipeline.kpis.iter().any(|kpi| kpi.mart.is_some());
    let Some(open) = open_mart(config) else {
        return vec![match wants {
            true => Finding::note(
                "mart",
                "there is none, so the pipeline's tables are left out",
                "set mart.url to have them",
            ),
            false => Finding::ok("mart", "there is none, and the pipeline has no tables"),
        }];
    };
    let before = Clock::system().wall_micros();
    let asked = async {
        let mart = open()().await?;
        let checkup = mart.checkup().await?;
        Ok::<_, lakeward_connect::mart::MartError>((
            checkup,
            Clock::system().wall_micros(),
            mart.holding(pipeline).await?,
        ))
    };
    let (checkup, after, holding) = match asked.await {
        Ok(answers) => answers,
        Err(error) => {
            let remedy = "mend mart.url, its password and rights, or start the database; the lake goes on without it";
            return vec![Finding::bad("mart", error.to_string(), remedy)];
        }
    };
    let mut findings = vec![match holding.holder {
        Some((log, claim)) => Finding::ok("mart", format!("{}; it follows log {log}, claim {claim}", checkup.version)),
        None => Finding::ok("mart", format!("{}; no run of this pipeline has claimed it yet", checkup.version)),
    }];
    if !checkup.may_create {
        findings.push(Finding::bad(
            "mart's rights",
            "this user may not create tables",
            "GRANT CREATE ON SCHEMA, or make it the owner",
        ));
    }
    for setting in checkup.forgetful {
        let found = format!("{setting}: a crash of its machine can take back what was committed");
        findings.push(Finding::note(
            "mart's settings",
            found,
            "switch it on, or drop the tables after such a crash: they are filled again",
        ));
    }
    findings.extend(checkup.clock_us.map(|theirs| clock("mart's clock", theirs, before, after)));
    findings
}
