"""Rows and KPI tables of Postgres or SQLite. Column names are lower case; values come in the lake's plain form."""

import datetime
import sqlite3
from decimal import Decimal
from pathlib import Path

from .decode import micros_of

FETCH = 20_000


def open_mart(url):
    """postgres://… or the path of an SQLite file, with or without sqlite:// in front."""
    if url.startswith(("postgres://", "postgresql://")):
        return Postgres(url)
    return Sqlite(url.removeprefix("sqlite://"))


class Postgres:
    def __init__(self, url):
        import psycopg

        self.connection = psycopg.connect(url, options="-c timezone=UTC")

    def columns(self, table):
        query = "select column_name from information_schema.columns where table_schema = current_schema() and table_name = %s"
        return {name for (name,) in self.connection.execute(query, [table])}

    def rows(self, table, columns, types):
        """Yields tuples in the order of `columns`."""
        with self.connection.cursor(name="recomputation") as cursor:
            cursor.itersize = FETCH
            cursor.execute(f"select {', '.join(_quoted(name) for name in columns)} from {_quoted(table)}")
            for row in cursor:
                yield tuple(plain(value) for value in row)


class Sqlite:
    """Decimals are integers at their scale (text above 18 digits), times microseconds, in the table `<name>_raw`."""

    def __init__(self, path):
        self.connection = sqlite3.connect(f"file:{Path(path).resolve()}?mode=ro", uri=True)

    def columns(self, table):
        return {row[1] for row in self.connection.execute(f"pragma table_info({_quoted(table + '_raw')})")}

    def rows(self, table, columns, types):
        cursor = self.connection.execute(
            f"select {', '.join(_quoted(name) for name in columns)} from {_quoted(table + '_raw')}")
        scales = [_scale(types.get(name)) for name in columns]
        for row in cursor:
            yield tuple(_unscaled(value, scale) for value, scale in zip(row, scales))


def plain(value):
    """Moments as microseconds and days as days since 1970; all else as it is."""
    kind = type(value)
    if kind is datetime.date:
        return value.toordinal() - 719_163
    return micros_of(value) if kind is datetime.datetime else value


def _quoted(name):
    return '"' + name.replace('"', '""') + '"'


def _scale(kind):
    """The scale of `decimal128(p, s)`; None for other types."""
    if not kind or not kind.startswith("decimal"):
        return None
    return int(kind.rstrip(")").split(",")[1])


def _unscaled(value, scale):
    if scale is None or value is None:
        return value
    return Decimal(value) if isinstance(value, str) else Decimal(value).scaleb(-scale)
