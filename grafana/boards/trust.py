"""Can the numbers be trusted? The ledger, what was refused and why, what came late, and who ran."""

from panels import dashboard, lines, query, stat, variable

P = '{pipeline=~"$pipeline"}'

BOARD = dashboard(
    "trust", "trust", "The running ledger. What is committed is proven by `lakeward ledger` and `lakeward verify`.",
    [
        ("Ledger, since the process started", [
            stat("Balance", "Records read less records accounted for: 0 when the ledger closes.",
                 query(f"sum(pipeline:lakeward_ledger_balance:sum{P})", instant=True),
                 steps=((None, "red"), (0, "green"), (1, "red"))),
            *(stat(outcome.capitalize(), about,
                   query(f'sum(lakeward_rows_total{{pipeline=~"$pipeline",outcome="{outcome}"}})', instant=True))
              for outcome, about in [("read", "Records read from Kafka."), ("kept", "Rows in Silver."),
                                     ("filtered", "Rows that a check left out."),
                                     ("duplicate", "Rows whose key had come before."),
                                     ("quarantined", "Records in Quarantine, with their bytes.")]),
        ]),
        ("What became of records", [
            lines("By outcome", "All but `read` add up to it.",
                  query(f"sum by (outcome) (rate(lakeward_rows_total{P}[$__rate_interval]))", "{{outcome}}"), unit="rowsps"),
            lines("Balance over time", "0 when the ledger closes.",
                  query(f"pipeline:lakeward_ledger_balance:sum{P}", "{{pipeline}} {{instance}}"), minimum=None),
        ]),
        ("Quarantine", [
            lines("Share refused", "Of the last quarter of an hour's records; nothing below a hundred of them.",
                  query(f"pipeline:lakeward_quarantined:ratio15m{P} or on() vector(0)", "{{pipeline}}"), unit="percentunit"),
            lines("By reason", "Records in five minutes; `lakeward quarantine show` prints them.",
                  query(f"sum by (reason) (increase(lakeward_quarantined_total{P}[5m])) > 0 or on() vector(0)", "{{reason}}")),
        ]),
        ("Time", [
            lines("Late rows", "In five minutes, per KPI. They are in Bronze and Silver, and in no window of that KPI.",
                  query(f"sum by (kpi) (increase(lakeward_late_rows_total{P}[5m]))", "{{kpi}}")),
            lines("State", "Estimate of open windows and dedup keys; the pipeline stops at `memory.state_cap`.",
                  query(f"lakeward_state_bytes{P}", "{{pipeline}}"), unit="bytes"),
        ]),
        ("Who ran it", [
            lines("Owner", "1 in the process that owns the pipeline.",
                  query(f"lakeward_owner{P}", "{{pipeline}} {{instance}}"), unit="bool", width=8),
            lines("Generations", "Starts from the log's head, in 15 minutes.",
                  query(f"sum by (pipeline) (increase(lakeward_generations_total{P}[15m]))", "{{pipeline}}"), width=8),
            lines("Age of the process", "Falls to 0 at a restart.",
                  query('time() - process_start_time_seconds{job="lakeward"}', "{{instance}}"), unit="s", width=8),
            lines("Versions", "Processes by the program's version.",
                  query("count by (version) (lakeward_build_info)", "{{version}}"), width=24),
        ]),
    ],
    [variable("pipeline", "Pipeline", "lakeward_owner")],
)
