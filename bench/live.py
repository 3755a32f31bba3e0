"""A run that goes on while orders come, and when they can be seen."""

import bisect
import http.client
import json
import os
import random
import threading
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from job import Job
from recomputation.lake import log_in_force

PIPELINE = "amazon-sales"
MART_EVERY, LAKE_EVERY = 0.01, 0.02
# A run that hasn't shown everything so long after the feed's end never will.
LONGEST = 120
# Before processor time counts as that of an idle process; and the longest pause between orders that come one by one.
SETTLES, BETWEEN, ONE_BY_ONE = 10, 1, 10


class Watcher(threading.Thread):
    """Looks until it is told to end. What it dies of is raised by `end`."""

    def __init__(self, every):
        super().__init__(daemon=True)
        self.every, self.over, self.trouble = every, threading.Event(), None

    def run(self):
        try:
            while not self.over.is_set():
                self.look()
                time.sleep(self.every)
        except BaseException as trouble:  # noqa: BLE001
            self.trouble = trouble

    def until(self, condition, what, seconds=LONGEST):
        deadline = time.monotonic() + seconds
        while not condition():
            if self.trouble or time.monotonic() > deadline:
                raise SystemExit(f"bench: {what()}: not within {seconds} s") from self.trouble
            time.sleep(self.every)

    def end(self):
        self.over.set()
        self.join()
        if self.trouble:
            raise self.trouble


class Shown(Watcher):
    """Orders that a reader of `kpi_1min` sees: `steps` has the moment of each look that saw more, and how many it saw."""

    def __init__(self, mart_url):
        super().__init__(MART_EVERY)
        self.connection = psycopg.connect(mart_url, autocommit=True)
        self.steps, self.now = [], 0

    def look(self):
        try:
            orders = int(self.connection.execute("select coalesce(sum(totalorders), 0) from kpi_1min").fetchone()[0])
        except psycopg.errors.UndefinedTable:
            return
        if orders > self.now:
            self.now = orders
            self.steps.append((time.time(), orders))

    def wait_for(self, orders, seconds=LONGEST):
        self.until(lambda: self.now >= orders, lambda: f"kpi_1min shows {self.now:,} of {orders:,} orders", seconds)
        return self.steps[bisect.bisect_left(self.steps, orders, key=lambda step: step[1])][0]

    def close(self):
        self.connection.close()

    def latencies(self, stamps, known):
        """Of each order behind the first `known`, in seconds."""
        ordered, found, before = sorted(stamp for own in stamps.values() for stamp in own), [], known
        for at, orders in self.steps:
            found += [at - stamp for stamp in ordered[before:orders]]
            before = max(before, orders)
        return found


class Committed(Watcher):
    """Entries of the log: `steps` has for each the moment at which it and all its Silver files were in their places, and
    its ranges of offsets."""

    def __init__(self, lake, lake_url):
        super().__init__(LAKE_EVERY)
        self.lake, self.eyes = lake, eyes(lake_url)
        self.log = f"_lakeward/{PIPELINE}/{log_in_force(lake, PIPELINE)}/log"
        self.version, self.steps, self.most_per_leaf, self.files, self.orders = 0, [], 0, 0, 0

    def look(self):
        path = f"{self.log}/{self.version // 10_000}/{self.version:020}.json"
        if not self.eyes.see(path):
            return
        entry = json.loads(self.lake.read(path))
        added = entry.get("layers", {}).get("silver", {}).get("added", [])
        for file in added:
            while not self.eyes.see(file["path"]):
                time.sleep(self.every)
        self.version += 1
        if entry["kind"] != "epoch":
            return
        ranges = {int(number): (one["from"], one["to"]) for number, one in entry["partitions"].items()}
        self.steps.append((time.time(), ranges))
        self.orders += sum(end - begin for begin, end in ranges.values())
        self.files += len(added)
        leaves = [file["staged"]["leaf"] for file in added]
        self.most_per_leaf = max([self.most_per_leaf, *map(leaves.count, set(leaves))])

    def wait_for(self, orders):
        self.until(lambda: self.orders >= orders, lambda: f"Silver holds {self.orders:,} of {orders:,} orders")

    def close(self):
        self.eyes.close()

    def latencies(self, stamps, known):
        """Of each order that isn't among the `known` first ones of its partition, in seconds."""
        return [at - stamp for at, ranges in self.steps for number, (begin, end) in ranges.items()
                for stamp in stamps[number][max(begin, known[number]):end]]


def eyes(lake_url):
    parts = urllib.parse.urlparse(lake_url)
    return HdfsEyes(os.environ["LAKEWARD_TEST_WEBHDFS"], parts.path) if parts.scheme == "hdfs" else FolderEyes(parts.path)


class FolderEyes:
    def __init__(self, root):
        self.root = Path(root)

    def see(self, path):
        return (self.root / path).exists()

    def close(self):
        pass


class HdfsEyes:
    """Asks the NameNode over one kept connection."""

    def __init__(self, address, root):
        self.connection, self.root = http.client.HTTPConnection(urllib.parse.urlparse(address).netloc, timeout=60), root

    def see(self, path):
        user = os.environ.get("HADOOP_USER_NAME") or os.environ.get("USER") or "root"
        self.connection.request("GET", f"/webhdfs/v1{urllib.parse.quote(f'{self.root}/{path}')}?op=GETFILESTATUS&user.name={user}")
        answer = self.connection.getresponse()
        answer.read()
        if answer.status not in (200, 404):
            raise SystemExit(f"bench: the NameNode answers {answer.status} {answer.reason}")
        return answer.status == 200

    def close(self):
        self.connection.close()


