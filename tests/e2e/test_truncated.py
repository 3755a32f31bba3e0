"""A broker that came back from an older copy of its disk holds less than was committed (H4)."""

import os
import shutil
from pathlib import Path

import psycopg
import pytest
from orders import orders, produce
from program import wait_until
from test_refusals import REFUSED, refused

pytestmark = pytest.mark.alone


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


def test_a_topic_that_lost_records_which_the_mart_had_shown_is_refused_until_that_is_accepted(new_bench, seed):
    bench = new_bench()
    produce(bench.servers.kafka, bench.topic, orders(600, seed, total=1_200))
    bench.once()
    data = Path(os.environ["LAKEWARD_TEST_SERVICES_DIR"]) / "kafka" / "data"
    copy = bench.folder / "older"
    with_broker_down(bench, lambda: shutil.copytree(data, copy))
    committed = rows(bench)
    produce(bench.servers.kafka, bench.topic, orders(600, seed, first=600, total=1_200))
    previewing = bench.start(LAKEWARD_EPOCH_AGE="600s")
    wait_until(lambda: rows(bench) > committed, 30, previewing.tail)
    previewing.kill()
    with_broker_down(bench, lambda: put_back(copy, data))
    refused(bench, REFUSED, "TRUNCATED", bench.topic, "the mart has shown", "accept_lost_records")
    bench.once(LAKEWARD_KAFKA_ACCEPT_LOST_RECORDS="true")
    assert rows(bench) == committed
    bench.assert_ledger_closed()
    bench.assert_equal()


def rows(bench):
    with psycopg.connect(bench.mart_url) as connection:
        return connection.execute("select count(*) from orders_live").fetchone()[0]


def with_broker_down(bench, work):
    bench.servers.role("stop", "kafka")
    try:
        work()
    finally:
        bench.servers.role("start", "kafka")


def put_back(copy, data):
    shutil.rmtree(data)
    copy.rename(data)
