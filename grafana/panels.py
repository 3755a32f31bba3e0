"""How a panel, a row and a dashboard look as Grafana's JSON. What they show stands in boards/."""

PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
MART = {"type": "grafana-postgresql-datasource", "uid": "mart"}
WIDTH = 24


def query(expr, legend="", instant=False):
    """A PromQL query; `instant`: its newest value only."""
    return {"datasource": PROMETHEUS, "expr": expr, "legendFormat": legend, "instant": instant, "range": not instant}


def sql(text, series=False):
    """A query of the mart; `series`: its first column is the time."""
    return {"datasource": MART, "rawSql": " ".join(text.split()), "rawQuery": True, "editorMode": "code",
            "format": "time_series" if series else "table"}


def stat(title, about, target, unit="short", steps=((None, "green"),), width=4, text=False, calcs=("lastNotNull",)):
    """One number, or one text. `steps`: from which value on which colour."""
    options = {"reduceOptions": {"calcs": list(calcs), "fields": "/.*/" if text else "", "values": False},
               "colorMode": "value", "graphMode": "none", "textMode": "value" if text else "auto", "justifyMode": "auto"}
    return _panel("stat", title, about, [target], width, 4, options, _defaults(unit, steps))


def lines(title, about, *targets, unit="short", width=12, stacked=False, minimum=0):
    """Figures over time."""
    defaults = _defaults(unit)
    defaults |= {"color": {"mode": "palette-classic"}}
    if minimum is not None:
        defaults |= {"min": minimum}
    defaults["custom"] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if stacked else 5, "showPoints": "never",
                          "stacking": {"mode": "normal" if stacked else "none", "group": "A"}}
    options = {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    return _panel("timeseries", title, about, targets, width, 8, options, defaults)


def bars(title, about, target, unit="short", width=8):
    """One bar per row of a table: a text and a number."""
    options = {"orientation": "horizontal", "legend": {"displayMode": "hidden", "showLegend": False}, "xTickLabelSpacing": 0}
    return _panel("barchart", title, about, [target], width, 8, options, _defaults(unit))


def pie(title, about, target, unit="short", width=8):
    options = {"pieType": "donut", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": True},
               "legend": {"displayMode": "table", "placement": "right", "values": ["percent"]}}
    return _panel("piechart", title, about, [target], width, 8, options, _defaults(unit))


def scatter(title, about, target, unit="short", width=12):
    """A point per row: its first number to the right, its second upwards."""
    options = {"mapping": "auto", "series": [{}], "legend": {"displayMode": "hidden", "showLegend": False},
               "tooltip": {"mode": "single"}}
    defaults = _defaults(unit) | {"custom": {"show": "points", "pointSize": {"fixed": 4}}}
    return _panel("xychart", title, about, [target], width, 8, options, defaults)


def histogram(title, about, target, unit="short", width=12):
    options = {"bucketCount": 30, "combine": False, "legend": {"displayMode": "hidden", "showLegend": False}}
    return _panel("histogram", title, about, [target], width, 8, options, _defaults(unit))


def table(title, about, target, width=WIDTH, height=10):
    options = {"showHeader": True, "cellHeight": "sm"}
    return _panel("table", title, about, [target], width, height, options, _defaults("none"))


def variable(name, label, of, where=""):
    """A choice among the values of a label, all at first."""
    ask = f"label_values({of}{where}, {name})"
    return _variable(name, label, PROMETHEUS, {"query": ask, "refId": name}, ask) | {"allValue": ".*"}


def sql_variable(name, label, text):
    return _variable(name, label, MART, text, text)


def dashboard(uid, title, about, rows, variables, refresh="5s", since="now-30m"):
    """`rows`: (title, panels), top to bottom; panels go left to right and wrap."""
    return {
        "uid": f"lakeward-{uid}", "title": f"Lakeward: {title}", "description": about, "tags": ["lakeward"],
        "schemaVersion": 41, "version": 1, "editable": False, "graphTooltip": 1, "timezone": "utc", "refresh": refresh,
        "time": {"from": since, "to": "now"}, "templating": {"list": list(variables)}, "annotations": {"list": []},
        "links": [{"title": "Lakeward", "type": "dashboards", "tags": ["lakeward"], "asDropdown": True, "keepTime": True,
                   "includeVars": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}],
        "panels": _placed(rows),
    }


def _placed(rows):
    panels, top = [], 0
    for title, of_row in rows:
        panels.append({"type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}})
        top, left, height = top + 1, 0, 0
        for panel in of_row:
            w, h = panel["gridPos"]["w"], panel["gridPos"]["h"]
            if left + w > WIDTH:
                top, left, height = top + height, 0, 0
            panels.append(panel | {"gridPos": {"x": left, "y": top, "w": w, "h": h}})
            left, height = left + w, max(height, h)
        top += height
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _panel(kind, title, about, targets, width, height, options, defaults):
    named = [{"refId": "ABCDEFGH"[n], **target} for n, target in enumerate(targets)]
    return {"type": kind, "title": title, "description": about, "datasource": targets[0]["datasource"], "targets": named,
            "gridPos": {"x": 0, "y": 0, "w": width, "h": height}, "options": options,
            "fieldConfig": {"defaults": defaults, "overrides": []}}


def _defaults(unit, steps=((None, "green"),)):
    return {"unit": unit, "thresholds": {"mode": "absolute", "steps": [{"color": c, "value": v} for v, c in steps]}}


def _variable(name, label, source, ask, definition):
    return {"name": name, "label": label, "type": "query", "datasource": source, "query": ask, "definition": definition,
            "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "current": {"text": "All", "value": "$__all"}}
