"""`tail` shows a table's rows as it shows a layer's, whatever the mart."""

import json
from decimal import Decimal

import pytest

from orders import Mix, orders, produce
from program import wait_until

USAGE = 2


@pytest.fixture(params=["postgres", "sqlite"])
def begun(request, new_bench, seed):
    bench = new_bench(mart=request.param)
    produce(bench.servers.kafka, bench.topic, orders(900, seed, Mix(years=(2024, 2024))))
    bench.once()
    return bench


def test_a_table_of_rows_has_the_values_of_silver(begun):
    silver = {at(row): row for row in tail(begun, "--layer", "silver", "-n", "10000")}
    shown = tail(begun, "--table", "orders_live", "-n", "25")
    assert len(shown) == 25
    times = [row["kafka_timestamp"] for row in shown]
    assert times == sorted(times), "the newest row is the last one"
    assert times[-1] == max(row["kafka_timestamp"] for row in silver.values())
    for row in shown:
        kept = {name.lower(): value for name, value in silver[at(row)].items()}
        assert {name: kept[name] for name in row} == row


def test_a_table_of_a_kpi_says_what_is_final_and_holds_golds_values(begun):
    gold = {window(row): row for row in tail(begun, "--layer", "gold/kpi_1min", "-n", "10000")}
    shown = tail(begun, "--table", "kpi_1min", "-n", "10000")
    final = [row for row in shown if row["is_final"] is True]
    assert len(final) == len(gold) > 0
    assert any(row["is_final"] is False for row in shown)
    for row in final:
        kept = gold[window(row)]
        shared = {name: value for name, value in row.items() if name in kept and name != "processing_timestamp"}
        assert "totalrevenue" in shared and shared == {name: kept[name] for name in shared}


def test_what_is_not_there_is_named_with_what_is(begun):
    for option, wrong, known in [("--table", "orders_lvie", "orders_live"), ("--layer", "slver", "silver")]:
        code, text = begun.command("tail", option, wrong)
        assert code == USAGE and wrong in text and known in text, f"{code}: {text}"


def test_rows_that_come_are_followed(begun, seed):
    follower = begun.begin("tail", "--table", "orders_live", "-n", "5", "--follow")
    wait_until(lambda: follower.log().count("\n") >= 5, 30, follower.tail)
    produce(begun.servers.kafka, begun.topic, orders(300, seed, Mix(years=(2024, 2024)), first=900))
    begun.once()
    newest = tail(begun, "--table", "orders_live", "-n", "1")[0]["orderid"]
    wait_until(lambda: newest in follower.log(), 30, follower.tail)
    assert follower.alive()


def tail(bench, *arguments):
    code, text = bench.command("tail", *arguments)
    assert code == 0, text
    lines = [json.loads(line, parse_float=Decimal) for line in text.splitlines()]
    if "gold" in arguments[1]:
        return [{name.lower(): value for name, value in line.items()} for line in lines]
    return lines


def at(row):
    return row["kafka_incarnation"], row["kafka_partition"], row["kafka_offset"]


def window(row):
    return row["window_start"], row["category"], row["country"], row["paymentmethod"]
