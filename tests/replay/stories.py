"""Typical runs, played on the real engine and a store under a clock that jumps: what histories are recorded from."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from amends import Budget, Saga
from amends.coordinator.core.evolve import fold
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.testing.replies import Reply
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.canonical import encode
from amends.schemas.entry import decode
from amends.schemas.events import Resolution
from amends.schemas.instants import SECOND
from amends.schemas.message import Answer as Verdict
from amends.testing import fails, late, ok, raises, times_out, unavailable, unknown, world
from tests.replay.sagas import (
    Done,
    expecting_saga,
    long_saga,
    order_saga,
    pending_saga,
    read_back_saga,
    repeating_saga,
    waiting_saga,
)

Replies = Mapping[str, Reply | Iterable[Reply]]
Story = Callable[[], World]
WHO: Final = "kim"


def played(saga: Saga[Any], replies: Replies | None = None, *, gift: bool = False, until_s: int | None = None) -> World:
    """One trigger, played to its end or for so long."""
    installation = world(saga, replies=replies)
    installation.publish({"id": "R-77", "order": "A-12", "gift": gift})
    installation.run(until=None if until_s is None else installation.clock.now + until_s * SECOND)
    return installation


def decided(installation: World, resolution: Resolution, *, after_s: int = 600) -> World:
    """A person's decision about the parked run."""
    saga_id = installation.store.runs()[0].saga_id
    parked = fold(decode(stored.data) for stored in installation.store.entries_of(saga_id)).parked
    assert parked is not None, "the run is not parked"
    wish = wishes.Resolve(
        actor=WHO, saga_id=saga_id, step=parked.step, resolution=resolution, reason="looked at it", evidence="ticket 7"
    )
    return _wished(installation, wish, after_s)


def _wished(installation: World, wish: wishes.Wish, after_s: int) -> World:
    installation.clock.now += after_s * SECOND
    row = installation.store.runs()[0]
    message_id = f"wish-{row.version}"
    installation.store.put_inbox([InboxRow(shard=row.shard, message_id=message_id, body=wishes.write(wish))])
    installation.take_inbox()
    installation.run()
    return installation


def undone_to(installation: World, step: str, *, after_s: int = 600) -> World:
    """A person has the parked run undone as far as a step."""
    row = installation.store.runs()[0]
    wish = wishes.UndoTo(actor=WHO, saga_id=row.saga_id, step=step, reason="begin again from there")
    return _wished(installation, wish, after_s)


def cancelled() -> World:
    installation = played(order_saga(), {"charge": late(Done(id="ch_1"), after="20s")}, until_s=5)
    saga_id = installation.store.runs()[0].saga_id
    return _wished(installation, wishes.Cancel(actor=WHO, saga_id=saga_id, reason="changed their mind"), 1)


def killed() -> World:
    installation = played(order_saga(), {"charge": late(Done(id="ch_1"), after="20s")}, until_s=5)
    saga_id = installation.store.runs()[0].saga_id
    return _wished(installation, wishes.Kill(actor=WHO, saga_id=saga_id, reason="wrong order"), 1)


def rerun() -> World:
    """A run that was compensated, carried out anew."""
    installation = played(order_saga(), {"ship": [fails("no truck"), ok(Done(id="parcel_2"))]})
    saga_id = installation.store.runs()[0].saga_id
    return _wished(installation, wishes.Rerun(actor=WHO, saga_id=saga_id, reason="the truck is mended"), 600)


def queued() -> World:
    """A run that waits until another one of its order has ended."""
    slow = {"charge": late(Done(id="ch_1"), after="5s")}
    installation = played(order_saga(locks={"order": "order"}), slow, until_s=2)
    installation.publish({"id": "R-78", "order": "A-12", "gift": False})
    installation.run()
    return installation


def lock_released() -> World:
    """A parked run whose lock a person takes away, and which is resolved without it."""
    installation = played(order_saga(locks={"order": "order"}), REFUSED_UNDO)
    saga_id = installation.store.runs()[0].saga_id
    wish = wishes.Release(actor=WHO, saga_id=saga_id, key="order:A-12", reason="it will take weeks")
    return decided(_wished(installation, wish, 600), "retry")


def crashed(times: int, replies: Replies) -> World:
    installation = played(order_saga(), replies, until_s=2)
    for _ in range(times):
        installation.crash()
        installation.run(until=installation.clock.now + SECOND)
    installation.run()
    return installation


def waited(*, paid: bool) -> World:
    """A run that waits for a payment, which comes after an hour or never; then for ten minutes."""
    installation = played(waiting_saga(), until_s=3600)
    if paid:
        installation.send("payment", "A-12", Done(id="pay_1"), message_id="payment-1")
    installation.run(until=installation.clock.now + 7200 * SECOND)
    return installation


