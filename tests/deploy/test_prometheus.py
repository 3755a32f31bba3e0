"""Scrape configuration, rules and runbook: valid, tested, and about metrics that exist."""

import json
import re
import subprocess

from files import ROOT, read_yaml

FOLDER = ROOT / "deploy" / "prometheus"
RULES = [rule for file in sorted((FOLDER / "rules").glob("*.yml")) for group in read_yaml(file)["groups"]
         for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
CASES = [(check["alertname"], bool(check["exp_alerts"]))
         for test in read_yaml("deploy/prometheus/tests/alerts.yml")["tests"] for check in test["alert_rule_test"]]
METRIC = re.compile(r"\b(?:lakeward|process)_[a-z0-9_]+\b")


def documented():
    """Names in the tables of docs/METRICS.md."""
    page = (ROOT / "docs" / "METRICS.md").read_text()
    return set(re.findall(r"^\| `([a-z0-9_]+)` \| (?:gauge|counter|histogram) \|", page, re.MULTILINE))


def run(*command):
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_its_rules_are_valid(promtool):
    run(promtool, "check", "config", "prometheus.yml")


def test_alerts_fire_when_they_should_and_not_otherwise(promtool):
    run(promtool, "test", "rules", "tests/alerts.yml")


def test_every_alert_has_a_history_in_which_it_fires_and_one_in_which_it_does_not():
    assert {(name, fires) for name in ALERTS for fires in (True, False)} == set(CASES)


def test_every_alert_says_how_grave_it_is_and_has_its_part_in_the_runbook():
    page = (ROOT / "docs" / "RUNBOOK.md").read_text()
    parts = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert parts.keys() == ALERTS.keys()
    for name, alert in ALERTS.items():
        assert alert["labels"]["severity"] in ("critical", "warning"), name
        assert alert["annotations"]["runbook"] == f"docs/RUNBOOK.md#{name.lower()}"
        assert alert["annotations"]["summary"]
        for heading in ("**Means.**", "**Look.**", "**Do.**"):
            assert heading in parts[name], f"{name} has no {heading}"


def test_rules_ask_for_metrics_that_exist():
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for rule in RULES:
        asked = {re.sub(r"_bucket$", "", name) for name in METRIC.findall(rule["expr"])}
        asked_recorded = set(re.findall(r"\bpipeline:[a-z_]+:[a-z0-9]+\b", rule["expr"]))
        known = documented() | {part for name in recorded for part in METRIC.findall(name)}
        assert asked <= known, f"{rule}: unknown {asked - known}"
        assert asked_recorded <= recorded, f"{rule}: nothing records {asked_recorded - recorded}"


def test_every_recorded_series_is_used():
    shown = "".join(path.read_text() for path in (ROOT / "grafana" / "dashboards").glob("*.json"))
    asked = json.dumps([rule["expr"] for rule in RULES]) + shown
    unused = [rule["record"] for rule in RULES if "record" in rule and rule["record"] not in asked]
    assert not unused


def test_labels_of_the_rules_are_documented():
    page = (ROOT / "docs" / "METRICS.md").read_text()
    for rule in RULES:
        for label, value in re.findall(r"(\w+)!?=\"([^\"]+)\"", rule["expr"]):
            assert label in ("job", "alertname", "alertstate") or f"`{value}`" in page, f"{label}={value}"
