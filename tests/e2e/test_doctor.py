"""`lakeward doctor` asks every server, finds nothing where all is well, and names what is wrong and what to do about it."""

import json

import pytest

from orders import orders, produce


def findings(bench, code):
    found, output = bench.command("doctor", "--json")
    assert found == code, output
    told = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    return {(one["what"], one["state"]): f'{one["found"]}; {one.get("remedy", "")}' for one in told["findings"]}


@pytest.mark.parametrize("lake, mart", [("file", "sqlite"), ("hdfs", "postgres")])
def test_what_a_run_needs_is_looked_at_and_what_is_wrong_is_named(new_bench, seed, lake, mart):
    bench = new_bench(lake=lake, mart=mart)
    before = findings(bench, 0)
    assert {state for _, state in before} <= {"ok", "note"}
    for what in ("Kafka", "topic", "group", "lake", "lake's clock", "mart", "log"):
        assert (what, "ok") in before, before
    assert "never run" in before["log", "ok"] and "records are kept for ever" in before["topic settings", "ok"]
    assert not [path for path in bench.lake.files("_lakeward") if "probe" in path], "it leaves nothing behind"

    produce(bench.servers.kafka, bench.topic, orders(300, seed))
    bench.once()
    assert "ended cleanly" in findings(bench, 0)["owner", "ok"]
    text = bench.pipeline.read_text()
    bench.pipeline.write_text(text.replace('"Quantity > 0"', '"Quantity > 1"', 1))
    assert "DEFINITION_CHANGED" in findings(bench, 1)["definition", "bad"]
    bench.pipeline.write_text(text.replace('Quantity = "int32!"', 'Quantity = "int32"', 1))
    assert "takes up" in findings(bench, 0)["definition", "ok"]
    bench.pipeline.write_text(text)

    if lake == "hdfs":
        return  # what is away takes its time, and is named alike
    bench.write_config(kafka="127.0.0.1:1", mart="postgres://nobody:x@127.0.0.1:1/none")
    wrong = findings(bench, 1)
    assert "kafka.brokers" in wrong["Kafka", "bad"] and "mart.url" in wrong["mart", "bad"]
    bench.write_config()
    text = bench.pipeline.read_text()
    bench.pipeline.write_text(text.replace(bench.topic, bench.topic + "-absent", 1))
    assert "create it" in findings(bench, 1)["topic", "bad"]
    bench.pipeline.write_text(text)
