"""kill -9 again and again while records arrive: the next start goes on from the log, and nothing is lost or there twice."""

import os
import random
import threading
import time

from orders import Mix, orders, produce
from program import wait_until

KILLS = int(os.environ.get("LAKEWARD_TEST_KILLS", "20"))
RATE = 600
MOST_EVENTS = 1_000_000
SECONDS_PER_KILL = 4


def test_killed_at_any_moment_it_goes_on_from_the_log(new_bench, seed):
    bench = new_bench(LAKEWARD_EPOCH_AGE="500ms", LAKEWARD_OWNER_LEASE_RENEW="500ms", LAKEWARD_OWNER_LEASE_EXPIRY="2s")
    chance = random.Random(seed)
    done = threading.Event()
    sent = []

    def feed():
        # Event time runs as if a rate for KILLS kills took three hours.
        messages = orders(MOST_EVENTS, seed, Mix(years=(2024, 2024)), total=RATE * SECONDS_PER_KILL * KILLS)
        sent.append(produce(bench.servers.kafka, bench.topic, messages, RATE, done.is_set))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        kills = [kill_once(bench, chance, number) for number in range(KILLS)]
    finally:
        done.set()
        feeder.join()
    print(bench.once().tail(2))
    entries = bench.entries()
    resumed = sum(before > 0 for before, _, _ in kills)
    between = sum(waiting for _, _, waiting in kills)
    print(f"{sent[0]} events, {len(entries)} entries, {resumed} of {KILLS} starts above 0, "
          f"{between} kills between staging closed and rolled")
    bench.assert_ledger_closed()
    bench.assert_equal()
    assert len(entries) >= 3 * KILLS
    assert resumed >= KILLS * 3 // 4
    assert between >= KILLS // 4


def kill_once(bench, chance, number):
    """Starts, lets a few epochs pass, kills. (head at the start, head after the kill, whether files were not yet in place)

    Every second kill comes at any moment of an epoch; the others at the moment when the next entry appears, which is
    between staging closed and rolled if the disk is not quicker than the look.
    """
    before = bench.head()
    process = bench.start()
    goal = before + 1 + chance.randint(2, 4)
    log = bench.log_root
    wait_until(lambda: log() is not None, 30, process.tail)
    folder = bench.folder / "lake" / log() / "log"

    def reached():
        assert process.alive(), f"ended by itself with {process.process.returncode}:\n{process.tail()}"
        return number_of_entries(folder) > goal

    wait_until(reached, 60, process.tail)
    if number % 2:
        time.sleep(chance.random() * 0.5)
    else:
        wait_for_entry(folder, number_of_entries(folder))
    process.kill()
    after = bench.head()
    waiting = not_in_place(bench)
    print(f"kill {number + 1}: head {before} -> {after}{', files still staged' if waiting else ''}")
    return before, after, waiting


def number_of_entries(folder):
    """Without the temporary files that a killed process left."""
    if not folder.exists():
        return 0
    return sum(entry.name.endswith(".json") for block in os.scandir(folder) for entry in os.scandir(block.path))


def wait_for_entry(folder, known):
    """Looks without a pause: the moment is what counts."""
    deadline = time.monotonic() + 20
    while number_of_entries(folder) <= known and time.monotonic() < deadline:
        pass


def not_in_place(bench):
    """Whether the newest entry that adds files has any that are still under staging."""
    root = bench.folder / "lake"
    for entry in reversed(bench.entries()):
        added = [file for change in entry.get("layers", {}).values() for file in change["added"]]
        if added:
            return any(not (root / file["path"]).exists() for file in added)
    return False
