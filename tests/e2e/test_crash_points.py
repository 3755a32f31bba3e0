"""The process dies right before or right after a call to the lake or the mart, at each kind of call that a run makes.

Which calls there are, a run tells: a new step of the program is a new point here by itself. One pipeline goes through all of
them, a life after the other; at the end every number is what it must be. The full matrix, with lost and late answers, runs
on stores in memory (src/crash_points).
"""

import json
import os
import signal

import pytest
from bench import late_pipeline
from orders import MINUTE, Mix, orders, produce
from program import wait_until

RECORDS = 60
MOST_LIVES = 200
# Every life closes windows, and has records that are refused and rows that come too late.
MIX = Mix(bad=0.1, late=0.15, years=(2024, 2024), span=15 * MINUTE * MOST_LIVES)
SETTINGS = {"LAKEWARD_EPOCH_AGE": "200ms", "LAKEWARD_OWNER_LEASE_RENEW": "300ms", "LAKEWARD_OWNER_LEASE_EXPIRY": "1s"}
# Both sides of each call where there is time for it.
LONG = "LAKEWARD_TEST_CASES" in os.environ


@pytest.mark.parametrize("lake, mart", [("file", "sqlite"), ("hdfs", "postgres")])
def test_a_process_that_dies_at_any_call_leaves_every_record_in_every_place_once(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart, pipeline=late_pipeline, **SETTINGS)
    lives = Lives(bench, seed)
    assert lives.die_at("after Create entry")
    assert lives.die_at("before Rename staged bronze")
    calls = lives.calls()
    points = sorted(f"{side} {call}" for number, call in enumerate(calls) for side in sides(number, lake))
    # Some calls a life makes only because of how the one before it ended: they get a second chance.
    unmet = [point for point in points if not lives.die_at(point) and not lives.die_at(point)]
    print(f"{lake}, {mart}: {len(calls)} calls, {len(points)} points, {len(unmet)} not met: {unmet}")
    print(calls)
    bench.once("--close-all")
    bench.assert_ledger_closed()
    bench.assert_equal()
    assert len(points) > 30
    assert len(unmet) <= len(points) // 10, f"the process did not die there: {unmet}"


def sides(number, lake):
    """What one store doesn't show, the other does."""
    if LONG:
        return ["before", "after"]
    return ["before" if (number + (lake == "hdfs")) % 2 else "after"]


class Lives:
    """Processes of one pipeline, one after the other, each with records of its own."""

    def __init__(self, bench, seed):
        self.bench, self.seed, self.sent = bench, seed, 0

    def die_at(self, point):
        """Whether a process died there; if not, it committed all that was sent and ended cleanly."""
        process = self._live(LAKEWARD_TEST_CRASH_AT=point)
        assert process.code(0) in (0, -signal.SIGABRT), f"{point}: ended with {process.code(0)}:\n{process.tail()}"
        return process.code(0) != 0

    def calls(self):
        """The calls that a life makes which begins after a crash and ends cleanly."""
        file = self.bench.folder / "calls"
        process = self._live(LAKEWARD_TEST_CRASH_CALLS=str(file))
        assert process.code(0) == 0, process.tail()
        return file.read_text().splitlines()

    def _live(self, **settings):
        messages = orders(RECORDS, self.seed, MIX, first=self.sent, total=RECORDS * MOST_LIVES)
        self.sent += produce(self.bench.servers.kafka, self.bench.topic, messages)
        process = self.bench.start(**settings)
        wait_until(lambda: not process.alive() or self._all_committed(), 60, process.tail)
        if process.alive():
            process.ask_to_stop()
        process.code(60)
        return process

    def _all_committed(self):
        root = self.bench.log_root()
        entries = sorted(path for path in self.bench.lake.files(f"{root}/log") if path.endswith(".json")) if root else []
        if not entries:
            return False
        newest = json.loads(self.bench.lake.read(entries[-1]))
        return sum(told["to"] for told in newest["partitions"].values()) >= self.sent
