"""The table at the end: medians per job, the smallest and largest beside them."""

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
