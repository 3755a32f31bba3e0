"""`lakeward init --from-topic` drafts a pipeline file from whatever a topic holds; the draft runs, and takes the records. `plan` says
what it would do, before and after."""

import json

from confluent_kafka import Producer

EVENTS = 600


def send(bench, payloads, key=None):
    producer = Producer({"bootstrap.servers": bench.servers.kafka, "log_level": 2})
    for n, payload in enumerate(payloads):
        producer.produce(bench.topic, payload, key=key and key(n), partition=n % 3)
    assert producer.flush(30) == 0


def init(bench, *arguments):
    """(exit code, what it told as JSON or None, all output)"""
    process = bench._process(["init", "--from-topic", bench.topic, "--name", bench.name, "--json", *arguments], {})
    code, output = process.code(60), process.log()
    return code, next((json.loads(line) for line in output.splitlines() if line.startswith("{")), None), output


def plan(bench, file):
    process = bench._process(["plan", file, "--json"], {})
    code = process.code(60)
    return code, json.loads(next(line for line in process.log().splitlines() if line.startswith("{")))


def sale(n):
    second = (n * 7) % 60
    return {
        "sale_id": f"S-{n:05}", "shop-id": n % 4, "country": ["France", "España", "Ελλάδα"][n % 3], "amount": 10 + n / 4, "noisy": 0.1 * n,
        "paid": n % 2 == 0, "day": f"2024-05-{1 + n % 28:02}", "at": f"2024-05-03T10:{n % 60:02}:{second:02}.250Z", "note": None if n % 5 else "x",
        "lines": [{"sku": n}], "either": n if n % 2 else str(n), "kafka_offset": n, "ratio": 1 / (n + 3), "ms": 1_700_000_000_000 + n}


def test_a_draft_takes_the_records_that_it_was_made_from(new_bench):
    bench = new_bench(pipeline=lambda name, topic: "")
    code, told, output = init(bench)
    assert code == 1 and "holds no records" in output
    send(bench, [json.dumps(sale(n)).encode() for n in range(EVENTS)] + [b"nonsense", b"[1]"], key=lambda n: f"S-{n:05}")
    code, told, output = init(bench)
    assert code == 0, output
    file = bench.folder / f"{bench.name}.toml"
    text = file.read_text()
    types = {field["name"]: field["type"] for field in told["fields"]}
    assert types == {
        "sale_id": "string", "shop-id": "int64", "country": "string", "amount": "decimal(12,2)", "noisy": "decimal(12,2) round",
        "paid": "bool", "day": "date", "at": "timestamp", "note": "string", "lines": None, "either": None, "kafka_offset": None,
        "ratio": "float64", "ms": "int64"}
    assert [f["name"] for f in told["fields"] if not f["required"]] == ["note"]
    assert (told["event_time"], told["keys"], told["kafka_key"], told["measure"]) == ("at", ["sale_id"], "sale_id", "amount")
    assert set(told["dimensions"]) == {"country", "paid"} and told["refused"] == {"NOT_JSON": 1, "NOT_AN_OBJECT": 1}
    assert f"the newest {EVENTS + 2} records of 3 partitions, 2 of them no JSON objects" in text
    code, _, output = init(bench)
    assert code == 2 and "stays as it is" in output and file.read_text() == text

    code, before = plan(bench, file)
    assert code == 0 and before["change"]["state"] == "first" and before["partitions"] == 3
    assert not (bench.folder / "lake").exists(), "a plan makes nothing"
    bench.pipeline = file
    bench.once("--close-all")
    bench.assert_ledger_closed()
    total = bench.entries()[-1]["partitions"].values()
    assert sum(p["total"]["kept"] for p in total) == EVENTS and sum(p["total"]["quarantined"] for p in total) == 2
    bench.assert_verified()
    changes(bench, file, text)


def changes(bench, file, text):
    """What `plan` says of a file that has changed is what a run does."""
    assert plan(bench, file)[1]["change"]["state"] == "unchanged"
    kpi = '\n[[kpi]]\nname = "hourly"\nwindow = { tumbling = "1h" }\n[kpi.measures]\nrecords = "count(*)"\n'
    file.write_text(text + kpi)
    code, told = plan(bench, file)
    assert code == 0 and (told["change"]["state"], told["change"]["new_kpis"]) == ("taken_up", ["hourly"])
    assert "hourly" in {table["table"] for table in told["tables"]}
    bench.once()
    file.write_text(text.replace('paid = "bool!"', 'paid = "string!"'))
    code, told = plan(bench, file)
    assert code == 1 and told["change"]["refusal"]["code"] == "DEFINITION_CHANGED"
    assert "fields.paid.type: was bool, is string" in told["change"]["changes"]
    assert "rebuild" in told["change"]["refusal"]["message"]
    refused = bench.start("--once")
    assert refused.code(60) == 4 and "fields.paid.type: was bool, is string" in refused.log()


def test_what_is_no_json_is_told_and_nothing_is_written(new_bench):
    bench = new_bench(mart="none", pipeline=lambda name, topic: "")
    send(bench, [b"\0\0\0\0\x07abc", b"a,b,c", None])
    code, told, output = init(bench)
    assert code == 1 and told is None and "zero byte" in output and "is a JSON object" in output
    assert not (bench.folder / f"{bench.name}.toml").exists()
    bench.topic += "-absent"
    code, _, output = init(bench)
    assert code == 1 and "does not exist" in output
    bench.topic = bench.topic.removesuffix("-absent")
