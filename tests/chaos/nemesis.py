"""The faults. Each begins with `start(world)`, which may say what it met, and is mended by `heal(world)`.

`touches` names the parts that it disturbs (program, kafka, namenode, datanode, postgres, disk, clock): the schedule keeps
faults apart that touch the same part. To add one, write a class here and name it in ALL.
"""

import inspect
import threading

import psycopg

from .schedule import Kind


class Fault:
    touches, lasts = (), (0.0, 0.0)

    @classmethod
    def kind(cls):
        return Kind(cls.name(), frozenset(cls.touches), cls.lasts)

    @classmethod
    def name(cls):
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in cls.__name__).lstrip("-")

    @classmethod
    def about(cls):
        return inspect.getdoc(cls).splitlines()[0]

    def start(self, world): ...

    def heal(self, world): ...

    @classmethod
    def lacking(cls, world):
        """Why this world can't have the fault; None if it can."""
        return world.needs_hdfs() if {"namenode", "datanode"} & set(cls.touches) else None


class KillOwner(Fault):
    """kill -9 of the process that owns the pipeline."""

    touches = ("program",)

    def start(self, world):
        slot = world.keeper.owner()
        if slot:
            world.keeper.kill(slot)
        return str(slot)


class KillAll(Fault):
    """kill -9 of all processes at once."""

    touches = ("program",)

    def start(self, world):
        for slot in world.keeper.slots:
            world.keeper.kill(slot)


class StopOwner(Fault):
    """SIGTERM to the owner under load."""

    touches = ("program",)
    lasts = (1.0, 3.0)

    def start(self, world):
        slot = world.keeper.owner()
        if slot:
            world.keeper.ask_to_stop(slot)
        return str(slot)


class FreezeOwner(Fault):
    """The owner stands still past every lease and time-out, while the other takes over; then it wakes up."""

    touches = ("program",)
    lasts = (4.0, 8.0)

    def start(self, world):
        self.slot = world.keeper.owner()
        if self.slot:
            self.slot.frozen = True
            self.slot.process.freeze()
        return str(self.slot)

    def heal(self, world):
        if self.slot:
            self.slot.process.thaw()
            self.slot.frozen = False


class Role(Fault):
    """A fault of one server, by the services' role of that name."""

    role = ""


class Kill(Role):
    """kill -9 of a server; started again at the end."""

    lasts = (0.5, 4.0)

    def start(self, world):
        world.servers.role("kill", self.role)

    def heal(self, world):
        world.servers.role("start", self.role)


class Freeze(Role):
    """A server that stands still and goes on."""

    lasts = (2.0, 6.0)

    def start(self, world):
        world.servers.role("freeze", self.role)

    def heal(self, world):
        world.servers.role("thaw", self.role)


class RestartKafka(Kill):
    touches, role = ("kafka",), "kafka"


class RestartPostgres(Kill):
    touches, role = ("postgres",), "postgres"


class RestartNamenode(Kill):
    # A DataNode that starts while there is no NameNode would wait for it.
    touches, role = ("namenode", "datanode"), "namenode"


class RestartDatanode(Kill):
    touches, role = ("datanode", "namenode"), "datanode"


class FreezeKafka(Freeze):
    touches, role = ("kafka",), "kafka"


class FreezePostgres(Freeze):
    touches, role = ("postgres",), "postgres"


class FreezeNamenode(Freeze):
    touches, role = ("namenode",), "namenode"


class FreezeDatanode(Freeze):
    touches, role = ("datanode",), "datanode"


class SafeMode(Fault):
    """The NameNode answers, and refuses every change."""

    touches, lasts = ("namenode",), (2.0, 5.0)

    def start(self, world):
        world.servers.role("enter-safemode", "namenode")

    def heal(self, world):
        world.servers.role("leave-safemode", "namenode")


class FullLake(Fault):
    """A quota of one byte on the lake's root, as if HDFS were full."""

    touches, lasts = ("namenode",), (2.0, 6.0)

    def start(self, world):
        world.quota(1)

    def heal(self, world):
        world.quota(None)


