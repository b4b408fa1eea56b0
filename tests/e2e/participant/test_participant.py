"""A participant in a process of its own: what is booked is what completed, whoever dies, and whatever comes twice."""

import pytest

from tests.e2e.kafka.installation import wait_for
from tests.e2e.participant.conftest import APP, Shop

pytestmark = pytest.mark.timeout(180)

DEATHS = ["in the transaction", "before the reply", "after the reply"]


def test_what_is_booked_is_what_completed(shop: Shop) -> None:
    with shop.serving(), shop.amends.started("worker", "worker", APP):
        shop.publish("A", "refused-B")
        shop.publish("C", bill=False)
        shop.ends(A="completed", refused_B="compensated", C="compensated")
    assert shop.slots() == {"A"}
    assert shop.moves() == {("book", "A"): 1, ("book", "C"): 1, ("cancel", "C"): 1}
    shown = shop.amends.json("runs", "show", "orders/R-A")
    (book,) = (step for step in shown["steps"] if step["path"] == "book")
    assert (book["status"], book["attempts"]) == ("done", 1)
    assert shop.amends.json("audit", "verify", "--all")["ok"]


@pytest.mark.parametrize("die_at", DEATHS)
def test_a_participant_that_dies_acts_once_all_the_same(shop: Shop, die_at: str) -> None:
    with shop.amends.started("worker", "worker", APP):
        with shop.serving(die_at=die_at) as process:
            shop.publish("A", "B")
            wait_for(lambda: process.poll() is not None, f"it dies {die_at}")
        with shop.serving():
            shop.ends(A="completed", B="completed")
    assert shop.slots() == {"A", "B"}
    assert shop.moves() == {("book", "A"): 1, ("book", "B"): 1}


def test_a_participant_that_dies_in_an_undo_undoes_once_all_the_same(shop: Shop) -> None:
    with shop.amends.started("worker", "worker", APP):
        with shop.serving(die_at="in the undo") as process:
            shop.publish("A", bill=False)
            wait_for(lambda: process.poll() is not None, "it dies in the undo")
        with shop.serving():
            shop.ends(A="compensated")
    assert shop.slots() == set()
    assert shop.moves() == {("book", "A"): 1, ("cancel", "A"): 1}


def test_an_answer_finds_a_run_whose_worker_was_killed_while_it_was_pending(shop: Shop) -> None:
    with shop.amends.started("worker", "worker", APP) as worker:
        shop.publish("A")
        shop.ends(A="waiting")
        worker.kill()
        worker.wait(10)
    with shop.serving():
        wait_for(lambda: shop.is_open() and shop.slots() == {"A"}, "it is booked")
        assert shop.statuses() == {"A": "waiting"}
        with shop.amends.started("again", "worker", APP):
            shop.ends(A="completed")
    assert shop.moves() == {("book", "A"): 1}


def test_a_run_that_is_cancelled_while_nobody_serves_is_undone_when_somebody_does(shop: Shop) -> None:
    with shop.amends.started("worker", "worker", APP):
        shop.publish("A")
        shop.ends(A="waiting")
        shop.amends.run("runs", "cancel", "orders/R-A", "--reason", "not wanted")
        shop.ends(A="compensating")
        with shop.serving():
            shop.ends(A="compensated")
    assert shop.slots() == set()


def test_a_command_that_nobody_answers_is_sent_again_under_its_key(shop: Shop) -> None:
    impatient = Shop(
        amends=type(shop.amends)(
            folder=shop.amends.folder,
            store=shop.amends.store,
            bus=shop.amends.bus,
            prefix=shop.amends.prefix,
            more={**shop.amends.more, "PENDING_WITHIN": "6s"},
        ),
        folder=shop.folder,
    )

    def attempts() -> int:
        shown = impatient.amends.json("runs", "show", "orders/R-A")
        return next(int(step["attempts"]) for step in shown["steps"] if step["path"] == "book")

    with impatient.amends.started("worker", "worker", APP):
        impatient.publish("A")
        wait_for(lambda: bool(impatient.statuses()), "it begins")
        wait_for(lambda: attempts() > 1, "it is sent again")
        with impatient.serving():
            impatient.ends(A="completed")
    assert impatient.slots() == {"A"}
    assert impatient.moves() == {("book", "A"): 1}


def test_garbage_among_the_replies_is_a_dead_letter_and_the_rest_goes_on(shop: Shop) -> None:
    replies = f"{shop.amends.prefix}shipping.replies"
    with shop.serving(), shop.amends.started("worker", "worker", APP):
        for value in ('"nonsense"', '{"correlation_key":"k","type":"t","answer":"perhaps"}'):
            shop.amends.run("publish", replies, "--json", value)
        shop.publish("A")
        shop.ends(A="completed")
    letters = shop.amends.json("dead-letters", "list")
    assert [(each["topic"], each["reason"]) for each in letters] == [(replies, "invalid")] * 2


def test_garbage_among_the_commands_keeps_nobody_up(shop: Shop) -> None:
    commands = f"{shop.amends.prefix}shipping.commands"
    with shop.serving(), shop.amends.started("worker", "worker", APP):
        shop.amends.run("publish", commands, "--json", '"nonsense"')
        shop.publish("A")
        shop.ends(A="completed")
    assert shop.slots() == {"A"}
