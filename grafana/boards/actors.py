"""Where does it pile up? Lag per actor, in the order in which data flows."""

from panels import dashboard, lines, query, stat, variable

P = '{pipeline=~"$pipeline"}'
A = '{pipeline=~"$pipeline",kind=~"$kind"}'

BOARD = dashboard(
    "actors", "actors", "Queue, credits and lag of every actor. The slow one is the last on the way without free credits.",
    [
        ("Is it keeping up?", [
            stat("Kafka lag", "Records in Kafka that no partition actor has read yet.",
                 query(f"sum(lakeward_partition_lag_records{P})", instant=True),
                 steps=((None, "green"), (10_000, "orange"), (1_000_000, "red")), width=6),
            stat("Records in queues", "Records in messages that wait in front of actors.",
                 query(f"sum(lakeward_actor_lag_records{P})", instant=True), width=6),
            stat("Oldest waiting message", "How long the oldest message in front of any actor has waited.",
                 query(f"max(lakeward_actor_lag_seconds{P})", instant=True), "s",
                 ((None, "green"), (5, "orange"), (60, "red")), width=6),
            stat("Actors", "Live actors of all kinds.", query(f"sum(lakeward_actors{P})", instant=True), width=6),
        ]),
        ("Lag", [
            lines("Records waiting, by kind", "Records in messages in front of the actors of a kind.",
                  query(f"sum by (kind) (lakeward_actor_lag_records{A})", "{{kind}}")),
            lines("Oldest message, by kind", "Age of the oldest message in front of an actor of the kind.",
                  query(f"max by (kind) (lakeward_actor_lag_seconds{A})", "{{kind}}"), unit="s"),
            lines("Lag of each partition actor", "Age of the oldest message in front of it.",
                  query('lakeward_actor_lag_seconds{pipeline=~"$pipeline",kind="partition"}', "{{pipeline}} partition {{index}}"),
                  unit="s"),
            lines("Ten most lagging actors", "By the age of their oldest message.",
                  query(f"topk(10, lakeward_actor_lag_seconds{A})", "{{kind}} {{index}}"), unit="s"),
        ]),
        ("Queues and credits", [
            lines("Queue depth", "Messages sent and not done with.",
                  query(f"sum by (kind) (lakeward_actor_queue_depth{A})", "{{kind}}")),
            lines("Credits free, lowest", "0 for long: its senders wait for this actor. KPI actors have no figure.",
                  query(f"min by (kind) (lakeward_actor_credits_free{A})", "{{kind}}")),
            lines("Credits", "Most messages that may wait in front of an actor.",
                  query(f"max by (kind) (lakeward_actor_credits{A})", "{{kind}}")),
            lines("Largest queue so far", "Since the actor's start.",
                  query(f"max by (kind) (lakeward_actor_queue_peak{A})", "{{kind}}")),
        ]),
        ("Work", [
            lines("Messages handled", "A message carries a batch, or what came of one.",
                  query(f"sum by (kind) (rate(lakeward_actor_messages_total{A}[$__rate_interval]))", "{{kind}}"), unit="ops"),
            lines("Actors alive", "One per partition, layer and table, and one per key of a KPI up to a cap.",
                  query(f"sum by (kind) (lakeward_actors{A})", "{{kind}}")),
        ]),
    ],
    [variable("pipeline", "Pipeline", "lakeward_owner"), variable("kind", "Kind of actor", "lakeward_actor_queue_depth", P)],
)
