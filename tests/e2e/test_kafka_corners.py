"""Kafka's dark corners: retention, topics made anew, new partitions, holes between offsets, odd timestamps, tombstones.

Each ends with everything equal to the recomputation, whatever the corner did to the run.
"""

import json
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, ResourceType

from bench import amazon_pipeline
from orders import BEGIN, MINUTE, Mix, orders, produce
from program import wait_until
from test_refusals import REFUSED, recreate, refused
from test_takeover import finish

STOPPED = 5
EPOCHS = {"LAKEWARD_EPOCH_AGE": "500ms"}
LAST_SECOND = 253_402_300_799_000  # of the year 9999
ANY_TIME = {"message.timestamp.before.max.ms": str(2**62), "message.timestamp.after.max.ms": str(2**62)}


def watchful(name, topic):
    """Looks at the topic every second instead of twice a minute."""
    return amazon_pipeline(name, topic).replace("[time]\n", '[time]\nidle_after = "1s"\n', 1)


def running_and_caught_up(bench, seed, count=600, total=1_200):
    produce(bench.servers.kafka, bench.topic, orders(count, seed, total=total))
    process = bench.start()
    wait_until_read(bench, process)
    return process


def wait_until_read(bench, process):
    """All that the topic holds is committed."""
    def read():
        assert process.alive(), f"ended with {process.process.returncode}:\n{process.tail()}"
        entries = bench.entries() if bench.head() >= 0 else []
        return bool(entries) and {int(p): told["to"] for p, told in entries[-1]["partitions"].items()} == bench.ends()

    wait_until(read, 60, lambda: f"all read; ends {bench.ends()}\n{process.tail()}")


def stopped(process, word, *words):
    code = process.code(90)
    assert code == STOPPED, f"exit {code}:\n{process.tail()}"
    for said in (word, *words):
        assert said in process.tail(), f"{said!r} is not in\n{process.tail()}"


def test_retention_that_overtakes_a_run_is_a_gap_and_what_was_read_stays_exact(new_bench, seed):
    bench = new_bench(**EPOCHS)
    process = running_and_caught_up(bench, seed)
    process.freeze()
    # A fetch that waits at the broker is answered with the first record that comes, frozen or not, and with it alone.
    produce(bench.servers.kafka, bench.topic, orders(1, seed, first=600, total=1_200))
    fetched = bench.ends()
    produce(bench.servers.kafka, bench.topic, orders(599, seed, first=601, total=1_200))
    bench.keep_past()
    ends, read = bench.ends(), {p: told["to"] for p, told in bench.entries()[-1]["partitions"].items() if p != "0"}
    delete = [TopicPartition(bench.topic, p, end - 1) for p, end in ends.items() if p > 0]
    for future in bench.admin.delete_records(delete).values():
        future.result(30)
    process.thaw()
    stopped(process, "GAP", bench.topic)
    told = {p: told["to"] for p, told in bench.entries()[-1]["partitions"].items() if p != "0"}
    assert all(to in (read[p], fetched[int(p)]) for p, to in told.items()), f"read across a gap: {told}"
    refused(bench, REFUSED, "GAP", bench.topic)
    bench.assert_ledger_closed()
    bench.assert_equal()


@pytest.mark.parametrize("later, frozen", [(300, False), (900, True)], ids=["shorter", "longer-unseen"])
def test_a_topic_made_anew_under_a_run_ends_it_and_goes_on_when_accepted(new_bench, seed, later, frozen):
    bench = new_bench(pipeline=watchful, **EPOCHS)
    process = running_and_caught_up(bench, seed)
    bench.keep_past()
    head, ends = bench.entries()[-1]["version"], bench.ends()
    if frozen:
        process.freeze()
    bench.delete_topic()
    recreate(bench)
    produce(bench.servers.kafka, bench.topic, orders(later, seed, first=600, total=1_500))
    process.thaw()
    code = process.code(90)
    assert code == STOPPED and ("TOPIC_CHANGED" in process.tail() or "TRUNCATED" in process.tail()), (
        f"exit {code}\n{process.tail()}")
    assert all(int(told["to"]) == ends[int(p)] for entry in bench.entries()[head:] for p, told in entry["partitions"].items()), (
        "records of the new topic were taken for the old one's")
    refused(bench, REFUSED, "TOPIC_CHANGED", bench.topic)
    bench.once(LAKEWARD_KAFKA_ACCEPT_NEW_TOPIC_ID="true")
    newest = bench.entries()[-1]["partitions"].values()
    assert {told["incarnation"] for told in newest} == {1} and sum(told["to"] for told in newest) == later
    bench.assert_ledger_closed()
    bench.assert_equal()


