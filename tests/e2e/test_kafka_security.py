"""Kafka by password and by certificate: who may come in does the whole job; who may not is told why, and no secret is."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orders import orders, produce

EVENTS = 3_000
UNREACHABLE = 3
PATIENCE = 2
WRONG = "not-the-hushed-word"


@dataclass(frozen=True)
class Way:
    """A way into the cluster: a listener, and librdkafka's options for it."""

    listener: str
    options: dict = field(default_factory=dict)
    host: str = "127.0.0.1"

    def brokers(self):
        port = os.environ[f"LAKEWARD_TEST_KAFKA_{self.listener}"].rsplit(":", 1)[1]
        return f"{self.host}:{port}"

    def but(self, host="127.0.0.1", **options):
        """The same with some options changed; an option of None is left out. `_` stands for the dot in its name."""
        changed = {**self.options, **{name.replace("_", "."): value for name, value in options.items()}}
        return Way(self.listener, {name: value for name, value in changed.items() if value is not None}, host)


def certificate(name):
    return str(Path(os.environ.get("LAKEWARD_TEST_KAFKA_CERTIFICATES", "")) / name)


def sasl(protocol, mechanism):
    options = {"security.protocol": protocol, "sasl.mechanism": mechanism,
               "sasl.username": os.environ.get("LAKEWARD_TEST_KAFKA_USER"), "sasl.password": "${env:KAFKA_PASSWORD}"}
    return Way("SASL", options) if protocol == "SASL_PLAINTEXT" else Way(
        protocol, {**options, "ssl.ca.location": certificate("ca.pem")})


PLAIN = sasl("SASL_PLAINTEXT", "PLAIN")
SCRAM = sasl("SASL_PLAINTEXT", "SCRAM-SHA-256")
SCRAM_BY_TLS = sasl("SASL_SSL", "SCRAM-SHA-256")
MUTUAL_TLS = Way("SSL", {
    "security.protocol": "SSL", "ssl.ca.location": certificate("ca.pem"),
    "ssl.certificate.location": certificate("client.pem"), "ssl.key.location": certificate("client.key")})


@pytest.mark.parametrize("way, mart", [
    pytest.param(SCRAM_BY_TLS, "postgres", id="SASL_SSL-SCRAM-SHA-256"),
    pytest.param(sasl("SASL_SSL", "PLAIN"), "sqlite", id="SASL_SSL-PLAIN"),
    pytest.param(sasl("SASL_SSL", "SCRAM-SHA-512"), "sqlite", id="SASL_SSL-SCRAM-SHA-512"),
    pytest.param(PLAIN, "sqlite", id="SASL_PLAINTEXT-PLAIN"),
    pytest.param(SCRAM, "sqlite", id="SASL_PLAINTEXT-SCRAM-SHA-256"),
    pytest.param(MUTUAL_TLS, "sqlite", id="SSL-mutual"),
])
def test_the_whole_job_is_equal(new_bench, seed, way, mart):
    password = os.environ["LAKEWARD_TEST_KAFKA_PASSWORD"]
    bench = new_bench(mart=mart, KAFKA_PASSWORD=password, LAKEWARD_EPOCH_ROWS="1000", LAKEWARD_LOG_LEVEL="debug")
    bench.write_config(kafka=way.brokers(), options=way.options)
    produce(bench.servers.kafka, bench.topic, orders(EVENTS, seed))
    log = bench.once().log()
    assert password not in log
    bench.assert_ledger_closed()
    assert bench.group_lag() == 0
    bench.assert_equal()


@pytest.mark.parametrize("way, words", [
    pytest.param(PLAIN.but(sasl_password="${env:WRONG_PASSWORD}"), ["Invalid username or password"], id="wrong-password-PLAIN"),
    pytest.param(SCRAM.but(sasl_password="${env:WRONG_PASSWORD}"), ["invalid credentials"], id="wrong-password-SCRAM"),
    pytest.param(SCRAM_BY_TLS.but(sasl_password="${env:WRONG_PASSWORD}"), ["invalid credentials"], id="wrong-password-SCRAM-by-TLS"),
    pytest.param(SCRAM_BY_TLS.but(sasl_username="nobody-known"), ["invalid credentials"], id="unknown-user"),
    pytest.param(SCRAM_BY_TLS.but(ssl_ca_location=certificate("stranger-ca.pem")), ["certificate verify failed", "`ssl.ca.location`"],
                 id="untrusted-authority"),
    pytest.param(SCRAM_BY_TLS.but(host="localhost"), ["localhost", "hold for the host"],
                 id="wrong-host"),
    pytest.param(MUTUAL_TLS.but(ssl_certificate_location=None, ssl_key_location=None), ["`ssl.key.location`"],
                 id="no-client-certificate"),
    pytest.param(MUTUAL_TLS.but(ssl_certificate_location=certificate("stranger-client.pem"),
                                ssl_key_location=certificate("stranger-client.key")), ["`ssl.key.location`"],
                 id="stranger-client-certificate"),
    pytest.param(SCRAM_BY_TLS.but(security_protocol="SASL_PLAINTEXT"), ["`security.protocol`"], id="no-TLS-where-it-is-needed"),
])
def test_who_may_not_come_in_is_told_why_and_nothing_is_begun(new_bench, way, words):
    password = os.environ["LAKEWARD_TEST_KAFKA_PASSWORD"]
    bench = new_bench(mart="none", KAFKA_PASSWORD=password, WRONG_PASSWORD=WRONG, LAKEWARD_LOG_LEVEL="debug",
                      LAKEWARD_START_PATIENCE=f"{PATIENCE}s")
    bench.write_config(kafka=way.brokers(), options=way.options)
    began = time.monotonic()
    process = bench.start("--once")
    assert process.code(PATIENCE * 5) == UNREACHABLE, process.tail()
    print(f"after {time.monotonic() - began:.1f} s: {process.tail(1)}")
    for word in ["Kafka", *words]:
        assert word in process.tail(1), f"{word!r} is not in the last line of\n{process.tail()}"
    assert password not in process.log() and WRONG not in process.log()
    assert bench.head() == -1, "a refused start began a log"
