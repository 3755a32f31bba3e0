"""The whole check: recompute from Kafka and the log, then hold every sink against it."""

import time
from operator import itemgetter

from .compare import Comparison, digest
from .engine import Engine, Sink, recompute
from .lake import definitions, live_files, log_entries
from .layers import bronze_line, bronze_rows, check_files, moment, parquet_rows, quarantine_rows
from .marts import plain
from .topic import History

SYSTEM = ["kafka_topic", "kafka_partition", "kafka_offset", "kafka_timestamp", "kafka_incarnation"]
PROCESSING = "processing_timestamp"
LATE = ["kpi", "window_start", "window_end", "watermark"]
FUTURE = "FUTURE"


class Expected(Sink):
    """Digests of what Bronze, Silver, the rows mart and Quarantine must hold, by identity; late rows in full, by KPI."""

    def __init__(self, feed):
        self.feed = feed
        self.lines, self.lengths, self.rows, self.mart_rows, self.rejects, self.times = {}, {}, {}, {}, {}, {}
        self.late_rows = {kpi.name: {} for kpi in feed.kpis}
        self.silver_columns = [*feed.silver_columns(), *SYSTEM]
        self.mart_columns = [name for name in feed.rows_columns if name != PROCESSING]
        self.silver_row, self.mart_row = itemgetter(*self.silver_columns), itemgetter(*self.mart_columns)

    def bronze(self, record):
        line = bronze_line(self.feed.topic, record)
        self.lengths[record.identity] = len(line[1])
        self.lines[record.identity] = digest(line)

    def row(self, record, row):
        identity = record.identity
        full = self.full_row(record, row)
        self.rows[identity] = digest(self.silver_row(full))
        self.mart_rows[identity] = digest(self.mart_row(full))
        self.times[identity] = full["kafka_timestamp"]

    def late(self, record, row, missed):
        self.late_rows[missed[0]][record.identity] = (*self.silver_row(self.full_row(record, row)), *missed)

    def quarantine(self, record, reason, name):
        row = (reason, name, record.value, self.feed.topic, moment(record.timestamp))
        self.rejects[record.identity] = row

    def full_row(self, record, row):
        """The row with its coordinates, in plain values."""
        timestamp = None if record.timestamp == -1 else record.timestamp * 1000
        coordinates = zip(SYSTEM, [self.feed.topic, record.partition, record.offset, timestamp, record.incarnation])
        return {name: plain(value) for name, value in [*row.items(), *coordinates]}


class Explained(Sink):
    """One record's expectations in full, for showing a difference."""

    def __init__(self, expected):
        self.expected, self.shown = expected, {}

    def bronze(self, record):
        self.shown["lines"] = bronze_line(self.expected.feed.topic, record)

    def row(self, record, row):
        full = self.expected.full_row(record, row)
        self.shown["rows"], self.shown["mart_rows"] = self.expected.silver_row(full), self.expected.mart_row(full)


def verify(feed, topic, lake, mart=None, past=None):
    """The Comparison of everything. `topic.records(partition, start, to)` gives Kafka's records, `past` those of earlier
    incarnations of the topic."""
    comparison, clock = Comparison(), Clock()
    entries = log_entries(lake, feed.name)
    live = live_files(entries)
    paths = _check_directories(comparison, lake, feed, live)
    quarantined = list(quarantine_rows(lake, paths["quarantine"]))
    expected = Expected(feed)
    decided_by = definitions(lake, feed.name, entries)
    failed = {identity: row[1] for identity, row in quarantined if row[0] == "CHECK"}
    engine = Engine(feed, _from_the_future(quarantined), expected, failed)
    ranges = _ranges(entries)
    topic = History(topic, max(incarnation for incarnation, _ in ranges), past)
    records = {source: topic.records(*source, *span) for source, span in ranges.items()}
    same = lambda *facts: comparison.same("log and ledger", *facts)
    g = recompute(engine, entries, records, same, decided_by, topic.one)
    clock.lap(f"{len(expected.lines)} records recomputed")
    explain = lambda part: lambda identity: _explain(expected, topic, identity).get(part)
    lacking = _later(feed, decided_by, live)
    _check_lake(comparison, lake, feed, paths, expected, quarantined, explain, lacking)
    _check_late(comparison, lake, feed, paths, expected, lacking, mart)
    clock.lap("Bronze, Quarantine, Silver and late rows read")
    _check_kpis(comparison, lake, feed, paths, engine, g, mart)
    if mart and feed.rows_table:
        boundary = max((entry.get("rows_boundary") or 0 for entry in entries), default=0)
        _check_rows(comparison, feed, mart, expected, boundary, explain)
    clock.lap("Gold and marts read")
    return comparison


def _check_directories(comparison, lake, feed, live):
    """{folder's role: visible paths}; a layer's name in the log is its own affair, its folder is ours."""
    folders = {"bronze": feed.bronze, "silver": feed.silver, "quarantine": feed.quarantine}
    folders.update({f"gold {kpi.name}": kpi.gold_path for kpi in feed.kpis})
    folders.update({f"late {kpi.name}": kpi.late_path for kpi in feed.kpis if kpi.late_path})
    named = {path: file for files in live.values() for path, file in files.items()}
    found = {}
    for role, folder in folders.items():
        below = {path: file for path, file in named.items() if path.startswith(folder + "/")}
        found[role] = check_files(comparison, lake, role, folder, below)
    return found


