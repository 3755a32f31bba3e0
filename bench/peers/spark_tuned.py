"""The same job as one who knows Spark writes it: the topic is read and parsed once for Bronze, Silver and the rows of Postgres,
from a frame that is kept in memory; inserts are batched; KPIs are updated in place instead of being written anew; as many
tasks as there are cores; the next batch begins as soon as the last one is done.
"""

import os

import psycopg

from spark_tutorial import KPI_KEY, NOT_LIVE, arguments, bronze, kpis, lower_case, records, run, session, silver

CORES = os.cpu_count() or 1
AT_ONCE = 500_000
KEY = ("window_start", *(name.lower() for name in KPI_KEY))
KPI_TABLE = f"""create table if not exists kpi_1min (window_start timestamp, window_end timestamp, category text, country text,
    paymentmethod text, totalorders bigint, totalquantity bigint, totalrevenue float8, totalnetrevenue float8, avgordervalue float8,
    uniquecustomers bigint, primary key ({", ".join(KEY)}))"""


def queries(spark, given):
    url = f"jdbc:postgresql://{given.postgres}&reWriteBatchedInserts=true"
    properties = {"driver": "org.postgresql.Driver", "batchsize": "10000"}

    def layers_and_rows(batch, _):
        kept = batch.persist()
        bronze(kept).coalesce(CORES).write.mode("append").json(f"{given.lake}/bronze/amazon_sales")
        rows = silver(kept)
        rows = rows if given.lake_only else rows.persist()
        folders = rows.repartition(CORES, "year", "month")
        folders.write.mode("append").partitionBy("year", "month").parquet(f"{given.lake}/silver/amazon_sales")
        if not given.lake_only:
            live = lower_case(rows.drop(*NOT_LIVE)).coalesce(CORES)
            live.write.jdbc(url, "orders_live", mode="append", properties=properties)
            rows.unpersist()
        kept.unpersist()

    def to_gold(batch, _):
        batch.coalesce(1).write.mode("append").parquet(f"{given.lake}/gold/amazon_sales_aggregated")

    def start(name, stream, write):
        spark.sparkContext.setLocalProperty("spark.scheduler.pool", name)
        return stream.queryName(name).foreachBatch(write).option("checkpointLocation", f"{given.lake}/_checkpoints/{name}").start()

    splits = {"minPartitions": 3 * CORES, "kafka.max.partition.fetch.bytes": 16 << 20, "kafka.fetch.max.bytes": 64 << 20}
    windows = kpis(silver(records(spark, given, **splits)))
    started = [start("lake", records(spark, given, maxOffsetsPerTrigger=AT_ONCE, **splits).writeStream, layers_and_rows)]
    if not given.lake_only:
        started.append(start("kpi_1min", windows.writeStream.outputMode("update"), updating(given)))
    return [*started, start("gold", windows.writeStream.outputMode("append"), to_gold)]


def updating(given):
    """Writes changed windows over the former values."""
    address, user = given.postgres.split("?user=")
    connection = psycopg.connect(f"postgres://{user}@{address}", autocommit=True, options="-c timezone=UTC")
    connection.execute(KPI_TABLE)

    def write(batch, _):
        rows = [tuple(row) for row in batch.collect()]
        values = ", ".join(f"{name} = excluded.{name}" for name in (column.lower() for column in batch.columns) if name not in KEY)
        places = ", ".join(["%s"] * len(batch.columns))
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                f"insert into kpi_1min values ({places}) on conflict ({', '.join(KEY)}) do update set {values}", rows)

    return write


def main():
    given = arguments()
    spark = session({"spark.scheduler.mode": "FAIR", "spark.sql.shuffle.partitions": str(CORES)})
    run(spark, given, queries(spark, given), "lake")


if __name__ == "__main__":
    main()
