"""Late rows revise closed windows: a Gold row is replaced with the next revision, in the lake and in the mart, whenever
the process is killed."""

import io
import json
import random
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench import amending_pipeline, in_mart
from orders import Mix, orders, produce
from program import wait_until
from test_late import broken, kill_once, table

KILLS = 3
RATE = 500
MIX = Mix(late=0.05, years=(2024, 2024))
GOLD = "gold/amazon_sales_aggregated"
REVISED = "select count(*) from kpi_1min where is_final and revision > 0"
KEY = ["window_start", "Category", "Country", "PaymentMethod"]


@pytest.mark.parametrize("lake, mart", [("file", "sqlite"), ("hdfs", "postgres")])
def test_killed_at_any_moment_each_window_is_there_once_with_all_that_may_revise_it(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart, pipeline=amending_pipeline, LAKEWARD_EPOCH_AGE="400ms",
                      LAKEWARD_OWNER_LEASE_RENEW="300ms", LAKEWARD_OWNER_LEASE_EXPIRY="1s")
    done = threading.Event()
    messages = orders(1_000_000, seed, MIX, total=12_000)
    feeder = threading.Thread(target=lambda: produce(bench.servers.kafka, bench.topic, messages, RATE, done.is_set))
    feeder.start()
    try:
        for number in range(KILLS):
            kill_once(bench, random.Random(f"{seed}/{number}"))
        never_called_broken(bench)
    finally:
        done.set()
        feeder.join()
    bench.once()
    code, text = bench.command("ledger", "--files", "--json")
    assert code == 0, text
    total = json.loads(text.splitlines()[-1])["total"]
    assert total["amended"]["kpi_1min"] > 20 and total["late"]["kpi_1min"] > 20, total
    bench.assert_equal()
    bench.assert_verified("--deep")
    # A window's row is in one file of Gold, and the table has the same.
    gold = table(bench, GOLD, [*KEY, "revision"]).to_pylist()
    assert len({tuple(row[name] for name in KEY) for row in gold}) == len(gold)
    revised = sum(row["revision"] > 0 for row in gold)
    print(f"{len(gold)} rows in Gold, {revised} revised, up to {max(row['revision'] for row in gold)} times; {total}")
    assert revised > 5
    assert in_mart(bench, REVISED) == [(revised,)]


def never_called_broken(bench):
    """Files that are replaced while they are read are no damage."""
    process, goal = bench.start(), bench.head() + 3
    wait_until(lambda: bench.head() >= goal, 60, process.tail)
    for _ in range(2):
        code, text = bench.command("verify", "--json")
        assert code == 0, text
    process.kill()


def test_a_rebuild_revises_alike_and_every_damage_to_revised_rows_is_found(new_bench, seed):
    bench = new_bench(mart="sqlite", pipeline=amending_pipeline)
    for part in range(2):
        produce(bench.servers.kafka, bench.topic, orders(6_000, seed, MIX, first=6_000 * part, total=12_000))
        bench.once()
    bench.assert_equal()
    # Written anew from Bronze, it comes out the same.
    revised = in_mart(bench, REVISED)
    assert revised > [(5,)]
    code, text = bench.command("rebuild", "--from", "bronze", "--yes")
    assert code == 0, text
    bench.once()
    bench.assert_equal()
    assert in_mart(bench, REVISED) == revised
    first = "where rowid = (select min(rowid) from kpi_1min_raw where revision > 0)"
    in_mart(bench, f"update kpi_1min_raw set revision = revision + 1 {first}")
    broken(bench, "I11", "revision is")
    in_mart(bench, f"update kpi_1min_raw set revision = revision - 1 {first}")
    files = [file for file in bench.lake.files(GOLD) if file.endswith(".parquet")]
    victim, whole = next((file, whole) for file in sorted(files) for whole in [read(bench, file)]
                         if max(whole["revision"].to_pylist()) > 0)
    body = bench.lake.read(victim)
    at = whole.column_names.index("revision")
    back = whole.set_column(at, whole.field(at), pa.array([0] * whole.num_rows, whole.field(at).type))
    for invariant, words, spoiled in [("I6", "Gold lacks", whole.slice(1)),
                                      ("I11", "and in", pa.concat_tables([whole, whole.slice(0, 1)])),
                                      ("I11", "revision is 0", back)]:
        out = io.BytesIO()
        pq.write_table(spoiled, out)
        bench.lake.put(victim, out.getvalue())
        broken(bench, invariant, words)
    bench.lake.put(victim, body)
    bench.assert_verified("--deep")


def read(bench, file):
    return pq.read_table(io.BytesIO(bench.lake.read(file)))