def _check_lake(comparison, lake, feed, paths, expected, quarantined, explain, lacking):
    lines = bronze_rows(lake, paths["bronze"], expected.lengths)
    comparison.rows("bronze lines", expected.lines, lines, explain("lines"))
    comparison.rows("quarantine lines", expected.rejects, quarantined)
    columns = expected.silver_columns
    rows = parquet_rows(lake, paths["silver"], feed.silver, columns, feed.types, comparison, "silver rows", [PROCESSING],
                        lacking)
    comparison.rows("silver rows", expected.rows, _identified(columns, rows), explain("rows"))


def _check_late(comparison, lake, feed, paths, expected, lacking, mart):
    """Each late row is once in the KPI's folder and table: the row as Silver has it, and the window that it missed."""
    columns = [*expected.silver_columns, *LATE]
    moment_type = "timestamp[us, tz=UTC]"
    types = {**feed.types, "kpi": "string", **dict.fromkeys(LATE[1:], moment_type)}
    for kpi in feed.kpis:
        if kpi.late_path:
            sink = f"late {kpi.name}"
            rows = parquet_rows(lake, paths[sink], kpi.late_path, columns, types, comparison, sink, [PROCESSING], lacking)
            comparison.rows(sink, expected.late_rows[kpi.name], _identified(columns, rows))
        if mart and kpi.late_table:
            sink, lower = f"mart {kpi.late_table}", [name.lower() for name in columns]
            _check_mart_columns(comparison, sink, mart, kpi.late_table, lower)
            rows = mart.rows(kpi.late_table, lower, {name.lower(): kind for name, kind in types.items()})
            comparison.rows(sink, expected.late_rows[kpi.name], _identified(columns, rows))


def _check_kpis(comparison, lake, feed, paths, engine, g, mart):
    for kpi in feed.kpis:
        closed, still_open = engine.closed_and_open(kpi, g)
        columns, sink = kpi.gold_columns, f"gold {kpi.name}"
        read = parquet_rows(lake, paths[sink], kpi.gold_path, columns, feed.types, comparison, sink)
        comparison.rows(sink, _keyed(kpi, columns, closed), _keys_of(kpi, columns, read))
        if mart and kpi.table:
            _check_kpi_table(comparison, feed, mart, kpi, closed, still_open)


def _check_kpi_table(comparison, feed, mart, kpi, closed, still_open):
    """Final rows are Gold's, all others the windows still open."""
    sink = f"mart {kpi.table}"
    columns = kpi.mart_columns
    rows = [{**row, "is_final": True} for row in closed] + [{**row, "is_final": False} for row in still_open]
    lower = [name.lower() for name in columns]
    types = {name.lower(): kind for name, kind in feed.types.items()}
    _check_mart_columns(comparison, sink, mart, kpi.table, lower)
    final = columns.index("is_final")
    as_bool = lambda row: (*row[:final], bool(row[final]), *row[final + 1:])
    read = (as_bool(row) for row in mart.rows(kpi.table, lower, types))
    comparison.rows(sink, _keyed(kpi, columns, rows), _keys_of(kpi, columns, read))


def _check_rows(comparison, feed, mart, expected, boundary, explain):
    sink = f"mart {feed.rows_table}"
    lower = [name.lower() for name in expected.mart_columns]
    types = {name.lower(): kind for name, kind in feed.types.items()}
    _check_mart_columns(comparison, sink, mart, feed.rows_table, lower)
    rows = mart.rows(feed.rows_table, lower, types)
    wanted = expected.mart_rows
    if boundary:
        kept = lambda time: time is None or time >= boundary
        wanted = {identity: row for identity, row in wanted.items() if kept(expected.times[identity])}
    comparison.rows(sink, wanted, _identified(expected.mart_columns, rows), explain("mart_rows"))


def _check_mart_columns(comparison, sink, mart, table, columns):
    missing = set(columns) - mart.columns(table)
    comparison.same(f"{sink} schema", "columns that are missing", [], sorted(missing))
    if missing:
        raise SystemExit(f"{sink}: no column {', '.join(sorted(missing))}\n{comparison.table()}")


def _identified(columns, rows):
    places = [columns.index(name) for name in ("kafka_incarnation", "kafka_partition", "kafka_offset")]
    return ((tuple(row[place] for place in places), row) for row in rows)


def _keyed(kpi, columns, rows):
    tuples = (tuple(plain(row[name]) for name in columns) for row in rows)
    return dict(_keys_of(kpi, columns, tuples))


def _keys_of(kpi, columns, rows):
    """Identity of a KPI row: the first column, computed from the window's start, and the keys."""
    places = [0, *(columns.index(name) for name in kpi.key)]
    return ((tuple(row[i] for i in places), row) for row in rows)


def _from_the_future(quarantined):
    return {identity for identity, row in quarantined if row[0] == FUTURE}


def _later(feed, decided_by, live):
    """For a path the feed's fields that the definition didn't have by which the file's entry was decided."""
    names = {field.name for field in feed.fields}
    by = {path: file["definition"] for files in live.values() for path, file in files.items()}
    return lambda path: names - decided_by[by[path]].fields.keys() if path in by else ()


def _ranges(entries):
    """{(incarnation, partition): (first offset, end)} that the log covers."""
    ranges = {}
    for entry in entries:
        for p, told in entry["partitions"].items():
            source = told["incarnation"], int(p)
            start, _ = ranges.get(source, (told["from"], 0))
            ranges[source] = start, told["to"]
    return ranges


def _explain(expected, topic, identity):
    record = topic.one(*identity)
    explained = Explained(expected)
    if record:
        # Of what the feed had when the record was read nothing is known here: a later field may be shown with a value.
        Engine(expected.feed, sink=explained).take(record)
    return explained.shown


class Clock:
    def __init__(self):
        self.began = time.monotonic()

    def lap(self, what):
        print(f"{time.monotonic() - self.began:8.1f} s  {what}", flush=True)
