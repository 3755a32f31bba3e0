"""How a feed is told to the recomputation: fields, checks, derived columns and KPIs, written by hand in Python."""

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, getcontext
from typing import Callable

# Sums and products must stay exact: more digits than any decimal column has.
getcontext().prec = 200

MICROS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def micros(text):
    """The microseconds of a duration as pipeline files spell it: 10m, 1h, 500ms."""
    number, unit = re.fullmatch(r"(\d+)\s*(ms|s|m|h|d)", text).groups()
    return int(number) * MICROS[unit]


def rounded(value, scale):
    """Half away from zero, once."""
    return value.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)


class Rejected(Exception):
    """The record belongs in Quarantine."""

    def __init__(self, reason, name=None):
        super().__init__(reason, name)
        self.reason = reason
        self.field = name


@dataclass(frozen=True)
class Field:
    """A field of the JSON record. `kind`: string, bool, int32, int64, float64, decimal, date or timestamp."""

    name: str
    kind: str
    required: bool = False
    precision: int = 0
    scale: int = 0
    round: bool = False


@dataclass(frozen=True)
class Check:
    """`passes(values)` returns True, False or None (unknown); anything but True fails."""

    name: str
    passes: Callable
    otherwise: str


@dataclass(frozen=True)
class Measure:
    """`kind`: count, sum, float sum, min, max or distinct, over the not-null values of a row column.

    A float sum is the exact one, rounded once: the same for every order.
    """

    name: str
    kind: str
    column: str


@dataclass
class Kpi:
    """`finish(row)` adds what is computed from the measures. Times are microseconds since 1970. `amend_for` is how
    long late rows revise closed windows; `late_path` and `late_table` are where other late rows go, if they are kept."""

    name: str
    size: int
    key: list
    measures: list
    finish: Callable
    gold_columns: list
    gold_path: str
    table: str
    mart_columns: list
    null_key: str = "unknown"
    lateness: int = 0
    amend_for: int = 0
    late_path: str | None = None
    late_table: str | None = None


@dataclass
class Feed:
    """One pipeline. Paths are below the lake's root, columns in the spelling of the lake."""

    name: str
    topic: str
    fields: list
    checks: list
    derive: Callable
    derived_columns: list
    kpis: list
    bronze: str
    silver: str
    quarantine: str
    partition_by: list
    rows_table: str | None
    rows_columns: list
    types: dict
    out_of_orderness: int
    event_time: str = "kafka"
    dedup_key: list = field(default_factory=list)
    dedup_within: int = 0

    def silver_columns(self):
        return [f.name for f in self.fields] + self.derived_columns

    def follow(self, definition):
        """Takes names, paths, spans and dedup from the pipeline file; what they mean stays written by hand."""
        self.name = definition["name"]
        self.topic = definition["source"]["topic"]
        time = definition.get("time", {})
        self.event_time = time.get("event_time", self.event_time)
        self.out_of_orderness = micros(time["out_of_orderness"]) if "out_of_orderness" in time else self.out_of_orderness
        self.bronze = definition.get("bronze", {}).get("path", self.bronze)
        self.silver = definition.get("silver", {}).get("path", self.silver)
        self.quarantine = definition.get("quarantine", {}).get("path", self.quarantine)
        self.rows_table = definition.get("rows", {}).get("table")
        if "dedup" in definition:
            self.dedup_key = definition["dedup"]["key"]
            self.dedup_within = micros(definition["dedup"]["within"])
        told = {kpi["name"]: kpi for kpi in definition.get("kpi", [])}
        if set(told) != {kpi.name for kpi in self.kpis}:
            raise SystemExit(f"the file has the KPIs {sorted(told)}, the specification {sorted(k.name for k in self.kpis)}")
        for kpi in self.kpis:
            _follow_kpi(kpi, told[kpi.name], self.name.replace("-", "_"))
        return self


def _follow_kpi(kpi, told, pipeline):
    kpi.size = micros(told["window"]["tumbling"])
    kpi.lateness = micros(told["allowed_lateness"]) if "allowed_lateness" in told else 0
    kpi.gold_path = told.get("gold", {}).get("path", kpi.gold_path)
    kpi.table = told.get("mart", {}).get("table", kpi.table)
    kpi.amend_for = micros(told["amend_for"]) if told.get("late") == "amend" else 0
    if told.get("late") == "table" or kpi.amend_for and "late_table" in told:
        places = told.get("late_table", {})
        kpi.late_path = places.get("path", f"late/{pipeline}_{kpi.name}")
        in_mart = places.get("mart", True)
        kpi.late_table = places.get("table", f"{kpi.name.lower()}_late") if in_mart else None
