//! `lakeward top`: a running service on one screen, drawn again every second. q ends it.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use console::{Key, Term};
use serde_json::Value;
use tokio::sync::oneshot;

use super::ask::Service;
use super::explain::items;
use crate::cli::TopArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::text::table;

/// How often the screen is drawn.
const EVERY: Duration = Duration::from_secs(1);

/// Columns and lines where nobody tells.
const USUAL: (usize, usize) = (120, 50);

/// Lines of the newest epochs.
const EPOCHS: usize = 5;

/// The other screen of a terminal, without a cursor, while this lives.
struct Screen;

impl Screen {
    fn open() -> Self {
        print!("\x1b[?1049h\x1b[?25l");
        Self
    }

    fn draw(&self, frame: &str) {
        let mut out = std::io::stdout().lock();
        // A terminal that is gone ends the process by its signal.
        let _ = write!(out, "\x1b[H{}\x1b[J", frame.replace('\n', "\x1b[K\r\n")).and_then(|()| out.flush());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print!("\x1b[?25h\x1b[?1049l");
        let _ = std::io::stdout().flush();
    }
}

/// Draws until q; with `--once`, or where the output is no terminal, a single frame.
pub async fn top(config: &Config, args: &TopArgs) -> Result<(), Exit> {
    let service = Service::new(config, args.url.as_deref())?;
    let first = service.ask("flow", args.pipeline.as_deref()).await?;
    if args.once || !std::io::stdout().is_terminal() {
        crate::text::say_as_is(&frame(&first, USUAL.0, usize::MAX));
        return Ok(());
    }
    let mut quit = quit();
    let screen = Screen::open();
    let mut tick = tokio::time::interval(EVERY);
    let mut told: Result<Value, Exit> = Ok(first);
    loop {
        let (columns, lines) = size();
        screen.draw(&match &told {
            Ok(flow) => frame(flow, columns, lines),
            // It may come back: only a person ends this.
            Err(exit) => fit(&format!("{}\n\nq: quit", exit.message), columns, lines),
        });
        tokio::select! {
            _ = &mut quit => return Ok(()),
            _ = tick.tick() => told = service.ask("flow", args.pipeline.as_deref()).await,
        }
    }
}

/// Resolves when somebody presses q. The thread that waits for keys ends with the process.
fn quit() -> oneshot::Receiver<()> {
    let (pressed, quit) = oneshot::channel();
    std::thread::spawn(move || {
        let term = Term::stdout();
        while !matches!(term.read_key(), Ok(Key::Char('q' | 'Q') | Key::Escape | Key::CtrlC) | Err(_)) {}
        let _ = pressed.send(());
    });
    quit
}

fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or(USUAL, |(w, h)| (usize::from(w.0), usize::from(h.0)))
}

/// Everything on one screen.
fn frame(flow: &Value, columns: usize, lines: usize) -> String {
    let mut out = String::new();
    head(&mut out, flow);
    out.push('\n');
    sinks(&mut out, flow);
    out.push('\n');
    epochs(&mut out, flow);
    out.push('\n');
    actors(&mut out, flow);
    fit(&out, columns, lines)
}

/// Cuts what would not fit, so that nothing wraps or scrolls.
fn fit(text: &str, columns: usize, lines: usize) -> String {
    let mut out: Vec<String> =
        text.lines().take(lines.saturating_sub(1)).map(|line| line.chars().take(columns).collect()).collect();
    out.push(String::new());
    out.join("\n")
}

fn head(out: &mut String, flow: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let number = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |n| format!("{n:.0}"));
    let role = if flow["owner"] == true { "owner" } else { "stands by" };
    let process = &flow["process"];
    let _ = writeln!(
        out,
        "lakeward top   {}   {role}   version {}   {}",
        text(&flow["pipeline"]),
        flow["version"],
        text(&flow["at"])
    );
    let _ = writeln!(
        out,
        "read {}/s   in {}/s   lag {}   cpu {:.2}   memory {} MiB   open windows {}   KPI actors {}",
        number(&flow["rates"]["read"]),
        number(&flow["rates"]["incoming"]),
        flow["lag"]["records"],
        process["cpu"].as_f64().unwrap_or(0.0),
        process["resident_bytes"].as_u64().unwrap_or(0) >> 20,
        flow["open_windows"],
        flow["kpi_actors"],
    );
    let _ = writeln!(out, "watermark  {}", text(&flow["watermark"]["held_by"]["sentence"]));
    for place in items(&flow["lag"]["where"]) {
        let _ = writeln!(out, "lag        {}", text(&place["sentence"]));
    }
}

fn sinks(out: &mut String, flow: &Value) {
    let mut rows = vec![["sink", "behind", "age", "state"].map(str::to_owned)];
    for sink in items(&flow["sinks"]) {
        rows.push([
            sink["sink"].as_str().unwrap_or("-").to_owned(),
            sink["behind"].to_string(),
            sink["age_ms"].as_f64().map_or_else(|| "-".to_owned(), |ms| format!("{:.1} s", ms / 1_000.0)),
            sink["trouble"].as_str().map_or_else(|| "fine".to_owned(), |trouble| format!("trouble: {trouble}")),
        ]);
    }
    table(out, &rows);
}

fn epochs(out: &mut String, flow: &Value) {
    let mut rows = vec![["version", "at", "took", "read", "files", "result"].map(str::to_owned)];
    let all: Vec<&Value> = items(&flow["epochs"]).collect();
    for epoch in all.iter().rev().take(EPOCHS) {
        rows.push([
            epoch["version"].to_string(),
            epoch["at"].as_str().unwrap_or("-").to_owned(),
            epoch["seconds"].as_f64().map_or_else(|| "-".to_owned(), |s| format!("{s:.2} s")),
            epoch["read"].to_string(),
            epoch["files"].to_string(),
            epoch["result"].as_str().unwrap_or("-").to_owned(),
        ]);
    }
    table(out, &rows);
}

/// All actors but the KPIs', then the busiest of those.
fn actors(out: &mut String, flow: &Value) {
    let percent = |value: &Value| format!("{:.1}%", value.as_f64().unwrap_or(0.0) * 100.0);
    let mut rows = vec![["actor", "queue", "free", "records", "oldest", "busy", "waits", "msg/s"].map(str::to_owned)];
    let (mut kpis, others): (Vec<&Value>, Vec<&Value>) =
        items(&flow["actors"]).partition(|actor| actor["kind"] == "kpi");
    kpis.sort_by(|a, b| b["busy"].as_f64().unwrap_or(0.0).total_cmp(&a["busy"].as_f64().unwrap_or(0.0)));
    for actor in others.into_iter().chain(kpis.into_iter().take(5)) {
        rows.push([
            actor["name"].as_str().unwrap_or("-").to_owned(),
            actor["queue_depth"].to_string(),
            format!("{}/{}", actor["credits_free"], actor["credits"]),
            actor["lag_records"].to_string(),
            format!("{:.2} s", actor["lag_seconds"].as_f64().unwrap_or(0.0)),
            percent(&actor["busy"]),
            percent(&actor["blocked"]),
            format!("{:.1}", actor["messages_per_second"].as_f64().unwrap_or(0.0)),
        ]);
    }
    table(out, &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_screen_and_an_answer_without_figures_is_no_fault() {
        let frame = frame(&Value::Null, 20, 6);
        assert!(frame.lines().count() <= 6 && frame.lines().all(|line| line.chars().count() <= 20), "{frame}");
        assert!(frame.starts_with("lakeward top"), "{frame}");
    }
}
