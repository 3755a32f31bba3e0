//! The program as its user meets it: what it prints, and with which code it ends. No server is needed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the program in `dir`, without settings from the environment.
fn lakeward(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakeward"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LAKEWARD_")) {
        command.env_remove(name);
    }
    command.args(args).current_dir(dir).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", err(output)))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The name of a built-in pipeline: the list is in the message about an unknown one.
fn built_in() -> String {
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines")).unwrap();
    let mut names: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let first = names.iter().find(|n| n.ends_with(".toml") && !n.ends_with(".generator.toml")).unwrap();
    first.trim_end_matches(".toml").to_owned()
}

#[test]
fn validate_prints_what_would_run() {
    let dir = tempfile::tempdir().unwrap();
    let output = lakeward(dir.path(), &["validate", &built_in()]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert!(out(&output).contains(&built_in()), "{}", out(&output));
}

#[test]
fn shells_and_man_know_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let help = out(&lakeward(dir.path(), &["--help"]));
    let listed = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let named = listed.lines().filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let commands: Vec<&str> = named.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 12 && commands.contains(&"completions"), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = out(&lakeward(dir.path(), &["completions", shell]));
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    let page = out(&lakeward(dir.path(), &["man"])).replace("\\-", "-");
    assert!(commands.iter().all(|command| page.contains(&format!("lakeward-{command}(1)"))), "{page}");
    assert!(help.contains("Exit codes:") && page.contains("70  BUG"), "{page}");
    let output = lakeward(dir.path(), &["man", "--to", "pages"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    for command in commands.iter().filter(|command| **command != "help") {
        assert!(dir.path().join(format!("pages/lakeward-{command}.1")).exists(), "{command}");
    }
}

#[test]
fn bash_takes_the_completions() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("lakeward.bash");
    std::fs::write(&script, out(&lakeward(dir.path(), &["completions", "bash"]))).unwrap();
    let ask = "source lakeward.bash && COMP_WORDS=(lakeward led) COMP_CWORD=1 && _lakeward lakeward led lakeward \
               && echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", ask]).current_dir(dir.path()).output().unwrap();
    assert_eq!(out(&output).trim(), "ledger", "{}", err(&output));
}

#[test]
fn an_unknown_pipeline_is_a_usage_error_that_lists_the_known_ones() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["validate", "run", "generate"] {
        let output = lakeward(dir.path(), &[command, "no-such-pipeline"]);
        assert_eq!(code(&output), 2, "{command}: {}", err(&output));
        assert!(err(&output).contains(&built_in()), "{command}: {}", err(&output));
    }
}

#[test]
fn a_pipeline_given_twice_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = lakeward(dir.path(), &["run", &built_in(), &built_in()]);
    assert_eq!(code(&output), 2, "{}", err(&output));
    assert!(err(&output).contains("given twice"), "{}", err(&output));
}

#[test]
fn a_wrong_configuration_key_is_named_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lakeward.toml"), "[lake]\nurl = \"file:///x\"\n\n[kafka]\nbrokres = \"a:1\"\n")
        .unwrap();
    let output = lakeward(dir.path(), &["ledger", &built_in()]);
    assert_eq!(code(&output), 2, "{}", err(&output));
    assert!(err(&output).contains("lakeward.toml:5:1") && err(&output).contains("brokers"), "{}", err(&output));
}

#[test]
fn generated_records_are_the_same_for_a_seed_and_others_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let name = built_in();
    let generate = |seed: &str| {
        let ratios = ["--bad", "0.02", "--duplicates", "0.02", "--late", "0.02"];
        let args = [&["generate", &name, "--to", "stdout", "--events", "3000", "--seed", seed][..], &ratios].concat();
        let output = lakeward(dir.path(), &args);
        assert_eq!(code(&output), 0, "{}", err(&output));
        output.stdout
    };
    let first = generate("7");
    assert_eq!(first, generate("7"));
    assert_ne!(first, generate("8"));
    assert!(first.iter().filter(|b| **b == b'\n').count() >= 3000);
}

#[test]
fn a_wrong_ratio_or_a_span_without_a_number_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let name = built_in();
    for args in [&["--bad", "1.5"][..], &["--rate", "0"], &["--span", "5m"], &["--start-time", "2025-01-01T00:00:00Z"]]
    {
        let output = lakeward(dir.path(), &[&["generate", &name, "--to", "stdout"][..], args].concat());
        assert_eq!(code(&output), 2, "{args:?}: {}", err(&output));
    }
}

