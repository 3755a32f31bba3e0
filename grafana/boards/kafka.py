"""What comes in, how far it is read, and what the partitions' event times are."""

from panels import dashboard, lines, query, stat, variable

P = '{pipeline=~"$pipeline",partition=~"$partition"}'
RATE = "[$__rate_interval]"

BOARD = dashboard(
    "kafka", "Kafka", "Input per partition: offsets, lag, event time, watermark.",
    [
        ("Now", [
            stat("Written", "Records per second that producers add.",
                 query(f"sum(deriv(lakeward_partition_end{P}[1m]))", instant=True), "rowsps", width=6),
            stat("Read", "Records per second that are read.",
                 query(f"sum(deriv(lakeward_partition_position{P}[1m]))", instant=True), "rowsps", width=6),
            stat("Lag", "Records between the two.", query(f"sum(lakeward_partition_lag_records{P})", instant=True),
                 steps=((None, "green"), (10_000, "orange"), (1_000_000, "red")), width=6),
            stat("Time to catch up", "At the pace of the last five minutes; 0 without lag or where it grows.",
                 query(f"(sum(lakeward_partition_lag_records{P}) / -sum(deriv(lakeward_partition_lag_records{P}[5m])) > 0) "
                       "or on() vector(0)", instant=True), "s", width=6),
        ]),
        ("Offsets", [
            lines("Written, by partition", "How fast the end offset rises.",
                  query(f"deriv(lakeward_partition_end{P}[1m])", "{{pipeline}} {{partition}}"), unit="rowsps"),
            lines("Read, by partition", "How fast the position rises; at most as fast as the end after a catch-up.",
                  query(f"deriv(lakeward_partition_position{P}[1m])", "{{pipeline}} {{partition}}"), unit="rowsps"),
            lines("Lag, by partition", "Records not read yet. One partition above the others: skewed keys.",
                  query(f"lakeward_partition_lag_records{P}", "{{pipeline}} {{partition}}")),
            lines("Age of what is read, by partition", "While there is lag: age of the newest event read.",
                  query(f"lakeward_partition_lag_seconds{P}", "{{pipeline}} {{partition}}"), unit="s"),
        ]),
        ("Event time", [
            lines("Watermark by partition", "How far behind now each watermark is. The highest line keeps windows open.",
                  query(f"time() - lakeward_partition_watermark_seconds{P}", "{{pipeline}} {{partition}}"), unit="s",
                  minimum=None),
            lines("Open windows", "(window, key) pairs in memory, all KPIs.",
                  query('lakeward_open_windows{pipeline=~"$pipeline"}', "{{pipeline}}")),
        ]),
    ],
    [variable("pipeline", "Pipeline", "lakeward_owner"),
     variable("partition", "Partition", "lakeward_partition_position", '{pipeline=~"$pipeline"}')],
)
