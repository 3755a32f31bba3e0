"""One record after another: decision, watermark, lateness, windows, ledger. No batches, no threads, no clock.

The log says how far each entry's range goes, which floors were raised, which fields and KPIs its definition had, and
which records were judged to come from the future (that decision needs a clock, so it is read from Quarantine and never
made again). All else is worked out here, and the log's own watermarks, counters, G and first windows are checked against
it.
"""

import datetime
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .decode import NO_OBJECT, NO_OBJECT_CODES, NotAnObject, decode, json_object
from .feed import Rejected

SPECIAL = set('"#%\'*/:=?\\{[]^\x7f') | {chr(code) for code in range(32)}
BEFORE_ALL_TIME = -(2**63)
MAX_KEY_BYTES = 1024
MINUTE = 60_000_000
MINUTES_KEPT = 1440


class Record(NamedTuple):
    """A Kafka record; `timestamp` in milliseconds, -1 where it has none."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list
    incarnation: int = 0

    @property
    def identity(self):
        return self.incarnation, self.partition, self.offset


class Sink:
    """Told what each record must have become."""

    def bronze(self, record): ...

    def row(self, record, row): ...

    def late(self, record, row, missed):
        """`missed`: the KPI's name, start and end of its window, the watermark that judged the row."""

    def quarantine(self, record, reason, name): ...


@dataclass
class Partition:
    watermark: int = BEFORE_ALL_TIME
    furthest: int = BEFORE_ALL_TIME
    next: int | None = None
    seen: dict = field(default_factory=lambda: defaultdict(list))

    def rise(self, time):
        self.watermark = max(self.watermark, time)
        self.furthest = max(self.furthest, time)


class Window:
    """The running answer of one (window, key)."""

    def __init__(self, measures):
        self.values = {measure.name: STARTS[measure.kind]() for measure in measures}

    def add(self, measures, row):
        for measure in measures:
            value = row[measure.column]
            if value is not None:
                self._merge(measure, value)

    def answer(self):
        return {name: _answer(value) for name, value in self.values.items()}

    def _merge(self, measure, value):
        held = self.values[measure.name]
        match measure.kind:
            case "count":
                self.values[measure.name] = held + 1
            case "distinct":
                held.add(value)
            case "float sum":
                held.append(value)
            case "sum":
                self.values[measure.name] = value if held is None else held + value
            case "min":
                self.values[measure.name] = value if held is None else min(held, value)
            case "max":
                self.values[measure.name] = value if held is None else max(held, value)


STARTS = {
    "count": int, "distinct": set, "float sum": list, "sum": lambda: None, "min": lambda: None, "max": lambda: None,
}


def _answer(value):
    if isinstance(value, set):
        return len(value)
    if isinstance(value, list):
        return math.fsum(value) if value else None
    return value


