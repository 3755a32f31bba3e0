"""The program as a process: started, watched, frozen, killed. Nothing here sleeps for a fixed time to be right."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LOOK_EVERY = 0.02
# Loopback answers at once: ask directly, whatever proxy the environment names.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def binary():
    return Path(os.environ.get("LAKEWARD_BIN") or ROOT / "target" / "debug" / "lakeward")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds, what):
    """The first truthy answer of `condition`; fails loudly after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(LOOK_EVERY)


class Lakeward:
    """One process. Its output goes to `<folder>/<name>.out`; its variables are the given ones and no other LAKEWARD_*."""

    def __init__(self, folder, name, arguments, config=None, **settings):
        self.output = Path(folder) / f"{name}.out"
        self.port = free_port()
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LAKEWARD_")}
        variables = {"LAKEWARD_HTTP_LISTEN": f"127.0.0.1:{self.port}", **settings}
        command = [str(binary()), *(["--config", str(config)] if config else []), *map(str, arguments)]
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder,
                env={**kept, **variables})

    def log(self):
        return self.output.read_text(errors="replace")

    def tail(self, lines=30):
        return "\n".join(self.log().splitlines()[-lines:])

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def ask_to_stop(self):
        self.process.send_signal(signal.SIGTERM)

    def code(self, seconds):
        """The exit code, once it has ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.tail()}") from None

    def stop(self, seconds=40):
        """A clean stop: SIGTERM, exit code 0."""
        self.ask_to_stop()
        code = self.code(seconds)
        assert code == 0, f"exit {code} after SIGTERM:\n{self.tail()}"

    def get(self, path):
        """(status, body) of the HTTP port; (0, "") while nobody answers."""
        try:
            with OPENER.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def role(self):
        """owner or standby; None while it is not ready."""
        status, body = self.get("/readyz")
        return json.loads(body)["role"] if status == 200 else None

    def actors(self):
        status, body = self.get("/api/v1/actors")
        return json.loads(body)["actors"] if status == 200 else []

    def wait_for_role(self, role, seconds):
        def reached():
            assert self.alive(), f"ended with {self.process.returncode} before it was {role}:\n{self.tail()}"
            return self.role() == role

        wait_until(reached, seconds, lambda: f"role {role}; it is {self.role()}\n{self.tail()}")
