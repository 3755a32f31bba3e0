"""The rules of the amazon-sales feed, by hand."""

from decimal import Decimal

from .feed import Check, Feed, Field, Kpi, Measure, Rejected, rounded

DAY = 86_400_000_000
MINUTE = 60_000_000

STRING_FIELDS = ["CustomerID", "CustomerName", "ProductID", "ProductName", "Category", "Brand"]
FIELDS = [
    Field("OrderID", "string", required=True),
    Field("OrderDate", "date", required=True),
    *(Field(name, "string") for name in STRING_FIELDS),
    Field("Quantity", "int32", required=True),
    Field("UnitPrice", "decimal", required=True, precision=10, scale=2, round=True),
    Field("Discount", "decimal", required=True, precision=4, scale=2, round=True),
    Field("Tax", "decimal", precision=10, scale=2, round=True),
    Field("ShippingCost", "decimal", precision=10, scale=2, round=True),
    Field("TotalAmount", "decimal", required=True, precision=12, scale=2, round=True),
    *(Field(name, "string") for name in ["PaymentMethod", "OrderStatus", "City", "State", "Country", "SellerID"]),
]
CHECKS = [
    Check("positive_quantity", lambda row: row["Quantity"] > 0, "filter"),
    Check("positive_amount", lambda row: row["TotalAmount"] > 0, "filter"),
]
DERIVED = ["year", "month", "Quarter", "DayOfWeek", "Revenue", "DiscountAmount", "NetRevenue"]
TYPES = {
    "OrderID": "string", "OrderDate": "date32[day]", "Quantity": "int32", "Discount": "decimal128(4, 2)",
    "UnitPrice": "decimal128(10, 2)", "Tax": "decimal128(10, 2)", "ShippingCost": "decimal128(10, 2)",
    "TotalAmount": "decimal128(12, 2)", "Revenue": "decimal128(12, 2)", "DiscountAmount": "decimal128(14, 4)",
    "NetRevenue": "decimal128(14, 4)", "TotalRevenue": "decimal128(18, 2)", "TotalNetRevenue": "decimal128(18, 4)",
    "AvgOrderValue": "decimal128(14, 4)", "TotalOrders": "int64", "UniqueCustomers": "int64",
    "window_start": "timestamp[us, tz=UTC]", "window_end": "timestamp[us, tz=UTC]",
    "kafka_timestamp": "timestamp[us, tz=UTC]", "processing_timestamp": "timestamp[us, tz=UTC]",
}
ROWS_COLUMNS = [
    "processing_timestamp", "OrderID", "OrderDate", "CustomerID", "CustomerName", "ProductID", "ProductName", "Category",
    "Brand", "Quantity", "UnitPrice", "Discount", "Tax", "ShippingCost", "TotalAmount", "Revenue", "DiscountAmount",
    "NetRevenue", "PaymentMethod", "OrderStatus", "City", "State", "Country", "SellerID", "kafka_topic",
    "kafka_partition", "kafka_offset", "kafka_timestamp", "kafka_incarnation",
]
MEASURES = [
    Measure("TotalOrders", "count", "OrderID"),
    Measure("TotalQuantity", "sum", "Quantity"),
    Measure("TotalRevenue", "sum", "TotalAmount"),
    Measure("TotalNetRevenue", "sum", "NetRevenue"),
    Measure("UniqueCustomers", "distinct", "CustomerID"),
]


def derive(row):
    day = row["OrderDate"]
    revenue = row["Quantity"] * row["UnitPrice"]
    discount = revenue * row["Discount"]
    if revenue >= 10**10:
        raise Rejected("OVERFLOW", "Revenue")
    row["year"], row["month"] = day.year, day.month
    row["Quarter"] = (day.month + 2) // 3
    row["DayOfWeek"] = day.isoweekday() % 7 + 1
    row["Revenue"], row["DiscountAmount"], row["NetRevenue"] = revenue, discount, revenue - discount


def finish_minute(row):
    row["AvgOrderValue"] = rounded(Decimal(row["TotalRevenue"]) / row["TotalOrders"], 4)


def finish_daily(row):
    row["day"] = row["window_start"] // DAY


def amazon_sales():
    window = ["window_start", "window_end"]
    totals = ["TotalOrders", "TotalQuantity", "TotalRevenue", "TotalNetRevenue"]
    minute = [*window, "Category", "Country", "PaymentMethod", *totals, "AvgOrderValue", "UniqueCustomers", "revision"]
    daily = ["Category", "Country", *totals, "UniqueCustomers", "revision"]
    return Feed(
        name="amazon-sales", topic="amazon-sales",
        fields=FIELDS, checks=CHECKS, derive=derive, derived_columns=DERIVED,
        kpis=[
            Kpi("kpi_1min", MINUTE, ["Category", "Country", "PaymentMethod"], MEASURES, finish_minute, minute,
                "gold/amazon_sales_aggregated", "kpi_1min", [*minute, "is_final"]),
            Kpi("kpi_daily", DAY, ["Category", "Country"], MEASURES, finish_daily, [*window, *daily],
                "gold/amazon_sales_daily", "kpi_daily", ["day", *daily, "is_final"]),
        ],
        bronze="bronze/amazon_sales", silver="silver/amazon_sales", quarantine="quarantine/amazon_sales",
        partition_by=["year", "month"], rows_table="orders_live", rows_columns=ROWS_COLUMNS, types=TYPES,
        out_of_orderness=10 * MINUTE,
    )
