"""An owner of the past, frozen past every time-out at a bad moment and thawed behind its successor, changes nothing (I9)."""

import hashlib
import os
import time

import psycopg
import pytest

from program import wait_until
from test_kill import not_in_place
from test_takeover import EPOCHS, FENCED, finish, orders_arriving, owner_with_entries, wait_for_entries


@pytest.mark.parametrize("moment", ["anywhere", "before the entry", "behind the entry", "in a transaction"])
def test_a_zombie_changes_nothing_and_says_why_it_ends(new_bench, seed, moment):
    bench = new_bench(LAKEWARD_OWNER_MIN_TENURE="0s", **EPOCHS)
    with orders_arriving(bench, seed):
        first = owner_with_entries(bench)
        freeze_at(MOMENTS[moment], bench, first)
        second = bench.start("--take-over")
        second.wait_for_role("owner", 30)
        claim = bench.entries()[-1]["claim"]
        wait_for_entries(bench, 3, second)
    wait_until(lambda: bench.group_lag() == 0, 60, second.tail)
    second.stop()
    before = everything(bench)
    first.thaw()
    assert first.code(30) == FENCED, first.tail()
    assert "FENCED" in first.tail(3)
    after = everything(bench)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert not changed, f"the zombie changed {sorted(changed)}"
    assert {entry["claim"] for entry in bench.entries() if entry["version"] >= claim} == {claim}
    finish(bench)


def freeze_at(moment, bench, process):
    """Freezes the process again and again until it stands at the moment."""
    hint, stands = moment
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.alive(), process.tail()
        if not hint(bench):
            continue
        process.freeze()
        wait_until(lambda: stopped(process), 5, "stopped")
        if stands(bench):
            return
        process.thaw()
    raise AssertionError("never caught at that moment")


def stopped(process):
    with open(f"/proc/{process.process.pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "T"


def unfinished_entry(bench):
    """Whether an entry is written and not there under its number: the temporary file's link is still missing."""
    folder = bench.folder / "lake" / bench.log_root() / "log"
    files = [file for block in os.scandir(folder) for file in os.scandir(block.path)]
    fresh = [file for file in files if file.name.endswith(".tmp")]
    return any(file.stat().st_nlink == 1 for file in fresh if os.path.exists(file.path))


def in_transaction(bench):
    """Whether Postgres waits for the rest of a transaction that has written."""
    with psycopg.connect(bench.mart_url, autocommit=True) as connection:
        [[count]] = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and state = 'idle in transaction' "
            "and backend_xid is not null").fetchall()
        return count > 0


always = lambda bench: True
MOMENTS = {
    "anywhere": (always, always),
    "before the entry": (unfinished_entry, unfinished_entry),
    "behind the entry": (not_in_place, not_in_place),
    "in a transaction": (always, in_transaction),
}


def everything(bench):
    """{name: digest} of what the log and the layers hold, and of all tables. Staging and the lease are nobody's data."""
    root = bench.log_root()
    scratch = (f"{root}/staging/", f"{root}/state/", f"{root}/lease")
    files = [path.lstrip("/") for path in bench.lake.files("") if not path.endswith(".tmp")]
    files = [path for path in files if not path.startswith(scratch)]
    found = {path: hashlib.sha256(bench.lake.read(path)).hexdigest() for path in files}
    with psycopg.connect(bench.mart_url, autocommit=True) as connection:
        tables = connection.execute("select quote_ident(table_name) from information_schema.tables where table_schema = current_schema()")
        for (table,) in tables.fetchall():
            rows = connection.execute(f"select t::text from {table} t order by 1").fetchall()
            found[f"table {table}"] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found
