"""What docker-compose.yml describes, run as processes: the same commands, the same variables and the same health check, on
the run's servers in place of the containers."""

import os
import re
import subprocess
import urllib.parse

import psycopg
import yaml

from program import ROOT, Lakeward, free_port, wait_until

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def interpolated(text, values):
    """As compose fills in `${NAME:-default}` and `$$`."""
    filled = re.sub(r"(?<!\$)\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda at: values.get(at[1]) or at[2] or "", text)
    return filled.replace("$$", "$")


class Stack:
    """The services of ours, with the compose file's words, in an environment of `values`."""

    def __init__(self, bench, values):
        self.bench, self.values, self.port = bench, values, free_port()
        self.at = urllib.parse.urlparse(bench.mart_url)

    def text(self, value):
        text = interpolated(str(value), self.values)
        text = text.replace("@postgres-mart:5432/martdb", f"@{self.at.hostname}:{self.at.port}{self.at.path}")
        return re.sub(r"\b8501\b", str(self.port), text)

    def start(self, name):
        service = COMPOSE["services"][name]
        variables = {key: self.text(value) for key, value in service["environment"].items()}
        process = Lakeward(self.bench.folder, name, [self.text(word) for word in service["command"]], **variables)
        process.port = self.port
        self.bench.started.append(process)
        return process

    def health(self, name):
        kind, *command = COMPOSE["services"][name]["healthcheck"]["test"]
        assert kind == "CMD"
        return subprocess.run([self.text(word) for word in command], capture_output=True).returncode


def test_the_services_of_the_compose_file_run_as_processes(new_bench):
    bench = new_bench(lake="hdfs")
    bench.delete_topic()  # the generator makes it
    stack = Stack(bench, {
        "KAFKA_BROKER": bench.servers.kafka, "KAFKA_TOPIC": bench.topic, "HDFS_URL": f"{bench.lake_url}",
        "LAKEWARD_HTTP_TOKEN": "0123456789abcdef01234567", "MART_PASSWORD": "mart", "PRODUCER_RATE": "200"})
    assert stack.health("lakeward") != 0, "healthy before it runs"
    producer = stack.start("producer-amazon")
    lakeward = stack.start("lakeward")
    wait_until(lambda: stack.health("lakeward") == 0, 30, lakeward.tail)
    lakeward.wait_for_role("owner", 30)
    assert lakeward.get("/metrics")[0] == 200 and lakeward.get("/api/v1/actors")[0] == 401
    with psycopg.connect(bench.mart_url, autocommit=True) as mart:
        rows = lambda: mart.execute("select count(*) from orders_live").fetchone()[0]
        wait_until(lambda: rows() > 200, 40, lambda: f"{producer.tail()}\n{lakeward.tail()}")
    producer.stop()
    lakeward.stop()
    assert stack.health("lakeward") != 0, "healthy after it ended"