/// The lines of a CSV file become records whose numbers are numbers, in the file's order.
#[test]
fn a_csv_file_is_sent_once_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = "name = \"t\"\n[source]\ntopic = \"t\"\nformat = \"json\"\n[fields]\nid = \"string!\"\nn = \"int32\"\n\
                    [bronze]\npath = \"b\"\n[quarantine]\npath = \"q\"\n";
    std::fs::write(dir.path().join("t.toml"), pipeline).unwrap();
    std::fs::write(dir.path().join("t.csv"), "id,n\na,1\n\nb,2\n").unwrap();
    let output = lakeward(dir.path(), &["generate", "t.toml", "--csv", "t.csv", "--to", "stdout"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    assert_eq!(out(&output), "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n");
    std::fs::write(dir.path().join("t.csv"), "id,n\na,1,2\n").unwrap();
    let output = lakeward(dir.path(), &["generate", "t.toml", "--csv", "t.csv", "--to", "stdout"]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("t.csv:2: "), "{}", err(&output));
}

#[test]
fn the_demo_closes_windows_and_its_ledger_and_goes_on_with_a_new_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let demo = |seconds: &str| {
        let output = lakeward(dir.path(), &["demo", "--plain", "--seconds", seconds, "--events-per-second", "200"]);
        assert_eq!(code(&output), 0, "{}\n{}", out(&output), err(&output));
        out(&output)
    };
    let ledger = || -> Value {
        let files = ["--config", "lakeward-demo/lakeward.toml", "ledger", "lakeward-demo/pipeline.toml", "--json"];
        let output = lakeward(dir.path(), &files);
        assert_eq!(code(&output), 0, "{}\n{}", out(&output), err(&output));
        serde_json::from_str(&out(&output)).unwrap()
    };
    let first = demo("25");
    let closed =
        first.lines().find_map(|l| l.strip_prefix("rows of closed windows: ")).expect("a line of closed windows");
    assert!(closed.parse::<u64>().unwrap() > 0, "{first}");
    let before = ledger();
    assert_eq!(before["closed"], true);
    assert!(before["total"]["records"].as_u64().unwrap() >= 4_000, "{before}");
    assert!(before["total"]["quarantined"].as_u64().unwrap() > 0, "{before}");

    assert!(demo("4").contains("incarnation 1"));
    let after = ledger();
    assert_eq!(after["closed"], true);
    assert!(after["partitions"].as_array().unwrap().iter().all(|p| p["incarnation"] == 1), "{after}");
    assert!(after["total"]["records"].as_u64() > before["total"]["records"].as_u64(), "{after}");
}

#[test]
fn a_bench_counts_every_record_and_leaves_a_lake_that_verify_confirms() {
    let dir = tempfile::tempdir().unwrap();
    let (name, events, partitions) = (built_in(), 20_000, 3);
    let (many, few) = (events.to_string(), partitions.to_string());
    let args = ["bench", &name, "--events", &many, "--partitions", &few, "--cores", "1", "--json", "--dir", "kept"];
    let output = lakeward(dir.path(), &args);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let told: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!([&told["events"], &told["partitions"], &told["cores"]], [events, partitions, 1], "{told}");
    assert!(told["events_per_second"].as_u64() > Some(0) && told["cpu_ns_per_event"].as_u64() > Some(0), "{told}");
    assert!(told["busy_ns_per_event"]["partition"].as_u64() > Some(0), "{told}");
    let output = lakeward(dir.path(), &["--config", "kept/lakeward.toml", "verify", &name]);
    assert_eq!(code(&output), 0, "{}{}", out(&output), err(&output));
    assert!(out(&output).contains(&format!("{events} lines of Bronze")), "{}", out(&output));
    let output = lakeward(dir.path(), &args);
    assert_eq!(code(&output), 2, "a folder that is there is not written into: {}", err(&output));
}

#[test]
fn the_demo_touches_no_folder_that_is_not_its_own() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious"), "x").unwrap();
    let output = lakeward(dir.path(), &["demo", "--fresh", "--dir", ".", "--seconds", "1"]);
    assert_eq!(code(&output), 2, "{}", err(&output));
    assert!(dir.path().join("precious").exists());
}

