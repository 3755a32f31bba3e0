"""The orders' job as tutorials teach it: PySpark Structured Streaming, one query per table, each reading the topic itself.

Bronze as JSON, Silver as Parquet by year and month, Gold as closed windows of a minute; unless --lake-only, rows appended to
Postgres over JDBC and the table of KPIs overwritten at each trigger. Windows are of Kafka's timestamp, so that the same
topic gives the same windows.
"""

import argparse
import json
import os
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from told import tell, wait_for_the_end

ORDER = """
    OrderID STRING, OrderDate DATE, CustomerID STRING, CustomerName STRING, ProductID STRING, ProductName STRING, Category STRING,
    Brand STRING, Quantity INT, UnitPrice DOUBLE, Discount DOUBLE, Tax DOUBLE, ShippingCost DOUBLE, TotalAmount DOUBLE,
    PaymentMethod STRING, OrderStatus STRING, City STRING, State STRING, Country STRING, SellerID STRING"""
NOT_LIVE = ["year", "month", "Quarter", "DayOfWeek"]
KPI_KEY = ["Category", "Country", "PaymentMethod"]
LAKE_EVERY, KPIS_EVERY = "10 seconds", "30 seconds"


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--postgres", required=True, help="host:port/database?user=name")
    parser.add_argument("--lake-only", action="store_true")
    return parser.parse_args()


def session(more={}):
    jars = ",".join(str(jar) for jar in Path(os.environ["BENCH_SPARK_JARS"]).glob("*.jar"))
    settings = {
        "spark.jars": jars, "spark.driver.memory": "4g", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "8",
        "spark.hadoop.dfs.replication": "1", "spark.local.dir": os.environ["BENCH_SCRATCH"], **more,
    }
    builder = SparkSession.builder.appName("orders").master("local[*]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def records(spark, given, **options):
    return (spark.readStream.format("kafka").option("kafka.bootstrap.servers", given.kafka).option("subscribe", given.topic)
            .option("startingOffsets", "earliest").options(**options).load())


def bronze(kafka):
    return kafka.select(
        F.col("value").cast("string").alias("raw_json"), "topic", "partition", "offset",
        F.col("timestamp").alias("kafka_timestamp"), F.current_timestamp().alias("ingestion_timestamp"))


def silver(kafka):
    order = F.from_json(F.col("value").cast("string"), ORDER).alias("order")
    coordinates = [F.col(name).alias(f"kafka_{name}") for name in ("topic", "partition", "offset", "timestamp")]
    rows = kafka.select(order, *coordinates).select("order.*", *(f"kafka_{name}" for name in ("topic", "partition", "offset", "timestamp")))
    revenue = F.col("Quantity") * F.col("UnitPrice")
    return (rows.where("Quantity > 0 and TotalAmount > 0")
            .withColumns({"year": F.year("OrderDate"), "month": F.month("OrderDate"), "Quarter": F.quarter("OrderDate"),
                          "DayOfWeek": F.dayofweek("OrderDate"), "Revenue": revenue, "DiscountAmount": revenue * F.col("Discount"),
                          "NetRevenue": revenue - revenue * F.col("Discount"), "processing_timestamp": F.current_timestamp()}))


def kpis(rows):
    measures = [
        F.count("OrderID").alias("TotalOrders"), F.sum("Quantity").alias("TotalQuantity"), F.sum("TotalAmount").alias("TotalRevenue"),
        F.sum("NetRevenue").alias("TotalNetRevenue"), F.avg("TotalAmount").alias("AvgOrderValue"),
        F.approx_count_distinct("CustomerID").alias("UniqueCustomers")]
    windows = (rows.withWatermark("kafka_timestamp", "10 minutes")
               .groupBy(F.window("kafka_timestamp", "1 minute"), *KPI_KEY).agg(*measures))
    return windows.select(F.col("window.start").alias("window_start"), F.col("window.end").alias("window_end"),
                          *KPI_KEY, *(name for name in windows.columns if name not in ("window", *KPI_KEY)))


def lower_case(frame):
    return frame.toDF(*(name.lower() for name in frame.columns))


def queries(spark, given):
    """Starts them all; the one that closes windows last."""
    kafka = records(spark, given)
    rows = silver(kafka)
    url, properties = f"jdbc:postgresql://{given.postgres}", {"driver": "org.postgresql.Driver"}

    def files(name, frame, kind, path, every=LAKE_EVERY, by=()):
        return (frame.writeStream.queryName(name).format(kind).option("path", f"{given.lake}/{path}").partitionBy(*by)
                .option("checkpointLocation", f"{given.lake}/_checkpoints/{name}").trigger(processingTime=every).start())

    def batches(name, frame, write, mode, every):
        return (frame.writeStream.queryName(name).outputMode(mode).foreachBatch(write)
                .option("checkpointLocation", f"{given.lake}/_checkpoints/{name}").trigger(processingTime=every).start())

    def to_orders_live(batch, _):
        lower_case(batch.drop(*NOT_LIVE)).write.jdbc(url, "orders_live", mode="append", properties=properties)

    def to_kpi_table(batch, _):
        lower_case(batch).write.jdbc(url, "kpi_1min", mode="overwrite", properties=properties)

    def to_gold(batch, _):
        batch.write.mode("append").parquet(f"{given.lake}/gold/amazon_sales_aggregated")

    started = [files("bronze", bronze(kafka), "json", "bronze/amazon_sales"),
               files("silver", rows, "parquet", "silver/amazon_sales", by=["year", "month"])]
    if not given.lake_only:
        started += [batches("orders_live", rows, to_orders_live, "append", LAKE_EVERY),
                    batches("kpi_1min", kpis(rows), to_kpi_table, "complete", KPIS_EVERY)]
    return [*started, batches("gold", kpis(rows), to_gold, "append", KPIS_EVERY)]


def offsets_behind(progress):
    """Records that a query's batches up to this one have taken."""
    ends = (progress.sources[0].endOffset if progress else None) or "{}"
    return sum(sum(partitions.values()) for partitions in json.loads(ends).values())


def has_closed(gold, given):
    """The watermark of the last rows closes windows in a batch of its own, which reads nothing."""
    return any(one.numInputRows == 0 and "addBatch" in one.durationMs and offsets_behind(one) >= given.events
               for one in gold.recentProgress)


def follow(running, given, silver):
    """Tells when the first batch of the query that writes Silver is committed; ends when everything is."""
    told_first = False
    while True:
        for query in running:
            if query.exception():
                raise SystemExit(f"{query.name}: {query.exception()}")
        progress = {query.name: query.lastProgress for query in running}
        if not told_first and any(one.numInputRows for one in silver.recentProgress):
            told_first = True
            tell("first")
        if all(offsets_behind(one) >= given.events for one in progress.values()) and has_closed(running[-1], given):
            return
        time.sleep(0.1)


def run(spark, given, running, silver="silver"):
    tell("reading")
    follow(running, given, next(query for query in running if query.name == silver))
    tell("done")
    wait_for_the_end()
    for query in running:
        query.stop()
    spark.stop()


def main():
    given, spark = arguments(), session()
    run(spark, given, queries(spark, given))


if __name__ == "__main__":
    main()
