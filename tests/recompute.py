#!/usr/bin/env python3
"""Recomputes a pipeline's results from Kafka and its log, and compares all that the lake and the mart hold with them.

usage: recompute.py --pipeline FILE.toml --lake URL [--kafka BROKERS] [--mart URL] [--webhdfs URL] [--feed MODULE:NAME]
                    [--past FILE]

Run it when the pipeline is quiet: stopped after `--once`, or with nothing left to read. Exit 0 when everything is equal,
1 when anything differs. Kafka, WebHDFS and the mart are LAKEWARD_TEST_KAFKA, _WEBHDFS and _POSTGRES when not given;
`--mart none` leaves the mart out. `--past` holds the records of a topic's earlier incarnations (topic.py, `Past`). `--feed` names a function that returns another feed's hand-written rules.
"""

import argparse
import importlib
import os
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from recomputation.lake import open_lake  # noqa: E402
from recomputation.marts import open_mart  # noqa: E402
from recomputation.topic import Past, Topic  # noqa: E402
from recomputation.verify import verify  # noqa: E402


def main():
    given = arguments()
    definition = tomllib.loads(Path(given.pipeline).read_text())
    module, name = given.feed.split(":")
    sys.path.insert(0, os.getcwd())
    feed = getattr(importlib.import_module(module), name)().follow(definition)
    if given.topic:
        feed.topic = given.topic
    mart = None if given.mart in (None, "none") else open_mart(given.mart)
    comparison = verify(feed, Topic(given.kafka, feed.topic), open_lake(given.lake, given.webhdfs), mart,
                        Past(given.past) if given.past else None)
    print(comparison.table())
    print("DIFFERENT" if comparison.failed() else "EQUAL")
    return 1 if comparison.failed() else 0


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--kafka", default=os.environ.get("LAKEWARD_TEST_KAFKA"))
    parser.add_argument("--mart", default=os.environ.get("LAKEWARD_TEST_POSTGRES"))
    parser.add_argument("--webhdfs", default=os.environ.get("LAKEWARD_TEST_WEBHDFS"))
    parser.add_argument("--past")
    parser.add_argument("--topic", help="when it is not the pipeline file's")
    parser.add_argument("--feed", default="recomputation.amazon_sales:amazon_sales")
    given = parser.parse_args()
    if not given.kafka:
        parser.error("--kafka or LAKEWARD_TEST_KAFKA is needed")
    return given


if __name__ == "__main__":
    sys.exit(main())
