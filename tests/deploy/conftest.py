"""The tools that read the files."""

import os
import shutil
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("LAKEWARD_CACHE") or Path.home() / ".cache" / "lakeward")


@pytest.fixture(scope="session")
def promtool():
    found = shutil.which("promtool") or CACHE / "prometheus" / "usr" / "bin" / "promtool"
    assert Path(found).exists(), "promtool is missing: run scripts/setup"
    return str(found)
