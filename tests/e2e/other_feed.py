"""A feed that the repository does not contain: its pipeline file, its records, and its rules by hand for the recomputation."""

import datetime
import json
import random
from decimal import Decimal

from recomputation.feed import Check, Feed, Field, Kpi, Measure, rounded

SECOND = 1_000_000
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
BEGIN = datetime.datetime(2024, 2, 28, 22, 0, tzinfo=datetime.timezone.utc)
PARTITIONS = 2
SHOPS = ["north", "süd", "a/b=c%d", "emoji 🛒", None]
COLOURS = ["red", "", "Blue", "gr\"een", None]

PIPELINE = """
name = "NAME"

[source]
topic = "TOPIC"

[fields]
id = "string!"
at = "timestamp!"
ok = "bool!"
size = "int32!"
many = "int64"
shop = "string"
colour = "string"
amount = "decimal(10,2)"
weight = "float64"
open = "bool"
due = "timestamp"
day = "date"

[time]
event_time = "at"
out_of_orderness = "20s"

[checks]
plausible = { that = "weight >= 0 and weight < 1000", otherwise = "quarantine" }
sized = { that = "size <> 13", otherwise = "filter" }

[derive]
at_day = "to_char(at, 'YYYY-MM-DD')"
minute = "date_trunc('minute', at)"
grams = "weight * 1000"
label = "coalesce(shop, 'none') || '/' || upper(colour)"
double = "amount + amount"

[bronze]
[silver]
partition_by = ["at_day", "shop"]

[[kpi]]
name = "by_shop"
window = { tumbling = "5s" }
key = ["shop"]
null_key = "nobody"
allowed_lateness = "10s"
[kpi.measures]
readings = "count(*)"
total = { sql = "sum(amount)", type = "decimal(18,2)" }
load = "sum(weight)"
heaviest = "max(weight)"
earliest = "min(due)"
colours = "count(distinct colour)"

[[kpi]]
name = "by_size"
window = { tumbling = "1h" }
key = ["ok", "size"]
[kpi.measures]
readings = "count(id)"
least = "min(amount)"
mean = { sql = "avg(amount)", type = "decimal(14,4)" }
items = "sum(many)"
[kpi.mart]
table = "sizes"
"""


def pipeline(name, topic):
    return PIPELINE.replace("NAME", name, 1).replace("TOPIC", topic, 1)


def readings(count, seed):
    """Yields what `produce` sends: three hours of readings, out of order, some late, some bad, some from the future."""
    chance = random.Random(seed)
    for number in range(count):
        seconds = number * 3 * 3600 / count - chance.random() * 20
        if chance.random() < 0.02:
            seconds -= chance.random() * 7200
        at = BEGIN + datetime.timedelta(microseconds=int(seconds * 1_000_000))
        reading = {
            "id": f"r{number}", "at": spelled(at, chance), "ok": chance.random() < 0.7, "size": chance.choice([1, 2, 3, 13, -5]),
            "many": chance.choice([None, chance.randrange(-2**40, 2**40)]), "shop": chance.choice(SHOPS),
            "colour": chance.choice(COLOURS), "amount": chance.choice([None, chance.randint(-99_999, 99_999) / 100]),
            "weight": chance.choice([chance.random() * 1000, 0.1, 1e-7, 0, 999.9999999]), "open": chance.choice([True, False, None]),
            "due": chance.choice([None, "2024-03-01T00:00:00Z", "1969-12-31T23:59:59.999999Z"]), "day": chance.choice([None, "2024-02-29"]),
        }
        for name in [name for name, value in reading.items() if value is None and chance.random() < 0.5]:
            del reading[name]
        dice = chance.random()
        if dice < 0.03:
            reading.update(chance.choice([
                {"weight": None}, {"weight": -0.5}, {"weight": 1000.0}, {"weight": "1"}, {"ok": "true"}, {"ok": None}, {"open": 1},
                {"at": "yesterday"}, {"at": None}, {"amount": 1.005}, {"many": 2**63}, {"due": "2024-02-30T00:00:00Z"}, {"day": 5}]))
        elif dice < 0.033:
            reading["at"] = "2124-01-01T00:00:00Z"
        # Kafka's time says nothing here: the record's own does.
        yield number % PARTITIONS, None, json.dumps(reading).encode(), 1_500_000_000_000, []


