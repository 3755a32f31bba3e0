"""All servers of one state folder, and each of their roles by name."""

import signal
from concurrent.futures import ThreadPoolExecutor

from .hdfs import Hdfs
from .hdfs_ha import HdfsHa
from .kafka import Kafka
from .postgres import Postgres
from .state import State

SERVERS = {"kafka": Kafka, "hdfs": Hdfs, "postgres": Postgres, "hdfs-ha": HdfsHa}
# What `up` starts when nothing is named.
USUAL = ("kafka", "hdfs", "postgres")
ROLES = {role: name for name, server in SERVERS.items() for role in server.roles}


class Fleet:
    def __init__(self, folder):
        self.state = State(folder)

    def up(self, names):
        """Starts the named servers side by side and writes `env`, a file for the shell."""
        self.state.make()
        with ThreadPoolExecutor() as pool:
            started = {name: pool.submit(self._start, name) for name in names}
        failures = [str(run.exception()) for run in started.values() if run.exception()]
        if failures:
            self.down()
            raise SystemExit("\n".join(failures))
        self._write_env(names)

    def down(self):
        """Stops every server that was ever started here, side by side."""
        if not self.state.folder.is_dir():
            return
        names = [name for name in SERVERS if (self.state.folder / name).is_dir()]
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._stop, names))

    def act(self, action, role):
        """Carries out one action on one role; `start` and `restart` return when the role serves again."""
        server = self._server(ROLES[role])
        process = server.processes()[role]
        match action:
            case "start":
                server.start(role)
            case "stop":
                process.stop(_stop_signal(server))
            case "kill":
                process.kill()
            case "restart":
                process.stop(_stop_signal(server))
                server.start(role)
            case "freeze":
                process.send(signal.SIGSTOP)
            case "thaw":
                process.send(signal.SIGCONT)
            case "enter-safemode" | "leave-safemode":
                server.safemode(action.removesuffix("-safemode"))
            case "activate":
                server.activate(role)
            case "status":
                print(f"{role}: {process.status()}")

    def _server(self, name):
        return SERVERS[name](self.state)

    def _start(self, name):
        server = self._server(name)
        if all(process.alive() for process in server.processes().values()):
            return
        if hasattr(server, "start_all"):
            server.start_all()
        else:
            server.start(name)

    def _stop(self, name):
        server = self._server(name)
        for process in server.processes().values():
            process.stop(_stop_signal(server))

    def _write_env(self, names):
        settings = {"LAKEWARD_TEST_SERVICES_DIR": str(self.state.folder)}
        for name in names:
            settings.update(self._server(name).env())
        lines = [f"export {key}='{value}'\n" for key, value in settings.items()]
        (self.state.folder / "env").write_text("".join(lines))


def _stop_signal(server):
    return server.stop_signal() if hasattr(server, "stop_signal") else signal.SIGTERM
