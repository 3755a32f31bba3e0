"""What a peer tells the process that measures it: one JSON line for each thing that happened, with the time."""

import json
import sys
import time


def tell(what, at=None):
    print(json.dumps({"what": what, "at": at or time.time()}), flush=True)


def wait_for_the_end():
    """Stays until the measuring process has looked at what this one used, and closes standard input."""
    sys.stdin.read()
