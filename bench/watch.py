"""A process and all that it started: processor time and memory, looked at ten times a second."""

import json
import os
import subprocess
import sys
import threading
import time

LOOK_EVERY = 0.1
TICK, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


class Watched:
    """Runs a peer until it says that it is done. `told` holds the times of what it said on standard output."""

    def __init__(self, command, environment, output):
        self.told, self.processor, self.peak = {}, {}, 0
        self.began = time.time()
        with open(output, "wb") as errors:
            self.process = subprocess.Popen([str(part) for part in command], env={**os.environ, **environment},
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def wait(self, bound):
        """Returns its exit code; what it used is counted up to its `done`."""
        while "done" not in self.told and self.process.poll() is None:
            if time.time() - self.began > bound:
                self.process.kill()
                sys.exit(f"{self.process.args}: not done after {bound} s")
            self._look()
            time.sleep(LOOK_EVERY)
        self._look()
        self.process.stdin.close()
        return self.process.wait()

    @property
    def cpu_seconds(self):
        return sum(self.processor.values())

    @property
    def peak_mb(self):
        return self.peak / 2**20

    def _listen(self):
        for line in self.process.stdout:
            if line.startswith(b'{"what"'):
                said = json.loads(line)
                self.told[said["what"]] = said["at"]

    def _look(self):
        """Counts a process that has ended as far as it was seen last."""
        memory = 0
        for pid in tree(self.process.pid):
            try:
                fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            self.processor[pid] = (int(fields[11]) + int(fields[12])) / TICK
            memory += int(fields[21]) * PAGE
        self.peak = max(self.peak, memory)


def tree(root):
    """The process and its descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = open(f"/proc/{name}/stat").read().rsplit(")", 1)[1].split()[1]
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(parent), []).append(int(name))
    found, ahead = [], [root]
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        ahead += children.get(pid, [])
    return found
