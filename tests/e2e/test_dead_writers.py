"""Files that a killed process left open on HDFS: the next owner does not wait for them, closes them and clears them away."""

import os
import time
from pathlib import Path

from orders import orders, produce
from program import wait_until
from test_takeover import finish, wait_for_entries

SETTINGS = {"LAKEWARD_OWNER_LEASE_RENEW": "500ms", "LAKEWARD_OWNER_LEASE_EXPIRY": "2s"}
CLOSED_WITHIN = 30


def test_the_next_owner_works_at_once_and_no_file_stays_open(new_bench, seed):
    bench = new_bench(lake="hdfs", **SETTINGS)
    produce(bench.servers.kafka, bench.topic, orders(6_000, seed))
    first = bench.start(LAKEWARD_EPOCH_AGE="600s")
    wait_until(lambda: open_files(bench), 30, lambda: f"staged files\n{first.tail()}")
    first.kill()
    left = open_files(bench)
    head = bench.head()
    assert left, "the killed process left no file open"
    # As if it had been killed while it renewed its lease, and while it created an entry.
    temporary = [f"{bench.log_root()}/{folder}.{'0' * 31}{n}.tmp" for n, folder in enumerate(["", "log/0/"])]
    for path in temporary:
        bench.lake.put(path, b"{")
    to_clear = left.union(temporary, bench.lake.open_files("_lakeward"))

    second = bench.start(LAKEWARD_EPOCH_AGE="500ms")
    second.wait_for_role("owner", 30)
    owner = time.monotonic()
    wait_for_entries(bench, 1, second)
    assert bench.head() > head + 1, "an epoch behind the claim"
    print(f"{len(left)} files left open; the next owner's first epoch {time.monotonic() - owner:.1f} s after its claim")
    wait_until(lambda: not to_clear & bench.lake.files("_lakeward").keys(), CLOSED_WITHIN,
               lambda: f"clearing {sorted(to_clear)}\n{second.tail()}")
    print(f"cleared {time.monotonic() - owner:.1f} s after the claim")
    assert leases_recovered(left), "the folder went before the leases were recovered"
    second.stop()
    # A renewal of the lease that the stop has cut off is the next owner's to clear, as the one above was.
    still_open = {path for path in bench.lake.open_files("_lakeward") if not path.startswith(f"{bench.log_root()}/.")}
    assert not still_open, "files that nobody will close"
    finish(bench)


def staging(bench):
    return f"{bench.log_root()}/staging"


def open_files(bench):
    return bench.lake.open_files(staging(bench)) if bench.log_root() else set()


def leases_recovered(paths):
    """What the NameNode noted: for each file, that its lease was taken away."""
    noted = (Path(os.environ["LAKEWARD_TEST_SERVICES_DIR"]) / "hdfs" / "namenode.log").read_text(errors="replace")
    lines = [line for line in noted.splitlines() if "internalReleaseLease" in line or "ease recovery" in line]
    return all(any(path in line for line in lines) for path in paths)
