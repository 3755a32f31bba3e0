"""The main job, from Kafka to every sink, equals a single-threaded recomputation."""

import os
from collections import Counter

import pytest

from orders import orders, produce
from program import wait_until

EVENTS = int(os.environ.get("LAKEWARD_TEST_EVENTS", "60000"))


@pytest.mark.parametrize("lake, mart, events", [("hdfs", "postgres", EVENTS), ("file", "sqlite", EVENTS // 4)])
def test_all_sinks_equal_the_recomputation(new_bench, seed, lake, mart, events):
    bench = new_bench(lake=lake, mart=mart, LAKEWARD_EPOCH_ROWS=str(max(events // 6, 1)))
    produce(bench.servers.kafka, bench.topic, orders(events, seed))
    print(bench.once().tail(6))
    bench.assert_ledger_closed()
    assert bench.group_lag() == 0
    bench.assert_equal()


def test_close_all_records_floors_and_closes_windows_up_to_the_newest_watermark(new_bench, seed):
    bench = new_bench(mart="sqlite")
    produce(bench.servers.kafka, bench.topic, orders(3_000, seed))
    bench.once("--close-all")
    last = bench.entries()[-1]
    assert any(told.get("floor") is not None for told in last["partitions"].values()), "no floor was recorded"
    assert len({told["watermark"] for told in last["partitions"].values()}) == 1, "not all at the newest watermark"
    bench.assert_equal()


def test_a_second_run_adds_nothing_and_a_third_goes_on(new_bench, seed):
    bench = new_bench(mart="sqlite")
    produce(bench.servers.kafka, bench.topic, orders(3_000, seed, total=6_000))
    bench.once()
    before = bench.entries()[-1]["partitions"]
    bench.once()
    assert {p: told["to"] for p, told in bench.entries()[-1]["partitions"].items()} == {
        p: told["to"] for p, told in before.items()}
    produce(bench.servers.kafka, bench.topic, orders(3_000, seed, first=3_000, total=6_000))
    bench.once()
    bench.assert_equal()


def test_actors_are_one_per_partition_key_layer_and_mart_within_their_credits(new_bench, seed):
    bench = new_bench(LAKEWARD_EPOCH_AGE="1s")
    produce(bench.servers.kafka, bench.topic, orders(20_000, seed))
    process = bench.start()
    seen = []

    def caught_up():
        assert process.alive(), process.tail()
        seen.append(process.actors())
        return bench.head() >= 1 and sum(
            told["to"] for told in bench.entries()[-1]["partitions"].values()) == sum(bench.ends().values())

    wait_until(caught_up, 60, process.tail)
    seen.append(process.actors())
    counts = Counter(actor["kind"] for actor in seen[-1])
    print(dict(counts))
    assert counts["partition"] == 3
    assert counts["layer_writer"] == len(layers_of(bench.entries()))
    assert (counts["row_mart"], counts["kpi_mart"], counts["commit"]) == (1, 2, 1)
    most = max(Counter(actor["kind"] for actor in actors)["kpi"] for actors in seen)
    assert 180 + 30 <= most <= 7 * 5 * 6 + 7 * 5, f"{most} KPI actors; the input has 7 x 5 x 6 and 7 x 5 keys at most"
    # One whose edges are all gone is about to retire.
    for actor in (actor for actors in seen for actor in actors if actor["credits"]):
        assert actor["queue_peak"] <= actor["credits"], f"more messages than credits: {actor}"
    process.stop()
    bench.once()
    bench.assert_equal()


def layers_of(entries):
    """Bronze, Silver, Quarantine, and Gold of each KPI."""
    return {layer for entry in entries for layer in entry.get("layers", {})}
