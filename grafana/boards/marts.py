"""Are the tables up to date? Rows first, then KPIs, then what else follows the log."""

from panels import dashboard, lines, query, stat, variable

P = '{pipeline=~"$pipeline"}'
S = '{pipeline=~"$pipeline",sink=~"$sink"}'
MARTS = '{pipeline=~"$pipeline",kind=~"row_mart|kpi_mart"}'

BOARD = dashboard(
    "marts", "marts", "The followers of the log: tables of the mart, folders of the lake, offsets in Kafka.",
    [
        ("Now", [
            stat("In trouble", "Followers that can't go on; `/readyz` says why.",
                 query(f"sum(lakeward_follower_troubled{S})", instant=True), steps=((None, "green"), (1, "red")), width=6),
            stat("Longest unwritten", "Time since the table that was not written for longest; grows also without input.",
                 query(f"max(lakeward_sink_freshness_seconds{P})", instant=True), "s", width=6),
            stat("Furthest behind", "Entries of the log that the slowest follower lacks.",
                 query(f"max(lakeward_follower_lag_versions{S})", instant=True), steps=((None, "green"), (5, "orange")), width=6),
            stat("Waiting for the marts", "Records in messages in front of the mart's actors.",
                 query(f"sum(lakeward_actor_lag_records{MARTS})", instant=True), width=6),
        ]),
        ("Tables", [
            lines("Time since a table was written", "Previews write several times a second while rows come.",
                  query(f"lakeward_sink_freshness_seconds{P}", "{{sink}}"), unit="s"),
            lines("Oldest message in front of a mart's actor", "How long the database makes wait.",
                  query(f"max by (kind, index) (lakeward_actor_lag_seconds{MARTS})", "{{kind}} {{index}}"), unit="s"),
            lines("Messages written", "Messages that the mart's actors have done with, per second.",
                  query(f"sum by (kind) (rate(lakeward_actor_messages_total{MARTS}[$__rate_interval]))", "{{kind}}"), unit="ops"),
            lines("Credits free", "0 for long: partitions wait for the database.",
                  query(f"min by (kind) (lakeward_actor_credits_free{MARTS})", "{{kind}}")),
        ]),
        ("Followers", [
            lines("Behind the log", "Entries that a follower hasn't applied.",
                  query(f"lakeward_follower_lag_versions{S}", "{{sink}}")),
            lines("Which are in trouble", "1 while it can't go on.", query(f"lakeward_follower_troubled{S}", "{{sink}}"), unit="bool"),
            lines("Died and started again", "In half an hour.",
                  query(f"sum by (sink) (increase(lakeward_follower_restarts_total{S}[30m]))", "{{sink}}"), width=24),
        ]),
    ],
    [variable("pipeline", "Pipeline", "lakeward_owner"), variable("sink", "Follower", "lakeward_follower_lag_versions", P)],
)
