"""Layers that keep their files for a span of event time: what is old goes by an entry, what is left is right, and whoever needs
what is gone says so (H1)."""

import io
import json
import random
import threading
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest

from bench import amazon_pipeline, in_mart, late_pipeline
from orders import Mix, orders, produce
from program import wait_until

MINUTE = 60_000_000
KEPT = 30 * MINUTE
EVENTS, TOTAL = 4_000, 6_000
MIX = Mix(late=0.02, years=(2024, 2024))
RATE = 1_000
SMALL = {"LAKEWARD_EPOCH_AGE": "250ms", "LAKEWARD_OWNER_LEASE_RENEW": "300ms", "LAKEWARD_OWNER_LEASE_EXPIRY": "1s"}
FOLDERS = {"bronze": "bronze/amazon_sales", "silver": "silver/amazon_sales", "quarantine": "quarantine/amazon_sales"}


def keeping(layers, span, base=amazon_pipeline):
    """The feed with retention in the sections of these layers."""

    def pipeline(name, topic):
        text = base(name, topic)
        for layer in layers:
            section = f"[{layer}]\n" if layer in FOLDERS else f'late_table = {{ path = "{layer}"'
            assert section in text, section
            added = f'retention = "{span}"\n' if layer in FOLDERS else f', retention = "{span}"'
            text = text.replace(section, section + added, 1)
        return text

    return pipeline


@pytest.mark.parametrize("lake, mart, kills", [("file", "sqlite", 3), ("hdfs", "postgres", 2)])
def test_killed_at_any_moment_old_files_go_and_the_rest_is_right(new_bench, seed, lake, mart, kills):
    layers = [*FOLDERS, "late/days"]
    bench = new_bench(lake=lake, mart=mart, pipeline=keeping(layers, "30m", late_pipeline), **SMALL)
    chance = random.Random(seed)
    with arriving(bench, orders(1_000_000, seed, MIX, total=TOTAL), endless=True):
        for _ in range(kills):
            goal, process = bench.head() + chance.randint(4, 6), bench.start()
            wait_until(lambda: not process.alive() or bench.head() >= goal, 60, process.tail)
            assert process.alive(), process.tail()
            process.kill()
    bench.once()
    entries = bench.entries()
    live, expired = files(entries)
    for layer, folder in FOLDERS.items():
        assert expired[layer], f"nothing of {layer} has gone"
        assert set(bench.lake.files(folder)) == set(live[layer]), f"what is in sight of {layer}"
    assert_old_enough(entries)
    ledger(bench)
    rows_are_the_newest(bench)
    verdicts = verified(bench)
    assert all(verdicts[name] == "holds" for name in ("I1", "I2", "I5", "I21")), verdicts
    assert all("retention took" in verdicts[name] for name in ("I3", "I4", "I6", "I13")), verdicts
    code, text = bench.command("rebuild", "--from", "bronze", "--yes")
    assert code == 4 and "BRONZE_INCOMPLETE: retention took" in text, text
    code, text = bench.command_of("quarantine", "list")
    assert code == 0 and "retention took them" in text, text


def test_what_is_gone_of_silver_is_told_and_everything_else_is_compared(new_bench, seed):
    bench = new_bench(mart="sqlite", pipeline=keeping(["silver"], "30m"), **SMALL)
    run_while_arriving(bench, orders(EVENTS, seed, MIX))
    whole = in_mart(bench, "select count(*) from orders_live")
    verdicts = verified(bench, "--deep")
    assert "retention took" in verdicts.pop("I3") and "silver" not in "".join(verdicts.values()), verdicts
    assert all(verdicts[name] == "holds" for name in ("I4", "I5", "I6", "I7", "I8", "I10", "I11", "I12", "I13", "I21")), verdicts
    in_mart(bench, "drop table orders_live_raw")
    refused = bench.start("--once")
    assert refused.code(60) == 4 and "MART_INCOMPLETE: retention took" in refused.log(), refused.tail()
    bench.once(LAKEWARD_MART_ACCEPT_INCOMPLETE="true")
    assert in_mart(bench, "select count(*) from orders_live") < whole
    rows_are_the_newest(bench)
    assert "orders_live lacks" in verified(bench)["I8"]
    bench.once()


