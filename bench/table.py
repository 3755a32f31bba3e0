"""The tables at the end: medians, the smallest and largest beside them."""

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
