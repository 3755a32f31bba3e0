"""What docker-compose.yml and the manifests describe, run as processes: the same commands, configuration and health checks, on
the run's servers in place of theirs."""

import getpass
import re
import subprocess
import urllib.parse
import urllib.request

import psycopg
import yaml

from orders import orders, produce
from program import OPENER, ROOT, Lakeward, free_port, wait_until

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


def give_lake_to(bench, variables):
    """The lake's root for the user that the pods are to HDFS, as the first step in deploy/k8s/kustomization.yaml says."""
    [user] = [variable["value"] for variable in variables if variable["name"] == "HADOOP_USER_NAME"]
    assert f"hdfs dfs -chown {user} " in (ROOT / "deploy" / "k8s" / "kustomization.yaml").read_text()
    for what in ("op=MKDIRS", f"op=SETOWNER&owner={user}"):
        url = f"{bench.webhdfs}/webhdfs/v1/{bench.name}?{what}&user.name={getpass.getuser()}"
        OPENER.open(urllib.request.Request(url, method="PUT"), timeout=10).close()


def test_two_pods_of_the_deployment_run_as_processes(new_bench):
    bench = new_bench(lake="hdfs")
    folder = ROOT / "deploy" / "k8s"
    [container] = yaml.safe_load((folder / "deployment.yaml").read_text())["spec"]["template"]["spec"]["containers"]
    at, secrets = urllib.parse.urlparse(bench.mart_url), bench.folder / "secrets"
    secrets.mkdir()
    for name in ("http-token", "mart-password"):
        (secrets / name).write_text("0123456789abcdef01234567")
        (secrets / name).chmod(0o440)
    text = (folder / "lakeward.toml").read_text()
    for theirs, ours in {
        "kafka:9092": bench.servers.kafka, "hdfs://namenode:8020/datalake": bench.lake_url,
        "@postgres-mart:5432/martdb": f"@{at.hostname}:{at.port}{at.path}", "/run/secrets/lakeward": str(secrets),
    }.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    (bench.folder / "pods.toml").write_text(text)
    give_lake_to(bench, container["env"])
    produce(bench.servers.kafka, bench.topic, orders(1_000, 1))

    def pod(name):
        arguments = [{"/etc/lakeward/lakeward.toml": bench.folder / "pods.toml"}.get(word, word) for word in container["args"]]
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        # Pods have an address each; here they have a port each.
        process = Lakeward(bench.folder, name, arguments, LAKEWARD_KAFKA_TOPIC=bench.topic, **variables)
        bench.started.append(process)
        return process

    probe = lambda process, name: process.get(container[name]["httpGet"]["path"])[0]
    first, second = pod("pod-1"), pod("pod-2")
    wait_until(lambda: probe(first, "readinessProbe") == probe(second, "readinessProbe") == 200, 40, first.tail)
    assert probe(first, "startupProbe") == probe(first, "livenessProbe") == 200
    owner = lambda: [process for process in (first, second) if process.role() == "owner"]
    wait_until(owner, 30, lambda: f"{first.tail()}\n{second.tail()}")
    [old] = owner()
    with psycopg.connect(bench.mart_url, autocommit=True) as mart:
        rows = lambda: mart.execute("select count(*) from orders_live").fetchone()[0]
        wait_until(lambda: rows() > 800, 40, old.tail)
    old.stop()
    new = second if old is first else first
    new.wait_for_role("owner", 30)
    new.stop()
