"""The recomputation finds nothing where the sinks are right, and finds each kind of damage where they are not.

The sinks are written here from the engine's own answers, so these tests say nothing about whether the engine's rules are
right (the cases at the end do, by hand); they say that no difference slips through the comparison.
"""

import datetime
import hashlib
import json
import sqlite3
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from recomputation.amazon_sales import amazon_sales
from recomputation.decode import NotAnObject, decode, json_object
from recomputation.engine import BEFORE_ALL_TIME, MINUTES_KEPT, Engine, Record, Sink, late_minutes
from recomputation.feed import Check, Feed, Field, Kpi, Measure, Rejected
from recomputation.lake import Folder
from recomputation.layers import bronze_line, moment
from recomputation.marts import open_mart, plain
from recomputation.verify import LATE, SYSTEM, verify

MINUTE_MS = 60_000
START_MS = 1_700_000_040_000


def order(number, **changes):
    value = {
        "OrderID": f"ORD{number:07}", "OrderDate": f"2023-0{number % 9 + 1}-14", "CustomerID": f"CUST{number % 7:06}",
        "Category": ["Books", "Toys & Games"][number % 2], "Quantity": number % 5 + 1, "UnitPrice": 106.59,
        "Discount": 0.05, "Tax": 0.0, "ShippingCost": 1.25, "TotalAmount": 319.86 + number, "PaymentMethod": "UPI",
        "Country": "India",
    }
    return json.dumps({**value, **changes}).encode()


def records():
    """Two partitions, 40 minutes of orders, with a filtered, a bad, a dead, an old and a headed record among them."""
    odd = {
        7: order(7, Quantity=0), 9: b'{"OrderID": 5}', 11: b"not json", 13: None,
        15: b'{\n"OrderID":"ORD0000015" ,"Quantity":2,"UnitPrice":1,"Discount":0,"TotalAmount":2,"OrderDate":"2023-01-02"}',
    }
    result = {0: [], 1: []}
    for number in range(80):
        time = START_MS + number * MINUTE_MS // 2 - (30 * MINUTE_MS if number == 70 else 0)
        headers = [("trace", b"\xff\x00")] if number == 20 else []
        partition = result[number % 2]
        partition.append(Record(number % 2, len(partition), time, b"key", odd.get(number, order(number)), headers))
    return result


class FakeTopic:
    def __init__(self, held):
        self.held = held

    def records(self, partition, start, to):
        return iter(self.held[partition][start:to])

    def one(self, partition, offset):
        return self.held[partition][offset]


class Written(Sink):
    """Keeps everything that a right program would write."""

    def __init__(self):
        self.lines, self.rows, self.rejects, self.late_rows = [], [], [], []

    def bronze(self, record):
        coordinates, rest = bronze_line("amazon-sales", record)
        told = {**dict(coordinates), "ingestion_timestamp": 5}
        if "kafka_headers" in told:
            told["kafka_headers"] = json.loads(told["kafka_headers"])
        first = {name: told.pop(name) for name in ["topic", "partition", "offset", "kafka_incarnation"]}
        head = json.dumps({**first, **told}, separators=(",", ":"))
        self.lines.append(head.encode()[:-1] + (b"," if rest != b"}" else b"") + rest)

    def row(self, record, row):
        system = dict(zip(SYSTEM, ["amazon-sales", record.partition, record.offset, record.timestamp * 1000, 0]))
        self.rows.append({**row, **system, "processing_timestamp": 5})

    def late(self, record, row, missed):
        self.late_rows.append({**self.rows[-1], **dict(zip(LATE, missed))})

    def quarantine(self, record, reason, name):
        self.rejects.append({
            "topic": "amazon-sales", "partition": record.partition, "offset": record.offset, "kafka_incarnation": 0,
            "kafka_timestamp": moment(record.timestamp), "ingestion_timestamp": 5, "reason": reason, "field": name, "detail": "",
            "payload": record.value.decode()})


@pytest.fixture
def sinks(tmp_path):
    """A lake and a mart as a right program leaves them after two epochs."""
    return Sinks(tmp_path)


def feed_with_late_table():
    feed = amazon_sales()
    feed.kpis[0].late_path, feed.kpis[0].late_table = "late/minute", "minute_late"
    return feed


