"""Files under deploy/, grafana/ and the compose file, and the tools that read them. No server is needed here."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = Path(os.environ.get("LAKEWARD_CACHE") or Path.home() / ".cache" / "lakeward")


def read_yaml(path):
    return yaml.safe_load((ROOT / path).read_text())


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def promtool():
    found = shutil.which("promtool") or CACHE / "prometheus" / "usr" / "bin" / "promtool"
    assert Path(found).exists(), "promtool is missing: run scripts/setup"
    return str(found)
