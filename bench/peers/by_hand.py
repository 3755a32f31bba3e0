"""The same job as one Python process: confluent-kafka, orjson, pyarrow and COPY, in portions of --portion records.

Not crash-safe: windows live in memory, and offsets are committed behind the sinks. Distinct customers are exact.
"""

import argparse
import datetime
import io
import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import orjson
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from confluent_kafka import Consumer

from store import open_store
from told import tell, wait_for_the_end

STRINGS = ("OrderID", "OrderDate", "CustomerID", "CustomerName", "ProductID", "ProductName", "Category", "Brand", "PaymentMethod",
           "OrderStatus", "City", "State", "Country", "SellerID")
NUMBERS = ("UnitPrice", "Discount", "Tax", "ShippingCost", "TotalAmount")
FIELDS = (*STRINGS, "Quantity", *NUMBERS)
MINUTE, DISORDER = 60_000, 600_000
KPI_COLUMNS = ("window_start", "window_end", "Category", "Country", "PaymentMethod", "TotalOrders", "TotalQuantity", "TotalRevenue",
               "TotalNetRevenue", "AvgOrderValue", "UniqueCustomers")
KPI_TABLE = """create table if not exists kpi_1min (window_start timestamptz, window_end timestamptz, category text, country text,
    paymentmethod text, totalorders bigint, totalquantity bigint, totalrevenue float8, totalnetrevenue float8, avgordervalue float8,
    uniquecustomers bigint, primary key (window_start, category, country, paymentmethod))"""


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--postgres", required=True)
    parser.add_argument("--lake-only", action="store_true")
    parser.add_argument("--portion", type=int, default=250_000)
    return parser.parse_args()


class Windows:
    """Per minute and key: orders, quantity, revenue, net revenue, customers."""

    def __init__(self):
        self.open, self.touched, self.newest = {}, set(), {}

    def add(self, at, order, quantity, amount, net):
        key = (at - at % MINUTE, order["Category"], order["Country"], order["PaymentMethod"])
        held = self.open.get(key)
        if held is None:
            held = self.open[key] = [0, 0, 0.0, 0.0, set()]
        held[0] += 1
        held[1] += quantity
        held[2] += amount
        held[3] += net
        held[4].add(order["CustomerID"])
        self.touched.add(key)

    def row(self, key):
        orders, quantity, revenue, net, customers = self.open[key]
        return (moment(key[0]), moment(key[0] + MINUTE), *key[1:], orders, quantity, revenue, net, revenue / orders, len(customers))

    def close(self, partitions):
        """Rows of the windows that every partition has left behind by the disorder that is allowed."""
        if len(self.newest) < partitions:
            return []
        watermark = min(self.newest.values()) - DISORDER
        over = [key for key in self.open if key[0] + MINUTE <= watermark]
        rows = [self.row(key) for key in over]
        for key in over:
            del self.open[key]
        self.touched -= set(over)
        return rows


class Portion:
    """What is written together."""

    def __init__(self):
        self.lines, self.columns = [], {name: [] for name in (*FIELDS, "kafka_partition", "kafka_offset", "kafka_timestamp")}

    def table(self, topic):
        types = {"Quantity": pa.int32(), "kafka_partition": pa.int32(), "kafka_offset": pa.int64(), "kafka_timestamp": pa.timestamp("ms", "UTC"),
                 **dict.fromkeys(NUMBERS, pa.float64())}
        table = pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in self.columns.items()})
        day = table["OrderDate"].cast(pa.date32())
        revenue = pc.multiply(table["Quantity"].cast(pa.float64()), table["UnitPrice"])
        discount = pc.multiply(revenue, table["Discount"])
        now = pa.scalar(datetime.datetime.now(datetime.timezone.utc), pa.timestamp("ms", "UTC"))
        more = {"Quarter": pc.quarter(day), "DayOfWeek": pc.day_of_week(day, count_from_zero=False, week_start=7), "Revenue": revenue,
                "DiscountAmount": discount, "NetRevenue": pc.subtract(revenue, discount), "kafka_topic": pa.repeat(topic, table.num_rows),
                "processing_timestamp": pa.repeat(now, table.num_rows), "year": pc.year(day), "month": pc.month(day)}
        table = table.set_column(table.schema.get_field_index("OrderDate"), "OrderDate", day)
        for name, column in more.items():
            table = table.append_column(name, column)
        return table