class Sinks:
    def __init__(self, folder):
        self.lake, self.mart = folder / "lake", folder / "mart.db"
        self.topic = FakeTopic(records())
        self.feed, self.written = feed_with_late_table(), Written()
        self.engine = Engine(self.feed, sink=self.written)
        self.entries, self.live = [], {}
        self._log()
        self._layers()
        self._mart()
        self.write_log()

    def verify(self):
        return verify(feed_with_late_table(), self.topic, Folder(self.lake), open_mart(f"sqlite://{self.mart}"))

    def _log(self):
        watermarks, g = {0: BEFORE_ALL_TIME, 1: BEFORE_ALL_TIME}, BEFORE_ALL_TIME
        for version, (start, to) in enumerate([(0, 0), (0, 25), (25, 40)]):
            partitions = {}
            for p in (0, 1):
                counts = Counter()
                for record in self.topic.held[p][start:to]:
                    counts += self.engine.take(record)
                watermarks[p] = self.engine.partitions[p].watermark
                partitions[str(p)] = {
                    "incarnation": 0, "from": start, "to": to, "watermark": watermarks[p],
                    "counters": self._counters(counts), "late_minutes": late_minutes(counts)}
            g = max(g, min(watermarks.values()))
            self.entries.append({
                "version": version, "log_id": "l", "kind": "epoch", "definition": "d", "partitions": partitions, "g": g})
        self.g = g

    @staticmethod
    def _counters(counts):
        names = ["records", "kept", "filtered", "duplicate", "quarantined", "tombstones"]
        return {**{name: counts[name] for name in names},
                "late": {n[5:]: c for n, c in counts.items() if n.startswith("late ")},
                "by_reason": {n[7:]: c for n, c in counts.items() if n.startswith("reason ")},
                "filtered_by_check": {n[6:]: c for n, c in counts.items() if n.startswith("check ")}}

    def write_log(self):
        base, previous = self.lake / "_lakeward/amazon-sales", None
        (base / "logs").mkdir(parents=True, exist_ok=True)
        (base / "logs/000000.json").write_text('{"log_id":"l"}')
        (base / "definitions").mkdir(exist_ok=True)
        names = lambda values: [{"name": value.name} for value in values]
        fields = [{"name": f.name, "required": f.required, "round": f.round} for f in self.feed.fields]
        definition = {"fields": fields, "checks": names(self.feed.checks), "kpis": names(self.feed.kpis)}
        (base / "definitions/d.json").write_text(json.dumps(definition))
        (base / "l/log/0").mkdir(parents=True, exist_ok=True)
        for version, entry in enumerate(self.entries):
            layers = {"all": {"added": [{"path": p, "staged": {"length": (self.lake / p).stat().st_size}} for p in self.live]}}
            body = json.dumps({**entry, "previous": previous, "layers": layers if version == 0 else {}}).encode()
            (base / f"l/log/0/{version:020}.json").write_bytes(body)
            previous = hashlib.sha256(body).hexdigest()

    def _layers(self):
        self.put("bronze/amazon_sales/part-1.json", b"".join(line + b"\n" for line in self.written.lines))
        rejects = [json.dumps(reject).encode() + b"\n" for reject in self.written.rejects]
        self.put("quarantine/amazon_sales/part-1.json", b"".join(rejects))
        self._silver()
        self.table(LATE_ROWS, self.written.late_rows, self._late_columns())
        for kpi in self.feed.kpis:
            closed, _ = self.engine.closed_and_open(kpi, self.g)
            if closed:
                self.table(f"{kpi.gold_path}/part-1.parquet", closed, kpi.gold_columns)

    def _silver(self):
        leaves = {}
        for row in self.written.rows:
            leaves.setdefault((row["year"], row["month"]), []).append(row)
        columns = [name for name in [*self.feed.silver_columns(), "processing_timestamp", *SYSTEM]
                   if name not in self.feed.partition_by]
        for (year, month), rows in leaves.items():
            self.table(f"silver/amazon_sales/year={year}/month={month}/part-1.parquet", rows, columns)

    def _late_columns(self):
        return [*self.feed.silver_columns(), "processing_timestamp", *SYSTEM, *LATE]

    def put(self, path, body):
        (self.lake / path).parent.mkdir(parents=True, exist_ok=True)
        (self.lake / path).write_bytes(body)
        self.live[path] = True

    def table(self, path, rows, columns):
        arrays = [self._array(name, [plain(row[name]) for row in rows]) for name in columns]
        out = pa.BufferOutputStream()
        pq.write_table(pa.table(dict(zip(columns, arrays))), out)
        self.put(path, out.getvalue().to_pybytes())

    def _array(self, name, values):
        kind = "timestamp" if name == "watermark" else self.feed.types.get(name)
        if kind and kind.startswith("timestamp"):
            return pa.array(values, pa.int64()).cast(pa.timestamp("us", "UTC"))
        if kind and kind.startswith("decimal"):
            precision, scale = kind[11:-1].split(", ")
            return pa.array([None if v is None else Decimal(v) for v in values], pa.decimal128(int(precision), int(scale)))
        if kind and kind.startswith("date32"):
            return pa.array(values, pa.int32()).cast(pa.date32())
        if name in ("year", "month", "kafka_partition", "kafka_incarnation", "Quarter", "DayOfWeek", "revision", "day"):
            return pa.array(values, pa.int32())
        return pa.array(values, getattr(pa, kind)() if kind else None if any(v is not None for v in values) else pa.string())

    def _mart(self):
        with sqlite3.connect(self.mart) as mart:
            self._mart_table(mart, "orders_live", self.feed.rows_columns, self.written.rows)
            self._mart_table(mart, "minute_late", self._late_columns(), self.written.late_rows)
            for kpi in self.feed.kpis:
                closed, still_open = self.engine.closed_and_open(kpi, self.g)
                rows = [{**row, "is_final": 1} for row in closed] + [{**row, "is_final": 0} for row in still_open]
                self._mart_table(mart, kpi.table, kpi.mart_columns, rows)

    def _mart_table(self, mart, table, columns, rows):
        mart.execute(f"create table {table}_raw ({', '.join(name.lower() for name in columns)})")
        values = [[self._scaled(name, plain(row[name])) for name in columns] for row in rows]
        mart.executemany(f"insert into {table}_raw values ({', '.join('?' * len(columns))})", values)

    def _scaled(self, name, value):
        kind = self.feed.types.get(name, "")
        return int(Decimal(value).scaleb(int(kind[:-1].split(",")[1]))) if kind.startswith("decimal") and value is not None else value

    def change(self, path, edit):
        """Rewrites a file, and its length in the log, as a program with a fault would have."""
        self.put(path, edit((self.lake / path).read_bytes()))
        self.write_log()

    def change_table(self, path, edit):
        def rewrite(body):
            out = pa.BufferOutputStream()
            pq.write_table(edit(pq.read_table(pa.BufferReader(body))), out)
            return out.getvalue().to_pybytes()
        self.change(path, rewrite)

    def sql(self, statement):
        with sqlite3.connect(self.mart) as mart:
            assert mart.execute(statement).rowcount > 0


