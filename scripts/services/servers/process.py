"""Start, look at and end one server process that outlives the script which started it.

A process is known by pid and start time, so a pid that was given to another program is never signalled. Where nobody
reaps children soon, a killed process stays a zombie for a while: a zombie counts as dead here, but `kill` waits until
it is gone as far as it can, because Postgres takes a zombie's pid file for a live server's.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

START_PATIENCE = 90
STOP_PATIENCE = 30


class Process:
    def __init__(self, name, folder):
        self.name = name
        self.pid_file = Path(folder) / f"{name}.pid"
        self.log = Path(folder) / f"{name}.log"

    def launch(self, command, **options):
        """Starts the command in a session of its own, with output appended to its log."""
        if self.alive():
            raise SystemExit(f"{self.name} is already running (pid {self.pid()})")
        with open(self.log, "ab") as log:
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options,
            )
        self.pid_file.write_text(f"{child.pid} {_started(child.pid)}\n")

    def pid(self):
        """The process id, whether alive or not; None when it was never started or was stopped cleanly."""
        try:
            return int(self.pid_file.read_text().split()[0])
        except (OSError, IndexError, ValueError):
            return None

    def alive(self):
        return self._present() and _state(self.pid()) not in ("Z", "X")

    def status(self):
        if not self.alive():
            return "down"
        pid = self.pid()
        frozen = ", frozen" if _state(pid) == "T" else ""
        return f"up, pid {pid}, {_resident_mb(pid)} MB{frozen}"

    def send(self, number):
        """Sends a signal to the process and its direct children."""
        if not self.alive():
            raise SystemExit(f"{self.name} is not running")
        _signal([self.pid(), *_children(self.pid())], number)

    def stop(self, number=signal.SIGTERM):
        """Asks the process to end, and kills it when it does not within a bound. Nothing to do when it is down."""
        if self.alive():
            self.send(signal.SIGCONT)
            _signal([self.pid()], number)
            if not wait_until(lambda: not self.alive(), STOP_PATIENCE):
                print(f"{self.name} did not stop in {STOP_PATIENCE} s: killed", flush=True)
                self.kill()
        self.pid_file.unlink(missing_ok=True)

    def kill(self):
        """kill -9 of the process and its direct children, as a crash of the machine would end them together."""
        if not self.alive():
            return
        self.send(signal.SIGKILL)
        wait_until(lambda: not self.alive(), STOP_PATIENCE)
        wait_until(lambda: not self._present(), 10)

    def await_ready(self, ready, patience=START_PATIENCE):
        """Returns when `ready()` is true; ends the program with the log's tail when the process dies or takes too long."""
        deadline = time.monotonic() + patience
        while not ready():
            if not self.alive():
                raise SystemExit(f"{self.name} died while starting; the end of {self.log}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.name} not ready after {patience} s; the end of {self.log}:\n{self.tail()}")
            time.sleep(0.1)

    def tail(self, lines=25):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"

    def _present(self):
        try:
            pid, started = self.pid_file.read_text().split()
        except (OSError, ValueError):
            return False
        return _started(int(pid)) == started


def wait_until(condition, patience):
    """Whether `condition()` became true within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _signal(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _stat(pid):
    """Fields of /proc/PID/stat from the state on (the name before it may hold anything)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None


def _state(pid):
    fields = _stat(pid)
    return fields[0] if fields else "X"


def _started(pid):
    fields = _stat(pid)
    return fields[19] if fields else ""


def _children(pid):
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [child for child in pids if (_stat(child) or ["", "0"])[1] == str(pid)]


def _resident_mb(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0
