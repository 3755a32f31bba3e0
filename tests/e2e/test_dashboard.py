"""The dashboard in a real browser shows what the mart holds, while events flow, and says what is wrong."""

import csv
import io
import json
import random
import re
import sqlite3
import threading
from decimal import Decimal

import psycopg

from browser import browser
from orders import VOCABULARY, produce
from other_feed import PARTITIONS
from other_feed import pipeline as other_pipeline
from other_feed import readings
from program import OPENER, free_port, wait_until

SCRIPT = "<script>window.broken = true</script>"
FORMULA = "=1+1"
BOARD = """
[dashboard]
title = "Readings <b>"
filters = ["shop", "ok"]

[[dashboard.tile]]
title = "Readings"
value = "count(*)"

[[dashboard.tile]]
title = "Colours"
value = "count(distinct colour)"

[[dashboard.chart]]
title = "Sizes over time"
kind = "stacked"
by = "size"
value = "count(*)"
every = "5m"

[[dashboard.chart]]
title = "Amounts"
kind = "histogram"
column = "amount"
width = 100
"""
EVENTS, MORE, SENT = 1_500, 1_500, 2_000


def made(count, first, seed):
    """Orders of few customers, so that most come again in another minute and category."""
    chance = random.Random(f"{seed}/{first}")
    for number in range(first, first + count):
        key = f"ORD{number:07}"
        order = {name: chance.choice(values) for name, values in VOCABULARY.items()}
        order["Category"] = chance.choice([*VOCABULARY["Category"], SCRIPT, None])
        order |= {
            "OrderID": key, "OrderDate": "2024-03-05", "CustomerID": f"CUST{chance.randrange(40):06}",
            "CustomerName": chance.choice([FORMULA, "Ann \"A\", B", "Zoë"]), "ProductID": "P00001", "ProductName": "Tripod",
            "Quantity": chance.randint(1, 5), "UnitPrice": 10.25, "Discount": 0, "Tax": 0, "ShippingCost": 0,
            "TotalAmount": chance.randint(100, 300_000) / 100, "SellerID": "SELL00001"}
        yield number % 3, key.encode(), json.dumps(order).encode(), 1_709_600_000_000 + number * 200, []


class Mart:
    def __init__(self, bench):
        self.connection = psycopg.connect(bench.mart_url, autocommit=True)

    def figures(self, where="true", *values):
        """Orders, revenue and customers of the rows."""
        sql = f"select count(*), coalesce(sum(totalamount), 0), count(distinct customerid) from orders_live where {where}"
        return self.connection.execute(sql, values).fetchone()

    def greatest(self, column):
        sql = f"select coalesce({column}, 'unknown'), sum(totalamount) from orders_live group by 1 order by 2 desc, 1 limit 1"
        return self.connection.execute(sql).fetchone()[0]


def shown(page):
    tiles = page.tiles()
    return int(tiles["Total orders"] or 0), Decimal(tiles["Total revenue"] or 0), int(tiles["Unique customers"] or 0)


def test_a_board_shows_what_the_mart_holds(new_bench, seed, tmp_path):
    bench = new_bench(mart="postgres", LAKEWARD_HTTP_LISTEN=f"127.0.0.1:{free_port()}")
    bench.pipeline.write_text(bench.pipeline.read_text().replace('last = "1h"\n', "", 1))
    owner = bench.start()
    owner.port = int(bench.settings["LAKEWARD_HTTP_LISTEN"].split(":")[1])
    owner.wait_for_role("owner", 30)
    with browser(tmp_path) as page:
        page.open(f"http://127.0.0.1:{owner.port}/")
        page.wait_for(".state strong", lambda text: "No rows" in text)
        produce(bench.servers.kafka, bench.topic, made(EVENTS, 0, seed))
        mart = Mart(bench)
        follow(page, mart, bench, seed)
        all_agree(page, mart, EVENTS + MORE)
        a_filter(page, mart, owner)
        the_looks(page)
        assert page.errors() == []
        a_dead_mart_is_named(page, bench, mart)
        a_lost_stream_comes_back(page, bench, owner)


def follow(page, mart, bench, seed):
    """While events flow, each number on the page lies between the mart's before and after."""
    page.wait_for(".tile .figure", lambda text: text == "1,500")
    sending = threading.Thread(
        target=produce, args=(bench.servers.kafka, bench.topic, list(made(MORE, EVENTS, seed)), 500))
    sending.start()
    seen = set()
    while sending.is_alive():
        # What is shown was read within the last two seconds.
        at = shown(page)
        after = mart.figures()
        assert at[0] <= after[0] and at[1] <= after[1] and at[2] <= after[2], f"{at} is ahead of {after}"
        seen.add(at[0])
        wait_until(lambda: shown(page) != at or not sending.is_alive(), 5, "a new number")
    sending.join()
    assert len(seen) >= 2, f"the page stood still at {seen}"


def all_agree(page, mart, orders):
    wait_until(lambda: shown(page) == mart.figures() and shown(page)[0] == orders, 15, lambda: f"{shown(page)} = {mart.figures()}")
    tiles = page.tiles()
    assert shown(page)[2] == 40, "a customer of many minutes and categories counts once"
    average = shown(page)[1] / orders
    assert abs(Decimal(tiles["Avg order value"]) - average) <= Decimal("0.00005")
    assert tiles["Top category"] == mart.greatest("category") and tiles["Top country"] == mart.greatest("country")
    assert page.text(".note-line") == "", "rows and windows agree"
    newest = mart.connection.execute("select orderid from orders_live order by kafka_timestamp desc limit 1").fetchone()[0]
    assert newest in page.text(".card tbody tr")


