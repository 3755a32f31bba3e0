"""Silver and Gold as readers from outside see them: DuckDB and pyarrow, over the plain folders."""

from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from orders import orders, produce
from recomputation.amazon_sales import amazon_sales
from recomputation.engine import Engine, Record, Sink

EVENTS = 6_000


class Rows(Sink):
    def __init__(self):
        self.rows = []

    def row(self, record, row):
        self.rows.append(row)


@pytest.fixture
def shop(new_bench, seed):
    """(the lake's folder, the rows that Silver must hold)"""
    bench = new_bench(mart="none")
    sent = list(orders(EVENTS, seed))
    produce(bench.servers.kafka, bench.topic, sent)
    bench.once()
    kept, offsets = Rows(), {}
    engine = Engine(amazon_sales().follow(bench.definition()), sink=kept)
    for partition, key, value, time, headers in sent:
        offset = offsets.setdefault(partition, 0)
        offsets[partition] += 1
        engine.take(Record(partition, offset, time, key, value, headers))
    return bench.folder / "lake", kept.rows


def test_duckdb_reads_silver_with_its_types_partitions_and_sums(shop):
    lake, rows = shop
    silver = f"read_parquet('{lake}/silver/amazon_sales/**/*.parquet', hive_partitioning = true)"
    types = dict(duckdb.sql(f"select column_name, column_type from (describe select * from {silver})").fetchall())
    wanted = {
        "OrderDate": "DATE", "Quantity": "INTEGER", "UnitPrice": "DECIMAL(10,2)", "Discount": "DECIMAL(4,2)",
        "TotalAmount": "DECIMAL(12,2)", "NetRevenue": "DECIMAL(14,4)", "kafka_timestamp": "TIMESTAMP WITH TIME ZONE",
        "processing_timestamp": "TIMESTAMP WITH TIME ZONE", "kafka_offset": "BIGINT", "kafka_partition": "INTEGER",
        "year": "BIGINT", "month": "BIGINT", "OrderID": "VARCHAR",
    }
    assert {name: types[name] for name in wanted} == wanted
    found = duckdb.sql(f'select count(*), sum("TotalAmount"), sum("NetRevenue"), count(distinct "CustomerID") from {silver}')
    assert found.fetchall() == [
        (len(rows), total(rows, "TotalAmount"), total(rows, "NetRevenue"), len({row["CustomerID"] for row in rows}))]
    [(january,)] = duckdb.sql(f"select count(*) from {silver} where year = 2023 and month = 1").fetchall()
    assert january == sum((row["year"], row["month"]) == (2023, 1) for row in rows) > 0


def test_pyarrow_reads_silver_with_its_types_partitions_and_sums(shop):
    lake, rows = shop
    silver = ds.dataset(lake / "silver/amazon_sales", format="parquet", partitioning="hive")
    moment = pa.timestamp("us", "UTC")
    wanted = {
        "OrderDate": pa.date32(), "Quantity": pa.int32(), "UnitPrice": pa.decimal128(10, 2),
        "TotalAmount": pa.decimal128(12, 2), "DiscountAmount": pa.decimal128(14, 4), "kafka_timestamp": moment,
        "processing_timestamp": moment, "year": pa.int32(), "month": pa.int32(), "OrderID": pa.string(),
    }
    assert {name: silver.schema.field(name).type for name in wanted} == wanted
    table = silver.to_table()
    assert table.num_rows == len(rows)
    assert sum(table["TotalAmount"].to_pylist(), Decimal(0)) == total(rows, "TotalAmount")
    january = silver.to_table(filter=(ds.field("year") == 2023) & (ds.field("month") == 1))
    assert january.num_rows == sum((row["year"], row["month"]) == (2023, 1) for row in rows)


def test_duckdb_reads_gold(shop):
    lake, _ = shop
    gold = f"read_parquet('{lake}/gold/amazon_sales_aggregated/*.parquet')"
    [(windows, orders_in_them, keys)] = duckdb.sql(
        f'select count(distinct window_start), sum("TotalOrders"), count(distinct (window_start, "Category", "Country", '
        f'"PaymentMethod")) = count(*) from {gold}').fetchall()
    assert windows > 100 and orders_in_them > EVENTS // 2 and keys
    types = dict(duckdb.sql(f"select column_name, column_type from (describe select * from {gold})").fetchall())
    assert (types["window_start"], types["TotalRevenue"], types["AvgOrderValue"], types["TotalOrders"]) == (
        "TIMESTAMP WITH TIME ZONE", "DECIMAL(18,2)", "DECIMAL(14,4)", "BIGINT")


def total(rows, name):
    return sum((row[name] for row in rows), Decimal(0))
