"""Two NameNodes behind one logical name: the active one dies, the other takes over, and the run goes on by itself."""

import dataclasses
import shlex
import time

import pytest

from bench import service
from test_restarts import SETTINGS, assert_caught_up
from test_takeover import orders_arriving, owner_with_entries, wait_for_entries


@pytest.fixture
def highly_available(servers, tmp_path):
    """(folder of the servers, their settings): started for the test that asks, because they cost ten seconds."""
    folder = tmp_path / "ha"
    service("up", folder, "hdfs-ha")
    try:
        lines = (folder / "env").read_text().splitlines()
        yield folder, dict(shlex.split(line)[1].split("=", 1) for line in lines)
    finally:
        service("down", folder)


def test_a_run_goes_on_after_the_active_name_node_was_killed(highly_available, servers, new_bench, seed):
    folder, at = highly_available
    first, second = at["LAKEWARD_TEST_WEBHDFS_HA1"], at["LAKEWARD_TEST_WEBHDFS_HA2"]
    on = dataclasses.replace(servers, hdfs=at["LAKEWARD_TEST_HDFS_HA"], webhdfs=first)
    bench = new_bench(on=on, lake="hdfs", LAKEWARD_LAKE_HADOOP_CONF=at["LAKEWARD_TEST_HDFS_HA_CONF"], **SETTINGS)
    with orders_arriving(bench, seed):
        process = owner_with_entries(bench)
        service("role", folder, "kill", "ha-namenode1")
        killed = time.monotonic()
        service("role", folder, "activate", "ha-namenode2")
        print(f"the other NameNode is active {time.monotonic() - killed:.1f} s after the kill")
        bench.look_at(second)
        wait_for_entries(bench, 1, process)
        print(f"the next entry came {time.monotonic() - killed:.1f} s after the kill")
        wait_for_entries(bench, 3, process)
    assert_caught_up(bench, process)
