"""Bronze, Silver, Gold and Quarantine against what they must hold, from the files that a directory listing shows."""

import base64
import json
import re
from datetime import timedelta
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from .decode import EPOCH, NO_OBJECT, NO_OBJECT_CODES
from .lake import visible

START = re.compile(rb'\{"_*topic":"[^"]*","_*partition":(\d+),"_*offset":(\d+),"_*kafka_incarnation":(\d+),')
BREAKS = bytes.maketrans(b"\r\n", b"  ")


def check_files(comparison, lake, layer, folder, live):
    """Visible files are those that the log names, with its lengths (I5). Returns them."""
    sizes = {path: size for path, size in lake.files(folder).items() if path in visible([path], folder)}
    comparison.rows(f"{layer} files", {path: file["length"] for path, file in live.items()}, sizes.items())
    return sorted(sizes)


def bronze_line(topic, record):
    """(coordinates, rest) of a record's line: what is said of it, and the payload's own bytes after its opening brace."""
    coordinates = {
        "topic": topic, "partition": record.partition, "offset": record.offset,
        "kafka_incarnation": record.incarnation,
        "kafka_timestamp": moment(record.timestamp), **_texts("kafka_key", record.key),
    }
    if record.headers:
        coordinates["kafka_headers"] = [_header(name, value) for name, value in record.headers]
    if record.value is None:
        coordinates["tombstone"] = True
        return canonical(coordinates), b"}"
    return canonical(coordinates), record.value.translate(BREAKS).split(b"{", 1)[1]


def moment(milliseconds):
    """Kafka's time as lines spell it; None where the record has none."""
    if milliseconds == -1:
        return None
    time = EPOCH + timedelta(milliseconds=milliseconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S") + f".{milliseconds % 1000:03}Z"


def _texts(name, value):
    """{name: text}, or {name_base64: …} for bytes that are no text."""
    try:
        return {name: None if value is None else value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def _header(name, value):
    return {"key": name, **_texts("value", value)}


def bronze_rows(lake, paths, rest_lengths):
    """Yields (identity, (coordinates as JSON, rest)) of each line; `rest_lengths` knows where the rest begins."""
    for path in paths:
        for number, line in enumerate(_lines(lake, path)):
            start = START.match(line)
            if not start:
                yield (path, number), line[:200]
                continue
            identity = int(start[3]), int(start[1]), int(start[2])
            yield identity, _split(line, rest_lengths.get(identity, 0))


def _split(line, length):
    """The line cut before its last `length` bytes; the first part, without its comma, completed to an object."""
    head, rest = line[: len(line) - length], line[len(line) - length:]
    has_fields = rest.strip() != b"}"
    try:
        whole = json.loads((head[:-1] if has_fields else head) + b"}")
    except ValueError:
        return line[:300]
    coordinates = {name.lstrip("_"): value for name, value in whole.items()}
    if has_fields != head.endswith(b",") or not coordinates.pop("ingestion_timestamp", None):
        return line[:300]
    return canonical(coordinates), rest


def canonical(coordinates):
    """The same coordinates as the same value, whatever their order."""
    if "kafka_headers" in coordinates:
        coordinates["kafka_headers"] = json.dumps(coordinates["kafka_headers"], sort_keys=True)
    return tuple(sorted(coordinates.items()))


def quarantine_rows(lake, paths):
    """Yields (identity, (reason, field, payload, rest of the line)) of each line."""
    for path in paths:
        for number, line in enumerate(_lines(lake, path)):
            try:
                told = json.loads(line)
                text = told.get("payload")
                payload = text.encode() if text is not None else base64.b64decode(told["payload_base64"])
                row = (*_reason(told), payload, told["topic"], told["kafka_timestamp"])
                yield (told["kafka_incarnation"], told["partition"], told["offset"]), row
            except (ValueError, KeyError) as error:
                yield (path, number), (f"unreadable: {error!r}", line[:300])


def _reason(told):
    """(code, field); why exactly a payload is no JSON object is a matter of the parser."""
    if told["reason"] in NO_OBJECT_CODES:
        return NO_OBJECT, None
    return told["reason"], told["field"]


def parquet_rows(lake, paths, folder, columns, types, comparison, sink, ignored=(), lacking=lambda path: ()):
    """Yields each row as a tuple in the order of `columns`, partition columns taken from the folders' names.

    Times come as microseconds and dates as days since 1970, decimals as Decimal. `lacking(path)` names the columns that
    came later than the file: its rows have NULL there. A file whose column has another type than `types` says, or whose
    schema differs from that of others of its time, is a difference (I22).
    """
    seen = {}
    for path in paths:
        table = pq.read_table(pa.BufferReader(lake.read(path)))
        leaf, later = _leaf(path, folder), frozenset(lacking(path))
        schema = {field.name: _plain(field.type) for field in table.schema}
        if later not in seen:
            seen[later] = schema
            there = [name for name in [*columns, *ignored] if name not in later]
            _check_schema(comparison, sink, schema, leaf, there, types)
        elif schema != seen[later]:
            comparison.differ(f"{sink} schema", f"{path} has the schema {schema}, the files before it {seen[later]}")
        nulls = [None] * table.num_rows
        yield from zip(*(nulls if name in later else _values(table, leaf, name, types) for name in columns))


def _check_schema(comparison, sink, schema, leaf, columns, types):
    comparison.same(f"{sink} schema", "columns of files and folders", sorted(columns), sorted({*schema, *leaf}))
    for name in leaf:
        if name in schema:
            comparison.differ(f"{sink} schema", f"partition column {name} is in the file too")
    for name, kind in schema.items():
        if name in types:
            comparison.same(f"{sink} schema", f"type of {name}", types[name], kind)


def _leaf(path, folder):
    """{column: text} of a file's hive folders."""
    parts = path[len(folder.rstrip("/")) + 1:].split("/")[:-1]
    pairs = (part.split("=", 1) for part in parts)
    return {name: unquote(value) for name, value in pairs}


def _plain(kind):
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _values(table, leaf, name, types):
    if name in leaf:
        text = None if leaf[name] == "__HIVE_DEFAULT_PARTITION__" else leaf[name]
        number = types.get(name) != "string" and text is not None and re.fullmatch(r"-?\d+", text)
        value = int(text) if number else text
        return [value] * table.num_rows
    if name not in table.schema.names:
        return [f"no column {name}"] * table.num_rows
    column = table.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    elif pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    return column.to_pylist()


def _lines(lake, path):
    """Lines end with a line feed and with nothing else; the last one too."""
    body = lake.read(path)
    lines = body.split(b"\n")
    last = lines.pop()
    if last:
        lines.append(b"(no line feed at the end) " + last)
    return lines