def test_a_table_that_keeps_less_than_silver_is_filled_all_the_same(new_bench, seed):
    def pipeline(name, topic):
        return keeping(["silver"], "40m")(name, topic).replace('# keep = "7d"', 'keep = "20m"', 1)

    bench = new_bench(mart="sqlite", pipeline=pipeline, **SMALL)
    run_while_arriving(bench, orders(EVENTS, seed, MIX))
    assert files(bench.entries())[1]["silver"]
    before = in_mart(bench, "select count(*) from orders_live")
    in_mart(bench, "drop table orders_live_raw")
    bench.once()
    assert in_mart(bench, "select count(*) from orders_live") == before
    assert verified(bench)["I8"] == "holds"


@contextmanager
def arriving(bench, messages, endless=False):
    """Events arrive while the block works; at its end all have, but for endless ones."""
    over = threading.Event()
    stop = over.is_set if endless else None
    feeder = threading.Thread(target=produce, args=(bench.servers.kafka, bench.topic, messages, RATE, stop))
    feeder.start()
    try:
        yield
    finally:
        over.set()
        feeder.join()


def run_while_arriving(bench, messages):
    """Entry after entry, then to the end."""
    with bench.running() as process, arriving(bench, messages):
        pass
    process.stop()
    bench.once()


def files(entries):
    """({layer: {path: file}} that are live, {layer: [path]} that retention took)."""
    live, expired = {}, {}
    for entry in entries:
        for layer, change in entry.get("layers", {}).items():
            held = live.setdefault(layer, {})
            for path in change.get("expired", []):
                del held[path]
                expired.setdefault(layer, []).append(path)
            held.update((file["path"], file) for file in change["added"])
    return live, expired


def assert_old_enough(entries):
    """Whoever reads the log finds every file that went old enough by then, and in place."""
    came, version, rolled = {}, {}, -1
    for entry in entries:
        rolled = max(rolled, entry.get("rolled", -1))
        furthest = max(told["watermark"] for told in entry["partitions"].values())
        for change in entry.get("layers", {}).values():
            for path in change.get("expired", []):
                assert came[path] <= entry["g"] - KEPT and version[path] <= rolled, (path, entry["version"])
                assert "expired" in entry["requires"]
            for file in change["added"]:
                assert file.get("as_of", furthest) == furthest
                came[file["path"]], version[file["path"]] = furthest, entry["version"]


def ledger(bench):
    code, text = bench.command("ledger", "--files", "--json")
    assert code == 0, text
    for layer in json.loads(text.splitlines()[-1])["layers"]:
        assert layer["rows_read"] == layer["rows"], layer
        assert layer["due"] is None or layer["rows"] + layer["expired"] == layer["due"], layer


def rows_are_the_newest(bench):
    """What is left of Silver is what the mart's table has of each partition from some offset on, or all that it has."""
    left, held = {}, {}
    for path in bench.lake.files(FOLDERS["silver"]):
        rows = pq.ParquetFile(io.BytesIO(bench.lake.read(path))).read(["kafka_partition", "kafka_offset"])
        for partition, offset in zip(rows["kafka_partition"].to_pylist(), rows["kafka_offset"].to_pylist()):
            left.setdefault(partition, []).append(offset)
    for partition, offset in in_mart(bench, "select kafka_partition, kafka_offset from orders_live"):
        held.setdefault(partition, []).append(offset)
    assert len(left) == 3
    for partition, offsets in left.items():
        assert sorted(offsets) == sorted(offset for offset in held[partition] if offset >= min(offsets)), partition


def verified(bench, *arguments):
    """{invariant: "holds", or why that can't be said}; nothing is broken."""
    code, text = bench.command("verify", "--json", *arguments)
    assert code == 0, text
    told = json.loads(text.splitlines()[-1])["invariants"]
    return {one["invariant"]: "holds" if one["verdict"] == "holds" else one["why"] for one in told}
