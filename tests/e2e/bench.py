"""What one test works on: a topic, a lake, a mart, a pipeline file and a configuration, under names of its own."""

import json
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tomllib
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from program import ROOT, Lakeward
from recomputation.lake import log_entries, open_lake
from recomputation.topic import Past, Topic

RECOMPUTE = ROOT / "tests" / "recompute.py"
DEDUP = '[dedup]\nkey = ["OrderID"]\nwithin = "1h"\n'
PROGRAM_BOUND = 600
# What `verify` must be able to decide whether or not the owner ended cleanly; of I8 it can say something only if so.
DECIDED = {f"I{number}" for number in (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 19, 21, 22, 23)}


@dataclass(frozen=True)
class Servers:
    """Where the run's servers are; `role` acts on one of them."""

    NEEDED = ("LAKEWARD_TEST_KAFKA", "LAKEWARD_TEST_HDFS", "LAKEWARD_TEST_WEBHDFS", "LAKEWARD_TEST_POSTGRES")
    kafka: str
    hdfs: str
    webhdfs: str
    postgres: str

    @classmethod
    def of_environment(cls):
        return cls(*(os.environ[name] for name in cls.NEEDED))

    def role(self, action, role):
        """kill, start, restart, ... of kafka, namenode, datanode or postgres."""
        service("role", os.environ["LAKEWARD_TEST_SERVICES_DIR"], action, role)


def service(script, *arguments):
    """Runs one of scripts/services."""
    subprocess.run([sys.executable, ROOT / "scripts" / "services" / script, *arguments], check=True)


def amazon_pipeline(name, topic, dedup=True):
    """A copy of the built-in file under another name and topic, with dedup switched on."""
    text = (ROOT / "pipelines" / "amazon-sales.toml").read_text()
    text = text.replace('name = "amazon-sales"', f'name = "{name}"', 1)
    text = text.replace('topic = "amazon-sales"', f'topic = "{topic}"', 1)
    return text.replace("[bronze]", DEDUP + "\n[bronze]", 1) if dedup else text


def late_pipeline(name, topic):
    """The same, with tables of late rows."""
    text = amazon_pipeline(name, topic)
    text = text.replace('name = "kpi_1min"', 'name = "kpi_1min"\nlate = "table"', 1)
    places = 'late_table = { path = "late/days", table = "days_late" }'
    return text.replace('name = "kpi_daily"', f'name = "kpi_daily"\nlate = "table"\n{places}', 1)


def amending_pipeline(name, topic):
    """The same, with minutes that late rows revise for an hour; what comes later still goes to a table."""
    text = amazon_pipeline(name, topic)
    amends = 'late = "amend"\namend_for = "1h"\nlate_table = {}'
    text = text.replace('name = "kpi_1min"', f'name = "kpi_1min"\n{amends}', 1)
    return text.replace('name = "kpi_daily"', 'name = "kpi_daily"\nlate = "amend"\namend_for = "2d"', 1)


