"""A broker that came back from an older copy of its disk holds less than was committed (H4)."""

import os
import shutil
from pathlib import Path

from orders import orders, produce
from test_refusals import REFUSED, refused


def test_a_topic_that_lost_committed_records_is_refused(new_bench, seed):
    bench = new_bench(mart="none")
    produce(bench.servers.kafka, bench.topic, orders(600, seed, total=1_200))
    data = Path(os.environ["LAKEWARD_TEST_SERVICES_DIR"]) / "kafka" / "data"
    copy = bench.folder / "older"
    with_broker_down(bench, lambda: shutil.copytree(data, copy))
    produce(bench.servers.kafka, bench.topic, orders(600, seed, first=600, total=1_200))
    bench.once()
    with_broker_down(bench, lambda: put_back(copy, data))
    refused(bench, REFUSED, "TRUNCATED", bench.topic)


def with_broker_down(bench, work):
    bench.servers.role("stop", "kafka")
    try:
        work()
    finally:
        bench.servers.role("start", "kafka")


def put_back(copy, data):
    shutil.rmtree(data)
    copy.rename(data)
