"""A pipeline file that changes under a running log: what only adds is taken up from an entry on, all else is refused (H4)."""

import json
import random
from decimal import Decimal

import duckdb
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from bench import amazon_pipeline
from orders import orders, produce
from recomputation.amazon_sales import MINUTE, amazon_sales
from recomputation.feed import Field, Kpi, Measure, rounded
from test_refusals import REFUSED, refused

EVENTS = 9_000
CHANNELS = ["web", "app", "shop", None]
NEW_KPI = """
[[kpi]]
name = "by_channel"
window = { tumbling = "5m" }
key = ["Channel"]
[kpi.measures]
orders = "count(OrderID)"
revenue = { sql = "sum(TotalAmount)", type = "decimal(18,2)" }
[kpi.derive]
mean = { sql = "revenue / orders", type = "decimal(14,4)" }
"""


def with_channel(name, topic):
    """The built-in file with a field more, in the table of rows too, and a KPI over it."""
    text = amazon_pipeline(name, topic)
    text = text.replace('SellerID = "string"', 'SellerID = "string"\nChannel = "string"', 1)
    assert 'Channel = "string"' in text
    return text.replace('"Country", "SellerID",', '"Country", "SellerID", "Channel",', 1) + NEW_KPI


def channel_feed():
    feed = amazon_sales()
    feed.fields = [*feed.fields, Field("Channel", "string")]
    feed.types = {**feed.types, "Channel": "string", "orders": "int64", "revenue": "decimal128(18, 2)", "mean": "decimal128(14, 4)"}
    feed.rows_columns = [*feed.rows_columns, "Channel"]
    columns = ["window_start", "window_end", "Channel", "orders", "revenue", "mean", "revision"]
    measures = [Measure("orders", "count", "OrderID"), Measure("revenue", "sum", "TotalAmount")]
    feed.kpis = [*feed.kpis, Kpi(
        "by_channel", 5 * MINUTE, ["Channel"], measures, finish, columns, "", "by_channel", [*columns, "is_final"])]
    return feed


def finish(row):
    row["mean"] = rounded(Decimal(row["revenue"]) / row["orders"], 4)


class Followed:
    """The feed with the folder that the pipeline's name gives its new KPI."""

    def follow(self, definition):
        feed = channel_feed()
        feed.kpis[-1].gold_path = f"gold/{definition['name'].replace('-', '_')}_by_channel"
        return feed.follow(definition)


def followed():
    return Followed()


def sold(seed, part, parts=3):
    """A third of the orders, most of them with a channel; one in fifty has a number there: no text, once it is a field."""
    chance = random.Random(f"{seed}/{part}")
    each = EVENTS // parts
    for partition, key, value, time, headers in orders(each, seed, first=part * each, total=EVENTS):
        channel = 7 if chance.random() < 0.02 else chance.choice(CHANNELS)
        if value and value.startswith(b'{"OrderID"') and value.endswith(b"}"):
            value = value[:-1] + b', "Channel": ' + json.dumps(channel).encode() + b"}"
        yield partition, key, value, time, headers


@pytest.mark.parametrize("mart", ["postgres", "sqlite"])
def test_a_new_kpi_and_a_new_field_are_taken_up_from_an_entry_on(new_bench, seed, mart):
    bench = new_bench(mart=mart, LAKEWARD_EPOCH_ROWS="1500")
    produce(bench.servers.kafka, bench.topic, sold(seed, 0))
    bench.once()
    before = bench.head()
    bench.pipeline.write_text(with_channel(bench.name, bench.topic))
    for part in (1, 2):
        produce(bench.servers.kafka, bench.topic, sold(seed, part))
        bench.once()
        bench.assert_ledger_closed()
        bench.assert_equal(feed="test_changes:followed")
    claim = bench.entries()[before + 1]
    assert list(claim["first_windows"]) == ["by_channel"] and claim["requires"] == ["first_windows"]
    assert sum(entry.get("first_windows", {}) != {} for entry in bench.entries()) == 1, "it began once"
    told = [told["counters"] for entry in bench.entries() for told in entry["partitions"].values()]
    assert sum(counters.get("before_first", {}).get("by_channel", 0) for counters in told) > 0
    assert sum(counters.get("by_reason", {}).get("WRONG_TYPE", 0) for counters in told) > 100
    old_and_new_silver_read_as_one_table(bench)


