"""The tables of the built-in feed, from the mart. The range of time is Kafka's time of the orders."""

from panels import bars, dashboard, histogram, lines, pie, scatter, sql, sql_variable, stat, table

FILTERS = ("category", "country", "paymentmethod", "orderstatus")
NONE = "(none)"


def chosen(*columns):
    return " and ".join(f"coalesce({c}, '{NONE}') in (${{{c}:sqlstring}})" for c in columns)


ORDERS = f"from orders_live where $__timeFilter(kafka_timestamp) and {chosen(*FILTERS)}"


def per_minute(figure):
    return sql(f"select date_trunc('minute', kafka_timestamp) as time, {figure} {ORDERS} group by 1 order by 1", series=True)


def top(column, limit=10):
    return sql(f"select coalesce({column}, '{NONE}') as {column}, sum(totalamount) as revenue {ORDERS} "
               f"group by 1 order by 2 desc limit {limit}")


def leader(column):
    return sql(f"select coalesce({column}, '{NONE}') as {column} {ORDERS} group by 1 order by sum(totalamount) desc limit 1")


BOARD = dashboard(
    "sales", "sales", "Orders of the feed amazon-sales in the mart.",
    [
        ("In the range of time", [
            stat("Total orders", "Orders in the range and the filters.", sql(f"select count(*) as orders {ORDERS}")),
            stat("Total revenue", "Sum of TotalAmount.",
                 sql(f"select coalesce(sum(totalamount), 0) as revenue {ORDERS}"), "currencyUSD"),
            stat("Average order value", "Revenue divided by orders.",
                 sql(f"select coalesce(sum(totalamount) / nullif(count(*), 0), 0) as average {ORDERS}"), "currencyUSD"),
            stat("Unique customers", "An exact count over the whole selection.",
                 sql(f"select count(distinct customerid) as customers {ORDERS}")),
            stat("Top category", "By revenue.", leader("category"), "none", text=True),
            stat("Top country", "By revenue.", leader("country"), "none", text=True),
        ]),
        ("Per minute", [
            lines("Revenue per minute", "Sum of TotalAmount by Kafka's time.",
                  per_minute("sum(totalamount) as revenue"), unit="currencyUSD"),
            lines("Orders per minute", "By Kafka's time.", per_minute("count(*) as orders")),
        ]),
        ("Who buys what", [
            bars("Top categories", "By revenue.", top("category"), "currencyUSD"),
            pie("Payment methods", "Orders by how they are paid.",
                sql(f"select coalesce(paymentmethod, '{NONE}') as paymentmethod, count(*) as orders {ORDERS} group by 1 order by 2 desc")),
            pie("Status", "Orders by status.",
                sql(f"select coalesce(orderstatus, '{NONE}') as orderstatus, count(*) as orders {ORDERS} group by 1 order by 2 desc")),
            scatter("Revenue and quantity", "The newest thousand orders.",
                    sql(f"select quantity, totalamount as revenue {ORDERS} order by kafka_timestamp desc limit 1000")),
            histogram("Order amounts", "The newest ten thousand orders.",
                      sql(f"select totalamount {ORDERS} order by kafka_timestamp desc limit 10000"), "currencyUSD"),
        ]),
        ("Orders", [
            table("Newest orders", "As they come; previews before their commit too.",
                  sql("select kafka_timestamp, orderid, customername, productname, category, quantity, totalamount, "
                      f"paymentmethod, orderstatus, city, country {ORDERS} order by kafka_timestamp desc limit 50")),
        ]),
    ],
    [sql_variable(c, label, f"select distinct coalesce({c}, '{NONE}') from orders_live order by 1")
     for c, label in zip(FILTERS, ("Category", "Country", "Payment method", "Status"), strict=True)],
    refresh="5s", since="now-1h",
)
