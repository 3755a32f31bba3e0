"""Files under deploy/, grafana/ and the compose file. No server is needed here."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent


def read_yaml(path):
    return yaml.safe_load((ROOT / path).read_text())


def duration(text):
    """Seconds of `25s` or `2m`."""
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]
