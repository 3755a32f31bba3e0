"""Dashboards, their data source and the scrape configuration fit together and to the program's metrics."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DASHBOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))
METRIC = re.compile(r"\blakeward_[a-z0-9_]+\b")


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request):
    return json.loads(request.param.read_text())


def targets(dashboard):
    return [target for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_there_are_dashboards_with_ids_of_their_own():
    uids = [json.loads(path.read_text())["uid"] for path in DASHBOARDS]
    assert uids and len(uids) == len(set(uids))


def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard):
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(ids) == len(set(ids))
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_every_query_asks_the_provisioned_data_source(dashboard):
    provisioned = (ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text()
    uid = re.search(r"uid: (\S+)", provisioned)[1]
    assert targets(dashboard)
    assert {target["datasource"]["uid"] for target in targets(dashboard)} == {uid}


def test_every_metric_that_is_shown_is_one_of_the_program(dashboard):
    sources = [path.read_text() for folder in ("actors", "crates", "src") for path in (ROOT / folder).rglob("*.rs")]
    known = {name for source in sources for name in METRIC.findall(source)}
    if "lakeward_actor_queue_depth" not in known:
        pytest.skip("the program has no metrics yet")
    shown = {name for target in targets(dashboard) for name in METRIC.findall(target["expr"])}
    shown = {re.sub(r"_bucket$", "", name) for name in shown}
    assert shown <= known, f"not in the program: {sorted(shown - known)}"
