"""The ledger is held against the entries always, and against what every file really holds with --files (I3, I4, I5)."""

import io
import json

import pyarrow.parquet as pq
import pytest

from orders import Mix, orders, produce

EVENTS = 6_000
MIX = Mix(bad=0.05, tombstone=0.01, years=(2023, 2024))


@pytest.fixture(params=["file", "hdfs"])
def begun(request, new_bench, seed):
    """A lake of a few epochs with records of every outcome."""
    bench = new_bench(lake=request.param, mart="none", LAKEWARD_EPOCH_ROWS="2000")
    produce(bench.servers.kafka, bench.topic, orders(EVENTS, seed, MIX))
    bench.once()
    return bench


def test_what_is_there_closes_the_ledger(begun):
    told = closed(begun)
    total, layers = told["total"], {layer["layer"]: layer for layer in told["layers"]}
    for outcome in ("kept", "filtered", "duplicate", "quarantined", "tombstones"):
        assert total[outcome] > 0, f"no record was {outcome}"
    no_objects = total["records"] - layers["bronze"]["due"]
    assert 0 < no_objects < total["quarantined"]
    assert (layers["silver"]["due"], layers["quarantine"]["due"]) == (total["kept"], total["quarantined"])
    for name in ("bronze", "silver", "quarantine"):
        assert layers[name]["rows_read"] == layers[name]["rows"] == layers[name]["due"], layers[name]
    code, text = begun.command("ledger")
    assert code == 0 and "rows read" not in text
    late = [(one["kpi"], one["rows"], sum(minute["rows"] for minute in one["minutes"])) for one in told["late"]]
    assert all(rows == by_minute for _, rows, by_minute in late), late
    for kpi, rows in total["late"].items():
        assert rows == sum(of for name, of, _ in late if name == kpi) > 0
        assert f"late for {kpi}: {rows} " in text


def test_every_damage_opens_it_and_is_named(begun):
    silver = begun.lake.files("silver/amazon_sales")
    victim = max(silver, key=silver.get)
    whole = begun.lake.read(victim)
    table = pq.read_table(io.BytesIO(whole))
    partition = table["kafka_partition"][table.num_rows - 1].as_py()

    begun.lake.put(victim, parquet(table.slice(0, table.num_rows - 1)))
    say = f"{victim} holds {table.num_rows - 1} rows, its entry says {table.num_rows}"
    opened(begun, say, "silver holds", f"rows of partition {partition} of incarnation 0")
    begun.lake.put(victim, parquet(table.slice(0, table.num_rows)) + b" ")
    opened(begun, victim)
    begun.lake.put(victim, whole)
    closed(begun)

    stray = "bronze/amazon_sales/part-of-somebody.json"
    begun.lake.put(stray, b"{}\n")
    opened(begun, f"{stray} is visible and no entry names it")
    begun.lake.delete(stray)
    closed(begun)

    gone = max(begun.lake.files("quarantine/amazon_sales"))
    bytes_of_it = begun.lake.read(gone)
    begun.lake.delete(gone)
    opened(begun, f"{gone} is gone")
    begun.lake.put(gone, bytes_of_it)
    closed(begun)


def closed(bench):
    code, text = bench.command("ledger", "--files", "--json")
    assert code == 0, text
    told = json.loads(text)
    assert told["closed"] and told["open"] == []
    return told


def opened(bench, *words):
    code, text = bench.command("ledger", "--files")
    assert code == 1, f"exit {code}:\n{text}"
    assert "OPEN" in text
    for word in words:
        assert word in text, f"{word!r} is not in\n{text}"
    code, _ = bench.command("ledger")
    assert code == 0, "without --files only the log is looked at"


def parquet(table):
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()
