"""Other programs that do the orders' job, run on the same topic and the same servers."""

import os
import shutil
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import mart
from recomputation.lake import open_lake
from watch import Watched

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("LAKEWARD_CACHE") or Path.home() / ".cache/lakeward")
PEERS = {"spark": "spark_tutorial.py", "spark-tuned": "spark_tuned.py", "by-hand": "by_hand.py"}
BOUND = 3600


class Peer:
    def __init__(self, name, job, store, folder, topic, given):
        folder.mkdir(parents=True)
        self.name, self.job, self.folder, self.topic, self.given = name, job, folder, topic, given
        unique = f"{name}-{job}-{os.getpid()}-{time.monotonic_ns()}"
        self.lake_url = f"file://{folder}/lake" if store == "file" else f"{os.environ['LAKEWARD_TEST_HDFS']}/{unique}"
        self.database = unique if job == "full" else None
        self.mart_url = mart.create(unique) if self.database else None

    def run(self):
        """What it took; the rate counts from when it began to read until everything is in its place."""
        command = [CACHE / "bench-venv/bin/python", HERE / "peers" / PEERS[self.name], "--kafka", os.environ["LAKEWARD_TEST_KAFKA"],
                   "--topic", self.topic, "--events", self.given.events, "--lake", self.lake_url, "--postgres", self._postgres(),
                   *([] if self.database else ["--lake-only"])]
        environment = {"BENCH_SPARK_JARS": str(CACHE / "jars/bench-spark"), "BENCH_SCRATCH": str(self.folder / "scratch"),
                       "BENCH_WEBHDFS": os.environ.get("LAKEWARD_TEST_WEBHDFS", "")}
        process = Watched(command, environment, self.folder / "errors.out")
        status = process.wait(BOUND)
        if "done" not in process.told:
            sys.exit(f"bench: {self.name} ended with {status}:\n{(self.folder / 'errors.out').read_text()[-3000:]}")
        told, events = process.told, self.given.events
        return {"rate": events / (told["done"] - told["reading"]), "per_cpu_second": events / process.cpu_seconds,
                "peak_mb": process.peak_mb, "first": told["first"] - process.began, "wall": told["done"] - process.began}

    def lake(self):
        return open_lake(self.lake_url, os.environ.get("LAKEWARD_TEST_WEBHDFS"))

    def clear(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        remove(self.lake_url)
        if self.database:
            mart.drop(self.database)

    def _postgres(self):
        if not self.mart_url:
            return ""
        parts = urllib.parse.urlparse(self.mart_url)
        if self.name.startswith("spark"):
            return f"{parts.hostname}:{parts.port}{parts.path}?user={parts.username}"
        return self.mart_url


def remove(lake_url):
    """A lake on HDFS; one in a folder goes with it."""
    parts = urllib.parse.urlparse(lake_url)
    if parts.scheme == "hdfs":
        user = os.environ.get("USER") or "root"
        url = f"{os.environ['LAKEWARD_TEST_WEBHDFS']}/webhdfs/v1{parts.path}?op=DELETE&recursive=true&user.name={user}"
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, method="DELETE")).close()
