"""Records and keys that are far too large or far too many: refused or counted exactly, and memory stays bounded (I15)."""

import json
import os
import string

from confluent_kafka import Producer

from orders import BEGIN, orders

MIB = 1 << 20
LIMIT = 10 * MIB
KEYS = int(os.environ.get("LAKEWARD_TEST_KEYS", "400000"))
STOPPED = 5
# Peaks of the whole process. Seen were 267 MiB for large records; up to the cap of state 164 MiB for 400 000 keys and 267 for a
# million; without a cap 241 and 474.
MOST_FOR_LARGE_RECORDS = 500 * MIB
MOST_UP_TO_THE_CAP = 450 * MIB
MOST_PER_MILLION_KEYS = 900 * MIB
LARGE = {"max.message.bytes": "12000000"}
FEED = """
name = "NAME"
[source]
topic = "TOPIC"
format = "json"
[fields]
id = "string!"
[time]
event_time = "kafka"
out_of_orderness = "0s"
[bronze]
path = "bronze/NAME"
[silver]
path = "silver/NAME"
[quarantine]
path = "quarantine/NAME"
[[kpi]]
name = "per_day"
window = { tumbling = "1d" }
key = ["id"]
gold = { path = "gold/NAME" }
[kpi.measures]
n = "count(id)"
"""


def test_huge_records_are_kept_or_refused_whole_and_memory_stays_bounded(new_bench, seed):
    bench = new_bench(mart="sqlite", topic=LARGE, LAKEWARD_MEMORY_CAP="64MiB")
    plain = [message for message in orders(300, seed) if message[2]]
    producer = Producer({"bootstrap.servers": bench.servers.kafka, "message.max.bytes": 12_000_000, "linger.ms": 5})
    too_large = 0
    for number, (partition, key, value, timestamp, _) in enumerate(plain):
        if number % 15 == 0:
            value = HUGE[number // 15 % len(HUGE)](value)
            too_large += len(value) > LIMIT
        producer.produce(bench.topic, value, key, partition, timestamp=timestamp)
        producer.flush(60)
    assert too_large >= 4
    peak = peak_of(bench.start("--once", "--close-all"), 0)
    assert bench.entries()[-1]["partitions"]
    reasons = [told["total"].get("by_reason", {}).get("TOO_LARGE", 0) for told in bench.entries()[-1]["partitions"].values()]
    assert sum(reasons) == too_large
    bench.assert_ledger_closed()
    bench.assert_equal()
    print(f"{len(plain)} records, {too_large} too large: peak {peak // MIB} MiB")
    assert peak < MOST_FOR_LARGE_RECORDS


def test_keys_without_end_stop_at_the_cap_and_go_on_from_there_with_a_larger_one(new_bench):
    bench = new_bench(mart="none", pipeline=lambda name, topic: FEED.replace("NAME", name).replace("TOPIC", topic))
    producer = Producer({"bootstrap.servers": bench.servers.kafka, "linger.ms": 50, "queue.buffering.max.messages": 2_000_000})
    for number in range(KEYS):
        producer.produce(bench.topic, f'{{"id":"key-{number}"}}', None, number % 3, timestamp=BEGIN - BEGIN % 86_400_000 + number)
    producer.flush(120)
    small = peak_of(bench.start("--once", LAKEWARD_MEMORY_STATE_CAP="32MiB", LAKEWARD_EPOCH_ROWS="50000"), STOPPED, "STATE_FULL")
    bench.assert_ledger_closed()
    peak = peak_of(bench.start("--once", "--close-all", LAKEWARD_EPOCH_ROWS="100000"), 0)
    total = sum(told["total"]["kept"] for told in bench.entries()[-1]["partitions"].values())
    assert total == KEYS
    bench.assert_ledger_closed()
    print(f"{KEYS} keys: peak {small // MIB} MiB up to a cap of 32 MiB, {peak // MIB} MiB without")
    assert small < MOST_UP_TO_THE_CAP and peak < MOST_PER_MILLION_KEYS * max(1, KEYS // 1_000_000)


def test_any_text_names_a_folder_of_its_own_or_is_quarantined(new_bench):
    feed = FEED.replace('[quarantine]', 'partition_by = ["id"]\n[quarantine]')
    bench = new_bench(mart="none", pipeline=lambda name, topic: feed.replace("NAME", name).replace("TOPIC", topic))
    texts = ["plain", "a/b", "../../up", "a=b", "100%", "line\nfeed", "", "\U0001f600", "__HIVE_DEFAULT_PARTITION__x", "x" * 200, "é" * 100]
    too_long = ["x" * 201, "x" * 300, "/" * 100, "\U0001f600" * 75]
    producer = Producer({"bootstrap.servers": bench.servers.kafka})
    for number, text in enumerate([*texts, *too_long, "after"]):
        producer.produce(bench.topic, json.dumps({"id": text}), None, number % 3, timestamp=BEGIN + number)
    producer.flush(60)
    bench.once("--close-all")
    totals = [told["total"] for told in bench.entries()[-1]["partitions"].values()]
    assert sum(told["kept"] for told in totals) == len(texts) + 1
    assert sum(told.get("by_reason", {}).get("KEY_TOO_LARGE", 0) for told in totals) == len(too_long)
    code, output = bench.command("ledger", "--files")
    assert code == 0, output
    bench.assert_verified()
    for number in range(1_500):
        producer.produce(bench.topic, f'{{"id":"unique-{number}"}}', None, 0, timestamp=BEGIN + 100 + number)
    producer.flush(60)
    process = bench.start("--once")
    assert process.code(60) == STOPPED and "TOO_MANY_FOLDERS" in process.log(), process.tail()
    code, output = bench.command("ledger", "--files")
    assert code == 0, output


def peak_of(process, code, word=""):
    """The largest resident set of a process that ends with `code`, in bytes."""
    peak = 0
    while process.alive():
        try:
            with open(f"/proc/{process.process.pid}/status") as status:
                lines = dict(line.split(":", 1) for line in status)
            peak = max(peak, int(lines["VmHWM"].split()[0]) * 1024)
        except (OSError, KeyError):
            pass
    assert process.code(1) == code and word in process.log(), process.tail()
    return peak


def with_member(value, name, text):
    return value.rstrip()[:-1] + f',"{name}":{text}}}'.encode()


def short_names(count):
    letters = string.ascii_letters
    return ("".join(letters[number // len(letters) ** digit % len(letters)] for digit in range(4)) for number in range(count))


HUGE = [
    lambda value: with_member(value, "blob", json.dumps("x" * (LIMIT - len(value) - 20))),
    lambda value: with_member(value, "blob", json.dumps("x" * LIMIT)),
    lambda value: with_member(value, "wide", "{" + ",".join(f'"{name}":1' for name in short_names(1_000_000)) + "}"),
    lambda value: with_member(value, "list", "[" + "0," * 4_000_000 + "0]"),
    lambda value: with_member(value, "deep", "[" * 5_000_000 + "]" * 5_000_000),
    lambda value: with_member(value, "number", "9" * 5_000_000),
]
