"""Rows leave the mart's table when they are older than the pipeline keeps them; the lake keeps all (F2)."""

import pytest

from bench import amazon_pipeline
from orders import orders, produce


def keeping_half_an_hour(name, topic):
    return amazon_pipeline(name, topic).replace('# keep = "7d"', 'keep = "30m"', 1)


@pytest.mark.parametrize("mart, rows", [("postgres", "preview"), ("sqlite", "preview"), ("sqlite", "committed")])
def test_rows_below_the_boundary_in_the_log_leave_the_table(new_bench, seed, mart, rows):
    bench = new_bench(mart=mart, pipeline=keeping_half_an_hour, LAKEWARD_EPOCH_ROWS="1500", LAKEWARD_MART_ROWS=rows)
    produce(bench.servers.kafka, bench.topic, orders(3_000, seed, total=6_000))
    bench.once()
    first = boundary(bench)
    produce(bench.servers.kafka, bench.topic, orders(3_000, seed, first=3_000, total=6_000))
    bench.once()
    assert boundary(bench) > first, "the boundary did not rise"
    bench.assert_equal()


def boundary(bench):
    told = bench.entries()[-1].get("rows_boundary")
    assert told and told % 60_000_000 == 0, f"no boundary in whole minutes: {told}"
    return told
