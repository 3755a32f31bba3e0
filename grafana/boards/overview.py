"""Is everything all right? One line per stage, in the order in which data flows."""

from panels import dashboard, lines, query, stat, variable

P = '{pipeline=~"$pipeline"}'
BAD = ((None, "green"), (1, "red"))

BOARD = dashboard(
    "overview", "overview", "Whether it keeps up, can be trusted, and where to look next.",
    [
        ("Is it all right?", [
            stat("Alerts", "Alerts of Lakeward that fire; the runbook has a part for each.",
                 query('count(ALERTS{alertname=~"Lakeward.*", alertstate="firing"}) or on() vector(0)', instant=True), steps=BAD),
            stat("Pipelines with an owner", "Pipelines that a process runs.",
                 query(f"sum(max by (pipeline) (lakeward_owner{P}))", instant=True), steps=((None, "red"), (1, "green"))),
            stat("Kafka lag", "Records in Kafka that were not read yet.",
                 query(f"sum(lakeward_partition_lag_records{P})", instant=True),
                 steps=((None, "green"), (10_000, "orange"), (1_000_000, "red"))),
            stat("Age of what is read", "While there is lag: how old the newest event is that was read.",
                 query(f"max(lakeward_partition_lag_seconds{P})", instant=True), "s",
                 ((None, "green"), (60, "orange"), (600, "red"))),
            stat("Ledger", "Records read less records accounted for: 0 when the ledger closes.",
                 query(f"sum(pipeline:lakeward_ledger_balance:sum{P})", instant=True),
                 steps=((None, "red"), (0, "green"), (1, "red"))),
            stat("Refused", "Share of the last quarter of an hour's records that went to Quarantine.",
                 query(f"max(pipeline:lakeward_quarantined:ratio15m{P}) or on() vector(0)", instant=True), "percentunit",
                 ((None, "green"), (0.01, "orange"), (0.05, "red"))),
        ]),
        ("Kafka", [
            lines("Records by what became of them", "The ledger as rates; all but `read` add up to it.",
                  query(f"sum by (outcome) (rate(lakeward_rows_total{P}[$__rate_interval]))", "{{outcome}}"), unit="rowsps"),
            lines("Lag", "Records not read yet, by pipeline.",
                  query(f"sum by (pipeline) (lakeward_partition_lag_records{P})", "{{pipeline}}")),
        ]),
        ("Lake", [
            lines("Epochs", "Time from a cut to its commit.",
                  query("histogram_quantile(0.5, sum by (le) "
                        f"(increase(lakeward_epoch_duration_seconds_bucket{P}[5m]))) > 0 or on() vector(0)", "half below"),
                  query("histogram_quantile(0.99, sum by (le) "
                        f"(increase(lakeward_epoch_duration_seconds_bucket{P}[5m]))) > 0 or on() vector(0)", "99 % below"), unit="s"),
            lines("Entries committed", "New entries of the log in five minutes.",
                  query(f'sum by (pipeline) (increase(lakeward_commit_outcomes_total{{pipeline=~"$pipeline",outcome="committed"}}[5m]))',
                        "{{pipeline}}")),
        ]),
        ("Marts", [
            lines("Time since a table was written", "Grows also where there is nothing to write.",
                  query(f"max by (sink) (lakeward_sink_freshness_seconds{P})", "{{sink}}"), unit="s"),
            lines("Followers in trouble", "1 while a follower can't go on; `/readyz` says why.",
                  query(f"max by (sink) (lakeward_follower_troubled{P})", "{{sink}}"), unit="bool"),
        ]),
        ("Process", [
            lines("Memory", "Resident, and the estimate of state in it.",
                  query('process_resident_memory_bytes{job="lakeward"}', "process {{instance}}"),
                  query(f"lakeward_state_bytes{P}", "state {{pipeline}}"), unit="bytes"),
            lines("Processor", "Cores in use.",
                  query('rate(process_cpu_seconds_total{job="lakeward"}[1m])', "{{instance}}"), unit="none"),
        ]),
    ],
    [variable("pipeline", "Pipeline", "lakeward_owner")],
)