/// Runs `ledger` under a configuration file in these bytes.
fn configured(bytes: &[u8], args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("lakeward.toml"), bytes).unwrap();
    lakeward(dir.path(), args)
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let name = built_in();
    let check = |args: &[&str], expected: &str| {
        let output = lakeward(dir.path(), args);
        assert_eq!(code(&output), 2, "{args:?}: {}", err(&output));
        assert!(err(&output).contains(expected), "{args:?}: {}", err(&output));
    };
    check(&[], "Usage");
    check(&["frobnicate"], "frobnicate");
    check(&["run"], "PIPELINE");
    check(&["run", &name, "--nce"], "--once");
    check(&["run", &name, "--close-all"], "--once");
    check(&["log", &name, "minus one"], "minus one");
    check(&["ledger", &name, "--config", "absent.toml"], "absent.toml");
    check(&["ledger", &name, "--config", "."], ".");
    check(&["reset", &name, "--yes"], "lake.url");
    check(&["ledger", &name], "lake.url");
    check(&["validate", "absent.toml"], "absent.toml");
    let output = {
        use std::os::unix::ffi::OsStrExt;
        let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
        Command::new(env!("CARGO_BIN_EXE_lakeward")).arg("validate").arg(odd).output().unwrap()
    };
    assert_eq!(code(&output), 2, "{}", err(&output));
    assert!(err(&output).contains("UTF-8"), "{}", err(&output));
}

#[test]
fn a_wrong_configuration_ends_with_2_and_names_file_line_and_key() {
    let name = built_in();
    let check = |bytes: &[u8], expected: &str| {
        let output = configured(bytes, &["ledger", &name]);
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(code(&output), 2, "{shown}: {}", err(&output));
        assert!(err(&output).contains(expected), "{shown}: {}", err(&output));
    };
    check(b"[lake]\nurl = \"file:///\xff\"\n", "lakeward.toml");
    check(b"[lake]\nurl = \"file:///a\"\nurl = \"file:///b\"\n", "lakeward.toml:3");
    check(b"[lake]\nurl = 5\n", "lakeward.toml:2:7: lake.url");
    check(b"[lake]\nurl = \"lake\"\n", "lakeward.toml:2:7: lake.url");
    check(b"[lake]\nurl = \"ftp://h/x\"\n", "lakeward.toml:2:7: lake.url");
    check(b"[lake]\nkeep_entries = 0\n", "lakeward.toml:2:16: lake.keep_entries");
    check(b"[memory]\ncap = \"0MiB\"\n", "lakeward.toml:2:7: memory.cap");
    check(b"[memory]\ncap = \"5 parsecs\"\n", "lakeward.toml:2:7: memory.cap");
    check(b"[epoch]\nage = \"5 parsecs\"\n", "lakeward.toml:2:7: epoch.age");
    check(b"[epoch]\nage = \"-5s\"\n", "lakeward.toml:2:7: epoch.age");
    check(b"[epoch]\nage = 30\n", "lakeward.toml:2:7: epoch.age");
    check(b"[http]\nlisten = \"127.0.0.1:0\"\n", "lakeward.toml:2:10: http.listen");
    check(b"[http]\nlisten = \"127.0.0.1:65536\"\n", "lakeward.toml:2:10: http.listen");
    check(b"[http]\nlisten = \"0.0.0.0:8501\"\n", "http.token");
    check(b"[http]\ntoken = \"short\"\n", "lakeward.toml:2:9: http.token");
    check(b"[mart]\nurl = \"postgres://u:${env:LAKEWARD_NOT_SET}@h/d\"\n", "LAKEWARD_NOT_SET");
    check(b"[kafka]\nbrokers = \"\"\n", "lakeward.toml:2:11: kafka.brokers");
    check(b"[kafka]\nbrokers = \"h:0\"\n", "lakeward.toml:2:11: kafka.brokers");
    check(b"[kafka]\ntopic = \"a b\"\n", "lakeward.toml:2:9: kafka.topic");
    check(b"kafka = \"h\"\n", "lakeward.toml:1");
    check(b"[lake\n", "lakeward.toml:1");
}