def stamps(topic):
    """Kafka's timestamps of all records, seconds since 1970, by partition and offset."""
    consumer = Consumer({"bootstrap.servers": os.environ["LAKEWARD_TEST_KAFKA"], "group.id": "bench", "enable.auto.commit": False})
    numbers = consumer.list_topics(topic, 30).topics[topic].partitions
    found = {number: [] for number in numbers}
    left = sum(ends(consumer, topic).values())
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])
    while left:
        messages = consumer.consume(min(left, 10_000), 30)
        if not messages:
            raise SystemExit(f"bench: {left} records of {topic} don't come")
        for message in messages:
            found[message.partition()].append(message.timestamp()[1] / 1000)
        left -= len(messages)
    consumer.close()
    return found


def ends(consumer, topic):
    """How many records each partition holds."""
    numbers = consumer.list_topics(topic, 30).topics[topic].partitions
    return {number: consumer.get_watermark_offsets(TopicPartition(topic, number), 30)[1] for number in numbers}


def peak_mb(process):
    """The largest resident memory of a process so far."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def cpu_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Run:
    """`lakeward run` on a topic, lake and database of its own, from the moment on when `kpi_1min` shows the first orders."""

    KNOWN = 1_000

    def __init__(self, job_name, folder, binary, topic, stretch):
        self.stretch, self.topic = stretch, topic
        self.job = Job(job_name, folder, binary, topic, stretch)
        self.process, self.watchers = None, []

    def __enter__(self):
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begin(self):
        self._feed("--events", self.KNOWN)
        self.shown = self._watch(Shown(self.job.mart_url))
        began = time.time()
        self.process = self.job.start("run", PIPELINE)
        self.first = self.shown.wait_for(1) - began
        self.shown.wait_for(self.KNOWN)
        self.committed = self._watch(Committed(self.job.lake(), self.job.lake_url))
        self.known = {number: len(own) for number, own in stamps(self.topic).items()}

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
        for watcher in self.watchers:
            watcher.over.set()
            watcher.join()
            watcher.close()
        self.job.clear()

    def measure(self):
        """Feeds it for the stretch; what was seen when, once all is."""
        self._feed("--duration", f"{self.stretch.seconds}s", "--rate", self.stretch.rate)
        files, most = self.committed.files, self.committed.most_per_leaf
        made = stamps(self.topic)
        total = sum(map(len, made.values()))
        self.shown.wait_for(total)
        self.committed.wait_for(total)
        peak = peak_mb(self.process)
        self._stop()
        fresh = [stamp for number, own in made.items() for stamp in own[self.known[number]:]]
        return Seen(self.stretch, len(fresh) / (max(fresh) - min(fresh)), self.shown.latencies(made, self.KNOWN),
                    self.committed.latencies(made, self.known), peak, self.first, files, max(most, self.committed.most_per_leaf))

    def idle(self, seconds):
        """The share of a core that it takes without orders, and how long those take that come afterwards, one by one."""
        producer = Producer({"bootstrap.servers": os.environ["LAKEWARD_TEST_KAFKA"], "linger.ms": 0})
        producer.list_topics(self.topic, 30)
        order = one_record(self.topic)
        self.committed.wait_for(self.KNOWN)
        time.sleep(SETTLES)
        before, began = cpu_seconds(self.process), time.monotonic()
        time.sleep(seconds)
        share = (cpu_seconds(self.process) - before) / (time.monotonic() - began)
        waits = []
        for number in range(1 + ONE_BY_ONE):
            at = int(time.time() * 1000)
            producer.produce(self.topic, order, partition=0, timestamp=at)
            producer.flush(30)
            waits.append(self.shown.wait_for(self.KNOWN + number + 1) - at / 1000)
            time.sleep(BETWEEN * random.random())
        self._stop()
        return Silence(seconds, share, waits[0], waits[1:])

    def _feed(self, *how):
        code = self.job.start("generate", PIPELINE, *how).wait()
        if code:
            raise SystemExit(f"bench: generate ended with {code}:\n{(self.job.folder / 'generate.out').read_text()[-3000:]}")

    def _watch(self, watcher):
        watcher.start()
        self.watchers.append(watcher)
        return watcher

    def _stop(self):
        """Cleanly, with everything verified."""
        for watcher in self.watchers:
            watcher.end()
        self.process.terminate()
        code = self.process.wait(60)
        if code:
            raise SystemExit(f"bench: the run ended with {code}:\n{(self.job.folder / 'run.out').read_text()[-3000:]}")
        self.job.verify()


@dataclass(frozen=True)
class Stretch:
    rate: int
    seconds: int
    epoch_age: str
    note: str = ""
    check: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Seen:
    stretch: Stretch
    rate: float
    kpi: list
    silver: list
    peak_mb: float
    first: float
    files: int
    most_per_leaf: int


@dataclass(frozen=True)
class Silence:
    seconds: int
    share: float
    first: float
    next: list


def one_record(topic):
    """The payload of a record of partition 0."""
    consumer = Consumer({"bootstrap.servers": os.environ["LAKEWARD_TEST_KAFKA"], "group.id": "bench", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    payload = consumer.poll(30).value()
    consumer.close()
    return payload