class Engine:
    def __init__(self, feed, future=frozenset(), sink=None, failed_checks=None):
        """`future`: identities of the records that Quarantine holds as from the future; `failed_checks`: of those that a check
        refused, with its name, for checks that the feed doesn't have any more."""
        self.feed = feed
        self.fields, self.kpis, self.first_windows = feed.fields, feed.kpis, {}
        self.future = future
        self.failed_checks, self.gone_checks = failed_checks or {}, set()
        self.sink = sink or Sink()
        self.partitions = defaultdict(Partition)
        self.windows = {kpi.name: {} for kpi in feed.kpis}
        self.g = BEFORE_ALL_TIME
        self.revisions, self.touched = defaultdict(int), defaultdict(set)

    def take(self, record):
        """Decides one record; returns the counters that it moves."""
        counts = Counter(records=1)
        if record.value is None:
            self.sink.bronze(record)
            counts["tombstones"] += 1
            return counts
        try:
            row, time, failed = self._judge(record)
        except Rejected as rejected:
            self.sink.quarantine(record, rejected.reason, rejected.field)
            counts["quarantined"] += 1
            counts[f"reason {rejected.reason}"] += 1
            return counts
        partition = self.partitions[record.partition]
        if failed:
            counts["filtered"] += 1
            counts[f"check {failed}"] += 1
        elif self._is_duplicate(partition, row, time, counts):
            counts["duplicate"] += 1
        else:
            counts["kept"] += 1
            self.sink.row(record, row)
            self._add_to_windows(partition, record, row, time, counts)
        partition.rise(time - self.feed.out_of_orderness)
        return counts

    def take_again(self, record):
        """A record that was refused, as if it had come now: from the future it is no more."""
        self.future = self.future - {record.identity}
        self.failed_checks.pop(record.identity, None)
        counts = self.take(record)
        counts["replayed"] = counts.pop("records")
        return counts

    def decide_by(self, definition, read_before):
        """Goes on with only those of the feed's fields and KPIs that the definition has, its fields as strict as there. Where records were read before, a KPI that is new begins
        at the first window that starts above every event time seen. Returns where the new ones begin."""
        known = {kpi.name for kpi in self.kpis}
        fields = definition.fields
        as_it_was = lambda field: replace(field, required=fields[field.name][0], round=fields[field.name][1])
        self.fields = [as_it_was(field) for field in self.feed.fields if field.name in fields]
        self.kpis = [kpi for kpi in self.feed.kpis if kpi.name in definition.kpis]
        self.gone_checks = definition.checks - {check.name for check in self.feed.checks}
        newest = max((p.furthest for p in self.partitions.values()), default=BEFORE_ALL_TIME)
        if not read_before or newest == BEFORE_ALL_TIME:
            return {}
        newest += self.feed.out_of_orderness
        begin = {kpi.name: newest - newest % kpi.size + kpi.size for kpi in self.kpis if kpi.name not in known}
        self.first_windows.update(begin)
        return begin

    def begin_anew(self, partition, floor):
        """The topic was made anew: offsets and watermark of the partition start again."""
        held = self.partitions[partition]
        held.next, held.watermark = None, floor

    def raise_floor(self, partition, floor):
        held = self.partitions[partition]
        held.rise(floor)

    def end_entry(self, g):
        """An entry ends, with this G: {KPI: the (window, key)s whose final rows it makes anew, or adds to closed windows}."""
        self.g, touched = g, dict(self.touched)
        self.touched.clear()
        for kpi, rows in touched.items():
            for row in rows:
                self.revisions[kpi, *row] += 1
        return touched

    def closed_and_open(self, kpi, g):
        """The KPI's rows as two lists: windows that G has closed, windows still open."""
        closed, still_open = [], []
        for (start, key), window in self.windows[kpi.name].items():
            row = {"window_start": start, "window_end": start + kpi.size, **dict(zip(kpi.key, key)), **window.answer()}
            row["revision"] = self.revisions[kpi.name, start, key]
            kpi.finish(row)
            done = row["window_end"] + kpi.lateness <= g
            (closed if done else still_open).append(row)
        return closed, still_open

    def _judge(self, record):
        """(row, event time, failed filter check or None), or Rejected."""
        try:
            value = json_object(record.value)
        except NotAnObject:
            raise Rejected(NO_OBJECT) from None
        self.sink.bronze(record)
        row = {field.name: None for field in self.feed.fields} | decode(value, self.fields)
        time = self._event_time(record, row)
        if record.identity in self.future:
            raise Rejected("FUTURE")
        if self.failed_checks.get(record.identity) in self.gone_checks:
            raise Rejected("CHECK", self.failed_checks[record.identity])
        for check in self.feed.checks:
            if check.passes(row) is not True:
                if check.otherwise == "quarantine":
                    raise Rejected("CHECK", check.name)
                return row, time, check.name
        self.feed.derive(row)
        self._refuse_long_folders(row)
        self._refuse_long_keys(row)
        return row, time, None

    def _event_time(self, record, row):
        if self.feed.event_time != "kafka":
            time = row[self.feed.event_time]
            if time is None:
                raise Rejected("NO_TIMESTAMP", self.feed.event_time)
            return _begin_of_day(time) if isinstance(time, datetime.date) else time
        if record.timestamp == -1:
            raise Rejected("NO_TIMESTAMP")
        return record.timestamp * 1000

    def _refuse_long_folders(self, row):
        """`column=value` is at most 255 bytes once escaped, and a value at most 200."""
        for name in self.feed.partition_by:
            value = row[name]
            if type(value) is str and (len(value.encode()) > 200 or _escaped(name) + 1 + _escaped(value) > 255):
                raise Rejected("KEY_TOO_LARGE", name)

    def _refuse_long_keys(self, row):
        """N3: a key is, per column, four bytes of length and the text as in Gold."""
        for kpi in self.kpis:
            if sum(4 + len(str(part).encode()) for part in _key(kpi, row)) > MAX_KEY_BYTES:
                raise Rejected("KEY_TOO_LARGE", kpi.name)

    def _is_duplicate(self, partition, row, time, counts):
        """T6, per partition: an earlier kept row of the same key, at most `within` away, that can still be judged."""
        if not self.feed.dedup_key:
            return False
        within = self.feed.dedup_within
        oldest = partition.watermark - within
        if time < oldest:
            counts["unjudged"] += 1
            return False
        key = tuple(row[name] for name in self.feed.dedup_key)
        times = [earlier for earlier in partition.seen[key] if earlier >= oldest]
        found = any(abs(time - earlier) <= within for earlier in times)
        partition.seen[key] = times if found else [*times, time]
        return found

    def _add_to_windows(self, partition, record, row, time, counts):
        for kpi in self.kpis:
            start = time - time % kpi.size
            if start < self.first_windows.get(kpi.name, BEFORE_ALL_TIME):
                counts[f"before {kpi.name}"] += 1
                continue
            open_until = start + kpi.size + kpi.lateness
            if open_until + kpi.amend_for <= partition.watermark:
                counts[f"late {kpi.name}"] += 1
                counts[f"minute {kpi.name} {time - time % MINUTE}"] += 1
                self.sink.late(record, row, (kpi.name, start, start + kpi.size, partition.watermark))
                continue
            if open_until <= partition.watermark:
                counts[f"amended {kpi.name}"] += 1
            key, windows = _key(kpi, row), self.windows[kpi.name]
            if open_until <= self.g:
                self.touched[kpi.name].add((start, key))
                if (start, key) not in windows:
                    self.revisions[kpi.name, start, key] = -1
            if (start, key) not in windows:
                windows[start, key] = Window(kpi.measures)
            windows[start, key].add(kpi.measures, row)


