"""What was refused can be counted and looked at, while the pipeline runs and afterwards."""

import json
from collections import Counter

import pytest
from bench import amazon_pipeline
from orders import Mix, orders, produce
from program import wait_until

RECORDS = 2_000


@pytest.mark.parametrize("lake, mart", [("file", "none"), ("hdfs", "none")])
def test_refused_records_are_counted_and_shown(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart, LAKEWARD_EPOCH_AGE="500ms")
    poison = b'{"OrderID":"\x1b[31mred","a":'
    produce(bench.servers.kafka, bench.topic, orders(RECORDS, seed, Mix(bad=0.1)))
    produce(bench.servers.kafka, bench.topic, [(1, None, poison, 1_700_000_000_000, [])])
    process = bench.start()
    wait_until(lambda: told(bench)["records"] > 100, 60, process.tail)
    process.stop()

    everything = told(bench)
    lines = [json.loads(line) for line in quarantine(bench, "show", "-n", "1000000", "--json").splitlines()]
    assert len(lines) == everything["records"] == bench_counter(bench)
    assert Counter(line["reason"] for line in lines) == counts(everything)
    reason, count = counts(everything).most_common(1)[0]
    assert counts(told(bench, "--reason", reason.lower())) == {reason: count}
    of_one = told(bench, "--partition", "1")["records"]
    assert of_one == sum(line["partition"] == 1 for line in lines) > 0
    middle = sorted(line["kafka_timestamp"] for line in lines)[len(lines) // 2]
    assert told(bench, "--since", middle)["records"] + told(bench, "--until", middle)["records"] == len(lines)

    listed = quarantine(bench, "list")
    print(listed, quarantine(bench, "show", "-n", "4"))
    assert f"{everything['records']} records" in listed
    shown = quarantine(bench, "show", "--reason", "NOT_JSON", "--partition", "1", "-n", "1000")
    assert r'{"OrderID":"\u{1b}[31mred","a":' in shown
    assert "\x1b" not in shown
    code, output = bench.command_of("quarantine", "list", "--reason", "SOMETHING")
    assert code == 2 and "WRONG_TYPE" in output


def test_a_feed_of_another_shape_stops_the_pipeline_instead_of_filling_the_quarantine(new_bench, seed):
    """It stays stopped however often it is started, and goes on where that is accepted, and by itself after good records."""
    bench = new_bench(pipeline=at_most_half, LAKEWARD_EPOCH_AGE="500ms")
    produce(bench.servers.kafka, bench.topic, orders(RECORDS, seed, total=3 * RECORDS))
    process = bench.start()
    wait_until(lambda: bench.head() > 0 and read(bench) == RECORDS, 60, process.tail)
    foreign = ((number % 3, None, b'{"sensor": 1}', 1_700_000_000_000, []) for number in range(4 * RECORDS))
    produce(bench.servers.kafka, bench.topic, foreign)
    assert process.code(60) == 5, process.tail()
    assert "TOO_MANY_REFUSED" in process.tail(2) and "of the newest" in process.tail(2), process.tail()
    refused = read(bench)
    for _ in range(2):
        process = bench.start()
        assert process.code(60) == 4 and "TOO_MANY_REFUSED" in process.tail(2), process.tail()
    assert read(bench) == refused
    assert bench.command_of("quarantine", "list")[0] == 0

    produce(bench.servers.kafka, bench.topic, orders(2 * RECORDS, seed, first=RECORDS, total=3 * RECORDS))
    bench.once(LAKEWARD_KAFKA_ACCEPT_REFUSED="true")
    assert read(bench) == 7 * RECORDS
    bench.once("--close-all")
    bench.assert_ledger_closed()
    bench.assert_equal()


def at_most_half(name, topic):
    return amazon_pipeline(name, topic).replace("[quarantine]\n", "[quarantine]\nmax_percent = 50\n", 1)


def read(bench):
    return sum(told["to"] for told in bench.entries()[-1]["partitions"].values())


def told(bench, *arguments):
    code, output = bench.command_of("quarantine", "list", "--json", *arguments)
    return json.loads(output.splitlines()[-1]) if code == 0 else {"records": 0, "reasons": []}


def counts(told):
    found = Counter()
    for group in told["reasons"]:
        found[group["reason"]] += group["records"]
    return found


def quarantine(bench, what, *arguments):
    code, output = bench.command_of("quarantine", what, *arguments)
    assert code == 0, output
    return output


def bench_counter(bench):
    return sum(told["total"]["quarantined"] for told in bench.entries()[-1]["partitions"].values())