BRONZE = "bronze/amazon_sales/part-1.json"
QUARANTINE = "quarantine/amazon_sales/part-1.json"
SILVER = "silver/amazon_sales/year=2023/month=1/part-1.parquet"
LATE_ROWS = "late/minute/part-1.parquet"
GOLD = "gold/amazon_sales_aggregated/part-1.parquet"


def without_line(number):
    return lambda body: b"".join(body.splitlines(True)[:number] + body.splitlines(True)[number + 1:])


def line_twice(body):
    return body + body.splitlines(True)[0]


def cents_more(name):
    def edit(table):
        place = table.schema.get_field_index(name)
        column = table.column(name)
        values = column.to_pylist()
        values[0] += Decimal("0.01")
        return table.set_column(place, name, pa.array(values, column.type))
    return edit


def a_second_more(name):
    def edit(table):
        place = table.schema.get_field_index(name)
        later = [value + datetime.timedelta(seconds=1) for value in table.column(name).to_pylist()]
        return table.set_column(place, name, pa.array(later, table.column(name).type))
    return edit


def row_twice(table):
    return pa.concat_tables([table, table.slice(0, 1)])


def lossy(table):
    place = table.schema.get_field_index("TotalAmount")
    return table.set_column(place, "TotalAmount", table.column("TotalAmount").cast(pa.float64()))


