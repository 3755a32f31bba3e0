"""Late rows go to a table of their KPI, in the lake and in the mart, exactly once, whenever the process is killed."""

import io
import json
import random
import threading

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bench import in_mart, late_pipeline
from orders import Mix, orders, produce
from program import wait_until

KILLS = 3
RATE = 1_500
EVENTS = 6_000
MIX = Mix(late=0.05, years=(2024, 2024))
FOLDERS = {"kpi_1min": "late/{}_kpi_1min", "kpi_daily": "late/days"}
TABLES = {"kpi_1min": "kpi_1min_late", "kpi_daily": "days_late"}


def folder(bench, kpi):
    return FOLDERS[kpi].format(bench.name.replace("-", "_"))


@pytest.mark.parametrize("lake, mart", [("file", "sqlite"), ("hdfs", "postgres")])
def test_killed_at_any_moment_late_rows_are_in_their_tables_once(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart, pipeline=late_pipeline, LAKEWARD_EPOCH_AGE="400ms",
                      LAKEWARD_OWNER_LEASE_RENEW="300ms", LAKEWARD_OWNER_LEASE_EXPIRY="1s")
    done, sent = threading.Event(), []

    def feed():
        messages = orders(1_000_000, seed, MIX, total=12_000)
        sent.append(produce(bench.servers.kafka, bench.topic, messages, RATE, done.is_set))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        for number in range(KILLS):
            kill_once(bench, random.Random(f"{seed}/{number}"))
    finally:
        done.set()
        feeder.join()
    bench.once()
    late = ledger(bench)
    print(f"{sent[0]} events, {bench.head()} entries, late {late}")
    assert all(late[kpi] > 20 for kpi in TABLES), late
    bench.assert_equal()
    bench.assert_verified("--deep")
    for kpi, rows in late.items():
        assert in_mart(bench, f"select count(*) from {TABLES[kpi]}") == [(rows,)]
    read_from_outside(bench, late)


def kill_once(bench, chance):
    """Starts, lets a few epochs pass, kills at any moment."""
    goal = bench.head() + 2 + chance.randint(2, 4)
    process = bench.start()
    wait_until(lambda: not process.alive() or bench.head() >= goal, 60, process.tail)
    assert process.alive(), process.tail()
    wait_until(lambda: chance.random() < 0.02, 10, process.tail)
    process.kill()


def ledger(bench):
    """{KPI: late rows}; the ledger is closed, also against what the files hold, and adds up by minute."""
    code, text = bench.command("ledger", "--files", "--json")
    assert code == 0, text
    told = json.loads(text.splitlines()[-1])
    layers = {layer["layer"]: layer for layer in told["layers"]}
    for kpi, rows in told["total"]["late"].items():
        layer, by_minute = layers[f"late/{kpi}"], [late for late in told["late"] if late["kpi"] == kpi]
        assert layer["rows_read"] == layer["rows"] == layer["due"] == rows, layer
        assert rows == sum(late["rows"] for late in by_minute)
        assert all(sum(minute["rows"] for minute in late["minutes"]) == late["rows"] for late in by_minute)
    return told["total"]["late"]


def read_from_outside(bench, late):
    """Every row of a closed minute is in Gold or is a late row: read by DuckDB from the plain folders."""
    silver = table(bench, "silver/amazon_sales", ["kafka_timestamp", "kafka_partition", "kafka_offset", "TotalAmount"])
    gold = table(bench, "gold/amazon_sales_aggregated")
    tables = {kpi: table(bench, folder(bench, kpi)) for kpi in late}
    minute, day = tables["kpi_1min"], tables["kpi_daily"]
    assert (minute.num_rows, day.num_rows) == (late["kpi_1min"], late["kpi_daily"])
    moment = pa.timestamp("us", "UTC")
    assert {name: minute.schema.field(name).type for name in ("kpi", "window_start", "window_end", "watermark", "TotalAmount")} == {
        "kpi": pa.string(), "window_start": moment, "window_end": moment, "watermark": moment, "TotalAmount": pa.decimal128(12, 2)}
    with duckdb.connect() as db:
        for name, rows in {"silver": silver, "gold": gold, "late": minute, "days": day}.items():
            db.register(name, rows)
        strange = "select count(*) from late l left join silver s using (kafka_partition, kafka_offset) where " \
                  "s.\"TotalAmount\" is distinct from l.\"TotalAmount\" or l.kpi <> 'kpi_1min' or l.watermark < l.window_end " \
                  "or l.window_start <> date_trunc('minute', s.kafka_timestamp)"
        assert db.sql(strange).fetchall() == [(0,)]
        [(wrong, minutes)] = db.sql("""
            with closed as (select max(window_end) as at from gold),
            kept as (select date_trunc('minute', kafka_timestamp) as m, count(*) as n from silver, closed
                     where kafka_timestamp < closed.at group by 1),
            counted as (select m, sum(n) as n from (select window_start as m, "TotalOrders" as n from gold
                        union all select window_start, 1 from late) group by 1)
            select count(*) filter (kept.n is distinct from counted.n), count(*) from kept full join counted using (m)
            """).fetchall()
        assert wrong == 0 and minutes > 30


