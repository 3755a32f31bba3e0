"""Dashboards, their data sources and what they ask for fit together. Every query is really asked by
tests/e2e/test_dashboards.py."""

import json
import re
import subprocess
import sys
from itertools import combinations

import pytest
from files import ROOT, read_yaml
from test_prometheus import RULES, documented

DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
METRIC = re.compile(r"\b(?:lakeward|process)_[a-z0-9_]+\b")
# In the order in which data flows, after the overview and what runs through all of it.
BOARDS = {"overview", "actors", "kafka", "lake", "marts", "trust", "sales"}
UNITS = {"short", "none", "s", "bytes", "Bps", "rowsps", "ops", "percentunit", "bool", "currencyUSD"}
# Grafana's own variables.
BUILT_IN = {"__rate_interval", "__timeFilter", "__all"}


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request):
    return json.loads(request.param.read_text())


def shown(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(dashboard):
    return [target for panel in shown(dashboard) for target in panel["targets"]]


def text_of(target):
    return target.get("expr") or target["rawSql"]


def test_the_files_are_what_the_boards_say():
    done = subprocess.run([sys.executable, ROOT / "grafana" / "build", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_board_is_there_under_a_uid_of_its_own():
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert {path.stem for path in DASHBOARDS} == BOARDS
    assert [board["uid"] for board in boards] == [f"lakeward-{path.stem}" for path in DASHBOARDS]
    assert len({board["title"] for board in boards}) == len(boards)


def test_panels_have_ids_of_their_own_and_say_what_they_show(dashboard):
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) and all(isinstance(number, int) for number in ids)
    for panel in shown(dashboard):
        assert panel["title"] and panel["description"] and panel["targets"], panel
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)), panel["title"]
    titles = [panel["title"] for panel in shown(dashboard)]
    assert len(titles) == len(set(titles))


def test_panels_fit_the_grid_and_do_not_overlap(dashboard):
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    for place in places:
        assert 0 <= place["x"] and place["x"] + place["w"] <= 24 and place["w"] > 0 and place["h"] > 0, place
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_everything_asks_a_provisioned_data_source(dashboard):
    files = (ROOT / "grafana" / "provisioning" / "datasources").glob("*.yml")
    provisioned = {(source["type"], source["uid"]) for file in files for source in read_yaml(file)["datasources"]}
    askers = [*shown(dashboard), *targets(dashboard), *dashboard["templating"]["list"]]
    for asker in askers:
        source = asker["datasource"]
        assert (source["type"], source["uid"]) in provisioned, asker
    for panel in shown(dashboard):
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"]), panel["title"]


def test_every_figure_has_a_known_unit(dashboard):
    for panel in shown(dashboard):
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


def test_variables_are_defined_and_used(dashboard):
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    asked = [text_of(target) for target in targets(dashboard)]
    asked += [variable["definition"] for variable in dashboard["templating"]["list"]]
    used = {a or b for text in asked for a, b in re.findall(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", text)} - BUILT_IN
    assert used == defined, f"undefined: {used - defined}, unused: {defined - used}"
    if dashboard["uid"] != "lakeward-sales":
        assert "pipeline" in defined
    if dashboard["uid"] == "lakeward-kafka":
        assert "partition" in defined


def test_metrics_labels_and_recorded_series_exist(dashboard):
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    page = (ROOT / "docs" / "METRICS.md").read_text()
    for target in targets(dashboard):
        expr = target.get("expr", "")
        series = set(re.findall(r"\bpipeline:\w+:\w+\b", expr))
        assert series <= recorded, f"nothing records {series - recorded}"
        plain = re.sub(r"\bpipeline:\w+:\w+\b", "", expr)
        names = {re.sub(r"_bucket$", "", name) for name in METRIC.findall(plain)}
        assert names <= documented(), f"not in the program: {sorted(names - documented())}"
        for label, value in re.findall(r"(\w+)!?=\"(\w+)\"", plain):
            assert label in ("job", "alertstate") or f"`{value}`" in page, f"{label}={value} in {expr}"


def test_queries_parse(dashboard, promtool, tmp_path):
    exprs = [target["expr"] for target in targets(dashboard) if "expr" in target]
    rules = [{"record": f"panel:{n}", "expr": expr.replace("$__rate_interval", "1m")} for n, expr in enumerate(exprs)]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_home_page_is_one_of_the_boards():
    home = read_yaml("docker-compose.yml")["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.rsplit("/", 1)[1] in {path.name for path in DASHBOARDS}
