"""What a participant does with a command, on each database: once, again, after its undo, from an owner of the past."""

import math
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
from pydantic import BaseModel, Field

from amends.connectors.participant.handlers import Handler
from amends.connectors.participant.inbox import CommandInbox
from amends.connectors.participant.ledger import DueReply
from amends.connectors.participant.wire import Command, reply_record
from amends.connectors.sql.connections import database_of
from amends.coordinator.errors import UsageError
from amends.participant import Service, StepRefused, StepUnavailable, Transaction
from amends.schemas.incoming import read
from amends.schemas.record import Record


class Order(BaseModel):
    order: str


class Booking(BaseModel):
    slot: str


SERVICE = Service("shipping", commands="c", replies="r", database="sqlite:///unused.db")


@SERVICE.on("book", external_id="slot")
def book(tx: Transaction, order: Order, command: Command) -> Booking:
    tx.execute("INSERT INTO slots (sku) VALUES (?)", (order.order,))
    if order.order == "refused":
        raise StepRefused("no truck")
    if order.order == "unavailable":
        raise StepUnavailable("closed today")
    if order.order == "raises":
        raise ValueError("a value of a customer")
    return Booking(slot=f"{order.order}-{command.epoch}")


@SERVICE.on("cancel")
def cancel(tx: Transaction, order: Order) -> None:
    booking = tx.step_result(Booking)
    assert booking.slot.startswith(order.order)
    tx.execute("DELETE FROM slots WHERE sku = ?", (order.order,))


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Its own database, with its own table."""
    if request.param == "SQLite":
        sqlite3.connect(tmp_path / "shipping.db").close()
        found = f"sqlite:///{tmp_path}/shipping.db"
    else:
        found = str(request.getfixturevalue("postgres"))
    run(found, "CREATE TABLE slots (sku TEXT PRIMARY KEY)")
    return found


@pytest.fixture
def inbox(url: str) -> Iterator[CommandInbox]:
    found = CommandInbox("shipping", url, SERVICE._handlers)
    yield found
    found.close()


def run(url: str, statement: str) -> list[dict[str, Any]]:
    with closing(database_of("test", url, 1).connect(timeout_s=5)) as session:
        session.begin(read_only=False, timeout_s=5)
        rows, _ = session.run(statement, ())
        session.commit()
    return rows


def slots(url: str) -> list[str]:
    return [row["sku"] for row in run(url, "SELECT sku FROM slots ORDER BY sku")]


def command(
    order: str = "A", key: str = "k", *, name: str = "book", undoes: str | None = None, epoch: int = 1
) -> Command:
    return Command(
        name=name,
        body=f'{{"order":"{order}"}}'.encode(),
        key=key,
        undoes=undoes,
        epoch=epoch,
        correlation=key,
        reply_topic="r",
        saga_id="s",
        namespace="default",
        saga="order",
        attempt=1,
    )


def undo(order: str = "A", *, key: str = "u", undoes: str = "k", epoch: int = 1) -> Command:
    return command(order, key, name="cancel", undoes=undoes, epoch=epoch)


def answered(inbox: CommandInbox) -> list[tuple[str, str, bytes]]:
    due = inbox.due()
    inbox.sent(due)
    return [_told(each) for each in sorted(due, key=lambda each: each.reply.key)]


def _told(due: DueReply) -> tuple[str, str, bytes]:
    return due.reply.key, due.reply.answer, due.reply.body


def test_a_command_is_carried_out_once_and_its_reply_sent_as_often_as_it_is_asked_for(
    inbox: CommandInbox, url: str
) -> None:
    assert inbox.take(command()) == "worked"
    first = inbox.due()
    assert [(each.reply.external_id, each.reply.correlation, each.topic) for each in first] == [("A-1", "k", "r")]
    assert answered(inbox) == [("k", "succeeded", b'{"slot":"A-1"}')]
    assert inbox.due() == []
    assert inbox.take(command(epoch=2)) == "repeated"
    assert answered(inbox) == [("k", "succeeded", b'{"slot":"A-1"}')]
    assert slots(url) == ["A"]


@pytest.mark.parametrize(
    ("order", "answer", "reason"),
    [
        pytest.param("refused", "refused", "no truck", id="it refuses"),
        pytest.param("unavailable", "unavailable", "closed today", id="it cannot now"),
        pytest.param(
            "raises", "unavailable", "ValueError; all of it was rolled back", id="it raises, without its text"
        ),
    ],
)
def test_what_failed_took_all_back_and_stays_so_under_its_key(
    inbox: CommandInbox, url: str, order: str, answer: str, reason: str
) -> None:
    assert inbox.take(command(order)) == "worked"
    (due,) = inbox.due()
    assert (due.reply.answer, due.reply.reason, due.reply.body) == (answer, reason, b"null")
    inbox.sent([due])
    assert inbox.take(command("A")) == "repeated", "whoever asks anew after a failure has another key"
    assert answered(inbox) == [("k", answer, b"null")]
    assert slots(url) == []


def test_what_the_data_do_not_allow_is_refused(inbox: CommandInbox, url: str) -> None:
    inbox.take(command())
    answered(inbox)
    inbox.take(command(key="k2"))
    assert answered(inbox) == [("k2", "refused", b"null")]
    assert slots(url) == ["A"]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        pytest.param(b'{"order":7}', "book", id="another type"),
        pytest.param(b"{", "book", id="no JSON"),
        pytest.param(b'{"order":"A"}', "fetch", id="a command that is not there"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(inbox: CommandInbox, url: str, body: bytes, name: str) -> None:
    wrong = command()
    wrong = Command(**{field: getattr(wrong, field) for field in wrong.__slots__} | {"body": body, "name": name})
    inbox.take(wrong)
    assert answered(inbox) == [("k", "refused", b"null")]
    assert slots(url) == []


def test_an_undo_undoes_what_was_done_and_is_answered_for_once(inbox: CommandInbox, url: str) -> None:
    inbox.take(command())
    assert inbox.take(undo()) == "worked"
    assert slots(url) == []
    answered(inbox)
    assert inbox.take(undo()) == "repeated"
    assert answered(inbox) == [("u", "succeeded", b"null")]


def test_an_undo_that_comes_first_makes_the_late_command_be_refused(inbox: CommandInbox, url: str) -> None:
    assert inbox.take(undo()) == "nothing_to_undo"
    assert inbox.take(command()) == "undone_before"
    assert inbox.take(command()) == "undone_before"
    assert answered(inbox) == [("k", "refused", b"null"), ("u", "succeeded", b"null")]
    assert slots(url) == []


@pytest.mark.parametrize("order", ["refused", "unavailable"])
def test_there_is_nothing_to_undo_of_what_failed(inbox: CommandInbox, url: str, order: str) -> None:
    inbox.take(command(order))
    assert inbox.take(undo(order)) == "nothing_to_undo"
    assert inbox.take(command(order)) == "undone_before"
    assert slots(url) == []


def test_a_command_after_its_undo_is_refused(inbox: CommandInbox, url: str) -> None:
    inbox.take(command())
    inbox.take(undo())
    assert inbox.take(command()) == "undone_before"
    assert inbox.take(command()) == "undone_before"
    assert answered(inbox) == [("k", "refused", b"null"), ("u", "succeeded", b"null")]
    assert slots(url) == []


@pytest.mark.parametrize(
    ("before", "why"),
    [
        pytest.param([undo()], "its undo came first", id="its undo came first"),
        pytest.param([command(), undo(), undo(key="u2")], "it was undone", id="it was undone, and again"),
    ],
)
def test_a_late_command_is_told_why_it_is_refused(inbox: CommandInbox, before: list[Command], why: str) -> None:
    for each in before:
        inbox.take(each)
    inbox.sent(inbox.due())
    inbox.take(command())
    assert [due.reply.reason for due in inbox.due()] == [why]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(command(epoch=2), command(epoch=1), id="a command under the same key"),
        pytest.param(undo(epoch=2), command(epoch=1), id="a command whose undo a newer one asked for"),
        pytest.param(command(epoch=2), undo(epoch=1), id="an undo of what a newer one asked for"),
    ],
)
def test_an_owner_of_the_past_is_neither_obeyed_nor_answered(
    inbox: CommandInbox, url: str, first: Command, then: Command
) -> None:
    inbox.take(first)
    answered(inbox)
    before = slots(url)
    assert inbox.take(then) == "fenced"
    assert (answered(inbox), slots(url)) == ([], before)


def test_a_reply_tells_what_came_of_its_command_though_that_was_undone_before_it_was_published(
    inbox: CommandInbox,
) -> None:
    inbox.take(command())
    inbox.take(undo())
    assert answered(inbox) == [("k", "succeeded", b'{"slot":"A-1"}'), ("u", "succeeded", b"null")]


def test_a_reply_that_was_not_published_is_due_after_a_restart(inbox: CommandInbox, url: str) -> None:
    inbox.take(command())
    with closing(CommandInbox("shipping", url, {})) as again:
        assert [each.reply.key for each in again.due()] == ["k"]


def test_a_reply_that_is_asked_for_while_it_is_published_is_sent_there_too(inbox: CommandInbox) -> None:
    inbox.take(command())
    first = inbox.due()
    inbox.take(replace(command(), correlation="k:2"))
    inbox.sent(first)
    assert [each.reply.correlation for each in inbox.due()] == ["k:2"]
    inbox.sent(inbox.due())
    assert inbox.due() == []


def test_only_the_same_reply_to_the_same_question_is_the_same_message(inbox: CommandInbox) -> None:
    inbox.take(command())
    (first,) = inbox.due()
    inbox.take(command())
    inbox.take(command("B", "k2"))
    again, other = inbox.due()
    asked_anew = replace(first.reply, correlation="k:2")
    ids = [each.message_id("shipping") for each in (first.reply, again.reply, other.reply, asked_anew)]
    assert ids[0] == ids[1]
    assert len({*ids, first.reply.message_id("billing")}) == 4


class Weighed(BaseModel):
    slot: str
    weight: float = 1.0
    hidden: str = Field(default="x", exclude=True)


def _exits() -> NoReturn:
    sys.exit(3)


def _says_nothing() -> NoReturn:
    raise StepRefused("")


def _refuses() -> NoReturn:
    raise StepRefused("no \ud800\0\x1b[2J truck")


@pytest.mark.parametrize(("name", "found"), [("slot", "7"), ("lot", None)])
def test_the_external_id_may_stand_in_a_plain_object(name: str, found: str | None, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "shipping.db").close()
    service = Service("shipping", commands="c", replies="r", database=f"sqlite:///{tmp_path}/shipping.db")

    @service.on("book", external_id=name)
    def book(tx: Transaction, order: Order) -> dict[str, int]:
        return {"slot": 7}

    with closing(CommandInbox("shipping", f"sqlite:///{tmp_path}/shipping.db", service.handlers)) as inbox:
        inbox.take(command())
        assert [due.reply.external_id for due in inbox.due()] == [found]


HOSTILE: Final[dict[str, tuple[Callable[[], Weighed], str, str | None]]] = {
    "an id that is empty": (lambda: Weighed(slot=""), "succeeded", None),
    "an id with a NUL": (lambda: Weighed(slot="a\0b"), "succeeded", None),
    "an id with control characters": (lambda: Weighed(slot="a\x1b[31m\n\u202eb"), "succeeded", None),
    "an id with half of a pair": (lambda: Weighed(slot="a", hidden="\ud800"), "succeeded", None),
    "a result with half of a pair": (lambda: Weighed(slot="\ud800"), "unavailable", "PydanticSerializationError"),
    "a result that nobody can read": (lambda: Weighed(slot="a", weight=math.nan), "unavailable", "ValidationError"),
    "a result of many bytes": (lambda: Weighed(slot="é" * 600_000), "refused", "its result is 1200"),
    "a reason with all of that": (_refuses, "refused", "no \ufffd\ufffd\ufffd[2J truck"),
    "no reason at all": (_says_nothing, "refused", "no reason given"),
    "a handler that ends its process": (_exits, "unavailable", "SystemExit"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_whatever_a_handler_comes_to_its_reply_can_be_read(what: str, url: str) -> None:
    does, answer, reason = HOSTILE[what]
    service = Service("shipping", commands="c", replies="r", database=url)

    @service.on("book", external_id="hidden" if "pair" in what else "slot")
    def book(tx: Transaction, order: Order) -> Weighed:
        tx.execute("INSERT INTO slots (sku) VALUES (?)", (order.order,))
        return does()

    with closing(CommandInbox("shipping", url, service._handlers)) as inbox:
        assert inbox.take(command()) == "worked"
        (due,) = inbox.due()
    record = reply_record(due.reply, topic="r", participant="s" * 255, at=0, traceparent=None)
    message = read(Record(topic="r", partition=0, offset=0, key=record.key, value=record.value, headers=record.headers))
    assert message.answer == answer
    assert (message.reason or "").startswith(reason or "")
    assert (message.external_id or "").isprintable()
    assert slots(url) == (["A"] if answer == "succeeded" else [])


async def _waits(tx: Transaction, order: Order) -> None: ...


def _untyped(tx: Transaction, order) -> None: ...  # type: ignore[no-untyped-def]


def _endless(tx: Transaction, order: Order): ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    "declare",
    [
        pytest.param(lambda: Service("", commands="c", replies="r", database="d"), id="no name"),
        pytest.param(lambda: Service("s\x1b", commands="c", replies="r", database="d"), id="a control character"),
        pytest.param(lambda: Service("s", commands="", replies="r", database="d"), id="no topic of commands"),
        pytest.param(lambda: Service("s", commands="c", replies=[], database="d"), id="no topic of replies"),
        pytest.param(lambda: SERVICE.on("b" * 256)(book), id="a command whose name is too long"),
        pytest.param(lambda: SERVICE.on("book")(book), id="a second handler"),
    ],
)
def test_a_service_that_cannot_work_is_refused_where_it_is_declared(declare: Callable[[], Any]) -> None:
    with pytest.raises(UsageError) as caught:
        declare()
    assert caught.value.code == "AM2005"


def _named(tx: Transaction, order: Order, *, command: Command) -> None: ...


def _any(tx: Transaction, *orders: Order) -> None: ...


@pytest.mark.parametrize("function", [_waits, _untyped, _endless, _named, _any, lambda: None])
def test_a_handler_that_cannot_work_is_refused_where_it_is_declared(function: Callable[..., Any]) -> None:
    with pytest.raises(UsageError) as caught:
        Handler.of("shipping", "book", function, None)
    assert caught.value.code == "AM2005"
