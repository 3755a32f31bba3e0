"""Hundreds of connections that ask nothing, or never end their question: they are closed, meanwhile the pipeline reads on, and
the port answers again."""

import resource
import socket
import time

from orders import Mix, orders, produce
from program import wait_until

# More than the process may have descriptors: a port without a bound would leave none to the pipeline's files.
CONNECTIONS = 1_000
DESCRIPTORS = 800
EVENTS = 10_000


def test_idle_connections_are_closed_and_the_pipeline_does_not_feel_them(new_bench, seed):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(CONNECTIONS + 500, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), hard))
    bench = new_bench(mart="sqlite", LAKEWARD_EPOCH_AGE="500ms")
    messages = list(orders(2 * EVENTS, seed, Mix(years=(2024, 2024))))
    with bench.running() as owner:
        resource.prlimit(owner.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        quiet = seconds_to_take(bench, owner, messages[:EVENTS])
        held = [connection(owner.port, n) for n in range(CONNECTIONS)]
        began = time.monotonic()
        crowded = seconds_to_take(bench, owner, messages[EVENTS:])
        print(f"{EVENTS} orders: {quiet:.1f} s alone, {crowded:.1f} s beside {CONNECTIONS} idle connections")
        assert crowded < 2 * quiet + 5
        wait_until(lambda: owner.get("/healthz")[0] == 200, 20, owner.tail)
        wait_until(lambda: all(is_closed(one) for one in held), 30, lambda: f"{sum(map(is_closed, held))} are closed")
        print(f"all closed after {time.monotonic() - began:.1f} s")
        owner.stop()
    assert "Too many open files" not in owner.log()
    bench.assert_ledger_closed()


def connection(port, n):
    """Nothing, or half a request."""
    opened = socket.create_connection(("127.0.0.1", port))
    if n % 2:
        opened.sendall(b"GET /api/v1/pipelines HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    opened.setblocking(False)
    return opened


def is_closed(one):
    """Whether the other side has ended it; an answer before that is read."""
    try:
        while one.recv(4096):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def seconds_to_take(bench, owner, messages):
    """From the first record sent until the group stands at the end."""
    began = time.monotonic()
    produce(bench.servers.kafka, bench.topic, messages)
    wait_until(lambda: bench.committed_offsets() == bench.ends(), 60, owner.tail)
    return time.monotonic() - began
