"""The tables at the end: medians, the smallest and largest beside them."""

from collections import Counter
from math import ceil
from statistics import median

COLUMNS = [
    ("events/s", "rate", "{:,.0f}"), ("cpu", "per_cpu_second", "{:,.0f}"), ("peak MB", "peak_mb", "{:.0f}"),
    ("first s", "first", "{:.2f}"), ("entries", "entries", "{:.0f}"), ("files", "files", "{:.0f}"),
]


def show(rounds):
    lines = ["| job | " + " | ".join(name for name, _, _ in COLUMNS) + " | checked |", "|---" * (len(COLUMNS) + 2) + "|"]
    for job in dict.fromkeys(one.job for one in rounds):
        own = [one for one in rounds if one.job == job]
        cells = [_cell([getattr(one, of) for one in own], form) for _, of, form in COLUMNS]
        checked = {True: "equal", None: "no"}[own[0].checked]
        lines.append(f"| {job} | " + " | ".join(cells) + f" | {checked} |")
    return "\n".join(lines)


def _cell(values, form):
    middle, least, most = (form.format(of(values)) for of in (median, min, max))
    return middle if least == most else f"{middle} ({least}-{most})"


BESIDE = [("events/s", "rate", "{:,.0f}"), ("cpu", "per_cpu_second", "{:,.0f}"), ("peak MB", "peak_mb", "{:,.0f}"),
          ("first s", "first", "{:.1f}"), ("files", "files", "{:.0f}")]


def beside(results):
    """Engines below each other, job by job, with Lakeward's multiple."""
    names = [name for name, _, _ in BESIDE]
    lines = ["| job | engine | " + " | ".join(names) + " | runs | x events/s | x cpu |", "|---" * (len(names) + 5) + "|"]
    for job in dict.fromkeys(one["job"] for one in results):
        ours = _of(results, job, "lakeward")
        for engine in dict.fromkeys(one["engine"] for one in results if one["job"] == job):
            runs = _of(results, job, engine)
            cells = [_cell([one[of] for one in runs], form) for _, of, form in BESIDE]
            more = ["", ""] if engine == "lakeward" or not ours else [_ratio(ours, runs, of) for of in ("rate", "per_cpu_second")]
            lines.append(f"| {job} | {engine} | " + " | ".join([*cells, str(len(runs)), *more]) + " |")
    return "\n".join(lines)


def _of(results, job, engine):
    return [one for one in results if one["job"] == job and one["engine"] == engine]


def _ratio(ours, theirs, of):
    return f"{median(one[of] for one in ours) / median(one[of] for one in theirs):.1f}"


def replace(page, name, text):
    """Puts `text` between the marks of `name` in a page."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = page.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} has no marks {begin.strip()} … {end.strip()}")
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")


def scaling(names, measured):
    """One line per case."""
    columns = [("events/s", "events_per_second"), ("cpu, ns per event", "cpu_ns_per_event"), ("peak MB", "peak_resident_mb")]
    lines = ["| case | " + " | ".join(name for name, _ in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, runs in zip(names, measured):
        lines.append(f"| {name} | " + " | ".join(_cell([one[of] for one in runs], "{:,.0f}") for _, of in columns) + " |")
    return "\n".join(lines)


SHARES = (0.5, 0.9, 0.99, 1)
BUCKET, LAST_BUCKET, BAR = 0.05, 20, 40


def latencies(seen):
    """One line per stretch, and how its waits for `kpi_1min` are spread."""
    heads = ["orders/s", "epochs", *(f"{of} {name}" for of in ("kpi_1min ms", "Silver s") for name in ("p50", "p90", "p99", "max")),
             "peak MB", "first row s", "Silver files", "per folder and epoch"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for one in seen:
        rate = f"{one.rate:,.0f}" + (f" ({one.stretch.note})" if one.stretch.note else "")
        cells = [rate, one.stretch.epoch_age, *(f"{wait * 1e3:.0f}" for wait in _percentiles(one.kpi)),
                 *(f"{wait:.2f}" for wait in _percentiles(one.silver)), f"{one.peak_mb:.0f}", f"{one.first:.2f}",
                 f"{one.files} after {one.stretch.seconds} s", str(one.most_per_leaf)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(["\n".join(lines), *(_histogram(one) for one in seen)]) if seen else ""


def _percentiles(waits):
    """The smallest wait that so large a share of the orders don't exceed."""
    ordered = sorted(waits)
    return [ordered[min(len(ordered), ceil(share * len(ordered))) - 1] for share in SHARES]


def _histogram(one):
    counts = Counter(min(int(wait / BUCKET), LAST_BUCKET) for wait in one.kpi)
    lines = ["", "```text", f"{one.rate:,.0f} orders/s, epochs of {one.stretch.epoch_age}: ms until kpi_1min shows an order, share of orders"]
    for bucket in range(max(counts) + 1):
        share = counts[bucket] / len(one.kpi)
        begin = f"{bucket * BUCKET * 1e3:5.0f}{'+' if bucket == LAST_BUCKET else ' '}"
        lines.append(f"{begin} {share:6.1%} {'#' * round(share * BAR)}".rstrip())
    return "\n".join([*lines, "```"])


def silent(one):
    return (f"Without orders: {one.share:.2%} of a core over {one.seconds} s. The first order afterwards is in `kpi_1min` after "
            f"{one.first * 1e3:.0f} ms; {len(one.next)} more, one by one: {_cell([wait * 1e3 for wait in one.next], '{:.0f}')} ms.")
