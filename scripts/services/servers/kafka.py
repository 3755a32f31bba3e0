"""Kafka in KRaft mode: one node that is broker and controller. Its listeners: plain, SASL, SASL by TLS, mutual TLS, proxied."""

import socket
import struct
import subprocess

from . import certificates, jars
from .process import Process

JARS = "kafka-4.3.1"
CLUSTER_ID = "bGFrZXdhcmQtdGVzdHMtMQ"
SASL_USER, SASL_PASSWORD = "alice", "alice-secret"

PROPERTIES = """
process.roles=broker,controller
node.id=0
controller.quorum.voters=0@127.0.0.1:{controller}
listeners={listeners},{behind_proxy},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners},{advertised_proxy}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BEHIND_PROXY:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,\
SSL:SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
{logins}
ssl.keystore.type=PEM
ssl.keystore.location={certificates}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={certificates}/ca.pem
listener.name.ssl.ssl.client.auth=required
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
# tests wait for compaction
log.cleaner.backoff.ms=500
"""

# Protocol -> suffix of its port's name
LISTENERS = {"PLAINTEXT": "", "SASL_PLAINTEXT": "-sasl", "SASL_SSL": "-sasl-ssl", "SSL": "-ssl"}
LOGIN = "org.apache.kafka.common.security"
PLAIN_LOGIN = f'{LOGIN}.plain.PlainLoginModule required user_{SASL_USER}="{SASL_PASSWORD}";'
SCRAM_LOGIN = f"{LOGIN}.scram.ScramLoginModule required;"
MECHANISMS = {"plain": PLAIN_LOGIN, "scram-sha-256": SCRAM_LOGIN, "scram-sha-512": SCRAM_LOGIN}


class Kafka:
    roles = ("kafka",)

    def __init__(self, state):
        self.state = state
        self.folder = state.sub("kafka")
        self.properties = self.folder / "server.properties"
        self.certificates = self.folder / "certificates"
        self.process = Process("kafka", self.folder)

    def prepare(self):
        """Writes the configuration and formats the storage; only once per state folder."""
        if self.properties.exists():
            return
        data = self.folder / "data"
        part = self.properties.with_suffix(".part")
        certificates.make(self.certificates)
        part.write_text(PROPERTIES.format(
            listeners=",".join(f"{protocol}://{self._address(suffix)}" for protocol, suffix in LISTENERS.items()),
            behind_proxy=f"BEHIND_PROXY://{self._address('-behind-proxy')}",
            advertised_proxy=f"BEHIND_PROXY://{self._address('-proxy')}", controller=self._port("-controller"), certificates=self.certificates, data=data,
            logins="\n".join(
                f"listener.name.{listener}.{mechanism}.sasl.jaas.config={login}"
                for listener in ("sasl_plaintext", "sasl_ssl") for mechanism, login in MECHANISMS.items())))
        command = self._java(96, "kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config", part)
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            command += ["--add-scram", f"{mechanism}=[name={SASL_USER},password={SASL_PASSWORD}]"]
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
            "LAKEWARD_TEST_KAFKA": self._address(""),
            # Whoever asks at the first is sent to the second, where a test may put a proxy between.
            "LAKEWARD_TEST_KAFKA_BEHIND_PROXY": self._address("-behind-proxy"),
            "LAKEWARD_TEST_KAFKA_PROXY": self._address("-proxy"),
            "LAKEWARD_TEST_KAFKA_SASL": self._address("-sasl"),
            "LAKEWARD_TEST_KAFKA_SASL_SSL": self._address("-sasl-ssl"),
            "LAKEWARD_TEST_KAFKA_SSL": self._address("-ssl"),
            "LAKEWARD_TEST_KAFKA_CERTIFICATES": str(self.certificates),
            "LAKEWARD_TEST_KAFKA_USER": SASL_USER,
            "LAKEWARD_TEST_KAFKA_PASSWORD": SASL_PASSWORD,
        }

    def _address(self, suffix):
        return f"127.0.0.1:{self._port(suffix)}"

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
