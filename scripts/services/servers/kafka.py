"""Kafka in KRaft mode: one node that is broker and controller, a plain listener and a SASL/PLAIN one."""

import socket
import struct
import subprocess

from . import jars
from .process import Process

JARS = "kafka-4.3.1"
CLUSTER_ID = "bGFrZXdhcmQtdGVzdHMtMQ"
SASL_USER, SASL_PASSWORD = "alice", "alice-secret"

PROPERTIES = """
process.roles=broker,controller
node.id=0
controller.quorum.voters=0@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_PLAINTEXT://127.0.0.1:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="admin" password="admin-secret" user_admin="admin-secret" user_{user}="{password}";
log.dirs={data}
auto.create.topics.enable=false
# internal topics of one replica, small
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# after kill -9 the node is refused until its old session has ended
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# two cores
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=2097152
"""


class Kafka:
    roles = ("kafka",)

    def __init__(self, state):
        self.state = state
        self.folder = state.sub("kafka")
        self.properties = self.folder / "server.properties"
        self.process = Process("kafka", self.folder)

    def prepare(self):
        """Writes the configuration and formats the storage; only once per state folder."""
        if self.properties.exists():
            return
        data = self.folder / "data"
        part = self.properties.with_suffix(".part")
        part.write_text(PROPERTIES.format(
            plain=self._port(""), sasl=self._port("-sasl"), controller=self._port("-controller"),
            user=SASL_USER, password=SASL_PASSWORD, data=data))
        command = self._java(96, "kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", part)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
        part.rename(self.properties)

    def start(self, role):
        self.prepare()
        self.process.launch(self._java(384, "kafka.Kafka", self.properties))
        self.process.await_ready(lambda: _brokers(self._port("")) == 1)

    def processes(self):
        return {"kafka": self.process}

    def env(self):
        return {
            "LAKEWARD_TEST_KAFKA": f"127.0.0.1:{self._port('')}",
            "LAKEWARD_TEST_KAFKA_SASL": f"127.0.0.1:{self._port('-sasl')}",
            "LAKEWARD_TEST_KAFKA_SASL_USER": SASL_USER,
            "LAKEWARD_TEST_KAFKA_SASL_PASSWORD": SASL_PASSWORD,
        }

    def _port(self, suffix):
        return self.state.port("kafka" + suffix)

    def _java(self, heap_mb, *arguments):
        log = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
        return [jars.JAVA, f"-Xmx{heap_mb}m", *jars.JAVA_OPTIONS, *log, "-cp", f"{jars.fetch(JARS)}/*", *map(str, arguments)]


def _brokers(port):
    """How many brokers a Metadata request (version 1, no topics) lists; 0 while nobody answers.

    A broker that is registered but still fenced does not list itself, so 1 means that it serves.
    """
    request = struct.pack(">hhih", 3, 1, 7, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.makefile("rb").read(12)
        _, _, count = struct.unpack(">iii", answer)
        return count
    except (OSError, struct.error):
        return 0
