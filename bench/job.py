"""One run of Lakeward over a whole topic, and what it cost."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass

import mart
from bench import RECOMPUTE
from peer import remove
from program import ROOT, free_port
from recomputation.lake import log_entries, open_lake

JOBS = {"full": ("file", True), "lake": ("file", False), "full-hdfs": ("hdfs", True), "lake-hdfs": ("hdfs", False)}


@dataclass(frozen=True)
class Measured:
    job: str
    events: int
    rate: float
    per_cpu_second: float
    peak_mb: float
    first: float
    wall: float
    entries: int
    files: int
    checked: bool | None
    whole_rate: float = 0

    def __str__(self):
        return (f"{self.job}: {self.events:,} events, {self.rate:,.0f}/s, {self.per_cpu_second:,.0f} per CPU-second, "
                f"{self.peak_mb:.0f} MB at most, first rows committed after {self.first:.2f} s, all after {self.wall:.1f} s")


class Job:
    def __init__(self, name, folder, binary, topic, given):
        folder.mkdir(parents=True)
        self.name, self.folder, self.binary, self.given = name, folder, binary, given
        store, has_mart = JOBS[name]
        unique = f"{name}-{os.getpid()}-{time.monotonic_ns()}"
        self.lake_url = f"file://{folder}/lake" if store == "file" else f"{os.environ['LAKEWARD_TEST_HDFS']}/{unique}"
        self.database = unique if has_mart else None
        self.mart_url = mart.create(unique) if has_mart else "none"
        self.topic = topic
        self.config = folder / "lakeward.toml"
        self.config.write_text(
            f'[kafka]\nbrokers = "{os.environ["LAKEWARD_TEST_KAFKA"]}"\ntopic = "{topic}"\n'
            f'[lake]\nurl = "{self.lake_url}"\n[mart]\nurl = "{self.mart_url}"\n[epoch]\nage = "{given.epoch_age}"\n'
            f'[http]\nlisten = "127.0.0.1:{free_port()}"\n')

    def run(self):
        began, steady = time.time(), time.monotonic()
        with open(self.folder / "run.out", "wb") as out:
            process = subprocess.Popen(
                [self.binary, "--config", self.config, "run", "amazon-sales", "--once"], stdout=out, stderr=out)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall, ended = time.monotonic() - steady, time.time()
        if process.returncode != 0:
            sys.exit(f"bench/run: {self.name} ended with {process.returncode}:\n{(self.folder / 'run.out').read_text()[-3000:]}")
        entries = log_entries(self.lake(), "amazon-sales")
        counted = [(entry["created_at"] / 1e6, _records(entry)) for entry in entries if _records(entry)]
        events = sum(records for _, records in counted)
        claimed_at, first_at, last_at = entries[0]["created_at"] / 1e6, counted[0][0], counted[-1][0]
        rate = events / (last_at - claimed_at)
        cpu = usage.ru_utime + usage.ru_stime
        return Measured(
            self.name, events, rate, events / cpu, usage.ru_maxrss / 1024, first_at - began, wall, len(counted),
            sum(len(change["added"]) for entry in entries for change in entry.get("layers", {}).values()),
            self._check() if self.given.check else None, events / (ended - claimed_at))

    def start(self, *command):
        """Another of the program's commands, as a process."""
        with open(self.folder / f"{command[0]}.out", "ab") as out:
            return subprocess.Popen([self.binary, "--config", self.config, *map(str, command)], stdout=out, stderr=out)

    def verify(self):
        """The program's own recomputation."""
        done = subprocess.run([self.binary, "--config", self.config, "verify", "amazon-sales"], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: verify finds {self.name} wrong:\n{done.stdout}{done.stderr}")

    def clear(self):
        if self.given.keep:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        remove(self.lake_url)
        if self.database:
            mart.drop(self.database)

    def lake(self):
        return open_lake(self.lake_url, os.environ.get("LAKEWARD_TEST_WEBHDFS"))

    def _check(self):
        copy = self.folder / "amazon-sales.toml"
        text = (ROOT / "pipelines/amazon-sales.toml").read_text()
        copy.write_text(text.replace('topic = "amazon-sales"', f'topic = "{self.topic}"', 1))
        command = [sys.executable, RECOMPUTE, "--pipeline", copy, "--lake", self.lake_url, "--mart", self.mart_url,
                   "--kafka", os.environ["LAKEWARD_TEST_KAFKA"], "--webhdfs", os.environ.get("LAKEWARD_TEST_WEBHDFS", "")]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench/run: {self.name} is not equal to the recomputation:\n{done.stdout}{done.stderr}")
        return True


def _records(entry):
    return sum(partition["counters"]["records"] for partition in entry.get("partitions", {}).values()) \
        if entry.get("kind") == "epoch" else 0
