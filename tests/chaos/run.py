"""One run: servers, processes, orders and a schedule of faults; then everything is mended, caught up, stopped and compared."""

import json
import os
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench import PROGRAM_BOUND
from orders import Mix, orders, produce
from program import OPENER, binary, wait_until

from . import nemesis
from .clock import Clock
from .keeper import Keeper
from .proxy import Proxy
from .schedule import conflicts, schedule

RATE = 500
# I16: how long lag may take to return to 0 once everything is mended.
CATCH_UP = 120
# A fault that hangs is a failure of the tool or of the servers, not of the program.
FAULT_BOUND = 120
SETTINGS = {
    "LAKEWARD_EPOCH_AGE": "700ms", "LAKEWARD_OWNER_LEASE_RENEW": "500ms", "LAKEWARD_OWNER_LEASE_EXPIRY": "2s",
    "LAKEWARD_OWNER_MIN_TENURE": "0s", "LAKEWARD_START_PATIENCE": "10s",
}


@dataclass
class Plan:
    """What a run is made from. `faults` are names; all that the machine can have when none is given."""

    seed: int
    seconds: float
    faults: list = field(default_factory=list)
    processes: int = 2
    rate: int = RATE


class History:
    """What happened when, printed as it happens."""

    def __init__(self):
        self.began, self.lines, self.lock = time.monotonic(), [], threading.Lock()

    def tell(self, text):
        with self.lock:
            self.lines.append(f"{time.monotonic() - self.began:7.1f} s  {text}")
            print(self.lines[-1], flush=True)


class World:
    """What the faults act on."""

    def __init__(self, bench, plan, small_disk=False):
        self.bench, self.servers, self.plan, self.small_disk = bench, bench.servers, plan, small_disk
        self.history = History()
        self.clock = None if Clock.lacking() else Clock(bench.folder)
        self.proxies = {"postgres": Proxy("postgres", endpoint(bench.mart_url)), "kafka": kafka_proxy()}
        at = {"kafka": self.proxies["kafka"].address, "mart": through(bench.mart_url, self.proxies["postgres"])}
        if self.needs_hdfs() is None:
            self.proxies["namenode"] = Proxy("namenode", endpoint(bench.lake_url))
            at["lake"] = through(bench.lake_url, self.proxies["namenode"])
        bench.write_config(**at)
        self.keeper, self.at_work = None, []

    def needs_hdfs(self):
        """Why a fault of HDFS is not possible; None if it is."""
        return None if self.bench.lake_url.startswith("hdfs") else "the lake is not on HDFS"

    def start(self):
        clock = self.clock.settings if self.clock else {}
        self.keeper = Keeper(self.plan.processes, lambda slot: self.bench.start(**clock), self.history.tell)

    def close(self):
        for fault in self.at_work:
            fault.heal(self)
        if self.keeper:
            self.keeper.close()
        for proxy in self.proxies.values():
            proxy.close()

    def quota(self, size):
        """Room in the lake, in bytes; None takes the limit away."""
        value = -1 if size is None else size
        url = f"{self.bench.lake.base}?op=SETQUOTA&storagespacequota={value}&user.name={self.bench.lake.user}"
        with OPENER.open(urllib.request.Request(url, method="PUT"), timeout=30):
            pass

    def shift_clock(self, seconds):
        self.clock.set(seconds)


def endpoint(url):
    parts = urllib.parse.urlparse(url)
    return parts.hostname, parts.port


def through(url, proxy):
    parts = urllib.parse.urlparse(url)
    user = f"{parts.netloc.rsplit('@', 1)[0]}@" if "@" in parts.netloc else ""
    return parts._replace(netloc=user + proxy.address).geturl()


def kafka_proxy():
    """Kafka tells clients where to connect: a listener of its own names the proxy's port."""
    host, port = os.environ["LAKEWARD_TEST_KAFKA_BEHIND_PROXY"].rsplit(":", 1)
    return Proxy("kafka", (host, int(port)), int(os.environ["LAKEWARD_TEST_KAFKA_PROXY"].rsplit(":", 1)[1]))


def available(world, names):
    """The classes of the faults asked for, without those that this world can't have, which are named loudly."""
    asked = [nemesis.BY_NAME[name] for name in names] or nemesis.ALL
    lacking = {fault.name(): fault.lacking(world) for fault in asked if fault.lacking(world)}
    for name, reason in lacking.items():
        world.history.tell(f"LEFT OUT: {name}: {reason}")
    assert not (names and lacking), f"asked for, and not possible: {lacking}"
    return [fault for fault in asked if fault.name() not in lacking]


