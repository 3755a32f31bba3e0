"""The state folder of one set of servers: its ports, its processes, its logs."""

import fcntl
import json
import os
import random
import socket
from pathlib import Path

# Below Linux's range for outgoing connections (32768 up), so that no client's own port can take ours between two starts.
PORT_RANGE = range(20000, 32000)


class State:
    """`folder` holds everything that the servers write; `ports` stay the same over restarts."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()

    def make(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        # Postgres runs as another user when we are root, and must be able to pass through.
        self.folder.chmod(0o755)

    def sub(self, name):
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def port(self, name):
        """The port called `name`: chosen free at the first call, remembered in ports.json from then on."""
        path = self.folder / "ports.json"
        with open(self.folder / "ports.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ports = json.loads(path.read_text()) if path.exists() else {}
            if name not in ports:
                ports[name] = _free_port(set(ports.values()))
                part = path.with_suffix(".part")
                part.write_text(json.dumps(ports, indent=1))
                os.replace(part, path)
            return ports[name]


def _free_port(taken):
    for port in random.sample(PORT_RANGE, 500):
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit(f"no free port found in {PORT_RANGE.start}-{PORT_RANGE.stop}")
