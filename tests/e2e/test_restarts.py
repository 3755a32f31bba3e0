"""A server that dies and comes back during a run stops progress, never correctness: the run goes on by itself."""

import pytest

from program import wait_until
from test_takeover import finish, orders_arriving, owner_with_entries, wait_for_entries

SETTINGS = {"LAKEWARD_EPOCH_AGE": "1s"}

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("role", ["postgres", "namenode", "datanode", "kafka"])
def test_a_run_goes_on_after_a_server_was_killed_and_started(new_bench, seed, role):
    bench = new_bench(lake="hdfs", **SETTINGS)
    with orders_arriving(bench, seed):
        process = owner_with_entries(bench)
        kill_and_start(bench, role, process)
        wait_for_entries(bench, 3, process)
    assert_caught_up(bench, process)


def test_a_run_waits_for_a_name_node_in_safe_mode(new_bench, seed):
    bench = new_bench(lake="hdfs", **SETTINGS)
    with orders_arriving(bench, seed):
        process = owner_with_entries(bench)
        bench.servers.role("enter-safemode", "namenode")
        try:
            wait_until(lambda: "is in safe mode" in process.log(), 30, process.tail)
            head = bench.head()
        finally:
            bench.servers.role("leave-safemode", "namenode")
        wait_for_entries(bench, 3, process)
    assert process.alive() and bench.head() >= head + 3
    assert_caught_up(bench, process)


def assert_caught_up(bench, process):
    """The same process still owns the pipeline, has read all, and all is equal."""
    assert process.role() == "owner"
    wait_until(lambda: bench.group_lag() == 0, 60, lambda: f"lag {bench.group_lag()}\n{process.tail()}")
    process.stop()
    finish(bench)


def kill_and_start(bench, role, process):
    bench.servers.role("kill", role)
    try:
        assert process.alive(), process.tail()
    finally:
        bench.servers.role("start", role)
