"""Orders for the amazon-sales feed, the same for the same seed, made without the product's own generator."""

import json
import random
import time
import zlib
from dataclasses import dataclass

from confluent_kafka import Producer

MINUTE = 60_000
# 22:30 UTC, so that a span of a few hours passes midnight and daily windows close.
BEGIN = 1_700_000_000_000 // 86_400_000 * 86_400_000 + 22 * 60 * MINUTE + 30 * MINUTE
VOCABULARY = {
    "Category": ["Books", "Clothing", "Electronics", "Home & Kitchen", "Sports & Outdoors", "Toys & Games"],
    "Brand": ["Apex", "BrightLux", "HomeEase", "KiddoFun", "ReadMore", "UrbanStyle", "Zenith"],
    "PaymentMethod": ["Amazon Pay", "Cash on Delivery", "Credit Card", "Debit Card", "Net Banking", "UPI"],
    "OrderStatus": ["Cancelled", "Delivered", "Pending", "Returned", "Shipped"],
    "Country": ["Australia", "Canada", "India", "United Kingdom", "United States"],
    "City": ["Washington", "São Paulo", "Fort Worth", "Αθήνα", "Austin \"South\""],
    "State": ["DC", "TX", None],
}
REMEMBERED = 200


@dataclass
class Mix:
    """What the orders are like. Ratios are of all events; `span` is milliseconds of event time.

    Silver has a leaf for each month of the `years`: fewer of them where many epochs would make many files.
    """

    bad: float = 0.01
    duplicate: float = 0.01
    late: float = 0.01
    filtered: float = 0.005
    tombstone: float = 0.001
    span: int = 180 * MINUTE
    partitions: int = 3
    years: tuple = (2020, 2024)


def orders(count, seed, mix=Mix(), first=0, total=None):
    """Yields (partition, key, value, timestamp in ms, headers) for events `first .. first + count` of `total`."""
    chance = random.Random(f"{seed}/{first}")
    recent = []
    for number in range(first, first + count):
        time_ms = BEGIN + number * mix.span // (total or first + count)
        key, value = f"ORD{number:07}", None
        dice = chance.random()
        for kind in ("bad", "duplicate", "late", "filtered", "tombstone"):
            dice -= getattr(mix, kind)
            if dice < 0:
                break
        else:
            kind = "plain"
        if kind == "duplicate" and recent:
            key, value = chance.choice(recent)
        elif kind != "tombstone":
            order = _order(key, chance, mix.years)
            if kind == "filtered":
                order[chance.choice(["Quantity", "TotalAmount"])] = 0
            value = _spoiled(order, chance) if kind == "bad" else json.dumps(order, ensure_ascii=False).encode()
        if kind == "late":
            time_ms -= chance.randrange(12, 120) * MINUTE
        if kind == "plain":
            recent.append((key, value))
            del recent[:-REMEMBERED]
        headers = [("trace", bytes([number % 256])), ("empty", None)] if number % 997 == 0 else []
        yield zlib.crc32(key.encode()) % mix.partitions, key.encode(), value, time_ms, headers


def produce(brokers, topic, messages, rate=None, stop=None):
    """Sends all, in order, acknowledged; `rate` in events per second. Returns how many. `stop()` ends it early."""
    producer = Producer({
        "bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4",
        "queue.buffering.max.messages": 200_000, "log_level": 2})
    failed, sent, began = [], 0, time.monotonic()

    def told(error, _message):
        if error:
            failed.append(error)

    for partition, key, value, time_ms, headers in messages:
        while True:
            try:
                producer.produce(
                    topic, value, key, partition, timestamp=time_ms, headers=headers, on_delivery=told)
                break
            except BufferError:
                producer.poll(0.1)
        sent += 1
        if sent % 50 == 0:
            producer.poll(0)
            if stop and stop():
                break
            ahead = sent / rate - (time.monotonic() - began) if rate else 0
            if ahead > 0:
                time.sleep(ahead)
    assert producer.flush(120) == 0, "Kafka did not acknowledge all orders within 120 s"
    assert not failed, failed[:3]
    return sent


def _order(order_id, chance, years):
    quantity = chance.randint(1, 5)
    price = chance.randint(500, 60_000) / 100
    discount = chance.randrange(0, 7) * 5 / 100
    tax, shipping = chance.randint(0, 10_000) / 100, chance.randint(0, 2_000) / 100
    order = {
        "OrderID": order_id,
        "OrderDate": f"{chance.randint(*years)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
        "CustomerID": f"CUST{chance.randrange(50_000):06}", "CustomerName": chance.choice(["Vihaan Sharma", "Zoë", ""]),
        "ProductID": f"P{chance.randint(1, 50):05}", "ProductName": "Drone Mini",
        **{name: chance.choice(VOCABULARY[name]) for name in ("Category", "Brand")},
        # With the noise of binary floating point, as producers in Python send it.
        "Quantity": quantity, "UnitPrice": price, "Discount": discount, "Tax": tax, "ShippingCost": shipping,
        "TotalAmount": quantity * price * (1 - discount) + tax + shipping,
        **{name: chance.choice(VOCABULARY[name]) for name in ("PaymentMethod", "OrderStatus", "City", "State", "Country")},
        "SellerID": f"SELL{chance.randrange(2_000):05}",
    }
    if chance.random() < 0.002:
        order["Category"] = None
    if chance.random() < 0.002:
        order["Coupon"] = {"code": "X", "of": [1, 2]}
    return order


def _spoiled(order, chance):
    """One of the ways in which a record cannot be taken."""
    text = json.dumps(order)
    changed = {
        "missing": {name: value for name, value in order.items() if name != "TotalAmount"},
        "null": {**order, "OrderID": None}, "text": {**order, "Quantity": "3"}, "fraction": {**order, "Quantity": 1.5},
        "range": {**order, "Quantity": 2**31}, "digits": {**order, "UnitPrice": 10**9}, "day": {**order, "OrderDate": "2023-02-30"},
        "optional": {**order, "City": 7}, "large": {**order, "Category": "x" * 1100},
    }
    raw = {
        "cut": text[: len(text) // 2].encode(), "empty": b"", "blank": b"  ", "array": b"[" + text.encode() + b"]",
        "two": text.encode() * 2, "utf8": b'{"OrderID":"\xff\xfe"}', "twice": b'{"OrderID":"a","OrderID":"b"}',
        "nan": text.replace('"Tax": ', '"Tax": NaN, "x": ').encode(), "bom": b"\xef\xbb\xbf" + text.encode(),
    }
    kind = chance.choice([*changed, *raw])
    return raw[kind] if kind in raw else json.dumps(changed[kind]).encode()
