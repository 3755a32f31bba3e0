"""Records as Kafka holds them: read_committed, one partition after the other, from an offset up to another."""

import time

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

    def one(self, partition, offset):
        """The record at that offset."""
        return next(self.records(partition, offset, offset + 1), None)


def _record(message):
    kind, timestamp = message.timestamp()
    return Record(
        message.partition(), message.offset(), -1 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        message.key(), message.value(), message.headers() or [])
