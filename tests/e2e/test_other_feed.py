"""A pipeline that exists only as a file which this test writes runs like the built-in ones."""

import json

from orders import produce
from other_feed import PARTITIONS, pipeline, readings

EVENTS = 12_000


def test_a_feed_of_a_users_own_file_is_exact(new_bench, seed):
    bench = new_bench(mart="sqlite", pipeline=pipeline, partitions=PARTITIONS, LAKEWARD_EPOCH_ROWS="3000")
    code, output = bench.command("validate")
    assert code == 0, output
    sent = list(readings(EVENTS, seed))
    produce(bench.servers.kafka, bench.topic, sent)
    print(bench.once().tail(2))
    bench.assert_ledger_closed()
    from_the_future = sum(json.loads(value)["at"] == "2124-01-01T00:00:00Z" for _, _, value, _, _ in sent)
    told = [told["counters"].get("by_reason", {}) for e in bench.entries() for told in e["partitions"].values()]
    assert sum(reasons.get("FUTURE", 0) for reasons in told) == from_the_future > 0
    bench.assert_equal(feed="other_feed:readings_feed")