def table(bench, path, columns=None):
    files = sorted(file for file in bench.lake.files(path) if file.endswith(".parquet"))
    return pa.concat_tables(pq.ParquetFile(io.BytesIO(bench.lake.read(file))).read(columns) for file in files)


@pytest.fixture
def begun(new_bench, seed):
    bench = new_bench(mart="sqlite", pipeline=late_pipeline, LAKEWARD_EPOCH_ROWS="2000")
    produce(bench.servers.kafka, bench.topic, orders(EVENTS, seed, MIX))
    bench.once()
    return bench


def test_every_damage_to_late_rows_is_found(begun):
    first = "where rowid = (select min(rowid) from kpi_1min_late_raw)"
    [row] = in_mart(begun, f"select * from kpi_1min_late_raw {first}")
    in_mart(begun, f"update kpi_1min_late_raw set watermark = watermark + 1 {first}")
    broken(begun, "I8", "kpi_1min_late holds other values for partition")
    in_mart(begun, f"delete from kpi_1min_late_raw {first}")
    broken(begun, "I8", "kpi_1min_late lacks partition")
    in_mart(begun, f"insert into kpi_1min_late_raw values ({', '.join(map(literal, row))})")
    in_mart(begun, f"update kpi_1min_late_raw set kafka_incarnation = 7 {first}")
    broken(begun, "I8", "which was not late")
    in_mart(begun, "update kpi_1min_late_raw set kafka_incarnation = 0 where kafka_incarnation = 7")
    in_mart(begun, "update lakeward_kpi_fences set version = version - 1 where kpi = 'late/kpi_1min'")
    broken(begun, "I8", "the fence of late/kpi_1min is at version")
    in_mart(begun, "update lakeward_kpi_fences set version = version + 1 where kpi = 'late/kpi_1min'")
    victim = max(begun.lake.files(folder(begun, "kpi_1min")))
    body = begun.lake.read(victim)
    whole = pq.read_table(io.BytesIO(body))
    at = whole.column_names.index("window_start")
    moved = pc.add(whole["window_start"], pa.scalar(60_000_000, pa.duration("us")))
    for words, spoiled in [("lack partition", whole.slice(1)),
                           ("was not late, or is there twice", pa.concat_tables([whole, whole.slice(0, 1)])),
                           ("has other values", whole.set_column(at, whole.field(at), moved.cast(whole.schema.field(at).type)))]:
        out = io.BytesIO()
        pq.write_table(spoiled, out)
        begun.lake.put(victim, out.getvalue())
        broken(begun, "I12", words)
    begun.lake.put(victim, body)
    begun.assert_verified("--deep")
    begun.assert_equal()


def test_a_mart_table_of_late_rows_may_be_switched_on_and_the_policy_may_not(new_bench, seed):
    only_lake = lambda name, topic: late_pipeline(name, topic).replace('table = "days_late"', "mart = false")
    bench = new_bench(mart="sqlite", pipeline=only_lake)
    produce(bench.servers.kafka, bench.topic, orders(EVENTS, seed, MIX))
    bench.once()
    bench.assert_equal()
    bench.pipeline.write_text(late_pipeline(bench.name, bench.topic))
    bench.once()
    assert in_mart(bench, "select count(*) from days_late") == [(ledger(bench)["kpi_daily"],)]
    bench.assert_equal()
    bench.pipeline.write_text(late_pipeline(bench.name, bench.topic).replace('late = "table"', 'late = "drop"', 1))
    process = bench.start("--once")
    assert process.code(60) == 4 and "DEFINITION_CHANGED" in process.log(), process.tail()


def broken(bench, invariant, words):
    code, text = bench.command("verify", "--json")
    found = {one["invariant"]: one for one in json.loads(text.splitlines()[0])["invariants"]}
    evidence = found[invariant]["evidence"]
    assert code == 1 and any(words in line for line in evidence), f"{words!r} is not in {json.dumps(evidence[:20], indent=1)}"


def literal(value):
    return "null" if value is None else str(value) if isinstance(value, (int, float)) else "'" + value.replace("'", "''") + "'"
