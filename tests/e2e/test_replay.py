"""Records that were refused are taken in once the pipeline's file lets them in (H5): exactly once, however often it is asked
for and wherever it is cut off, and the ledger shows them."""

import dataclasses
import json
import random
import signal

import pytest

import other_feed
from orders import produce
from recomputation.verify import SYSTEM

EVENTS = 12_000
REFUSED = 4
LEASE = {"LAKEWARD_OWNER_LEASE_RENEW": "300ms", "LAKEWARD_OWNER_LEASE_EXPIRY": "1s"}
CUTS = ["before Create entry", "after Create entry", "before Write staged silver", "before Create state delta.arrow",
        "after Create state delta.arrow"]


def pipeline(name, topic):
    return other_feed.pipeline(name, topic) + '\n[rows]\ntable = "readings"\n'


class Relaxed(other_feed.Named):
    """The feed as the file says at the end: the id may be missing, an amount is rounded, any weight will do."""

    def follow(self, definition):
        result = super().follow(definition)
        of = {"id": {"required": False}, "amount": {"round": True}}
        result.fields = [dataclasses.replace(field, **of.get(field.name, {})) for field in result.fields]
        result.derive = derive_without_weight
        result.checks = [check for check in result.checks if check.name != "plausible"]
        result.rows_columns = [*result.silver_columns(), *SYSTEM]
        result.types = {**result.types, "double": "decimal128(11, 2)"}
        # count(*) counts rows without an id too.
        [readings, *others] = result.kpis[0].measures
        result.kpis[0].measures = [dataclasses.replace(readings, column="at"), *others]
        return result


def relaxed():
    return Relaxed()


def derive_without_weight(row):
    weight, row["weight"] = row["weight"], 0.0 if row["weight"] is None else row["weight"]
    other_feed.derive(row)
    row["weight"] = weight
    row["grams"] = None if weight is None else row["grams"]


def read(seed, part, parts=4):
    """A part of the readings; some lack their id."""
    chance = random.Random(f"{seed}/{part}")
    each = EVENTS // parts
    for number, (partition, key, value, time, headers) in enumerate(other_feed.readings(EVENTS, seed)):
        if number // each == part:
            reading = json.loads(value)
            if chance.random() < 0.03:
                del reading["id"]
            yield partition, key, json.dumps(reading).encode(), time, headers


def replay(bench, *arguments):
    code, output = bench.command_of("quarantine", "replay", "--yes", "--json", *arguments)
    assert code == 0, output
    return json.loads(output.splitlines()[-1])


def cut_off(bench, cut, *arguments):
    process = bench.begin_of("quarantine", "replay", "--yes", *arguments, LAKEWARD_TEST_CRASH_AT=cut)
    assert process.code(60) == -signal.SIGABRT, f"{cut}: {process.tail()}"


def totals(bench, name):
    return sum(told["total"].get(name, 0) for told in bench.entries()[-1]["partitions"].values())


@pytest.mark.parametrize("lake, mart", [("file", "sqlite"), ("hdfs", "postgres")])
def test_what_was_refused_is_taken_in_once_the_file_lets_it(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart, pipeline=pipeline, partitions=other_feed.PARTITIONS,
                      LAKEWARD_EPOCH_ROWS="1000", **LEASE)
    produce(bench.servers.kafka, bench.topic, read(seed, 0))
    bench.once()
    told = replay(bench)
    assert told["accepted"] == 0 and sum(told["refused"].values()) == totals(bench, "quarantined") > 30, "it is as it was"

    text = bench.pipeline.read_text()
    text = text.replace('id = "string!"', 'id = "string"', 1).replace('"decimal(10,2)"', '"decimal(10,2) round"', 1)
    text = "".join(line for line in text.splitlines(True) if not line.startswith("plausible"))
    bench.pipeline.write_text(text)
    code, output = bench.command_of("quarantine", "replay", "--yes")
    assert code == REFUSED and "DEFINITION_CHANGED" in output, "a run takes the change up first"
    with bench.running() as process:
        code, output = bench.command_of("quarantine", "replay", "--yes")
        assert code == REFUSED and "RUNNING" in output, output
        process.stop()

    code, output = bench.command_of("quarantine", "replay", "--reason", "CHECK")
    assert code == 2 and "would be taken in" in output and "--yes" in output, output
    for cut in CUTS:
        cut_off(bench, cut, "--reason", "CHECK")
    checked = replay(bench, "--reason", "CHECK")
    assert checked["counters"]["replayed"] == checked["accepted"] > 10 and not checked["refused"]
    late = checked["counters"]["late"]
    assert late["by_shop"] > 5 and "by_size" not in late, "the windows of the hour are open"
    assert replay(bench, "--reason", "CHECK") == {**checked, "accepted": 0, "replayed_before": checked["accepted"], "counters": ZERO}
    produce(bench.servers.kafka, bench.topic, read(seed, 1))
    code, output = bench.command("verify")
    assert code == 0, f"the mart is behind, and nothing is broken: {output}"
    bench.once()
    assert totals(bench, "replayed") == checked["accepted"]
    bench.assert_ledger_closed()
    bench.assert_equal(feed="test_replay:relaxed")

    cut_off(bench, "before Rename staged silver", "--reason", "MISSING_FIELD")
    bench.pipeline.write_text(text.replace("[time]\n", '[time]\nmax_future_skew = "40000d"\n', 1))
    bench.once()
    everything = replay(bench)
    left = totals(bench, "quarantined") - totals(bench, "replayed")
    assert everything["replayed_before"] > checked["accepted"], "the last one was cut off behind its entry"
    assert everything["accepted"] > 10 and sum(everything["refused"].values()) == left > 5
    assert replay(bench, "--reason", "FUTURE")["replayed_before"] > 5
    produce(bench.servers.kafka, bench.topic, read(seed, 2))
    bench.once()
    assert "replayed" in bench.command("ledger")[1]
    bench.assert_ledger_closed()
    bench.assert_equal(feed="test_replay:relaxed")

    code, output = bench.command("rebuild", "--from", "bronze", "--yes")
    assert code == 0, output
    bench.once()
    bench.assert_ledger_closed()
    bench.assert_equal(feed="test_replay:relaxed")


ZERO = {name: 0 for name in ("records", "kept", "filtered", "duplicate", "quarantined", "tombstones")}
