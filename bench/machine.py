"""What the figures were measured on."""

import os
import platform
import subprocess
import sys


def facts():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal"))) >> 20
    return f"{os.cpu_count()} cores ({model}), {memory} GiB, Linux {'.'.join(platform.release().split('.')[:2])}"


def on_disk(folder):
    """Refuses a folder in memory: there an fsync costs nothing."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        sys.exit(f"bench: {folder} is on {kind}, where fsync costs nothing; set LAKEWARD_BENCH_DIR to a folder on a disk")
