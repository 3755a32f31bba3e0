"""`lakeward reset` starts a pipeline over: asked for, refused while somebody runs it, cut off anywhere, and with an owner of the
past that thaws behind it. The full matrix of cuts runs on stores in memory (src/crash_points)."""

import json
import signal

import pytest

from orders import Mix, orders, produce
from program import wait_until
from test_kill import not_in_place
from test_takeover import EPOCHS, FENCED, finish, orders_arriving, owner_with_entries, wait_for_entries
from test_zombies import always, everything, freeze_at

USAGE, REFUSED = 2, 4
LEASE = {"LAKEWARD_OWNER_LEASE_RENEW": "300ms", "LAKEWARD_OWNER_LEASE_EXPIRY": "1s"}
MIX = Mix(years=(2024, 2024))
CUTS = ["after Create log id", "after Create entry", "after Create checkpoint", "after Recover folder of staging",
        "after Delete file of silver", "before mart HandOver", "after mart HandOver", "before Delete entry",
        "before Create mark of a cleared log"]


@pytest.mark.parametrize("lake, mart", [("file", "sqlite"), ("hdfs", "postgres")])
def test_a_reset_that_is_killed_anywhere_is_finished_by_the_next(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart, **LEASE)
    sent = 0
    # A process on HDFS and Postgres takes its time: some of the cuts.
    cuts = CUTS if lake == "file" else [CUTS[1], CUTS[3], CUTS[6], CUTS[8]]
    for cut in cuts:
        sent += produce(bench.servers.kafka, bench.topic, orders(200, seed, MIX, first=sent, total=200 * len(cuts)))
        bench.once()
        process = bench.begin_with("reset", "--yes", LAKEWARD_TEST_CRASH_AT=cut)
        assert process.code(120) == -signal.SIGABRT, f"{cut}: {process.tail()}"
        if cut != "after Create log id" and cut != "after Create entry":
            refused = bench.start("--once")
            assert refused.code(60) == REFUSED and "RESET_UNFINISHED" in refused.log(), f"{cut}: {refused.tail()}"
        code, output = bench.command("reset", "--yes")
        assert code == 0, f"{cut}: {output}"
        assert layers(bench) == [], cut
        assert bench.committed_offsets() == {}, cut
    bench.once("--close-all")
    assert sum(told["total"]["records"] for told in bench.entries()[-1]["partitions"].values()) == sent
    bench.assert_ledger_closed()
    bench.assert_equal()


def test_a_reset_says_what_goes_and_asks_first(new_bench, seed):
    bench = new_bench(mart="sqlite", **LEASE)
    code, output = bench.command("reset", "--yes")
    assert code == 1 and "nothing to reset" in output
    produce(bench.servers.kafka, bench.topic, orders(500, seed, MIX))
    bench.once()
    assert bench.command("verify")[0] == 0
    verified = f"{bench.log_root()}/verified.json"
    assert verified in listed(bench)
    before, head = layers(bench), bench.head()
    code, output = bench.command("reset")
    assert code == USAGE and "--yes" in output
    code, output = bench.command("reset", "--json")
    told = next(json.loads(line) for line in output.splitlines() if line.startswith("{"))
    assert code == USAGE and not told["done"]
    assert (layers(bench), bench.head()) == (before, head)
    assert sum(layer["files"] for layer in told["layers"]) == len(before)
    sizes = {layer["layer"]: layer["bytes"] for layer in told["layers"]}
    assert sizes["bronze"] == sum(len(bench.lake.read(path)) for path in before if path.startswith("bronze/"))
    assert told["entries"] == head + 1 and told["group_offsets"] == 3
    assert {table["table"]: table["rows"] for table in told["tables"]}["orders_live"] > 400
    with bench.running() as process:
        code, output = bench.command("reset", "--yes")
        assert code == REFUSED and "RUNNING" in output
        process.stop()
    code, output = bench.command("reset", "--yes", "--json")
    assert code == 0 and json.loads(output.splitlines()[-1])["done"]
    assert layers(bench) == [] and verified not in listed(bench)
    code, output = bench.command("reset", "--yes")
    assert code == 1 and "nothing to reset" in output
    finish(bench)


@pytest.mark.parametrize("lake, moment", [("file", (not_in_place, not_in_place)), ("hdfs", (always, always))])
def test_an_owner_that_thaws_behind_a_reset_changes_nothing(new_bench, seed, lake, moment):
    bench = new_bench(lake=lake, **EPOCHS, **LEASE)
    with orders_arriving(bench, seed):
        first = owner_with_entries(bench)
        freeze_at(moment, bench, first)
        code, output = bench.command("reset", "--yes")
        assert code == 0, output
        assert layers(bench) == []
        second = bench.start()
        second.wait_for_role("owner", 30)
        wait_for_entries(bench, 3, second)
    wait_until(lambda: bench.group_lag() == 0, 60, second.tail)
    second.stop()
    before = all_but_the_first_log(bench)
    first.thaw()
    assert first.code(60) in (FENCED, 5), first.tail()
    after = all_but_the_first_log(bench)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert not changed, f"the zombie changed {sorted(changed)}"
    finish(bench)


def all_but_the_first_log(bench):
    """As `everything`; what a zombie writes into its own log, which has ended, nobody reads."""
    log = json.loads(bench.lake.read(f"_lakeward/{bench.name}/logs/000000.json"))["log_id"]
    return {name: digest for name, digest in everything(bench).items() if log not in name}


def layers(bench):
    """Files of all layers."""
    return [path for path in listed(bench) if not path.startswith("_lakeward/")]


def listed(bench):
    return [path.lstrip("/") for path in bench.lake.files("")]