def spelled(at, chance):
    """The same moment in one of the spellings that the feed takes."""
    zone = chance.choice([0, 330, -480])
    local = at.astimezone(datetime.timezone(datetime.timedelta(minutes=zone)))
    text = local.isoformat(sep=chance.choice("T "), timespec="microseconds")
    return text.replace("+00:00", chance.choice(["Z", "+00:00", ""]))


def derive(row):
    at = EPOCH + datetime.timedelta(microseconds=row["at"])
    row["at_day"] = at.strftime("%Y-%m-%d")
    row["minute"] = row["at"] - row["at"] % (60 * SECOND)
    row["grams"] = row["weight"] * 1000
    row["label"] = None if row["colour"] is None else f"{'none' if row['shop'] is None else row['shop']}/{row['colour'].upper()}"
    row["double"] = None if row["amount"] is None else row["amount"] * 2


def plausible(row):
    return None if row["weight"] is None else 0 <= row["weight"] < 1000


def finish_shop(row):
    pass


def finish_size(row):
    total, count = row.pop("amounts"), row.pop("with_amount")
    row["mean"] = None if total is None else rounded(Decimal(total) / count, 4)


def feed():
    shop = ["window_start", "window_end", "shop", "readings", "total", "load", "heaviest", "earliest", "colours", "revision"]
    size = ["window_start", "window_end", "ok", "size", "readings", "least", "mean", "items", "revision"]
    moment = "timestamp[us, tz=UTC]"
    return Feed(
        name="", topic="",
        fields=[
            Field("id", "string", required=True), Field("at", "timestamp", required=True), Field("ok", "bool", required=True),
            Field("size", "int32", required=True), Field("many", "int64"), Field("shop", "string"), Field("colour", "string"),
            Field("amount", "decimal", precision=10, scale=2), Field("weight", "float64"), Field("open", "bool"),
            Field("due", "timestamp"), Field("day", "date")],
        checks=[
            Check("plausible", plausible, "quarantine"),
            Check("sized", lambda row: row["size"] != 13, "filter")],
        derive=derive, derived_columns=["at_day", "minute", "grams", "label", "double"],
        kpis=[
            Kpi("by_shop", 5 * SECOND, ["shop"], [
                Measure("readings", "count", "id"), Measure("total", "sum", "amount"), Measure("load", "float sum", "weight"),
                Measure("heaviest", "max", "weight"), Measure("earliest", "min", "due"), Measure("colours", "distinct", "colour"),
            ], finish_shop, shop, "gold/NAME_by_shop", "by_shop", [*shop, "is_final"], null_key="nobody"),
            Kpi("by_size", 3600 * SECOND, ["ok", "size"], [
                Measure("readings", "count", "id"), Measure("least", "min", "amount"), Measure("amounts", "sum", "amount"),
                Measure("with_amount", "count", "amount"), Measure("items", "sum", "many"),
            ], finish_size, size, "gold/NAME_by_size", "sizes", [*size, "is_final"]),
        ],
        bronze="bronze/NAME", silver="silver/NAME", quarantine="quarantine/NAME",
        partition_by=["at_day", "shop"], rows_table=None, rows_columns=["kafka_partition", "kafka_offset"],
        types={
            "id": "string", "at": moment, "ok": "bool", "size": "int32", "many": "int64", "shop": "string", "colour": "string",
            "amount": "decimal128(10, 2)", "weight": "double", "open": "bool", "due": moment, "day": "date32[day]",
            "at_day": "string", "minute": moment, "grams": "double", "label": "string", "window_start": moment,
            "window_end": moment, "total": "decimal128(18, 2)", "load": "double", "heaviest": "double", "earliest": moment,
            "colours": "int64", "readings": "int64", "least": "decimal128(10, 2)", "mean": "decimal128(14, 4)",
        },
        out_of_orderness=20 * SECOND, event_time="at",
    )


class Named:
    """The feed with the folders that the pipeline's name gives where its file names none."""

    def follow(self, definition):
        result = feed().follow(definition)
        folder = definition["name"].replace("-", "_")
        for layer in ("bronze", "silver", "quarantine"):
            setattr(result, layer, f"{layer}/{folder}")
        for kpi in result.kpis:
            kpi.gold_path = kpi.gold_path.replace("NAME", folder)
        return result


def readings_feed():
    return Named()
