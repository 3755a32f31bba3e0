"""Java servers from Maven Central: the jars of a pom beside this package, fetched once into the cache folder."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

POMS = Path(__file__).resolve().parent.parent / "poms"
JAVA = os.environ.get("JAVA", "java")
# Short-lived, small servers: no parallel collector, no second compiler, no shared performance file.
JAVA_OPTIONS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true"]


def cache_folder():
    return Path(os.environ.get("LAKEWARD_CACHE") or Path.home() / ".cache" / "lakeward")


def fetch(name):
    """The folder with the jars of poms/<name>.xml. Complete or absent: Maven writes beside it, a rename ends the fetch."""
    folder = cache_folder() / "jars" / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # One Maven at a time: two would race for the same local repository.
    with open(folder.parent / "maven.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            print(f"fetching the jars of {name}", flush=True)
            _maven(POMS / f"{name}.xml", folder)
    return folder


def _maven(pom, folder):
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    command = ["mvn", "--batch-mode", "--no-transfer-progress", "--quiet", "--file", str(pom),
               "dependency:copy-dependencies", f"-DoutputDirectory={part}"]
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise SystemExit("mvn not found: run scripts/setup") from None
    except subprocess.CalledProcessError as failed:
        raise SystemExit(f"Maven could not fetch the jars of {pom.name} (exit {failed.returncode})") from None
    part.rename(folder)