class FullDisk(Fault):
    """A ballast file takes all the room of the disk that holds the lake."""

    touches, lasts = ("disk",), (2.0, 6.0)

    def start(self, world):
        self.ballast = world.bench.folder / "lake" / ".ballast"
        with open(self.ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError as full:
                return str(full)

    def heal(self, world):
        self.ballast.unlink()

    lacking = staticmethod(lambda world: None if world.small_disk else "the lake is on no small disk of its own")


class KillBackends(Fault):
    """Sessions at Postgres are ended again and again, best in the middle of a COMMIT or COPY."""

    touches, lasts = ("postgres",), (2.0, 4.0)
    BUSY = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() " \
           "and (query ilike 'commit%%' or state in ('active', 'idle in transaction')) and state <> 'idle'"

    def start(self, world):
        self.done, self.killed = threading.Event(), 0
        self.thread = threading.Thread(target=self._kill, args=(world,))
        self.thread.start()

    def _kill(self, world):
        with psycopg.connect(world.bench.mart_url, autocommit=True) as connection:
            while not self.done.wait(0.003):
                self.killed += len(connection.execute(self.BUSY).fetchall())

    def heal(self, world):
        self.done.set()
        self.thread.join()
        return f"{self.killed} sessions"


class LockedTable(Fault):
    """Somebody holds the table of rows locked."""

    touches, lasts = ("postgres",), (2.0, 8.0)

    def start(self, world):
        self.connection = psycopg.connect(world.bench.mart_url)
        self.connection.execute("lock table orders_live in access exclusive mode")

    def heal(self, world):
        self.connection.close()


class Wire(Fault):
    """A fault of the way to one server, made by a proxy."""

    lasts, server, mode = (1.0, 5.0), "", ""

    def start(self, world):
        self.proxy = world.proxies[self.server]
        self.before = self.proxy.swallowed
        self.proxy.set(self.mode)

    def heal(self, world):
        self.proxy.set("pass")
        return f"{self.proxy.swallowed - self.before} bytes swallowed" if self.mode == "swallow" else None


def _wire(name, server, mode, **more):
    about = f"The way to {server}: {MODES[mode]}."
    return type(name, (Wire,), {"__doc__": about, "touches": (server,), "server": server, "mode": mode, **more})


MODES = {
    "swallow": "requests arrive, answers are lost", "refuse": "connections are cut, new ones too",
    "hold": "nothing gets through for a while, nothing is lost", "slow": "a pause before each piece",
}


SwallowPostgres = _wire("SwallowPostgres", "postgres", "swallow")
SwallowNamenode = _wire("SwallowNamenode", "namenode", "swallow")
SwallowKafka = _wire("SwallowKafka", "kafka", "swallow")
CutPostgres = _wire("CutPostgres", "postgres", "refuse", lasts=(0.0, 3.0))
CutNamenode = _wire("CutNamenode", "namenode", "refuse", lasts=(0.0, 3.0))
CutKafka = _wire("CutKafka", "kafka", "refuse", lasts=(0.0, 3.0))
DropPostgres = _wire("DropPostgres", "postgres", "hold")
DropNamenode = _wire("DropNamenode", "namenode", "hold")
DropKafka = _wire("DropKafka", "kafka", "hold")
SlowPostgres = _wire("SlowPostgres", "postgres", "slow", lasts=(3.0, 10.0))
SlowNamenode = _wire("SlowNamenode", "namenode", "slow", lasts=(3.0, 10.0))


class ClockJump(Fault):
    """The wall clock of all processes jumps by years, back and forth: what was of now is from the future, and is not."""

    touches, lasts = ("clock",), (2.0, 6.0)

    def start(self, world):
        world.shift_clock(-6 * 365 * 86_400)

    def heal(self, world):
        world.shift_clock(0)

    lacking = staticmethod(lambda world: None if world.clock else "no C compiler to build the clock with")


ALL = [
    KillOwner, KillAll, StopOwner, FreezeOwner,
    RestartKafka, RestartPostgres, RestartNamenode, RestartDatanode, FreezeKafka, FreezePostgres,
    FreezeNamenode, FreezeDatanode,
    SafeMode, FullLake, FullDisk, KillBackends, LockedTable,
    SwallowPostgres, SwallowNamenode, SwallowKafka, CutPostgres, CutNamenode, CutKafka,
    DropPostgres, DropNamenode, DropKafka, SlowPostgres, SlowNamenode, ClockJump,
]
BY_NAME = {fault.name(): fault for fault in ALL}


def kinds(names):
    """What a schedule must know of the faults named, or of all."""
    return [fault.kind() for fault in ([BY_NAME[name] for name in names] or ALL)]
