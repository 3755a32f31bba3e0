"""A wall clock for processes that the nemesis can set: clock.c, built with the C compiler that Rust needs anyway."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """Processes started with `settings` have the machine's time plus `shift` seconds."""

    def __init__(self, folder):
        library, shared = folder / "clock.so", folder / "clock"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE], check=True)
        shared.write_bytes(bytes(8))
        with open(shared, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 8)
        self.settings = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(shared)}

    def set(self, seconds):
        self.memory[:8] = struct.pack("q", seconds)

    @staticmethod
    def lacking():
        return None if shutil.which("cc") else "no C compiler for the clock"