class Job:
    def __init__(self, given):
        self.given, self.store = given, open_store(given.lake)
        self.windows, self.writers, self.number = Windows(), ThreadPoolExecutor(8), 0
        self.mart = None if given.lake_only else psycopg.connect(given.postgres)
        self.consumer = Consumer({
            "bootstrap.servers": given.kafka, "group.id": str(uuid.uuid4()), "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10, "queued.max.messages.kbytes": 262_144})
        self.consumer.subscribe([given.topic])
        self.partitions = len(self.consumer.list_topics(given.topic).topics[given.topic].partitions)

    def run(self):
        tell("reading")
        portion, taken = Portion(), 0
        while taken < self.given.events:
            messages = self.consumer.consume(20_000, 0.5)
            self.take(messages, portion)
            taken += len(messages)
            if len(portion.lines) >= self.given.portion or taken >= self.given.events:
                self.write(portion)
                portion = Portion()
                if self.number == 1:
                    tell("first")
        tell("done")

    def take(self, messages, portion):
        columns, now, topic = portion.columns, int(time.time() * 1000), self.given.topic
        fields = [columns[name].append for name in FIELDS]
        partitions, offsets, times = (columns[name].append for name in ("kafka_partition", "kafka_offset", "kafka_timestamp"))
        for message in messages:
            payload, partition, offset, at = message.value(), message.partition(), message.offset(), message.timestamp()[1]
            coordinates = f',"topic":"{topic}","partition":{partition},"offset":{offset},"kafka_timestamp":{at},"ingestion_timestamp":{now}}}\n'
            portion.lines.append(payload[:-1] + coordinates.encode())
            if at > self.windows.newest.get(partition, 0):
                self.windows.newest[partition] = at
            order = orjson.loads(payload)
            quantity, amount = order["Quantity"], order["TotalAmount"]
            if quantity > 0 and amount > 0:
                for append, name in zip(fields, FIELDS):
                    append(order[name])
                partitions(partition)
                offsets(offset)
                times(at)
                revenue = quantity * order["UnitPrice"]
                self.windows.add(at, order, quantity, amount, revenue - revenue * order["Discount"])

    def write(self, portion):
        self.store.write(f"bronze/amazon_sales/part-{self.number}.json", b"".join(portion.lines))
        table = portion.table(self.given.topic)
        self.write_silver(table)
        if self.mart:
            self.write_mart(table)
        if closed := self.windows.close(self.partitions):
            gold = pa.table(dict(zip(KPI_COLUMNS, map(pa.array, zip(*closed)))))
            self.store.write(f"gold/amazon_sales_aggregated/part-{self.number}.parquet", parquet(gold))
        self.consumer.commit(asynchronous=False)
        self.number += 1

    def write_silver(self, table):
        months = pc.add(pc.multiply(table["year"], 100), table["month"])
        order = pc.sort_indices(months)
        table, months = table.take(order), months.take(order).to_pylist()
        begins = [0, *(index for index in range(1, len(months)) if months[index] != months[index - 1])]

        def one(begin, end):
            folder = f"silver/amazon_sales/year={months[begin] // 100}/month={months[begin] % 100}"
            leaf = table.slice(begin, end - begin).drop_columns(["year", "month"])
            self.store.write(f"{folder}/part-{self.number}.parquet", parquet(leaf))

        list(self.writers.map(one, begins, [*begins[1:], len(months)]))

    def write_mart(self, table):
        live = table.drop_columns(["year", "month", "Quarter", "DayOfWeek"])
        with self.mart.transaction(), self.mart.cursor() as cursor:
            cursor.execute(f"create table if not exists orders_live ({', '.join(sql_column(field) for field in live.schema)})")
            with cursor.copy(f"copy orders_live ({', '.join(name.lower() for name in live.column_names)}) from stdin") as copy:
                for batch in live.to_batches(5_000):
                    texts = [map(str, column.to_pylist()) for column in batch.columns]
                    copy.write("".join("\t".join(row) + "\n" for row in zip(*texts)))
            cursor.execute(KPI_TABLE)
            names = [name.lower() for name in KPI_COLUMNS]
            values = ", ".join(f"{name} = excluded.{name}" for name in names[5:])
            cursor.execute("create temporary table newer (like kpi_1min) on commit drop")
            with cursor.copy("copy newer from stdin") as copy:
                for key in self.windows.touched:
                    copy.write_row(self.windows.row(key))
            cursor.execute("insert into kpi_1min select * from newer "
                           f"on conflict (window_start, category, country, paymentmethod) do update set {values}")
        self.windows.touched.clear()


def moment(milliseconds):
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)


def parquet(table):
    out = io.BytesIO()
    pq.write_table(table, out, compression="snappy")
    return out.getvalue()


def sql_column(field):
    kinds = {pa.string(): "text", pa.int32(): "integer", pa.int64(): "bigint", pa.float64(): "float8", pa.date32(): "date"}
    return f"{field.name.lower()} {kinds.get(field.type, 'timestamptz')}"


def main():
    Job(arguments()).run()
    wait_for_the_end()


main()
