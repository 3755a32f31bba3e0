"""Equal or different: counts by sink, with the first differences of each kept for reading."""

from collections import defaultdict

SHOWN = 5


class Comparison:
    def __init__(self):
        self.equal = defaultdict(int)
        self.different = defaultdict(list)
        self.counts = defaultdict(int)

    def same(self, sink, subject, expected, actual):
        """Notes whether one thing is as expected."""
        if expected == actual and type(expected) is type(actual):
            self.equal[sink] += 1
        else:
            self.differ(sink, f"{subject}: expected {expected!r}, found {actual!r}")

    def differ(self, sink, what):
        """`what` is a text, or a function that gives it, called only for the differences that are shown."""
        self.counts[sink] += 1
        if len(self.different[sink]) < SHOWN:
            self.different[sink].append(what() if callable(what) else what)

    def rows(self, sink, expected, actual, explain=None):
        """Rows by identity. `actual` yields (identity, row); `expected` maps identity to the row or to its digest.

        Missing, extra, repeated and changed rows are told apart. `explain(identity)` gives the expected row of a digest.
        """
        left = dict(expected)
        for identity, row in actual:
            if identity not in left:
                kind = "is there twice" if identity in expected else "should not be there"
                self.differ(sink, f"{identity} {kind}: {row!r}")
                continue
            wanted = left.pop(identity)
            if wanted == (digest(row) if isinstance(wanted, Digest) else row):
                self.equal[sink] += 1
            else:
                self.differ(sink, lambda: f"{identity} differs: {_changes(_full(wanted, identity, explain), row)}")
        for identity in left:
            self.differ(sink, f"{identity} is missing")

    def failed(self):
        return any(self.counts.values())

    def table(self):
        sinks = list(dict.fromkeys([*self.equal, *self.counts]))
        width = max(map(len, sinks), default=4)
        lines = [f"{'sink':<{width}}  {'equal':>10}  {'different':>10}"]
        for sink in sinks:
            lines.append(f"{sink:<{width}}  {self.equal[sink]:>10}  {self.counts[sink]:>10}")
            lines.extend(f"    {what}" for what in self.different[sink])
        return "\n".join(lines)


class Digest(int):
    """Stands for a row so that a million of them fit into memory."""


def digest(row):
    return Digest(hash(row))


def _full(wanted, identity, explain):
    return explain(identity) if explain and isinstance(wanted, Digest) else wanted


def _changes(expected, actual):
    if not isinstance(expected, tuple) or len(expected) != len(actual):
        return f"expected {expected!r}, found {actual!r}"
    pairs = [(i, e, a) for i, (e, a) in enumerate(zip(expected, actual)) if e != a]
    return "; ".join(f"column {i} expected {e!r}, found {a!r}" for i, e, a in pairs[:SHOWN])
