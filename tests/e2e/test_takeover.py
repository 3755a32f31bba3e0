"""Two processes and one pipeline: one owns it, the other stands by. What a frozen owner does: test_zombies.py."""

import threading
import time
from contextlib import contextmanager

from orders import Mix, orders, produce
from program import wait_until

RATE = 500
EPOCHS = {"LAKEWARD_EPOCH_AGE": "500ms"}
FENCED = 6


@contextmanager
def orders_arriving(bench, seed):
    """Orders keep arriving while the block runs."""
    done = threading.Event()
    messages = orders(100_000, seed, Mix(years=(2024, 2024)), total=RATE * 60)
    feeder = threading.Thread(target=produce, args=(bench.servers.kafka, bench.topic, messages, RATE, done.is_set))
    feeder.start()
    try:
        yield
    finally:
        done.set()
        feeder.join()


def owner_with_entries(bench, **settings):
    process = bench.start(**settings)
    process.wait_for_role("owner", 30)
    wait_for_entries(bench, 3, process)
    return process


def wait_for_entries(bench, more, process):
    goal = bench.head() + more

    def reached():
        assert process.alive(), f"ended with {process.process.returncode}:\n{process.tail()}"
        return bench.head() >= goal

    wait_until(reached, 60, lambda: f"{more} more entries\n{process.tail()}")


def finish(bench):
    bench.once()
    bench.assert_ledger_closed()
    bench.assert_equal()


def test_a_stand_by_takes_over_from_a_killed_owner(new_bench, seed):
    bench = new_bench(**EPOCHS)
    with orders_arriving(bench, seed):
        first = owner_with_entries(bench)
        second = bench.start()
        second.wait_for_role("standby", 30)
        assert second.get("/healthz")[0] == 200
        first.kill()
        killed = time.monotonic()
        second.wait_for_role("owner", 15)
        print(f"took over {time.monotonic() - killed:.1f} s after the kill")
        wait_for_entries(bench, 3, second)
    second.stop()
    finish(bench)


def test_a_clean_stop_gives_the_lease_up(new_bench, seed):
    bench = new_bench(**EPOCHS)
    with orders_arriving(bench, seed):
        first = owner_with_entries(bench)
        second = bench.start()
        second.wait_for_role("standby", 30)
        asked = time.monotonic()
        first.stop()
        stopped = time.monotonic()
        second.wait_for_role("owner", 3)
        print(f"stopped within {stopped - asked:.1f} s, taken over {time.monotonic() - stopped:.1f} s later")
        assert stopped - asked < 10, "a stop while records arrive waits for more of them"
        wait_for_entries(bench, 2, second)
    second.stop()
    finish(bench)


def test_take_over_does_not_wait_and_fences_the_first(new_bench, seed):
    bench = new_bench(LAKEWARD_OWNER_MIN_TENURE="0s", **EPOCHS)
    with orders_arriving(bench, seed):
        first = owner_with_entries(bench)
        asked = time.monotonic()
        second = bench.start("--take-over")
        second.wait_for_role("owner", 10)
        print(f"took over {time.monotonic() - asked:.1f} s after it was started")
        assert first.code(15) == FENCED, first.tail()
        wait_for_entries(bench, 3, second)
    second.stop()
    finish(bench)


def test_take_over_respects_a_young_owner(new_bench, seed):
    bench = new_bench(**EPOCHS)
    with orders_arriving(bench, seed):
        first = owner_with_entries(bench)
        second = bench.start("--take-over")
        second.wait_for_role("standby", 30)
        wait_for_entries(bench, 4, first)
        assert second.role() == "standby" and first.role() == "owner"
    second.stop()
    first.stop()
    finish(bench)