def old_and_new_silver_read_as_one_table(bench):
    """As the README says: by name, with all files' columns (I22)."""
    silver = bench.folder / "lake/silver/amazon_sales"
    files = sorted(silver.rglob("*.parquet"))
    has = [("Channel" in pq.read_schema(file).names) for file in files]
    assert any(has) and not all(has)
    found = f"read_parquet('{silver}/**/*.parquet', hive_partitioning = true, union_by_name = true)"
    [(rows, with_one)] = duckdb.sql(f'select count(*), count("Channel") from {found}').fetchall()
    newest = pq.read_schema(files[has.index(True)])
    table = ds.dataset(silver, schema=newest, format="parquet", partitioning="hive").to_table(columns=["Channel"])
    assert (table.num_rows, table.num_rows - table["Channel"].null_count) == (rows, with_one)
    assert 0 < with_one < rows == sum(pq.read_metadata(file).num_rows for file in files)


def test_what_is_not_only_new_is_refused_and_named(new_bench, seed):
    bench = new_bench(mart="none", pipeline=with_channel)
    produce(bench.servers.kafka, bench.topic, sold(seed, 0))
    bench.once()
    text = bench.pipeline.read_text()
    for old, new, words in [
        (NEW_KPI, "", ["kpis.by_channel: removed"]),
        ('Channel = "string"', 'Channel = "string"\nCampaign = "string!"', ["fields.Campaign: added"]),
        ('Channel = "string"', "", ["Channel"]),
        ('window = { tumbling = "5m" }', 'window = { tumbling = "6m" }', ["kpis.by_channel.window", "5m", "6m"]),
    ]:
        changed = text.replace(old, new, 1)
        assert changed != text
        if old == 'Channel = "string"' and not new:
            changed = changed.replace(NEW_KPI, "").replace(' "Channel",', "", 1)
        bench.pipeline.write_text(changed)
        refused(bench, REFUSED, "DEFINITION_CHANGED", *words)
    bench.pipeline.write_text(text)
    bench.once()


def test_the_folder_of_a_new_kpi_must_be_empty(new_bench, seed):
    bench = new_bench(mart="none")
    produce(bench.servers.kafka, bench.topic, sold(seed, 0))
    bench.once()
    folder = bench.folder / "lake/gold" / f"{bench.name.replace('-', '_')}_by_channel"
    folder.mkdir(parents=True)
    (folder / "part-from-elsewhere.parquet").write_bytes(b"PAR1")
    bench.pipeline.write_text(with_channel(bench.name, bench.topic))
    refused(bench, REFUSED, "LAYER_NOT_EMPTY", "part-from-elsewhere.parquet")


@pytest.mark.parametrize("mart", ["postgres", "sqlite"])
def test_tables_that_are_switched_on_later_are_filled_from_the_lake(new_bench, seed, mart):
    bench = new_bench(mart=mart, pipeline=without_tables, LAKEWARD_EPOCH_ROWS="1500")
    produce(bench.servers.kafka, bench.topic, sold(seed, 0))
    bench.once()
    bench.pipeline.write_text(amazon_pipeline(bench.name, bench.topic))
    produce(bench.servers.kafka, bench.topic, sold(seed, 1))
    bench.once()
    bench.assert_equal()


def without_tables(name, topic):
    """No rows and no daily KPI in the mart."""
    text = amazon_pipeline(name, topic)
    begin = text.index("[rows]\n")
    text = text[:begin] + text[text.index("[[kpi]]", begin):]
    begin = text.index('[kpi.mart]\ntable = "kpi_daily"')
    end = text.index("[quarantine]") if text.find("[quarantine]", begin) > 0 else len(text)
    cut = text[:begin] + text[end:]
    return cut.replace('name = "kpi_daily"\n', 'name = "kpi_daily"\nmart = false\n', 1)