#[test]
fn a_password_is_in_no_message() {
    const SECRET: &str = "hunter2hunter2";
    let name = built_in();
    for line in ["postgres://u:SECRET@h:99999/d", "mysql://u:SECRET@h/d", "postgres://u:SECRET@h/d?sslmode=require"] {
        let text = format!("[lake]\nurl = \"file:///nowhere\"\n[mart]\nurl = \"{}\"\n", line.replace("SECRET", SECRET));
        let output = configured(text.as_bytes(), &["ledger", &name]);
        assert_ne!(code(&output), 0);
        assert!(!err(&output).contains(SECRET) && !out(&output).contains(SECRET), "{}", err(&output));
    }
}

/// A process that is ended with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A demo that runs until the test ends, and where its dashboard is.
fn running_demo(dir: &Path) -> (Running, String) {
    use std::io::BufRead;
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakeward"));
    command
        .args(["demo", "--plain", "--events-per-second", "200"])
        .current_dir(dir)
        .stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let running = Running(child);
    let url = lines
        .find_map(|line| line.unwrap().strip_prefix("Dashboard: ").map(|url| url.trim_end_matches('/').to_owned()));
    // What it goes on to print is read, so that it never waits for us.
    std::thread::spawn(move || lines.for_each(drop));
    (running, url.expect("the demo names its dashboard"))
}

/// The answer to one question, as JSON.
fn get(url: &str, path: &str) -> Value {
    use std::io::{Read, Write};
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_running_service_explains_itself_and_its_topology_is_its_actors() {
    let dir = tempfile::tempdir().unwrap();
    let (_running, url) = running_demo(dir.path());
    let began = std::time::Instant::now();
    let mut flow = get(&url, "/api/v1/flow");
    // Two epochs, and an actor for every key: no more come then.
    while flow["epochs"].as_array().unwrap().iter().filter(|epoch| epoch["kind"] == "epoch").count() < 2 {
        assert!(began.elapsed().as_secs() < 60, "{flow}");
        std::thread::sleep(std::time::Duration::from_millis(200));
        flow = get(&url, "/api/v1/flow");
    }
    let named = |told: &Value| {
        let who = |actor: &Value| format!("{} {}", actor["kind"], actor["index"]);
        told["actors"].as_array().unwrap().iter().map(who).collect::<std::collections::BTreeSet<_>>()
    };
    let same = (0..50).any(|_| named(&get(&url, "/api/v1/flow")) == named(&get(&url, "/api/v1/actors")));
    assert!(same, "topology and actors differ");
    let trust = get(&url, "/api/v1/trust");
    assert_eq!((&trust["ledger"]["closed"], &trust["verify"]), (&Value::Bool(true), &Value::Null), "{trust}");
    assert!(trust["minutes"].as_array().unwrap().iter().all(|minute| minute["closed"] == true), "{trust}");
    let listed: u64 = trust["quarantine"]["by_reason"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(Some(listed), trust["quarantine"]["records"].as_u64());

    let explained = lakeward(dir.path(), &["explain", "watermark", "--url", &url]);
    assert!(code(&explained) == 0 && out(&explained).contains("partition"), "{}{}", out(&explained), err(&explained));
    let lag = lakeward(dir.path(), &["explain", "lag", "--json", "--url", &url]);
    let lag: Value = serde_json::from_str(&out(&lag)).unwrap();
    assert!(lag["lag"]["where"][0]["sentence"].is_string(), "{lag}");
    let top = lakeward(dir.path(), &["top", "--once", "--url", &url]);
    assert!(out(&top).starts_with("lakeward top") && !out(&top).contains('\u{1b}'), "{}", out(&top));
    let unknown = lakeward(dir.path(), &["explain", "lag", "nothing-of-that-name", "--url", &url]);
    assert!(code(&unknown) == 1 && err(&unknown).contains("it runs"), "{}", err(&unknown));
}

#[test]
fn where_nothing_listens_explain_and_top_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    for args in [&["explain", "lag"][..], &["explain", "watermark"], &["top"]] {
        let output = lakeward(dir.path(), &[args, &["--url", &url]].concat());
        assert_eq!(code(&output), 1, "{}", err(&output));
        assert!(err(&output).contains("nothing answers") && err(&output).contains("lakeward run"), "{}", err(&output));
    }
}