def late_elsewhere(entry):
    [(minute, rows)] = entry["partitions"]["0"]["late_minutes"]["kpi_1min"].items()
    entry["partitions"]["0"]["late_minutes"]["kpi_1min"] = {str(int(minute) + 60_000_000): rows}


def relabel(entry):
    entry["partitions"]["1"]["counters"]["kept"] -= 1
    entry["partitions"]["1"]["counters"]["filtered"] += 1


def test_right_sinks_are_equal_in_everything(sinks):
    comparison = sinks.verify()
    assert not comparison.failed(), comparison.table()
    assert comparison.equal["bronze lines"] == 79
    assert comparison.equal["quarantine lines"] == 2
    assert comparison.equal["gold kpi_1min"] > 20
    assert comparison.equal["mart kpi_daily"] > 0


def test_the_fixture_has_what_the_checks_are_about(sinks):
    late = sum(entry["partitions"]["0"]["counters"]["late"].get("kpi_1min", 0) for entry in sinks.entries)
    assert late == 1


@pytest.mark.parametrize("sink, damage", [
    ("bronze lines", lambda s: s.change(BRONZE, without_line(3))),
    ("bronze lines", lambda s: s.change(BRONZE, line_twice)),
    ("bronze lines", lambda s: s.change(BRONZE, lambda body: body.replace(b'"Tax": 0.0', b'"Tax": 0.00', 1))),
    ("bronze lines", lambda s: s.change(BRONZE, lambda body: body.replace(b'"kafka_key":"key"', b'"kafka_key":"kex"', 1))),
    ("bronze lines", lambda s: s.change(BRONZE, lambda body: body.replace(b'"trace"', b'"track"'))),
    ("bronze lines", lambda s: s.change(BRONZE, lambda body: body[:-1])),
    ("bronze files", lambda s: (s.lake / "bronze/amazon_sales/part-9.json").write_bytes(b"")),
    ("silver files", lambda s: (s.lake / SILVER).unlink()),
    ("quarantine lines", lambda s: s.change(QUARANTINE, without_line(0))),
    ("quarantine lines", lambda s: s.change(QUARANTINE, line_twice)),
    ("quarantine lines", lambda s: s.change(QUARANTINE, lambda body: body.replace(b"not json", b"not JSON"))),
    ("silver rows", lambda s: s.change_table(SILVER, lambda table: table.slice(1))),
    ("silver rows", lambda s: s.change_table(SILVER, row_twice)),
    ("silver rows", lambda s: s.change_table(SILVER, cents_more("Revenue"))),
    ("silver rows schema", lambda s: s.change_table(SILVER, lossy)),
    ("silver rows schema", lambda s: s.change_table(SILVER, lambda table: table.drop_columns(["Quarter"]))),
    ("gold kpi_1min", lambda s: s.change_table(GOLD, lambda table: table.slice(1))),
    ("gold kpi_1min", lambda s: s.change_table(GOLD, row_twice)),
    ("gold kpi_1min", lambda s: s.change_table(GOLD, cents_more("TotalNetRevenue"))),
    ("late kpi_1min", lambda s: s.change_table(LATE_ROWS, lambda table: table.slice(1))),
    ("late kpi_1min", lambda s: s.change_table(LATE_ROWS, row_twice)),
    ("late kpi_1min", lambda s: s.change_table(LATE_ROWS, cents_more("Revenue"))),
    ("late kpi_1min", lambda s: s.change_table(LATE_ROWS, a_second_more("watermark"))),
    ("late kpi_1min", lambda s: s.change_table(LATE_ROWS, a_second_more("window_start"))),
    ("late kpi_1min files", lambda s: (s.lake / LATE_ROWS).unlink()),
    ("mart minute_late", lambda s: s.sql("delete from minute_late_raw")),
    ("mart minute_late", lambda s: s.sql("insert into minute_late_raw select * from minute_late_raw")),
    ("mart minute_late", lambda s: s.sql("update minute_late_raw set watermark = watermark + 1")),
    ("mart orders_live", lambda s: s.sql("delete from orders_live_raw where kafka_offset = 3")),
    ("mart orders_live", lambda s: s.sql("insert into orders_live_raw select * from orders_live_raw limit 1")),
    ("mart orders_live", lambda s: s.sql("update orders_live_raw set netrevenue = netrevenue + 1 where kafka_offset = 4")),
    ("mart kpi_1min", lambda s: s.sql("update kpi_1min_raw set is_final = 0 where is_final = 1")),
    ("mart kpi_1min", lambda s: s.sql("update kpi_1min_raw set uniquecustomers = uniquecustomers + 1")),
    ("mart kpi_daily", lambda s: s.sql("delete from kpi_daily_raw")),
    ("log and ledger", lambda s: (relabel(s.entries[1]), s.write_log())),
    ("log and ledger", lambda s: (late_elsewhere(s.entries[2]), s.write_log())),
    ("log and ledger", lambda s: (s.entries[2].update(g=s.entries[2]["g"] + 1), s.write_log())),
])
def test_damage_is_found_in_its_sink(sinks, sink, damage):
    damage(sinks)
    comparison = sinks.verify()
    assert comparison.counts[sink] > 0, comparison.table()


