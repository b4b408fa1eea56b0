"""The published orders hold what the demo is to show, whichever order they are worked off in."""

import json
from collections import Counter
from decimal import Decimal

from amends.examples.shop.inventory import GOODS
from tests.e2e.shop.orders import FILE, decoded, published

PRICES = {sku: price for sku, _, price, _ in GOODS}
OPENING = {sku: opening for sku, _, _, opening in GOODS}
SOLD_OUT = {"A-1009", "A-1030"}
CARDS_THAT_FAIL = ("0002", "9995", "0503", "0500", "0104", "0408", "0077")
DOMAINS_THAT_FAIL = ("nowhere", "greylisted", "flaky")


def test_there_are_forty_records_of_which_thirty_one_can_be_carried_out() -> None:
    assert len(FILE.read_bytes().splitlines()) == 40
    assert len(published()) == 31


def test_each_total_is_the_sum_of_its_lines_at_the_price_of_the_goods() -> None:
    for order in published():
        prices = [Decimal(line["unit_price"]) * int(line["quantity"]) for line in order["lines"]]
        assert Decimal(order["total"]) == sum(prices) + Decimal(order["shipping"]), order["order_id"]
        assert all(line["unit_price"] == PRICES[line["sku"]] for line in order["lines"])


def test_there_are_duplicates_a_conflict_and_records_that_are_no_orders() -> None:
    under: dict[str, list[object]] = {}
    for record in decoded():
        under.setdefault(record["request_id"], []).append(record)
    again = {key: records for key, records in under.items() if len(records) > 1}
    assert sorted(records[0] == records[1] for records in again.values()) == [False, True, True, True]
    assert 40 - sum(1 for _ in decoded()) == 2  # One was cut off, one says NaN.
    assert [record["order_id"] for record in decoded() if record["request_id"] is None] == ["A-1027"]
    assert [record["order_id"] for record in decoded() if "lines" not in record] == ["A-1017"]
    assert [record["order_id"] for record in decoded() if '"three"' in json.dumps(record)] == ["A-1024"]
    assert [record["order_id"] for record in decoded() if record["currency"] == "CHF"] == ["A-1032"]


def test_what_is_sold_out_is_so_in_any_order_of_work() -> None:
    wanted: Counter[str] = Counter()
    for order in published():
        goods = Counter({line["sku"]: int(line["quantity"]) for line in order["lines"]})
        if order["order_id"] in SOLD_OUT:
            assert any(quantity > OPENING[sku] for sku, quantity in goods.items())
        else:
            wanted += goods
    assert all(quantity <= OPENING[sku] for sku, quantity in wanted.items())


def test_every_fault_of_the_participants_meets_an_order() -> None:
    cards = Counter(order["card"][-4:] for order in published())
    domains = Counter(order["customer"]["email"].rpartition("@")[2].partition(".")[0] for order in published())
    assert {ending: cards[ending] for ending in CARDS_THAT_FAIL} == {
        "0002": 2, "9995": 1, "0503": 1, "0500": 1, "0104": 1, "0408": 1, "0077": 1,
    }  # fmt: skip
    assert {domain: domains[domain] for domain in DOMAINS_THAT_FAIL} == {"nowhere": 3, "greylisted": 1, "flaky": 1}
