"""usage: scripts/chaos [--minutes N] [--seed S] [--faults A,B] [--lake hdfs|file] [--processes N] [--rate R] [--plan] [--list]

A seeded schedule of faults over real Kafka, HDFS and Postgres and one or two Lakeward processes, with orders arriving all the
time. Prints seed, schedule and history; ends with the comparison of everything. Exit 0 when all is equal.

  --minutes N    how long faults go on (2)          --seed S     the same seed, the same schedule; random when not given
  --faults A,B   only these (--list names them)     --lake file  a local disk; as root a small one of its own, that can be full
  --plan         prints the schedule, runs nothing  --processes  1 or 2 (2): an owner, and one that stands by
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import traceback
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))

from bench import Bench, Servers  # noqa: E402

from . import nemesis  # noqa: E402
from .run import RATE, SETTINGS, Plan, run  # noqa: E402
from .schedule import schedule  # noqa: E402

SMALL_DISK = "200m"


def main():
    given = arguments()
    if given.list:
        print("\n".join(f"{fault.name():18} {fault.about()}" for fault in nemesis.ALL))
        return 0
    plan = Plan(given.seed, given.minutes * 60, given.faults, given.processes, given.rate)
    if given.plan:
        print("\n".join(map(str, schedule(plan.seed, plan.seconds, nemesis.kinds(plan.faults)))))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="lakeward-chaos-"))
    bench = Bench(Servers.of_environment(), folder / "run", lake=given.lake, **SETTINGS)
    with small_disk(folder / "run" / "lake", given.lake) as small:
        try:
            run(bench, plan, small)
        except AssertionError:
            traceback.print_exc()
            print(f"FAILED; to repeat: scripts/chaos --seed {plan.seed} --minutes {given.minutes:g}; output of processes: {folder}")
            return 1
        bench.close()
    if not os.environ.get("LAKEWARD_TEST_KEEP"):
        shutil.rmtree(folder)
    print(f"EQUAL; seed {plan.seed}")
    return 0


@contextmanager
def small_disk(folder, lake):
    """Whether the lake's folder is a small disk of its own, which takes the right to mount one."""
    if lake != "file":
        yield False
        return
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "chaos", folder], capture_output=True)
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", folder], check=True)


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--faults", type=lambda text: text.split(","), default=[])
    parser.add_argument("--lake", choices=["hdfs", "file"], default="hdfs")
    parser.add_argument("--processes", type=int, choices=[1, 2], default=2)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.faults) - set(nemesis.BY_NAME):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; --list names all")
    return given


if __name__ == "__main__":
    sys.exit(main())