def in_mart(bench, statement):
    """The rows that a statement gives; it may also change what is there."""
    if bench.mart_url.startswith("sqlite"):
        with sqlite3.connect(bench.mart_url.removeprefix("sqlite://")) as connection:
            return connection.execute(statement).fetchall()
    with psycopg.connect(bench.mart_url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


class Bench:
    """`pipeline(name, topic)` gives the pipeline file's text, `topic` options of the topic. `settings` are LAKEWARD_*
    variables of every process."""

    def __init__(self, servers, folder, lake="file", mart="postgres", pipeline=amazon_pipeline, partitions=3, topic={},
                 **settings):
        self.servers, self.folder, self.settings = servers, folder, settings
        self.topic_options, self.past = topic, folder / "past.jsonl"
        folder.mkdir(parents=True)
        self.name = f"e2e-{secrets.token_hex(4)}"
        self.topic = f"{self.name}-topic"
        self.lake_url = f"{servers.hdfs}/{self.name}" if lake == "hdfs" else f"file://{folder}/lake"
        self.look_at(servers.webhdfs)
        self.admin = AdminClient({"bootstrap.servers": servers.kafka, "log_level": 2})
        self.create_topic(partitions)
        self.mart_url = self._create_mart(mart)
        self.pipeline = folder / "pipeline.toml"
        self.pipeline.write_text(pipeline(self.name, self.topic))
        self.config = folder / "lakeward.toml"
        self.write_config()
        self.started = []

    def look_at(self, webhdfs):
        """From here on the tests, not the program, ask that NameNode."""
        self.webhdfs = webhdfs
        self.lake = open_lake(self.lake_url, webhdfs)

    def write_config(self, options={}, **changes):
        """The configuration file; `changes` are kafka, lake and mart, `options` librdkafka's."""
        at = {"kafka": self.servers.kafka, "lake": self.lake_url, "mart": self.mart_url, **changes}
        lines = "".join(f'"{name}" = "{value}"\n' for name, value in options.items())
        self.config.write_text(
            f'[kafka]\nbrokers = "{at["kafka"]}"\n[kafka.options]\n{lines}\n'
            f'[lake]\nurl = "{at["lake"]}"\n\n[mart]\nurl = "{at["mart"]}"\n')

    def create_topic(self, partitions=3):
        # Orders are dated in the past: Kafka's retention would delete them.
        new = NewTopic(self.topic, partitions, 1, config={"retention.ms": "-1", **self.topic_options})
        for future in self.admin.create_topics([new]).values():
            future.result(30)

    def delete_topic(self):
        for future in self.admin.delete_topics([self.topic]).values():
            future.result(30)

    def start(self, *arguments, **settings):
        """A process that runs the pipeline until it is stopped."""
        return self._process(["run", self.pipeline, *arguments], settings)

    def once(self, *arguments, **settings):
        """Reads to the present end and exits with 0; the process."""
        process = self.start("--once", *arguments, **settings)
        code = process.code(PROGRAM_BOUND)
        assert code == 0, f"--once ended with {code}:\n{process.tail()}"
        return process

    def command(self, name, *arguments):
        """(exit code, output) of another command about the pipeline."""
        process = self.begin(name, *arguments)
        return process.code(60), process.log()

    def command_of(self, name, what, *arguments):
        """The same of a command that has commands of its own."""
        process = self._process([name, what, self.pipeline, *arguments], {})
        return process.code(60), process.log()

    def begin_of(self, name, what, *arguments, **settings):
        """Such a command's process."""
        return self._process([name, what, self.pipeline, *arguments], settings)

    def begin(self, name, *arguments):
        """Another command about the pipeline, as a process."""
        return self._process([name, self.pipeline, *arguments], {})

    def begin_with(self, name, *arguments, **settings):
        """The same under other LAKEWARD_* variables."""
        return self._process([name, self.pipeline, *arguments], settings)

    @contextmanager
    def running(self):
        """An owner, for as long as the block takes."""
        process = self.start()
        process.wait_for_role("owner", 30)
        yield process

    def definition(self):
        """The pipeline file's content."""
        return tomllib.loads(self.pipeline.read_text())

    def entries(self):
        return log_entries(self.lake, self.name)

    def log_root(self):
        """The folder of the newest log below the lake's root; None before there is one."""
        logs = sorted(path for path in self.lake.files(f"_lakeward/{self.name}/logs") if path.endswith(".json"))
        if not logs:
            return None
        return f"_lakeward/{self.name}/" + re.search(rb'"log_id":\s*"(\w+)"', self.lake.read(logs[-1]))[1].decode()

    def head(self):
        """The newest version; -1 before the first."""
        root = self.log_root()
        return sum(path.endswith(".json") for path in self.lake.files(f"{root}/log")) - 1 if root else -1

    def group_lag(self):
        """Kafka's own answer: records between the group's committed offsets and the ends."""
        [future] = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(f"lakeward-{self.name}")]).values()
        committed = {at.partition: at.offset for at in future.result(30).topic_partitions if at.topic == self.topic}
        ends = self.ends()
        assert set(committed) == set(ends), f"the group knows partitions {sorted(committed)} of {sorted(ends)}"
        return sum(ends[p] - committed[p] for p in ends)

    def committed_offsets(self):
        """{partition: offset} of the pipeline's group."""
        [future] = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(f"lakeward-{self.name}")]).values()
        return {at.partition: at.offset for at in future.result(30).topic_partitions if at.topic == self.topic}

    def ends(self):
        """{partition: end offset}"""
        consumer = Consumer({"bootstrap.servers": self.servers.kafka, "group.id": "e2e"})
        try:
            partitions = consumer.list_topics(self.topic, 30).topics[self.topic].partitions
            return {p: consumer.get_watermark_offsets(TopicPartition(self.topic, p), 30)[1] for p in partitions}
        finally:
            consumer.close()

    def keep_past(self, incarnation=0):
        """Keeps what the topic holds now for the recomputation: Kafka is about to lose it."""
        topic = Topic(self.servers.kafka, self.topic)
        for partition, end in self.ends().items():
            Past.keep(self.past, topic.records(partition, 0, end), incarnation)

    def assert_equal(self, feed=None, undecidable=()):
        """Bronze, Silver, Gold, Quarantine, the marts and the log equal the recomputation from Kafka. `undecidable` names
        the invariants that the program's own checker can't decide after what the test did."""
        command = [sys.executable, RECOMPUTE, "--pipeline", self.pipeline, "--lake", self.lake_url, "--mart", self.mart_url,
                   "--kafka", self.servers.kafka, "--webhdfs", self.webhdfs]
        command += ["--feed", feed] if feed else []
        command += ["--past", self.past] if self.past.exists() else []
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
        print(done.stdout)
        if done.returncode != 0:
            raise AssertionError(f"not equal to the recomputation, see above\n{done.stderr}")
        assert done.stdout.endswith("\nEQUAL\n")
        self.assert_verified(undecidable=undecidable)

    def assert_verified(self, *arguments, undecidable=()):
        """The program's own checker, which works everything out from the lake, decides all but `undecidable`, and nothing
        is broken."""
        process = self.begin("verify", "--json", *arguments)
        code = process.code(PROGRAM_BOUND)
        assert code == 0, process.log()
        told = json.loads(process.log().splitlines()[-1])
        undecided = {one["invariant"]: one["why"] for one in told["invariants"] if one["verdict"] != "holds"}
        without_mart = {"I7"} if self.mart_url == "none" else set()
        missing = {name: why for name, why in undecided.items() if name in DECIDED - without_mart - set(undecidable)}
        assert not missing, missing

    def assert_ledger_closed(self):
        code, output = self.command("ledger")
        assert code == 0, output

    def close(self):
        for process in self.started:
            if process.alive():
                process.kill()
        if os.environ.get("LAKEWARD_TEST_KEEP"):
            return
        self.delete_topic()
        if self.mart_url.startswith("postgres"):
            with self._postgres() as connection:
                # Not `with (force)`: that would ask for the right to end Postgres' own workers, which go by themselves.
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and usename = current_user",
                    [self.name])
                connection.execute(f'drop database "{self.name}"')
        if self.lake_url.startswith("file://"):
            shutil.rmtree(self.folder / "lake", ignore_errors=True)

    def _process(self, arguments, settings):
        name = f"{len(self.started):03}-{arguments[0]}"
        process = Lakeward(self.folder, name, arguments, self.config, **{**self.settings, **settings})
        self.started.append(process)
        return process

    def _create_mart(self, kind):
        if kind == "sqlite":
            return f"sqlite://{self.folder}/mart.db"
        if kind != "postgres":
            return "none"
        with self._postgres() as connection:
            connection.execute(f'create database "{self.name}"')
        return urllib.parse.urlparse(self.servers.postgres)._replace(path=f"/{self.name}").geturl()

    def _postgres(self):
        return psycopg.connect(self.servers.postgres, autocommit=True)
