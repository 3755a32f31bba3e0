"""What a run has left behind, in figures that must be the same whoever made it."""

import io
from decimal import Decimal

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recomputation.lake import visible

LAYERS = ("bronze/amazon_sales", "silver/amazon_sales", "gold/amazon_sales_aggregated")
CENT = Decimal("0.01")


def files(lake):
    """Files that readers see, by layer."""
    return {layer: visible(lake.files(layer), layer) for layer in LAYERS}


def figures(lake, mart_url, before):
    """Rows and revenue of each layer and table; of Gold the windows that end by `before`, a moment with a zone, since an
    engine is free to close the newest ones a little sooner or later."""
    bronze, silver, gold = files(lake).values()
    found = {"bronze rows": sum(lake.read(path).count(b"\n") for path in bronze)}
    rows = [_table(lake, path, ["TotalAmount"]) for path in silver]
    found["silver rows"] = sum(table.num_rows for table in rows)
    found["silver revenue"] = _sum(rows, "TotalAmount")
    windows = [_table(lake, path, ["window_end", "TotalOrders", "TotalRevenue"]) for path in gold]
    # Some write moments of a zone, some write UTC without saying so.
    ends = [table["window_end"].cast(pa.timestamp("us", "UTC")) for table in windows]
    closed = [table.filter(pc.less_equal(end, before)) for table, end in zip(windows, ends)]
    found["gold orders"] = sum(pc.sum(table["TotalOrders"]).as_py() or 0 for table in closed)
    found["gold revenue"] = _sum(closed, "TotalRevenue")
    if mart_url:
        found |= _mart_figures(mart_url)
    return found


def _mart_figures(url):
    with psycopg.connect(url) as connection:
        rows, revenue = connection.execute("select count(*), sum(totalamount) from orders_live").fetchone()
        orders, of_windows = connection.execute("select sum(totalorders), sum(totalrevenue) from kpi_1min").fetchone()
    return {"mart rows": rows, "mart revenue": _cents(revenue), "kpi orders": int(orders), "kpi revenue": _cents(of_windows)}


def _table(lake, path, columns):
    return pq.ParquetFile(io.BytesIO(lake.read(path))).read(columns)


def _sum(tables, column):
    return _cents(sum((Decimal(pc.sum(table[column]).as_py() or 0) for table in tables), Decimal(0)))


def _cents(value):
    return str(Decimal(value).quantize(CENT))