def answered(*answers: Verdict, cancelled: bool = False, replies: Replies | None = None) -> World:
    """A run whose booking is answered for, one request after the other; then its undo, if it comes to that."""
    installation = played(pending_saga(), replies, until_s=60)
    if cancelled:
        wish = wishes.Cancel(actor=WHO, saga_id=installation.store.runs()[0].saga_id, reason="not wanted")
        _wished(installation, wish, 1)
    for number, answer in enumerate(answers, 1):
        installation.send("booked", f"book-{number}", Done(id="slot_1"), answer=answer, reason="so it is")
        installation.run(until=installation.clock.now + 60 * SECOND)
    installation.send("cancelled", "cancel-1", answer="succeeded")
    installation.run(until=installation.clock.now + 7 * 3600 * SECOND)
    return installation


def answered_again(*answers: Verdict, body: object) -> World:
    """A run whose one request is answered for again and again."""
    installation = played(pending_saga(), until_s=60)
    for answer in answers:
        installation.send("booked", "book-1", body, answer=answer, reason="so it is")
        installation.run(until=installation.clock.now + 60 * SECOND)
    installation.run(until=installation.clock.now + 7 * 3600 * SECOND)
    return installation


def pending_under_one_key() -> World:
    """A run whose undo would be pending under the key that its step's answer had."""
    installation = played(pending_saga(one_key=True), {"bill": fails("no credit")}, until_s=60)
    installation.send("booked", "book-1", Done(id="slot_1"), answer="succeeded")
    installation.run(until=installation.clock.now + 3600 * SECOND)
    return installation


def read_back_cut_off(*, times: int) -> World:
    """A run whose worker dies again and again while it is read back after its end."""
    replies: Replies = {"charge.verify": [*(late(value=True, after="20s") for _ in range(times)), ok(value=True)]}
    installation = played(read_back_saga(), replies, until_s=7201)
    for _ in range(times):
        installation.crash()
        installation.run(until=installation.clock.now + SECOND)
    installation.run(until=installation.clock.now + 60 * SECOND)
    return installation


REFUSED_UNDO: Final[Replies] = {"ship": fails("no truck"), "charge.undo": [fails("account closed"), ok()]}
FETCHED: Final = ok(Done(id="a", note="fetched"))
REFUSED_ITEM: Final[Replies] = {"parcels/book": [ok(Done(id="b")), fails("too long for the van"), ok(Done(id="b"))]}