def run(bench, plan, small_disk=False):
    """The whole run; the steps that were carried out. Fails with the history when anything is not as it must be."""
    world = World(bench, plan, small_disk)
    tell = world.history.tell
    faults = available(world, plan.faults)
    steps = schedule(plan.seed, plan.seconds, [fault.kind() for fault in faults])
    assert not conflicts(steps)
    print(f"seed {plan.seed}, {plan.seconds:.0f} s, {len(steps)} faults, {plan.processes} processes, {plan.rate} orders/s")
    print("\n".join(map(str, steps)), flush=True)
    try:
        world.start()
        with orders_arriving(world):
            wait_until(lambda: bench.head() >= 2, 60, lambda: tails(world))
            tell("all runs")
            carry_out(world, steps)
            tell("all mended")
        catch_up(world)
        stop(world)
        verify(bench)
        tell(f"equal; {len(bench.entries())} entries, {sum(s.starts for s in world.keeper.slots)} starts of processes")
    finally:
        world.close()
    return steps


@contextmanager
def orders_arriving(world):
    """Paced orders, straight into Kafka. Event time passes three hours in the planned seconds."""
    plan, done, failed = world.plan, threading.Event(), []
    most = int(plan.rate * (plan.seconds + 600))
    messages = orders(most, plan.seed, Mix(years=(2024, 2024)), total=int(plan.rate * plan.seconds))

    def feed():
        try:
            sent = produce(world.servers.kafka, world.bench.topic, messages, plan.rate, done.is_set)
            world.history.tell(f"{sent} orders sent")
        except BaseException as error:  # told where it matters, not on a thread's standard error
            failed.append(error)

    feeder = threading.Thread(target=feed, name="feeder")
    feeder.start()
    try:
        yield
    finally:
        done.set()
        feeder.join()
    assert not failed, f"the orders could not be sent: {failed[0]}"


def carry_out(world, steps):
    """Each fault on a thread of its own, so that one that takes long to mend delays only those of the same part."""
    began, parts = time.monotonic(), {part: threading.Lock() for step in steps for part in step.kind.touches}

    def one(step):
        fault = nemesis.BY_NAME[step.kind.name]()
        held = [parts[part] for part in sorted(step.kind.touches)]
        wait(began + step.at)
        for lock in held:
            lock.acquire()
        try:
            world.history.tell(f"{fault.name()} {fault.start(world) or ''}")
            world.at_work.append(fault)
            time.sleep(step.until - step.at)
            world.at_work.remove(fault)
            world.history.tell(f"    {fault.name()} ends {fault.heal(world) or ''}; {newest(world)}")
        finally:
            for lock in held:
                lock.release()

    with ThreadPoolExecutor(max(len(steps), 1)) as pool:
        for future in [pool.submit(one, step) for step in steps]:
            future.result(world.plan.seconds + FAULT_BOUND)


def newest(world):
    """The newest version, where the NameNode tells it."""
    try:
        return f"head {world.bench.head()}"
    except OSError:
        return "head not to be seen"


def wait(until):
    time.sleep(max(0.0, until - time.monotonic()))


def catch_up(world):
    """I16: lag returns to 0, and every follower goes on."""
    began, troubles = time.monotonic(), []

    def caught_up():
        assert not world.keeper.failure, world.keeper.failure
        slot = next((s for s in world.keeper.slots if s.process.alive() and s.process.role() == "owner"), None)
        troubles[:] = [troubled(slot.process) if slot else "nobody owns the pipeline"]
        return not troubles[0] and lag(world) == 0

    wait_until(caught_up, CATCH_UP, lambda: f"caught up; lag {lag(world)}, in the way: {troubles}\n{tails(world)}")
    world.history.tell(f"caught up {time.monotonic() - began:.1f} s after all was mended")


def lag(world):
    """Records between the head and the topic's end."""
    entries = world.bench.entries()
    ends = world.bench.ends()
    return sum(ends.values()) - sum(told["to"] for told in entries[-1]["partitions"].values())


def troubled(process):
    """What the process says is in its way; empty when nothing is."""
    status, body = process.get("/readyz")
    return json.loads(body)["troubled"] if status == 200 else f"{status} {body}"


def stop(world):
    """Stand-bys first, so that nobody takes over; all end cleanly."""
    world.keeper.close()
    assert not world.keeper.failure, world.keeper.failure
    slots = sorted(world.keeper.slots, key=lambda slot: slot.process.role() == "owner")
    for slot in slots:
        slot.process.stop(60)
    world.history.tell("all stopped")


def verify(bench):
    """The one place where a run is judged."""
    code, output = bench.command("ledger", "--files")
    assert code == 0, output
    bench.assert_equal()
    if subprocess.run([binary(), "verify", "--help"], capture_output=True).returncode == 0:
        process = bench.begin("verify")
        assert process.code(PROGRAM_BOUND) == 0, process.log()


def tails(world):
    return "\n".join(f"-- {slot}, start {slot.starts}\n{slot.process.tail()}" for slot in world.keeper.slots)
