"""Every panel of Grafana asked for real: its PromQL of a Prometheus that scrapes a running Lakeward and a NameNode, its SQL of
the mart. An empty answer fails. And every metric is what docs/METRICS.md says."""

import json
import math
import re
import subprocess
import threading
from collections import defaultdict

import psycopg
import pytest

from orders import Mix, orders, produce
from program import ROOT, wait_until
from prometheus import Prometheus, tool

EVENTS = 4_000
# Late ones and repetitions too, so that figures differ from each other.
MIX = Mix(bad=0.05, years=(2024, 2024))
# One run of the program serves all of them.
pytestmark = pytest.mark.xdist_group("dashboards")
BOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))


@pytest.fixture(scope="module")
def settled(servers, tmp_path_factory, seed):
    """A run that has read, committed and shown all, Prometheus beside it, and records that go on coming."""
    from bench import Bench

    folder = tmp_path_factory.mktemp("dashboards")
    bench = Bench(servers, folder / "bench", LAKEWARD_EPOCH_ROWS="500", LAKEWARD_EPOCH_AGE="1s")
    produce(servers.kafka, bench.topic, orders(EVENTS, seed, MIX))
    stop = threading.Event()
    more = orders(1_000_000, seed, MIX, first=EVENTS, total=EVENTS + 1_000_000)
    trickle = threading.Thread(target=produce, args=(servers.kafka, bench.topic, more, 50, stop.is_set))
    with bench.running() as process:
        prometheus = Prometheus(folder / "prometheus", {
            "lakeward": f"127.0.0.1:{process.port}", "namenode": servers.webhdfs.removeprefix("http://")})
        try:
            trickle.start()
            yield bench, process, prometheus
        finally:
            prometheus.stop()
            stop.set()
            trickle.join()
            process.kill()
            bench.close()


def panels(source):
    """(board, panel, query) of all that ask this kind of data source."""
    for file in BOARDS:
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                if target["datasource"]["type"] == source:
                    yield board, panel, target


def filled(expr, pipeline):
    """The expression as Grafana would send it with one pipeline chosen and all of the rest."""
    expr = expr.replace("$pipeline", pipeline).replace("$__rate_interval", "10s")
    return re.sub(r"\$\w+", ".*", expr)


def test_every_panel_of_prometheus_has_an_answer(settled):
    bench, _, prometheus = settled
    asked = {(board["title"], panel["title"], target["refId"]): filled(target["expr"], bench.name)
             for board, panel, target in panels("prometheus")}
    assert len(asked) > 60
    empty = dict(asked)

    def all_answered():
        for key, expr in list(empty.items()):
            values = prometheus.values(expr)
            if values and all(math.isfinite(value) for value in values):
                del empty[key]
        return not empty

    wait_until(all_answered, 40, lambda: f"panels without an answer: {json.dumps(list(empty.items()), indent=1)}")


def test_figures_are_those_of_the_run(settled):
    bench, _, prometheus = settled
    expr = {(board["uid"], panel["title"]): filled(target["expr"], bench.name)
            for board, panel, target in panels("prometheus")}
    figure = lambda board, title: (prometheus.values(expr[f"lakeward-{board}", title]) or [None])[0]
    wait_until(lambda: (figure("trust", "Read") or 0) >= EVENTS, 30, lambda: f"read {figure('trust', 'Read')} of {EVENTS}")
    assert figure("trust", "Balance") == 0
    assert 0.01 * EVENTS < figure("trust", "Quarantined") < 0.2 * EVENTS
    # Prometheus sees no increase in what was there before it looked: only the records that come now count.
    wait_until(lambda: figure("overview", "Refused") > 0, 30, "a hundred more records")
    assert 0.01 < figure("overview", "Refused") < 0.2
    assert figure("overview", "Pipelines with an owner") == 1
    assert figure("lake", "Head") >= 1 and figure("lake", "Bytes per file") > 1_000
    assert figure("lake", "Free on the local disk") > 0 and 0 < figure("lake", "Free on HDFS") <= 1
    assert figure("marts", "In trouble") == 0


def test_every_variable_has_values(settled):
    bench, _, prometheus = settled
    for file in BOARDS:
        for variable in json.loads(file.read_text())["templating"]["list"]:
            if variable["datasource"]["type"] == "prometheus":
                series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
                found = prometheus.ask(f"label/{label}/values", **{"match[]": filled(series, bench.name)})
                assert found, f"{file.stem}: {variable['name']}"


def test_rules_are_evaluated_and_nothing_fires(settled):
    _, _, prometheus = settled
    groups = prometheus.ask("rules")["groups"]
    wait_until(lambda: all(rule["health"] == "ok" for group in prometheus.ask("rules")["groups"] for rule in group["rules"]),
               20, "all rules evaluated")
    assert sum(len(group["rules"]) for group in groups) > 20
    firing = [alert["labels"] for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"]
    assert not firing


def test_every_panel_of_the_mart_has_rows(settled):
    bench, _, _ = settled
    with psycopg.connect(bench.mart_url, autocommit=True) as mart:
        wait_until(lambda: mart.execute("select count(*) from orders_live").fetchone()[0] > 1000, 30, "rows in the mart")
        [sales] = [json.loads(file.read_text()) for file in BOARDS if file.stem == "sales"]
        choices = {variable["name"]: [row[0] for row in mart.execute(variable["query"]).fetchall()]
                   for variable in sales["templating"]["list"]}
        assert all(len(values) > 1 for values in choices.values()), choices
        counted = ask_mart(mart, "select count(*) from orders_live where $__timeFilter(kafka_timestamp)", choices)[0][0]
        tiles = {}
        for _, panel, target in panels("grafana-postgresql-datasource"):
            rows = ask_mart(mart, target["rawSql"], choices)
            assert rows and all(value is not None for value in rows[0]), f"{panel['title']}: {rows[:1]}"
            tiles[panel["title"]] = rows[0]
        assert tiles["Total orders"][0] >= counted, "all values chosen, and rows are missing"
        one = {name: values[:1] for name, values in choices.items()}
        few = [ask_mart(mart, target["rawSql"], one) for _, panel, target in panels("grafana-postgresql-datasource")
               if panel["title"] == "Total orders"][0][0][0]
        assert 0 <= few < counted, "the filters leave nothing out"


def ask_mart(mart, text, choices):
    text = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 between '2000-01-01' and '2100-01-01'", text)
    listed = lambda name: ", ".join("'" + value.replace("'", "''") + "'" for value in choices[name])
    return mart.execute(re.sub(r"\$\{(\w+):sqlstring\}", lambda found: listed(found[1]), text)).fetchall()


def test_the_program_exposes_what_the_page_of_metrics_says(settled):
    _, process, prometheus = settled
    wait_until(lambda: "lakeward_epoch_duration_seconds_bucket" in process.get("/metrics")[1], 30, "a commit")
    text = process.get("/metrics")[1]
    assert exposed(text) == documented()
    checked = subprocess.run([tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def exposed(text):
    """{metric: (type, labels)}"""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    labels = defaultdict(set)
    for name, of in re.findall(r"^(\w+?)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        labels[family if kinds.get(family) == "histogram" else name] |= set(re.findall(r"(\w+)=\"", of)) - {"le"}
    return {name: (kind, frozenset(labels[name])) for name, kind in kinds.items()}


def documented():
    rows = re.findall(r"^\| `(\w+)` \| (gauge|counter|histogram) \| [^|]+ \|([^|]*)\|",
                      (ROOT / "docs" / "METRICS.md").read_text(), re.MULTILINE)
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
