"""A server that dies and comes back during a run stops progress, never correctness: the run goes on by itself."""

import pytest

from program import wait_until
from test_takeover import finish, orders_arriving, owner_with_entries, wait_for_entries

SETTINGS = {"LAKEWARD_EPOCH_AGE": "1s"}


@pytest.mark.parametrize("role", ["postgres", "namenode", "kafka"])
def test_a_run_goes_on_after_a_server_was_killed_and_started(new_bench, seed, role):
    bench = new_bench(lake="hdfs", **SETTINGS)
    with orders_arriving(bench, seed):
        process = owner_with_entries(bench)
        kill_and_start(bench, role, process)
        wait_for_entries(bench, 3, process)
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
