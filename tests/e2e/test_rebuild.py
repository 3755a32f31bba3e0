"""`lakeward rebuild` writes Silver, Gold, Quarantine and marts anew from Bronze: asked for, cut off anywhere, by the same
definition and by a changed one. The full matrix of cuts runs on stores in memory (src/crash_points)."""

import json
import signal

import pytest

from orders import Mix, orders, produce
from recomputation.amazon_sales import amazon_sales
from recomputation.feed import Check

USAGE, REFUSED = 2, 4
LEASE = {"LAKEWARD_OWNER_LEASE_RENEW": "300ms", "LAKEWARD_OWNER_LEASE_EXPIRY": "1s"}
MIX = Mix(years=(2024, 2024))
REBUILD = ("--from", "bronze", "--yes")
BEFORE_SWITCH = ["after Create log id", "after Create definition", "before Create state delta.arrow", "after Create entry"]
AFTER_SWITCH = ["before Create checkpoint", "after Delete file of silver", "before mart HandOver", "after mart HandOver",
                "before Delete entry", "before Create mark of a cleared log"]

# A process on HDFS and Postgres takes its time: each side of the switch once.
CUTS = {"file": BEFORE_SWITCH + BEFORE_SWITCH[-2:] + AFTER_SWITCH, "hdfs": [BEFORE_SWITCH[-1], AFTER_SWITCH[1], AFTER_SWITCH[3]]}


def filled(bench, seed, parts=3, each=400):
    """Some entries of orders, the windows of the last part open; how many were sent."""
    sent = 0
    for _ in range(parts):
        sent += produce(bench.servers.kafka, bench.topic, orders(each, seed, MIX, first=sent, total=each * (parts + 1)))
        bench.once()
    return sent


class Changed:
    """The feed of orders with another check."""

    def follow(self, definition):
        feed = amazon_sales()
        feed.checks = [Check("positive_quantity", lambda row: row["Quantity"] > 2, "filter"), *feed.checks[1:]]
        return feed.follow(definition)


def changed():
    return Changed()


def more(bench, seed, sent, each=400, feed=None):
    """What comes after a rebuild: everything must go on."""
    sent += produce(bench.servers.kafka, bench.topic, orders(each, seed, MIX, first=sent, total=sent + each))
    bench.once("--close-all")
    assert records(bench) == sent
    bench.assert_ledger_closed()
    bench.assert_equal(feed)
    code, output = bench.command("verify", "--deep")
    assert code == 0, output


def records(bench):
    return sum(told["total"]["records"] for told in bench.entries()[-1]["partitions"].values())


def bronze(bench):
    """Name and bytes of each file of Bronze."""
    files = [path.lstrip("/") for path in bench.lake.files("")]
    return {path: bytes(bench.lake.read(path)) for path in files if path.startswith("bronze/")}


def counted(bench):
    return [{p: told["counters"] for p, told in entry["partitions"].items()} for entry in bench.entries()
            if any(told["to"] > told["from"] for told in entry["partitions"].values())]


@pytest.mark.parametrize("lake, mart", [("file", "sqlite"), ("hdfs", "postgres")])
def test_the_same_definition_comes_to_the_same(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart, **LEASE)
    sent = filled(bench, seed)
    before, kept = counted(bench), bronze(bench)
    code, output = bench.command("rebuild", "--from", "bronze")
    assert code == USAGE and "--yes" in output
    with bench.running() as process:
        code, output = bench.command("rebuild", *REBUILD)
        assert code == REFUSED and "RUNNING" in output
        process.stop()
    code, output = bench.command("rebuild", *REBUILD, "--json")
    told = json.loads(output.splitlines()[-1])
    assert code == 0 and told["done"] and told["equal"] and told["before"] == told["after"], output
    assert bronze(bench) == kept
    assert counted(bench) == before
    code, output = bench.command("ledger", "--files")
    assert code == 0, output
    more(bench, seed, sent)


@pytest.mark.parametrize("lake, mart", [("file", "sqlite"), ("hdfs", "postgres")])
def test_a_rebuild_that_is_killed_again_and_again_is_finished_by_the_next(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart, **LEASE)
    sent = filled(bench, seed)
    before, kept = counted(bench), bronze(bench)
    for cut in CUTS[lake]:
        process = bench.begin_with("rebuild", *REBUILD, LAKEWARD_TEST_CRASH_AT=cut)
        assert process.code(120) == -signal.SIGABRT, f"{cut}: {process.tail()}"
        assert bronze(bench) == kept, cut
        if cut in AFTER_SWITCH:
            refused = bench.start("--once")
            assert refused.code(60) == REFUSED and "RESET_UNFINISHED" in refused.log(), f"{cut}: {refused.tail()}"
            code, output = bench.command("rebuild", *REBUILD)
            assert code == 0 and "finished" in output, f"{cut}: {output}"
            assert counted(bench) == before, cut
    more(bench, seed, sent)


def test_a_reset_behind_half_a_rebuild_starts_over(new_bench, seed):
    bench = new_bench(mart="sqlite", **LEASE)
    sent = filled(bench, seed)
    for cut in (BEFORE_SWITCH[-2], AFTER_SWITCH[1]):
        process = bench.begin_with("rebuild", *REBUILD, LAKEWARD_TEST_CRASH_AT=cut)
        assert process.code(120) == -signal.SIGABRT, f"{cut}: {process.tail()}"
        code, output = bench.command("reset", "--yes")
        assert code == 0, f"{cut}: {output}"
        assert bronze(bench) == {}
        bench.once()
        assert records(bench) == sent
    more(bench, seed, sent)


@pytest.mark.parametrize("lake, mart", [("file", "postgres")])
def test_a_changed_definition_decides_everything_anew(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart, **LEASE)
    sent = filled(bench, seed)
    was = bench.pipeline.read_text()
    # Half of it is prepared by the old definition: none of that may come into force.
    process = bench.begin_with("rebuild", *REBUILD, LAKEWARD_TEST_CRASH_AT=BEFORE_SWITCH[-2])
    assert process.code(120) == -signal.SIGABRT, process.tail()
    changed = was.replace('"Quantity > 0"', '"Quantity > 2"', 1).replace('tumbling = "1m"', 'tumbling = "2m"', 1)
    assert changed.count('"Quantity > 2"') == changed.count('tumbling = "2m"') == 1
    bench.pipeline.write_text(changed)
    refused = bench.start("--once")
    assert refused.code(60) == REFUSED and "DEFINITION_CHANGED" in refused.log(), refused.tail()
    process = bench.begin_with("rebuild", *REBUILD, LAKEWARD_TEST_CRASH_AT="before Create state delta.arrow")
    assert process.code(120) == -signal.SIGABRT, process.tail()
    code, output = bench.command("rebuild", *REBUILD, "--json")
    told = json.loads(output.splitlines()[-1])
    assert code == 0 and told["done"] and not told["equal"] and told["differences"], output
    assert told["before"]["records"] == told["after"]["records"] == sent
    assert told["before"]["filtered_by_check"] != told["after"]["filtered_by_check"]
    more(bench, seed, sent, feed="test_rebuild:changed")