def test_a_floor_in_the_log_makes_later_records_late(sinks):
    rows = [record for record in sinks.topic.held[0] if record.value and record.offset in (1, 2)]
    plain_run, floored = Engine(amazon_sales()), Engine(amazon_sales())
    floored.raise_floor(0, (START_MS + 60 * MINUTE_MS) * 1000)
    assert sum((plain_run.take(record) for record in rows), Counter())["late kpi_1min"] == 0
    assert sum((floored.take(record) for record in rows), Counter())["late kpi_1min"] == 2


def test_the_newest_minutes_of_late_rows_are_kept():
    counts = Counter({f"minute k {minute * 60_000_000}": 2 for minute in range(-1, MINUTES_KEPT)} | {"minute other 0": 1})
    told = late_minutes(counts)
    assert list(told["k"])[0] == "0" and len(told["k"]) == MINUTES_KEPT and told["other"] == {"0": 1}


@pytest.mark.parametrize("minutes, result", [
    ([("a", 0), ("a", 5)], ["kept", "duplicate"]),
    ([("a", 0), ("b", 5)], ["kept", "kept"]),
    ([("a", 0), ("a", 11)], ["kept", "kept"]),
    ([("a", 0), ("a", 6), ("a", 12)], ["kept", "duplicate", "kept"]),
    ([("a", 0), ("b", 60), ("a", 1)], ["kept", "kept", "kept unjudged"]),
    ([("a", 45), ("b", 60), ("a", 41)], ["kept", "kept", "duplicate"]),
])
def test_dedup_compares_with_kept_rows_of_the_same_key_within_the_span(minutes, result):
    feed = amazon_sales()
    feed.dedup_key, feed.dedup_within = ["OrderID"], 10 * 60_000_000
    engine = Engine(feed)
    decided = []
    for offset, (key, minute) in enumerate(minutes):
        value = order(1, OrderID=key)
        counts = engine.take(Record(0, offset, START_MS + minute * MINUTE_MS, None, value, []))
        decided.append(" ".join(name for name in ("kept", "duplicate", "unjudged") if counts[name]))
    assert decided == result


@pytest.mark.parametrize("category, decided", [
    (None, "kept"), ("x" * 1000, "kept"), ("x" * 1001, "reason KEY_TOO_LARGE"), ("é" * 501, "reason KEY_TOO_LARGE"),
])
def test_a_key_of_more_than_a_kibibyte_is_quarantined(category, decided):
    engine = Engine(amazon_sales())
    value = order(1, Category=category, Country="abcd", PaymentMethod="abcdefgh")
    assert engine.take(Record(0, 0, START_MS, None, value, []))[decided] == 1


def test_the_moment_of_a_record_is_spelt_in_milliseconds():
    assert moment(1_767_323_045_678) == "2026-01-02T03:04:05.678Z"
    assert moment(-1) is None


