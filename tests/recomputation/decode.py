"""Bytes to typed values, or the reason why not. Strict JSON: what Python alone would let pass is refused here."""

import datetime
import json
import re
from decimal import Decimal, InvalidOperation

from .feed import Rejected, rounded

MAX_DEPTH = 128
MAX_DIGITS = 38
MAX_PAYLOAD = 10 << 20
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
INTEGERS = {"int32": 2**31, "int64": 2**63}


class NotAnObject(Exception):
    """The payload is not one JSON object: it goes to Quarantine and not to Bronze."""


# What Quarantine says of such payloads; which of them is a matter of the parser, so they count as one here.
NO_OBJECT = "NOT_JSON"
NO_OBJECT_CODES = {
    "NOT_UTF8", "BOM", "EMPTY", "TRUNCATED", "NOT_JSON", "NOT_AN_OBJECT", "TRAILING_DATA", "DUPLICATE_KEY", "TOO_DEEP",
    "TOO_LARGE",
}


def json_object(payload):
    """The pairs of the payload's one object; whole numbers as int, others as Decimal."""
    if len(payload) > MAX_PAYLOAD:
        raise NotAnObject("too large to be parsed")
    try:
        text = payload.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_float=_number, parse_int=_whole, parse_constant=_refuse)
    except (ValueError, InvalidOperation, RecursionError) as error:
        raise NotAnObject(str(error)) from None
    if type(value) is not dict:
        raise NotAnObject("not an object")
    if payload.count(b"{") + payload.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise NotAnObject("nested too deep")
    if b"\\ud" in payload.lower() and _lone_surrogate(value):
        raise NotAnObject("half a surrogate pair")
    return value


def decode(value, fields):
    """Typed values by name, in the order of `fields`; the first field that does not fit rejects the record."""
    return {field.name: _field(value.get(field.name), field) for field in fields}


def _field(value, field):
    if value is None:
        if field.required:
            raise Rejected("MISSING_FIELD", field.name)
        return None
    return READERS[field.kind](value, field)


def _string(value, field):
    if type(value) is not str:
        raise Rejected("WRONG_TYPE", field.name)
    return value


def _bool(value, field):
    if type(value) is not bool:
        raise Rejected("WRONG_TYPE", field.name)
    return value


def _integer(value, field):
    if type(value) not in (int, Decimal) or type(value) is Decimal and value != value.to_integral_value():
        raise Rejected("WRONG_TYPE", field.name)
    limit = INTEGERS[field.kind]
    if not -limit <= value < limit:
        raise Rejected("OUT_OF_RANGE", field.name)
    return int(value)


def _float(value, field):
    if type(value) not in (int, Decimal):
        raise Rejected("WRONG_TYPE", field.name)
    return float(value)


def _decimal(value, field):
    if type(value) not in (int, Decimal):
        raise Rejected("WRONG_TYPE", field.name)
    value = Decimal(value)
    if value and value.adjusted() + 1 + field.scale > MAX_DIGITS:
        raise Rejected("OUT_OF_RANGE", field.name)
    result = rounded(value, field.scale) if value else Decimal(0)
    if result != value and not field.round:
        raise Rejected("TOO_MANY_DIGITS", field.name)
    if abs(result) >= Decimal(10) ** (field.precision - field.scale):
        raise Rejected("OUT_OF_RANGE", field.name)
    return result


def _date(value, field):
    if type(value) is not str:
        raise Rejected("WRONG_TYPE", field.name)
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            raise ValueError(value)
        return datetime.date.fromisoformat(value)
    except ValueError:
        raise Rejected("BAD_DATE", field.name) from None


TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|z|[+-]\d{2}:\d{2})?", re.ASCII)


def _timestamp(value, field):
    """Microseconds since 1970; without a zone it is UTC."""
    if type(value) is not str:
        raise Rejected("WRONG_TYPE", field.name)
    parts = TIMESTAMP.fullmatch(value)
    try:
        if not parts:
            raise ValueError(value)
        day, clock, fraction, zone = parts.groups()
        zone = "+00:00" if zone in (None, "Z", "z") else zone
        whole = datetime.datetime.fromisoformat(f"{day}T{clock}{zone}")
    except ValueError:
        raise Rejected("BAD_TIMESTAMP", field.name) from None
    part = Decimal("0." + (fraction or "0")) * 1_000_000
    if part != int(part) and not field.round:
        raise Rejected("TOO_MANY_DIGITS", field.name)
    return micros_of(whole) + int(rounded(part, 0))


READERS = {
    "string": _string, "bool": _bool, "int32": _integer, "int64": _integer, "float64": _float,
    "decimal": _decimal, "date": _date, "timestamp": _timestamp,
}


def micros_of(moment):
    """Exact microseconds since 1970 of a datetime with a zone."""
    span = moment - EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def _unique(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice")
    return result


def _number(text):
    number = Decimal(text)
    if number.adjusted() > 300 and float(number) == float("inf"):
        raise ValueError("number out of range")
    return number


def _whole(text):
    return int(text) if len(text) < 4000 else _number(text)


def _refuse(text):
    raise ValueError(f"{text} is not JSON")


def _depth(value):
    """How many objects and arrays lie inside one another."""
    deepest, open_values = 0, [(value, 1)]
    while open_values:
        current, depth = open_values.pop()
        if isinstance(current, (dict, list)):
            deepest = max(deepest, depth)
            inner = current.values() if isinstance(current, dict) else current
            open_values.extend((item, depth + 1) for item in inner)
    return deepest


def _lone_surrogate(value):
    text = json.dumps(value, ensure_ascii=False, default=str)
    return any("\ud800" <= character <= "\udfff" for character in text)
