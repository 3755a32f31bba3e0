"""A real Prometheus with the repository's own configuration and rules, that looks every second."""

import json
import os
import shutil
import subprocess
import urllib.parse
from pathlib import Path

import yaml

from program import OPENER, ROOT, free_port, wait_until

CACHE = Path(os.environ.get("LAKEWARD_CACHE") or Path.home() / ".cache" / "lakeward")


def tool(name):
    found = shutil.which(name) or str(CACHE / "prometheus" / "usr" / "bin" / name)
    assert Path(found).exists(), f"{name} is missing: run scripts/setup"
    return found


class Prometheus:
    """`targets`: host:port by the name of the job in deploy/prometheus/prometheus.yml."""

    def __init__(self, folder, targets):
        folder.mkdir()
        self.port, self.output = free_port(), folder / "prometheus.out"
        config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(ROOT / "deploy" / "prometheus" / pattern) for pattern in config["rule_files"]]
        assert {job["job_name"] for job in config["scrape_configs"]} == set(targets)
        for job in config["scrape_configs"]:
            job |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
            job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}"],
                stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: self._up(len(targets)), 30, lambda: f"targets scraped:\n{self.output.read_text()}")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self.process.terminate()
        self.process.wait(30)

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with OPENER.open(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def values(self, expr):
        """The numbers that the expression has now."""
        return [float(sample["value"][1]) for sample in self.ask("query", query=expr)["result"]]

    def _up(self, targets):
        assert self.process.poll() is None, self.output.read_text()
        try:
            return self.values("up") == [1] * targets
        except OSError:
            return False
