"""A table of the mart that somebody breaks costs that table its freshness, nothing else; mended, it is exact again (O3)."""

import json
import re

import psycopg
import pytest

from program import wait_until
from test_takeover import orders_arriving, owner_with_entries, wait_for_entries

SETTINGS = {"LAKEWARD_EPOCH_AGE": "1s"}
FOLLOWERS = {"orders_live": "rows-mart", "kpi_1min": "kpi-mart/kpi_1min"}


@pytest.mark.parametrize("table, column", [("orders_live", "kafka_offset"), ("kpi_1min", "country")])
def test_a_column_that_is_missing_is_named_until_it_is_back(new_bench, seed, table, column):
    bench = new_bench(**SETTINGS)
    with orders_arriving(bench, seed):
        process = owner_with_entries(bench)
        sql(bench, f"alter table {table} rename column {column} to elsewhere")
        trouble = wait_until(lambda: troubled(bench, process, table), 30, process.tail)
        assert "MART_SCHEMA" in trouble, trouble
        wait_until(lambda: metric(process, "lakeward_follower_troubled", FOLLOWERS[table]) == 1, 10, "the metric tells it")
        wait_for_entries(bench, 4, process)
        assert troubled(bench, process, table), "nobody has mended it"
        [other] = FOLLOWERS.keys() - {table}
        head = bench.head()
        wait_until(lambda: done(process, other) >= head, 30, f"{other} must go on\n{process.tail()}")
        sql(bench, f"alter table {table} rename column elsewhere to {column}")
        wait_until(lambda: not troubled(bench, process, table), 60, process.tail)
        wait_for_entries(bench, 3, process)
    assert_exact(bench, process)


@pytest.mark.parametrize("tables", [["orders_live"], ["kpi_1min"], ["orders_live", "kpi_1min"]], ids="+".join)
def test_a_table_that_was_dropped_is_written_again(new_bench, seed, tables):
    bench = new_bench(**SETTINGS)
    with orders_arriving(bench, seed):
        process = owner_with_entries(bench)
        before = {table: count(bench, table) for table in tables}
        assert all(before.values()), f"nothing to lose yet: {before}"
        sql(bench, f"drop table {', '.join(tables)}")
        wait_for_entries(bench, 3, process)
        for table in tables:
            wait_until(lambda: count(bench, table) >= before[table], 60, f"{table} written again\n{process.tail()}")
    assert_exact(bench, process)


def assert_exact(bench, process):
    """The same generation of the same process has read all, and nothing but its own work made all equal."""
    wait_until(lambda: bench.group_lag() == 0, 60, lambda: f"lag {bench.group_lag()}\n{process.tail()}")
    assert metric(process, "lakeward_generations_total") == 1
    process.stop()
    assert len({entry["claim"] for entry in bench.entries()}) == 1, "the pipeline was claimed again"
    bench.assert_ledger_closed()
    bench.assert_equal()


def troubled(bench, process, table):
    """What /readyz says is wrong with a table."""
    status, body = process.get("/readyz")
    assert status == 200, f"{status} {body}\n{process.tail()}"
    return json.loads(body)["troubled"].get(f"{bench.name}/{FOLLOWERS[table]}")


def done(process, table):
    """The version that a table's follower has applied."""
    head = metric(process, "lakeward_log_head")
    return head - metric(process, "lakeward_follower_lag_versions", FOLLOWERS[table])


def metric(process, name, sink=""):
    found = re.findall(rf'^{name}{{[^}}]*{re.escape(sink)}[^}}]*}} (\S+)$', process.get("/metrics")[1], re.MULTILINE)
    assert len(found) == 1, f"{name} of {sink!r}: {found}"
    return float(found[0])


def sql(bench, statement):
    with psycopg.connect(bench.mart_url, autocommit=True) as connection:
        connection.execute(statement)


def count(bench, table):
    """Rows of a table; 0 while it is missing."""
    with psycopg.connect(bench.mart_url, autocommit=True) as connection:
        [[there]] = connection.execute("select to_regclass(%s) is not null", [table])
        return connection.execute(f"select count(*) from {table}").fetchone()[0] if there else 0
