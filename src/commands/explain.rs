//! `lakeward explain`: what holds the watermark, or where lag arises, in sentences of the service that runs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::ask::Service;
use crate::cli::{ExplainArgs, Explained};
use crate::config::Config;
use crate::exit::Exit;

/// Asks and prints.
pub async fn explain(config: &Config, args: &ExplainArgs) -> Result<(), Exit> {
    let flow = Service::new(config, args.url.as_deref())?.ask("flow", args.pipeline.as_deref()).await?;
    if args.json {
        crate::text::say!("{}", told(args.what, &flow));
    } else {
        crate::text::say_as_is(&match args.what {
            Explained::Watermark => watermark(&flow),
            Explained::Lag => lag(&flow),
        });
    }
    Ok(())
}

fn told(what: Explained, flow: &Value) -> Value {
    let (name, part) = match what {
        Explained::Watermark => ("watermark", &flow["watermark"]),
        Explained::Lag => ("lag", &flow["lag"]),
    };
    json!({ "pipeline": flow["pipeline"], "at": flow["at"], name: part, "partitions": flow["partitions"] })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn watermark(flow: &Value) -> String {
    let watermark = &flow["watermark"];
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}", text(&flow["pipeline"]), text(&watermark["held_by"]["sentence"]));
    if let Some(advice) = watermark["held_by"]["advice"].as_str() {
        let _ = writeln!(out, "{advice}");
    }
    if let Some(g) = watermark["global"].as_str() {
        let _ = writeln!(out, "Windows are closed up to {g}, as of the last commit.");
    }
    for window in items(&watermark["windows"]) {
        if let (Some(end), Some(at)) = (window["next_end"].as_str(), window["closes_at"].as_str()) {
            let _ = writeln!(
                out,
                "{}: the window that ends at {end} closes when the watermark reaches {at}.",
                text(&window["kpi"])
            );
        }
    }
    out.push('\n');
    partitions(&mut out, flow);
    out
}

fn lag(flow: &Value) -> String {
    let mut out = String::new();
    for place in items(&flow["lag"]["where"]) {
        let _ = writeln!(out, "{}: {}", text(&flow["pipeline"]), text(&place["sentence"]));
        if let Some(advice) = place["advice"].as_str() {
            let _ = writeln!(out, "{advice}");
        }
    }
    out.push('\n');
    partitions(&mut out, flow);
    out
}

fn partitions(out: &mut String, flow: &Value) {
    let mut rows = vec![["partition", "lag", "next offset", "watermark", ""].map(str::to_owned)];
    for p in items(&flow["partitions"]) {
        let marks = [("idle", "idle"), ("waits", "waits for slower ones")];
        let marks: Vec<&str> = marks.iter().filter(|(name, _)| p[*name] == true).map(|(_, mark)| *mark).collect();
        rows.push([
            p["partition"].to_string(),
            p["lag_records"].to_string(),
            p["position"].to_string(),
            text(&p["watermark"]).to_owned(),
            marks.join(", "),
        ]);
    }
    crate::text::table(out, &rows);
}

/// The items of a list; of anything else, none.
pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
