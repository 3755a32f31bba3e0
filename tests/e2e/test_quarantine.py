"""What was refused can be counted and looked at, while the pipeline runs and afterwards."""

import json
from collections import Counter

import pytest
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
