"""What is committed: the log, the layers, and the room for them."""

from panels import dashboard, lines, query, stat, variable

P = '{pipeline=~"$pipeline"}'
BUCKETS = f"sum by (le) (increase(lakeward_epoch_duration_seconds_bucket{P}[5m]))"

BOARD = dashboard(
    "lake", "lake", "Epochs, entries of the log, files of the layers, and the disk.",
    [
        ("Now", [
            stat("Head", "Newest committed version of the log.", query(f"max(lakeward_log_head{P})", instant=True), "none"),
            stat("Entries in 5 minutes", "Commits.",
                 query('sum(increase(lakeward_commit_outcomes_total{pipeline=~"$pipeline",outcome="committed"}[5m]))',
                       instant=True), steps=((None, "orange"), (1, "green"))),
            stat("Bytes per file", "Of Silver, since the start. Small files make readers slow: raise `epoch.age`.",
                 query('sum(lakeward_layer_bytes_total{pipeline=~"$pipeline",layer="silver"}) '
                       '/ sum(lakeward_layer_files_total{pipeline=~"$pipeline",layer="silver"})', instant=True), "bytes"),
            stat("Files behind the log", "Entries whose files are not in their folders yet.",
                 query('max(lakeward_follower_lag_versions{pipeline=~"$pipeline",sink="directories"})', instant=True),
                 steps=((None, "green"), (5, "orange"))),
            stat("Free on the local disk", "Of a lake on a local disk; 0 where it is on HDFS.",
                 query("min(lakeward_lake_free_bytes) or on() vector(0)", instant=True), "bytes"),
            stat("Free on HDFS", "Share of the capacity; 0 without HDFS.",
                 query("min(fs_namesystem_capacity_remaining / fs_namesystem_capacity_total) or on() vector(0)", instant=True),
                 "percentunit"),
        ]),
        ("Epochs", [
            lines("From cut to commit", "What the store takes.",
                  query(f"histogram_quantile(0.5, {BUCKETS}) > 0 or on() vector(0)", "half below"),
                  query(f"histogram_quantile(0.99, {BUCKETS}) > 0 or on() vector(0)", "99 % below"), unit="s"),
            lines("Entries by outcome", "`fenced`: another process has taken the pipeline over.",
                  query(f"sum by (outcome) (increase(lakeward_commit_outcomes_total{P}[5m]))", "{{outcome}}")),
            lines("Tries that had to be repeated", "`log`: creating an entry; `topic_id`: asking Kafka for the topic.",
                  query(f"sum by (what) (increase(lakeward_retries_total{P}[5m]))", "{{what}}")),
            lines("Layer writers: oldest message", "What waits in front of the writers.",
                  query('lakeward_actor_lag_seconds{pipeline=~"$pipeline",kind="layer_writer"}', "writer {{index}}"), unit="s"),
        ]),
        ("Layers", [
            lines("Rows committed", "Rows or lines per second, over five minutes.",
                  query(f"sum by (layer) (rate(lakeward_layer_rows_total{P}[5m]))", "{{layer}}"), unit="rowsps", width=8),
            lines("Bytes committed", "Per second, over five minutes.",
                  query(f"sum by (layer) (rate(lakeward_layer_bytes_total{P}[5m]))", "{{layer}}"), unit="Bps", width=8),
            lines("Files committed", "In five minutes.",
                  query(f"sum by (layer) (increase(lakeward_layer_files_total{P}[5m]))", "{{layer}}"), width=8),
        ]),
        ("Room", [
            lines("Removed", "What nothing needed any more, in an hour.",
                  query(f"sum by (what) (increase(lakeward_removed_total{P}[1h]))", "{{what}}")),
            lines("Free", "The local disk of the lake, and HDFS.",
                  query("lakeward_lake_free_bytes", "disk {{instance}}"),
                  query("fs_namesystem_capacity_remaining", "HDFS {{instance}}"), unit="bytes"),
        ]),
    ],
    [variable("pipeline", "Pipeline", "lakeward_owner")],
)