def recompute(engine, entries, records, compare, definitions=None, one=None):
    """Walks the log's entries; `records[incarnation, p]` is an iterator over the records in order. `definitions[hash]` is
    what decided; without it all entries are decided by the feed as it is. `one(incarnation, p, offset)` gives a record
    that an entry takes out of Quarantine again.

    Every entry's watermarks, counters, first windows and G are handed to `compare(subject, expected, actual)`.
    """
    g = BEFORE_ALL_TIME
    ahead, definition, incarnations = {}, None, {}
    for entry in entries:
        version = entry["version"]
        begin = {}
        if definitions and entry["definition"] != definition:
            begin = engine.decide_by(definitions[entry["definition"]], read_before=definition is not None)
            definition = entry["definition"]
        compare(f"entry {version} first windows", begin, entry.get("first_windows", {}))
        for p, told in sorted((int(p), told) for p, told in entry["partitions"].items()):
            held = engine.partitions[p]
            if incarnations.setdefault(p, told["incarnation"]) != told["incarnation"]:
                engine.begin_anew(p, g)
                incarnations[p] = told["incarnation"]
            if held.next is not None:
                compare(f"entry {version} partition {p} from", held.next, told["from"])
            counts = Counter()
            source = told["incarnation"], p
            for record in _until(records[source], told["to"], ahead, source):
                counts += engine.take(record)
            for offset in (offset for first, end in told.get("replayed", []) for offset in range(first, end)):
                counts += engine.take_again(one(*source, offset))
            held.next = told["to"]
            if told.get("floor") is not None:
                engine.raise_floor(p, told["floor"])
            compare(f"entry {version} partition {p} watermark", held.watermark, told["watermark"])
            _compare_counters(f"entry {version} partition {p}", counts, told["counters"], compare)
            compare(f"entry {version} partition {p} minutes of late rows", late_minutes(counts), told.get("late_minutes", {}))
        g = max(g, min((engine.partitions[int(p)].watermark for p in entry["partitions"]), default=g))
        compare(f"entry {version} G", g, entry["g"])
        revised = {kpi: (len(rows), sorted({start for start, _ in rows})) for kpi, rows in engine.end_entry(g).items()}
        told = {item["kpi"]: (item["revisions"], item["revised"]) for item in entry.get("gold", []) if item.get("revised")}
        compare(f"entry {version} revised rows and windows", revised, told)
    return g


def _key(kpi, row):
    return tuple(kpi.null_key if row[name] is None else row[name] for name in kpi.key)


def _begin_of_day(day):
    """Microseconds of the day's begin in UTC."""
    return (day.toordinal() - datetime.date(1970, 1, 1).toordinal()) * 86_400_000_000


def _until(records, to, ahead, source):
    """Records below offset `to`; the first one beyond waits in `ahead`."""
    while True:
        record = ahead.pop(source, None) or next(records, None)
        if record is None:
            return
        if record.offset >= to:
            ahead[source] = record
            return
        yield record


def _compare_counters(subject, counts, told, compare):
    for name in ("records", "kept", "filtered", "duplicate", "quarantined", "tombstones", "unjudged", "replayed"):
        compare(f"{subject} {name}", counts[name], told.get(name, 0))
    reasons = Counter()
    for code, count in told.get("by_reason", {}).items():
        reasons[NO_OBJECT if code in NO_OBJECT_CODES else code] += count
    compare(f"{subject} late", _starting("late ", counts), told.get("late", {}))
    compare(f"{subject} late and amended", _starting("amended ", counts), told.get("amended", {}))
    compare(f"{subject} before the first window", _starting("before ", counts), told.get("before_first", {}))
    compare(f"{subject} filtered by check", _starting("check ", counts), told.get("filtered_by_check", {}))
    compare(f"{subject} quarantined by reason", _starting("reason ", counts), dict(reasons))


def late_minutes(counts):
    """{KPI: {minute of the event time, by its start: rows that were late}}, of each KPI the newest minutes."""
    by_kpi = defaultdict(dict)
    for name, rows in _starting("minute ", counts).items():
        kpi, minute = name.rsplit(" ", 1)
        by_kpi[kpi][int(minute)] = rows
    newest = lambda minutes: sorted(minutes.items())[-MINUTES_KEPT:]
    return {kpi: {str(minute): rows for minute, rows in newest(minutes)} for kpi, minutes in by_kpi.items()}


def _starting(prefix, counts):
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}


def _escaped(text):
    """Bytes of a text in the name of a Hive folder, where special characters are written as %XX."""
    return sum(3 if letter in SPECIAL else len(letter.encode()) for letter in text)
