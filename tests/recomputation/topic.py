"""Records as Kafka holds them: read_committed, one partition after the other, from an offset up to another."""

import base64
import json
import time
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, TopicPartition

from .engine import Record

PATIENCE = 60


class Topic:
    def __init__(self, brokers, name):
        self.name = name
        self.settings = {
            "bootstrap.servers": brokers,
            "group.id": "recomputation",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 10,
        }

    def records(self, partition, start, to):
        """Records of `[start, to)` in order."""
        consumer = Consumer(self.settings)
        try:
            consumer.assign([TopicPartition(self.name, partition, start if start > 0 else OFFSET_BEGINNING)])
            deadline = time.monotonic() + PATIENCE
            while start < to:
                # A short wait: consume() waits for all that it was asked for, also behind the partition's end.
                messages = consumer.consume(10_000, timeout=0.1)
                if messages:
                    deadline = time.monotonic() + PATIENCE
                elif time.monotonic() > deadline:
                    raise SystemExit(f"Kafka gave no record of partition {partition} in {PATIENCE} s")
                for message in messages:
                    if message.error():
                        if message.error().code() == KafkaError._PARTITION_EOF:
                            return
                        raise SystemExit(f"Kafka: {message.error()}")
                    if message.offset() >= to:
                        return
                    yield _record(message)
                    start = message.offset() + 1
        finally:
            consumer.close()


class Past:
    """Records that Kafka holds no more, kept in a file before it lost them: one JSON object a line."""

    def __init__(self, path):
        self.held = {}
        for line in Path(path).read_text().splitlines():
            told = json.loads(line)
            record = Record(*(told[name] for name in ("partition", "offset", "timestamp")), _bytes(told["key"]),
                            _bytes(told["value"]), [(n, _bytes(v)) for n, v in told["headers"]], told["incarnation"])
            self.held.setdefault((record.incarnation, record.partition), []).append(record)

    @staticmethod
    def keep(path, records, incarnation):
        """Adds records to such a file."""
        text = lambda value: None if value is None else base64.b64encode(value).decode()
        with open(path, "a") as file:
            for r in records:
                told = {"incarnation": incarnation, "partition": r.partition, "offset": r.offset, "timestamp": r.timestamp,
                        "key": text(r.key), "value": text(r.value), "headers": [(n, text(v)) for n, v in r.headers]}
                file.write(json.dumps(told) + "\n")

    def records(self, incarnation, partition, start, to):
        return (r for r in self.held.get((incarnation, partition), []) if start <= r.offset < to)


class History:
    """All incarnations of a topic: the newest as Kafka holds it, unless it was kept; earlier ones as they were kept."""

    def __init__(self, topic, newest, past=None):
        self.topic, self.newest, self.past = topic, newest, past

    def records(self, incarnation, partition, start, to):
        if incarnation == self.newest and not (self.past and (incarnation, partition) in self.past.held):
            return (r._replace(incarnation=incarnation) for r in self.topic.records(partition, start, to))
        if self.past is None:
            raise SystemExit("the topic was made anew: the records of its first life are asked for with --past")
        return self.past.records(incarnation, partition, start, to)

    def one(self, incarnation, partition, offset):
        """The record of that identity."""
        return next(self.records(incarnation, partition, offset, offset + 1), None)


def _bytes(text):
    return None if text is None else base64.b64decode(text)


def _record(message):
    kind, timestamp = message.timestamp()
    return Record(
        message.partition(), message.offset(), -1 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        message.key(), message.value(), message.headers() or [])
