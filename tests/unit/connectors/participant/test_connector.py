"""`Participant.send`: what is published, what it leaves behind, what a failure of the bus says about a command."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from amends import Participant, Pending, StepRefused, StepUnavailable, StepUnknown
from amends.connectors.participant.wire import NoCommand, read_command
from amends.coordinator.attempt import Attempt, Undoing, attempting
from amends.coordinator.context import context_of
from amends.coordinator.errors import BusUnavailable, RecordTooLarge, UsageError
from amends.coordinator.loop_resources import close_all
from amends.coordinator.ports.bus import Outgoing, Place
from amends.schemas.events import EvidenceRecorded
from amends.schemas.ids import EffectKey
from amends.schemas.record import Record
from amends.testing import connector_kit

_ENDLESS: list[Any] = []
_ENDLESS.append(_ENDLESS)
AWAY = BusUnavailable("AM4101", "the broker is away", do="wait")


@dataclass(slots=True)
class Bus:
    """A bus that fails as it is told to, before or after it has taken the record."""

    refuses_start: Exception | None = None
    refuses: Exception | None = None
    stands_still: bool = False
    published: list[Outgoing] = field(default_factory=list)

    async def start(self) -> None:
        if self.refuses_start is not None:
            raise self.refuses_start

    async def publish(self, records: Sequence[Outgoing]) -> list[Place]:
        self.published += records
        if self.stands_still:
            await asyncio.Event().wait()
        if self.refuses is not None:
            raise self.refuses
        return [Place(topic=each.topic, partition=0, offset=0) for each in records]

    async def stop(self) -> None: ...


def attempt(bus: Bus | None, **changes: Any) -> Attempt:
    found = connector_kit.attempt_at(connector_kit.new_saga_id())
    return replace(found, commands=None if bus is None else lambda: bus, **changes)


async def sent(attempt: Attempt, body: object = "x", *, timeout_s: float = 5.0, **options: Any) -> Pending:
    shipping = Participant("shipping", commands="c", replies="r", timeout_s=timeout_s)
    with attempting(attempt):
        try:
            return await shipping.send(context_of(attempt), "book", body, **options)
        finally:
            await close_all()


def evidence(attempt: Attempt) -> list[tuple[str, str, str]]:
    return [(note.action, note.resource, note.status) for note in attempt.notes if isinstance(note, EvidenceRecorded)]


async def test_a_command_carries_what_the_participant_needs_and_leaves_evidence() -> None:
    bus = Bus()
    own = attempt(bus, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    pending = await sent(own, {"order": "A"}, timeout="5m")
    assert pending == Pending(correlation=f"shipping:{own.idempotency_key}", timeout="5m")
    (record,) = bus.published
    assert (record.topic, record.key, record.value) == ("c", own.saga_id.encode(), b'{"order":"A"}')
    command = read_command(Record(topic="c", partition=0, offset=0, value=record.value, headers=record.headers))
    assert (command.name, command.key, command.undoes) == ("book", own.idempotency_key, None)
    assert (command.correlation, command.reply_topic, command.epoch) == (pending.correlation, "r", own.epoch)
    assert command.traceparent == own.traceparent
    context = context_of(own)
    assert (command.namespace, command.saga) == (context.namespace, context.saga)
    assert (command.saga_id, command.attempt) == (own.saga_id, own.number)
    assert evidence(own) == [("book", "c", "published")]


async def test_an_undo_says_what_it_undoes() -> None:
    bus = Bus()
    undoing = Undoing(state="succeeded", idempotency_key=EffectKey("key-of-step"), external_id=None, argument_digest="")
    await sent(attempt(bus, undoing=undoing, role="undo", direction="undo"))
    assert dict(bus.published[0].headers)["amends-undoes"] == b"key-of-step"
    assert dict(bus.published[0].headers)["amends-direction"] == b"undo"


@pytest.mark.parametrize(
    ("bus", "error", "status"),
    [
        pytest.param(Bus(refuses_start=AWAY), StepUnavailable, "unavailable", id="not reached: nothing was published"),
        pytest.param(Bus(refuses=AWAY), StepUnknown, "lost", id="an acknowledgment that was lost"),
        pytest.param(Bus(stands_still=True), StepUnknown, "lost", id="a bus that stands still"),
        pytest.param(
            Bus(refuses=RecordTooLarge(topic="c", index=0, size_bytes=9)),
            StepRefused,
            "refused",
            id="a topic's refusal",
        ),
        pytest.param(None, StepUnavailable, "unavailable", id="no bus"),
    ],
)
async def test_what_a_failure_says(bus: Bus | None, error: type[Exception], status: str) -> None:
    own = attempt(bus)
    with pytest.raises(error):
        await sent(own, timeout_s=0.2)
    assert evidence(own) == [("book", "c", status)]
    assert bool(own.acted) == (error is StepUnknown)


@pytest.mark.parametrize(
    ("body", "options"),
    [
        pytest.param(object(), {}, id="what cannot be written as JSON"),
        pytest.param("x" * 1_000_000, {}, id="too much"),
        pytest.param({"weight": math.nan}, {}, id="what is no number"),
        pytest.param({"weight": -math.inf}, {}, id="what has no end"),
        pytest.param("\ud800", {}, id="half of a pair"),
        pytest.param(_ENDLESS, {}, id="what holds itself"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_anything_is(body: object, options: dict[str, Any]) -> None:
    bus = Bus()
    with pytest.raises(StepRefused):
        await sent(attempt(bus), body, **options)
    assert bus.published == []


async def test_a_text_that_looks_like_no_number_is_one() -> None:
    bus = Bus()
    await sent(attempt(bus), {"NaN": "Infinity"})
    assert bus.published[0].value == b'{"NaN":"Infinity"}'


async def test_what_may_not_act_sends_nothing() -> None:
    bus = Bus()
    with pytest.raises(StepRefused):
        await sent(attempt(bus, may_act=False, role="lookup"))
    assert bus.published == []


async def test_a_second_command_of_a_step_needs_a_name() -> None:
    own = attempt(Bus())
    await sent(own, "a")
    with pytest.raises(UsageError) as caught:
        await sent(own, "b")
    assert caught.value.code == "AM2004"
    assert (await sent(own, "b", part="second")).correlation != f"shipping:{own.idempotency_key}"


async def test_two_participants_asked_under_one_key_are_answered_for_apart() -> None:
    own = attempt(Bus())
    first = await sent(own)
    with attempting(own):
        other = await Participant("billing", commands="b", replies="r").send(context_of(own), "charge")
    assert first.correlation != other.correlation


async def test_who_does_not_know_the_key_is_awaited_under_another_for_each_request() -> None:
    forgetful = Participant("shipping", commands="c", replies="r", idempotent=False)
    found = []
    for number in (1, 2):
        own = attempt(Bus(), number=number)
        with attempting(own):
            pending = await forgetful.send(context_of(own), "book")
        found.append(pending.correlation.replace(own.idempotency_key, "KEY"))
    assert found == ["shipping:KEY:1", "shipping:KEY:2"]


async def test_outside_an_attempt_nothing_is_sent() -> None:
    own = attempt(Bus())
    with pytest.raises(UsageError) as caught:
        await Participant("shipping", commands="c", replies="r").send(context_of(own), "book")
    assert caught.value.code == "AM2001"


@pytest.mark.parametrize(
    "declare",
    [
        pytest.param(lambda: Participant("", commands="c", replies="r"), id="no name"),
        pytest.param(lambda: Participant("n" * 101, commands="c", replies="r"), id="a name that is too long"),
        pytest.param(lambda: Participant("\ud800", commands="c", replies="r"), id="a name with half of a pair"),
        pytest.param(lambda: Participant("s", commands="c\n", replies="r"), id="a topic of two lines"),
        pytest.param(lambda: Participant("s", commands="c", replies="c"), id="one topic for both"),
        pytest.param(lambda: Participant("s", commands="c", replies="r", timeout_s=0), id="no time"),
        pytest.param(lambda: Participant("s", commands="c", replies="r", idempotent="soon"), id="no duration"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declare: Callable[[], Participant]) -> None:
    with pytest.raises(UsageError) as caught:
        declare()
    assert caught.value.code == "AM2005"


def test_a_name_may_be_as_long_as_its_answers_keys_have_room_for() -> None:
    assert repr(Participant("n" * 100, commands="c", replies="r")) == f"Participant({'n' * 100!r})"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        pytest.param("idempotency-key", b"", id="no key"),
        pytest.param("amends-command", b"\xff", id="no text"),
        pytest.param("amends-epoch", b"-1", id="an epoch below 0"),
        pytest.param("amends-epoch", b"9" * 30, id="an epoch beyond all numbers"),
        pytest.param("amends-correlation", b"x" * 256, id="a correlation that is too long"),
        pytest.param("amends-reply-topic", b"a\0b", id="a topic with a NUL"),
    ],
)
async def test_a_record_that_lacks_what_a_command_has_is_none(header: str, value: bytes) -> None:
    bus = Bus()
    await sent(attempt(bus))
    headers = tuple((name, value if name == header else text) for name, text in bus.published[0].headers)
    with pytest.raises(NoCommand, match=header):
        read_command(Record(topic="c", partition=0, offset=0, value=b"{}", headers=headers))


@pytest.mark.parametrize(
    "header",
    ["idempotency-key", "amends-command", "amends-epoch", "amends-attempt", "amends-correlation", "amends-reply-topic"],
)
async def test_without_one_of_these_a_record_is_no_command(header: str) -> None:
    bus = Bus()
    await sent(attempt(bus))
    headers = tuple(each for each in bus.published[0].headers if each[0] != header)
    with pytest.raises(NoCommand, match=header):
        read_command(Record(topic="c", partition=0, offset=0, value=b"{}", headers=headers))


async def test_a_command_need_not_say_whose_it_is() -> None:
    bus = Bus()
    await sent(attempt(bus))
    own = ("amends-namespace", "amends-saga", "amends-saga-id", "amends-undoes", "traceparent", "amends-direction")
    headers = tuple(each for each in bus.published[0].headers if each[0] not in own)
    command = read_command(Record(topic="c", partition=0, offset=0, value=None, headers=headers))
    assert (command.namespace, command.saga, command.saga_id) == ("default", "", "")
    assert (command.undoes, command.traceparent, command.body) == (None, None, b"null")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"value": b"x" * 900_001}, "900001 bytes, 900000 are allowed", id="too much"),
        pytest.param({"unreadable": "its headers are no pairs"}, "no pairs", id="a record that cannot be read"),
    ],
)
async def test_what_cannot_be_taken_is_no_command(changes: dict[str, Any], why: str) -> None:
    bus = Bus()
    await sent(attempt(bus))
    record = Record(topic="c", partition=0, offset=0, value=b"x" * 900_000, headers=bus.published[0].headers)
    assert read_command(record).body == record.value
    with pytest.raises(NoCommand, match=why):
        read_command(replace(record, **changes))