STORIES: Final[Mapping[str, Story]] = {
    "completed": lambda: played(order_saga()),
    "completed-with-a-gift": lambda: played(order_saga(), gift=True),
    "retried": lambda: played(order_saga(), {"reserve": [unavailable(), unavailable(), ok(Done(id="r"))]}),
    "compensated": lambda: played(order_saga(), {"ship": fails("no truck")}, gift=True),
    "compensated-without-effects": lambda: played(order_saga(), {"assess": fails("not ours")}),
    "undo-retried": lambda: played(order_saga(), {"ship": fails(), "reserve.undo": [unavailable(), ok()]}),
    "doubt-settled-by-key": lambda: played(order_saga(), {"reserve": [times_out(), ok(Done(id="res_1"))]}),
    "doubt-settled-present": lambda: played(
        order_saga(), {"charge": unknown(), "charge.lookup": [ok(None), ok(Done(id="ch_2"))]}
    ),
    "doubt-settled-absent": lambda: played(order_saga(), {"charge": [unknown(), ok(Done(id="ch_2"))]}),
    "doubt-in-the-drain": lambda: played(order_saga(), {"reserve": fails("sold out"), "charge": times_out()}),
    "undo-in-doubt": lambda: played(order_saga(), {"ship": fails(), "charge.undo": unknown()}),
    "raised": lambda: played(order_saga(), {"charge": raises(ValueError("bad reply"))}),
    "read-back-lags": lambda: played(
        order_saga(), {"charge.verify": [ok(value=False), raises(OSError("down")), ok(value=True)]}
    ),
    "read-back-denies": lambda: played(order_saga(), {"charge.verify": ok(value=False)}),
    "parked": lambda: played(order_saga(), REFUSED_UNDO),
    "parked-and-retried": lambda: decided(played(order_saga(), REFUSED_UNDO), "retry"),
    "parked-and-done-by-hand": lambda: decided(played(order_saga(), REFUSED_UNDO), "done_by_hand"),
    "parked-and-skipped": lambda: decided(played(order_saga(), REFUSED_UNDO), "skip"),
    "parked-and-sent-forward": lambda: decided(
        played(order_saga(), {**REFUSED_UNDO, "ship": [fails("no truck"), ok(Done(id="parcel_2"))]}), "go_forward"
    ),
    "parked-and-undone-to-a-step": lambda: undone_to(
        played(order_saga(), {**REFUSED_UNDO, "ship": [fails("no truck"), ok(Done(id="parcel_2"))]}), "assess"
    ),
    "undone-to-an-item": lambda: undone_to(
        played(repeating_saga(), {**REFUSED_ITEM, "parcels/book.undo": [fails("gone"), ok()]}), "parcels[0]/book"
    ),
    "parked-behind-the-pivot": lambda: decided(
        played(order_saga(), {"notify": [unavailable(), unavailable(), ok(Done(id="mail_2"))]}), "retry"
    ),
    "cancelled": cancelled,
    "killed-and-late": killed,
    "rerun": rerun,
    "queued": queued,
    "lock-released": lock_released,
    "deadline": lambda: played(order_saga(deadline="10s"), {"charge": late(Done(id="ch_1"), after="20s")}),
    "out-of-attempts": lambda: played(order_saga(budget=Budget(attempts=5))),
    "recovered": lambda: crashed(1, {"charge": [times_out(), ok(Done(id="ch_1"))]}),
    "poison": lambda: crashed(5, {"reserve": times_out()}),
    "external-payload": lambda: played(order_saga(), {"ship": ok(Done(id="parcel_1", note="long " * 20_000))}),
    "proven": lambda: played(expecting_saga(), {"is_paid": [unavailable(), ok(value=True)]}),
    "flagged": lambda: played(expecting_saga(), {"is_paid": raises(OSError("no bank")), "is_booked": ok(value=False)}),
    "read-back-late": lambda: played(read_back_saga(), until_s=3 * 3600),
    "read-back-late-denied": lambda: played(read_back_saga(), {"charge.verify": ok(value=False)}, until_s=3 * 3600),
    "undo-read-back-late": lambda: played(read_back_saga(), {"assess": fails("not ours")}, until_s=3 * 3600),
    "undo-read-back-late-denied": lambda: played(
        read_back_saga(), {"assess": fails("not ours"), "charge.undo.verify": ok(value=False)}, until_s=3 * 3600
    ),
    "read-back-late-cut-off": lambda: read_back_cut_off(times=1),
    "read-back-late-poison": lambda: read_back_cut_off(times=5),
    "undone-to-a-step-too-late": lambda: undone_to(
        played(order_saga(deadline="2s"), {**REFUSED_UNDO, "charge.undo": [fails("closed"), *[unavailable()] * 9]}),
        "assess",
    ),
    "waited": lambda: waited(paid=True),
    "waited-in-vain": lambda: waited(paid=False),
    "pending": lambda: answered("succeeded"),
    "pending-again": lambda: answered("unavailable", "succeeded"),
    "pending-refused": lambda: answered("refused"),
    "pending-undone": lambda: answered("succeeded", replies={"bill": fails("no credit")}),
    "pending-unanswered": answered,
    "pending-and-late": lambda: answered("succeeded", cancelled=True),
    "pending-answered-twice": lambda: answered_again("succeeded", "refused", body=Done(id="slot_1")),
    "pending-unknown-then-known": lambda: answered_again("unknown", "succeeded", body=Done(id="slot_1")),
    "pending-no-result": lambda: answered_again("succeeded", body={"slot": 1}),
    "pending-under-one-key": pending_under_one_key,
    "repeated": lambda: played(repeating_saga(), {"fetched/ask": [ok(Done(id="a")), FETCHED]}),
    "items-collected": lambda: played(repeating_saga(policy="collect"), {**REFUSED_ITEM, "fetched/ask": FETCHED}),
    "items-undone": lambda: played(repeating_saga(), REFUSED_ITEM),
    "rounds-used-up": lambda: played(repeating_saga(), {"fetched/ask": ok(Done(id="a"))}),
    "long": lambda: played(long_saga(), {"step59": fails("so close")}),
}


class History(NamedTuple):
    """What a file holds, and what stands beside it."""

    entries: tuple[bytes, ...]
    definition: bytes
    state: bytes


def history_of(installation: World) -> History:
    """The one run of an installation, as its store holds it."""
    row = installation.store.runs()[0]
    entries = tuple(stored.data for stored in installation.store.entries_of(row.saga_id))
    folded = fold(decode(data) for data in entries)
    return History(entries, encode(installation.sagas[0].form), encode(folded))