def test_another_feed_takes_its_time_from_a_field_and_sums_floats_exactly():
    readings = Feed(
        name="readings", topic="readings", derive=lambda row: None, derived_columns=[],
        fields=[Field("at", "timestamp", required=True), Field("level", "float64"), Field("good", "bool", required=True)],
        checks=[Check("is_good", lambda row: row["good"], "quarantine")],
        kpis=[Kpi("by_5s", 5_000_000, ["good"], [Measure("n", "count", "level"), Measure("sum", "float sum", "level"),
                                                 Measure("low", "min", "level")],
                  lambda row: None, [], "gold/readings", "", [])],
        bronze="b", silver="s", quarantine="q", partition_by=[], rows_table=None, rows_columns=[], types={},
        out_of_orderness=2_000_000, event_time="at")
    engine = Engine(readings)
    lines = [("00.5", "1e100", "true"), ("01", "1", "true"), ("02", "null", "true"), ("04", "-1e100", "true"),
             ("04", "7", "false"), ("07", "3", "true"), ("04.9", "5", "true"), ("08", "1", "true"), ("03", "9", "true")]
    counts = Counter()
    for offset, (second, level, good) in enumerate(lines):
        value = f'{{"at":"2025-01-01T00:00:{second}Z","level":{level},"good":{good}}}'.encode()
        counts += engine.take(Record(0, offset, -1, None, value, []))
    closed, still_open = engine.closed_and_open(readings.kpis[0], engine.partitions[0].watermark)
    assert counts["late by_5s"] == 2 and counts["quarantined"] == 1 and counts["kept"] == 8
    assert [(row["n"], row["sum"], row["low"]) for row in closed] == [(3, 1.0, -1e100)]
    assert [(row["n"], row["sum"], row["low"]) for row in still_open] == [(2, 4.0, 1.0)]


@pytest.mark.parametrize("payload", [
    b"", b" ", b"{", b"[]", b"1", b'{"a":1}{"b":2}', b'{"a":1,"a":2}', b'{"a":{"b":1,"b":2}}', b'{"a":NaN}', b'{"a":1e400}',
    b'{"a":01}', b'{"a":1,}', b'\xef\xbb\xbf{"a":1}', b'{"a":"\xff"}', b'{"a":"\x01"}', b'{"a":"\\ud800"}',
    b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", "{\"a\":1}".encode("utf-16"), b'{"a":' + b"9" * 5000 + b"}",
])
def test_what_is_not_one_json_object_is_refused(payload):
    with pytest.raises(NotAnObject):
        json_object(payload)


@pytest.mark.parametrize("field, text, expected", [
    (Field("a", "decimal", precision=10, scale=2, round=True), "299.98999999999995", Decimal("299.99")),
    (Field("a", "decimal", precision=10, scale=2, round=True), "0.005", Decimal("0.01")),
    (Field("a", "decimal", precision=10, scale=2, round=True), "-0.005", Decimal("-0.01")),
    (Field("a", "decimal", precision=10, scale=2), "0.005", "TOO_MANY_DIGITS"),
    (Field("a", "decimal", precision=4, scale=2, round=True), "99.995", "OUT_OF_RANGE"),
    (Field("a", "int32"), "2147483648", "OUT_OF_RANGE"),
    (Field("a", "int32"), "1.5", "WRONG_TYPE"),
    (Field("a", "int32"), '"1"', "WRONG_TYPE"),
    (Field("a", "int32"), "true", "WRONG_TYPE"),
    (Field("a", "date"), '"2023-02-29"', "BAD_DATE"),
    (Field("a", "timestamp"), '"2023-02-29T00:00:00Z"', "BAD_TIMESTAMP"),
    (Field("a", "date"), '"2024-02-29"', datetime.date(2024, 2, 29)),
    (Field("a", "timestamp"), '"1970-01-01T01:00:00.000001+01:00"', 1),
    (Field("a", "timestamp"), '"1970-01-01T00:00:01"', 1_000_000),
    (Field("a", "timestamp"), '"1970-01-01 00:00:00.0000015"', "TOO_MANY_DIGITS"),
    (Field("a", "timestamp", round=True), '"1970-01-01 00:00:00.0000015"', 2),
    (Field("a", "int32"), "3e0", 3),
    (Field("a", "decimal", precision=4, scale=2), "1234567.891", "TOO_MANY_DIGITS"),
    (Field("a", "decimal", precision=4, scale=2), "0e999", Decimal(0)),
    (Field("a", "string", required=True), "null", "MISSING_FIELD"),
    (Field("a", "string"), "null", None),
    (Field("a", "string"), "5", "WRONG_TYPE"),
])
def test_a_field_is_decoded_or_names_what_is_wrong(field, text, expected):
    value = json_object(f'{{"a":{text}}}'.encode())
    try:
        assert decode(value, [field])["a"] == expected
    except Rejected as rejected:
        assert rejected.reason == expected
