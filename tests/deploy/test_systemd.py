"""The unit for systemd: known settings, little exposure, and the program's own exit codes and bounds."""

import re
import shutil
import subprocess

import pytest
from files import ROOT, duration

UNIT = (ROOT / "deploy" / "systemd" / "lakeward.service").read_text()
SETTINGS = dict(re.findall(r"^(\w+)=(.*)$", UNIT, re.MULTILINE))


@pytest.fixture
def analyze():
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine")
    return "systemd-analyze"


def test_the_unit_is_valid(analyze, tmp_path):
    """With a program that exists here in place of ours."""
    here = tmp_path / "lakeward.service"
    here.write_text(UNIT.replace("/usr/local/bin/lakeward", shutil.which("true")))
    done = subprocess.run([analyze, "verify", here], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_the_unit_exposes_little(analyze):
    command = [analyze, "security", "--offline=true", "--threshold=14", ROOT / "deploy/systemd/lakeward.service"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-400:]


def test_what_a_restart_cannot_mend_is_not_restarted():
    codes = set(re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    given = set(SETTINGS["RestartPreventExitStatus"].split())
    assert given == {"2", "4", "5"} <= codes and SETTINGS["Restart"] == "on-failure"


def test_a_stop_is_given_longer_than_the_program_takes():
    page = (ROOT / "docs" / "CONFIGURATION.md").read_text()
    assert duration(SETTINGS["TimeoutStopSec"]) > duration(re.search(r"\| `bound` \| duration \| `(\w+)`", page)[1]) + 10


def test_the_pipeline_is_built_in():
    assert (ROOT / "pipelines" / f"{SETTINGS['ExecStart'].split()[-1]}.toml").exists()
