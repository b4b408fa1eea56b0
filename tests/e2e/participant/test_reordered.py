"""Commands and replies that come late, in reverse, twice and again, over topics of two partitions."""

from dataclasses import replace

import pytest

from tests.e2e.kafka.installation import wait_for
from tests.e2e.participant.conftest import APP, Shop
from tests.e2e.participant.mail import Mail

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def mail(shop: Shop) -> Mail:
    """The way of commands."""
    prefix = shop.amends.prefix
    return Mail(amends=shop.amends, sent=f"{prefix}shipping.sent", to=f"{prefix}shipping.commands")


@pytest.fixture
def posted(shop: Shop, mail: Mail) -> Shop:
    """A shop whose commands do not reach the participant by themselves."""
    amends = replace(shop.amends, more={**shop.amends.more, "COMMANDS": mail.sent})
    amends.run("topics", "create", APP, "--partitions", 2)
    return replace(shop, amends=amends)


@pytest.mark.parametrize("shop", ["Kafka"], indirect=True)
def test_each_command_acts_once_and_none_after_its_undo(posted: Shop, mail: Mail) -> None:
    answers = f"{mail.amends.prefix}shipping.replies"
    replies = Mail(amends=mail.amends, sent=answers, to=answers)
    orders = {"A": "completed", "B": "completed", "C": "compensated", "D": "compensated"}

    def come_to(count: int, why: str) -> None:
        wait_for(lambda: len(mail.waiting) == count, why)

    with posted.serving(), posted.amends.started("worker", "worker", APP):
        posted.publish("D")
        come_to(1, "the booking of D is asked for")
        posted.amends.run("runs", "cancel", "orders/R-D", "--reason", "not wanted")
        come_to(2, "its undo is asked for, and does not wait for an answer")
        mail.carry()
        posted.ends(D="compensated")
        assert posted.moves() == {}, "what is cancelled before it is booked is never booked"

        posted.publish("A", "B")
        posted.publish("C", bill=False)
        come_to(5, "A, B and C are to be booked")
        mail.carry()
        come_to(6, "C is to be cancelled")
        mail.carry()
        posted.ends(**orders)
        mail.carry()
        replies.carry()
        posted.publish("E")
        come_to(7, "E is to be booked")
        mail.carry(in_order=True)  # Behind all that comes again.
        posted.ends(**orders, E="completed")
    assert posted.slots() == {"A", "B", "E"}
    assert posted.moves() == {("book", order): 1 for order in "ABCE"} | {("cancel", "C"): 1}
    assert posted.amends.json("dead-letters", "list") == []
    assert posted.amends.json("audit", "verify", "--all")["ok"]
