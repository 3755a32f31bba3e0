"""Fixtures: each test gets a topic, a lake, a mart, a configuration and a port of its own on the servers of the run.

The servers are those of scripts/services; LAKEWARD_TEST_* names them. Without them these tests are skipped, or fail when
LAKEWARD_TEST_REQUIRE_SERVERS is set. The program is LAKEWARD_BIN, target/debug/lakeward by default.
"""

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import Bench, Servers
from program import binary


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: takes a server away that the other tests need; never beside them")


@pytest.fixture(scope="session")
def servers():
    missing = [name for name in Servers.NEEDED if not os.environ.get(name)]
    if not binary().exists():
        missing.append(f"{binary()} (LAKEWARD_BIN)")
    if missing:
        reason = f"not set or not there: {', '.join(missing)}; scripts/test sets all up"
        if os.environ.get("LAKEWARD_TEST_REQUIRE_SERVERS"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return Servers.of_environment()


@pytest.fixture
def new_bench(servers, tmp_path):
    """new_bench(lake="file" | "hdfs", mart="postgres" | "sqlite" | "none", ...): see Bench. `on` names other servers."""
    benches = []

    def make(on=servers, **given):
        benches.append(Bench(on, tmp_path / str(len(benches)), **given))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture(scope="session")
def seed():
    """LAKEWARD_TEST_SEED repeats a run."""
    value = int(os.environ.get("LAKEWARD_TEST_SEED", "1"))
    print(f"seed {value}")
    return value


@pytest.fixture(autouse=True)
def duration(request):
    """Says how long each test took: all of them together have 15 minutes on two cores, three at a time."""
    began = time.monotonic()
    yield
    print(f"{request.node.name}: {time.monotonic() - began:.1f} s")
