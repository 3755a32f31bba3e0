"""Real Kafka, HDFS and Postgres on this machine, for tests: no container, loopback only, ports chosen when first started.

Each server module offers `prepare(state)` (configuration and format, once), `ROLES` (name -> Role) and `env(state)`.
"""