def a_filter(page, mart, owner):
    """Chosen in the bar: by a text that would be a script, then by a column that no KPI has."""
    page.run("document.querySelector('details.choice').open = true")
    page.wait_for(".choice label", lambda text: text.startswith(SCRIPT))
    page.run("[...document.querySelectorAll('.choice input')].find((box) => box.value === arguments[0]).click()", SCRIPT)
    wait_until(lambda: shown(page) == mart.figures("category = %s", SCRIPT), 15, lambda: f"{shown(page)}")
    assert page.tiles()["Top category"] == SCRIPT and SCRIPT in page.texts(".tile .figure")
    assert page.run("return window.broken") is None
    page.run("document.querySelector('.choice input[value=Returned]').click()")
    both = ("category = %s and orderstatus = 'Returned'", SCRIPT)
    wait_until(lambda: shown(page) == mart.figures(*both), 15, lambda: f"{shown(page)} = {mart.figures(*both)}")
    link = page.find("a[download]").get_attribute("href")
    with OPENER.open(link, timeout=30) as answer:
        text = answer.read().decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (len(rows), sum(Decimal(row["TotalAmount"]) for row in rows)) == mart.figures(*both)[:2]
    names = {row["CustomerName"] for row in rows}
    assert f"'{FORMULA}" in names and FORMULA not in names and 'Ann "A", B' in names
    assert text.endswith("\r\n") and text.count("\r\n") == len(rows) + 1
    page.run("[...document.querySelectorAll('form button')].find((b) => b.textContent === 'Clear filters').click()")
    wait_until(lambda: shown(page) == mart.figures(), 15, lambda: f"{shown(page)}")


def the_looks(page):
    """Both themes, a phone's width, and a table of numbers for each chart."""
    ground = "return getComputedStyle(document.body).backgroundColor"
    button = page.find("#theme")
    button.click()
    light = page.run(ground)
    button.click()
    assert button.text == "Theme: dark" and page.run(ground) != light
    page.run("document.querySelectorAll('details.data').forEach((details) => { details.open = true })")
    page.wait_for("details.data td", lambda text: text == SCRIPT)
    assert len(page.texts("details.data table")) == 7
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True})
    assert page.run("return document.documentElement.scrollWidth") <= 390
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def a_dead_mart_is_named(page, bench, mart):
    database = bench.mart_url.rsplit("/", 1)[1]
    mart.connection.close()
    with psycopg.connect(bench.servers.postgres, autocommit=True) as server:
        server.execute(f'alter database "{database}" with allow_connections false')
        try:
            server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])
            # Another selection is asked for anew.
            page.choose("#span", "7d")
            said = page.wait_for(".banner", lambda text: "Postgres" in text)
            assert said.startswith("MART_") and page.text("h1") == "Amazon sales"
        finally:
            server.execute(f'alter database "{database}" with allow_connections true')
    page.choose("#span", "all")
    wait_until(lambda: not page.find(".banner").is_displayed(), 15, "the banner goes")


def a_lost_stream_comes_back(page, bench, owner):
    owner.stop()
    page.wait_for("#live", lambda text: "Reconnecting" in text)
    again = bench.start()
    page.wait_for("#live", lambda text: text == "Live", 40)
    assert again.alive()


def test_another_feeds_file_makes_another_board(new_bench, seed, tmp_path):
    def text(name, topic):
        return other_pipeline(name, topic).replace("[[kpi]]", "[rows]\ntable = \"readings\"\n[[kpi]]", 1) + BOARD

    bench = new_bench(mart="sqlite", pipeline=text, partitions=PARTITIONS)
    produce(bench.servers.kafka, bench.topic, list(readings(SENT, seed)))
    with bench.running() as owner, browser(tmp_path) as page:
        page.open(f"http://127.0.0.1:{owner.port}/")
        wait_until(lambda: kept(owner) == held(bench)[0], 30, owner.tail)
        readings_shown, colours = held(bench)
        page.wait_for(".tile .figure", lambda text: text == f"{readings_shown:,}")
        assert readings_shown > 1_000 and page.tiles() == {"Readings": str(readings_shown), "Colours": str(colours)}
        assert page.text("h1") == "Readings <b>"
        assert page.texts("article h2") == ["Sizes over time", "Amounts"]
        assert page.texts(".choice summary") == ["shop", "ok"]
        the_last_verify(page, bench)
        assert page.errors() == []


def the_last_verify(page, bench):
    """On Trust: never, then what it found."""
    page.run("location.hash = '#/trust'")
    page.wait_for(".tile .figure", lambda text: text == "never verified")
    code, output = bench.command("verify")
    assert code == 0, output
    page.wait_for(".tile .figure", lambda text: text == "✓ nothing broken")
    assert len(page.texts("details.data tbody tr")) == 23


def kept(owner):
    """Rows that the process says it keeps, once it has read the topic; before, nothing that a mart could hold."""
    found = re.search(r'^lakeward_rows_total\{.*outcome="read"\} (\d+)$', owner.get("/metrics")[1], re.MULTILINE)
    told = re.search(r'^lakeward_rows_total\{.*outcome="kept"\} (\d+)$', owner.get("/metrics")[1], re.MULTILINE)
    return int(told[1]) if found and told and int(found[1]) == SENT else -1


def held(bench):
    """Readings and colours in the mart."""
    mart = sqlite3.connect(bench.mart_url.removeprefix("sqlite://"))
    try:
        return mart.execute("select count(*), count(distinct colour) from readings_raw").fetchone()
    finally:
        mart.close()