def test_a_topic_made_anew_under_a_run_that_accepts_it_is_a_new_incarnation_of_the_same_run(new_bench, seed):
    """With more partitions than before, and nobody saw it while it was gone."""
    bench = new_bench(pipeline=watchful, LAKEWARD_KAFKA_ACCEPT_NEW_TOPIC_ID="true", **EPOCHS)
    process = running_and_caught_up(bench, seed)
    bench.keep_past()
    process.freeze()
    bench.delete_topic()
    recreate(bench, 5)
    produce(bench.servers.kafka, bench.topic, orders(900, seed, Mix(partitions=5), first=600, total=1_500))
    process.thaw()
    wait_until(lambda: process.alive() and read_anew(bench) == 900, 90, lambda: f"{read_anew(bench)} of 900\n{process.tail()}")
    process.stop()
    finish(bench)
    assert read_anew(bench) == 900, "the next start took the topic for another one again"


def test_a_topic_made_anew_with_fewer_partitions_is_refused_even_if_it_is_accepted(new_bench, seed):
    bench = new_bench(LAKEWARD_KAFKA_ACCEPT_NEW_TOPIC_ID="true", **EPOCHS)
    produce(bench.servers.kafka, bench.topic, orders(600, seed))
    bench.once()
    bench.keep_past()
    bench.delete_topic()
    recreate(bench, 2)
    refused(bench, REFUSED, "TOPIC_CHANGED", "without partition 2")
    bench.assert_ledger_closed()
    # The group's offsets went with the old topic.
    bench.assert_equal(undecidable={"I23"})


def read_anew(bench):
    """Records read of the second incarnation."""
    partitions = bench.entries()[-1]["partitions"].values()
    assert all(told["incarnation"] < 2 for told in partitions), "a third incarnation of a topic that was made anew once"
    return sum(told["to"] for told in partitions if told["incarnation"] == 1)


def test_partitions_that_are_added_under_a_run_are_read_from_their_beginning(new_bench, seed):
    bench = new_bench(pipeline=watchful, partitions=2, **EPOCHS)
    produce(bench.servers.kafka, bench.topic, orders(1_500, seed, Mix(partitions=2), total=4_500))
    process = bench.start()
    wait_until_read(bench, process)
    for future in bench.admin.create_partitions([NewPartitions(bench.topic, 5)]).values():
        future.result(30)
    later = orders(3_000, seed, Mix(partitions=5), first=1_500, total=4_500)
    produce(bench.servers.kafka, bench.topic, later)
    wait_until_read(bench, process)
    entered = [entry for entry in bench.entries() if len(entry["partitions"]) == 5]
    first = entered[0]["partitions"]
    assert all(first[p]["from"] == 0 and first[p]["incarnation"] == 0 for p in "234"), first
    assert len(entered) > 1, "records of a new partition before the entry that takes it up"
    assert {entry["claim"] for entry in bench.entries()} == {0}, "the run was not interrupted"
    process.stop()
    finish(bench)


def test_offsets_with_holes_of_compaction_are_passed(new_bench, seed):
    """Only the newest record of each key is left, on the way and behind the position of a run that was stopped."""
    options = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "100"}
    bench = new_bench(topic=options, **EPOCHS)
    few_keys = lambda first: (
        (partition, key[-2:], value, at, headers) for partition, key, value, at, headers in orders(1_500, seed, first=first, total=3_000))
    for first in (0, 1_500):
        produce(bench.servers.kafka, bench.topic, few_keys(first))
        compact(bench)
        bench.once()
    told = [told for entry in bench.entries() for told in entry["partitions"].values()]
    read = sum(told["counters"].get("records", 0) for told in told)
    assert 0 < read < 3_000 * 2 // 3, f"{read} of 3000 records were read: nothing was compacted away"
    bench.assert_ledger_closed()
    bench.assert_equal()


def compact(bench):
    """Waits until the cleaner has left its last hole, and forbids it to go on."""
    time.sleep(0.2)  # older than segment.ms, so that the next record begins a segment
    last = ((p, b"last", json.dumps({"OrderID": "last"}).encode(), BEGIN + 180 * MINUTE, []) for p in range(3))
    policy(bench, "compact")
    produce(bench.servers.kafka, bench.topic, last)
    seen = []

    def settled():
        seen.append(sum(held(bench).values()))
        return len(seen) > 4 and seen[-1] == seen[-4] < sum(bench.ends().values())

    wait_until(settled, 60, lambda: f"compaction; records left {seen[-5:]} of {sum(bench.ends().values())}")
    policy(bench, "delete")
    bench.past.unlink(missing_ok=True)
    bench.keep_past()


def held(bench):
    """{partition: records that are still there}"""
    consumer = Consumer({"bootstrap.servers": bench.servers.kafka, "group.id": "look", "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(bench.topic, p, 0) for p in range(3)])
        counts, ended = dict.fromkeys(range(3), 0), set()
        while len(ended) < 3:
            for message in consumer.consume(1_000, timeout=0.1):
                if message.error():
                    ended.add(message.partition())
                else:
                    counts[message.partition()] += 1
        return counts
    finally:
        consumer.close()


def policy(bench, value):
    entry = ConfigEntry("cleanup.policy", value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, bench.topic, incremental_configs=[entry])
    for future in bench.admin.incremental_alter_configs([resource]).values():
        future.result(30)


def test_aborted_transactions_are_never_read_and_open_ones_not_yet(new_bench, seed):
    bench = new_bench(**EPOCHS)
    producer = Producer({"bootstrap.servers": bench.servers.kafka, "transactional.id": bench.topic, "log_level": 2})
    producer.init_transactions(30)
    process = bench.start()
    messages = list(orders(3_000, seed))
    for number, begin in enumerate(range(0, 2_000, 100)):
        transaction(producer, bench, messages[begin:begin + 100], commit=number % 3 != 1)
    producer.begin_transaction()
    send(producer, bench, messages[2_000:2_500])
    committed = 1_300
    wait_until(lambda: counted(bench) == committed, 60, lambda: f"{counted(bench)} of {committed} records\n{process.tail()}")
    process.stop()
    finish(bench)
    assert counted(bench) == committed, "records of an open transaction were read"
    producer.commit_transaction(30)
    transaction(producer, bench, messages[2_500:], commit=False)
    finish(bench)
    assert counted(bench) == committed + 500
    ends = bench.entries()[-1]["partitions"]
    assert {int(p): told["to"] for p, told in ends.items()} == bench.ends(), "the position passes the last abort's marker"


def transaction(producer, bench, messages, commit):
    producer.begin_transaction()
    send(producer, bench, messages)
    producer.commit_transaction(30) if commit else producer.abort_transaction(30)


def send(producer, bench, messages):
    for partition, key, value, at, headers in messages:
        producer.produce(bench.topic, value, key, partition, timestamp=at, headers=headers)
    assert producer.flush(30) == 0


def counted(bench):
    return sum(told["counters"].get("records", 0) for entry in bench.entries() for told in entry["partitions"].values())


def test_tombstones_alone_and_between_records_are_kept_and_move_nothing(new_bench, seed):
    bench = new_bench(**EPOCHS)
    tombstones = lambda partition, count: (
        (partition, f"gone{n}".encode() if n % 2 else None, None, BEGIN + n * MINUTE, []) for n in range(count))
    produce(bench.servers.kafka, bench.topic, tombstones(0, 50))
    bench.once()
    assert bench.entries()[-1]["partitions"]["0"]["watermark"] == bench.entries()[0]["partitions"]["0"]["watermark"]
    produce(bench.servers.kafka, bench.topic, orders(3_000, seed, Mix(tombstone=0.3, partitions=2)))
    produce(bench.servers.kafka, bench.topic, tombstones(2, 50))
    bench.once()
    told = bench.entries()[-1]["partitions"]
    assert told["2"]["to"] == 50 and sum(p["to"] for p in told.values()) == 3_100
    bench.assert_ledger_closed()
    bench.assert_equal()


def test_records_without_a_time_or_from_the_future_are_quarantined_and_move_no_watermark(new_bench, seed):
    bench = new_bench(topic=ANY_TIME, **EPOCHS)
    ten_years = int(time.time() * 1000) + 10 * 365 * 24 * 60 * MINUTE
    odd = {7: -1, 11: ten_years, 13: LAST_SECOND}
    messages = [
        (partition, key, value, odd.get(n % 100, at), headers)
        for n, (partition, key, value, at, headers) in enumerate(orders(3_000, seed, Mix(bad=0, tombstone=0)))]
    produce(bench.servers.kafka, bench.topic, messages)
    bench.once()
    reasons = {}
    for entry in bench.entries():
        for told in entry["partitions"].values():
            for reason, count in told["counters"].get("by_reason", {}).items():
                reasons[reason] = reasons.get(reason, 0) + count
    assert reasons == {"NO_TIMESTAMP": 30, "FUTURE": 60}
    newest = max(told["watermark"] for told in bench.entries()[-1]["partitions"].values())
    assert newest <= (BEGIN + 180 * MINUTE) * 1000, "a record from the future moved the watermark"
    bench.assert_ledger_closed()
    bench.assert_equal()


def test_times_that_the_broker_gives_are_taken(new_bench, seed):
    bench = new_bench(topic={"message.timestamp.type": "LogAppendTime"}, **EPOCHS)
    produce(bench.servers.kafka, bench.topic, orders(3_000, seed))
    bench.once()
    bench.assert_ledger_closed()
    bench.assert_equal()
