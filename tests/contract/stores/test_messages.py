"""Messages and waits, on every store: whichever comes second finds the other, one message meets one wait."""

import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from amends.coordinator.ports.rows import ANSWER, AwaitedRow, DeadLetterRow, MessageRow
from amends.coordinator.ports.store import Store
from amends.schemas import wishes
from tests.contract.stores.builders import Owner, change, letter, run, saga_id

LONG_AGO: Final = 1_000_000
FAR: Final = 4_000_000_000_000_000


def sent(name: str = "m1", key: str = "A-12", **changes: Any) -> MessageRow:
    row = MessageRow(
        message_id=name,
        correlation_key=key,
        type="Arrival",
        body='{"pallets":3}',
        topic="amends.messages",
        received_at=LONG_AGO,
        expires_at=FAR,
        actor="kim",
    )
    return msgspec.structs.replace(row, **changes)


def wait(
    name: str = "a", key: str = "A-12", *, path: str = "goods", shard: int = 0, kind: str = "Arrival"
) -> AwaitedRow:
    return AwaitedRow(saga_id=saga_id(name), path=path, shard=shard, correlation_key=key, type=kind)


class Waits:
    """Runs whose waits begin and end in appends."""

    def __init__(self, store: Store) -> None:
        self.owner = Owner(store)
        self._versions: dict[str, int] = {}

    def begin(self, *waits: AwaitedRow, name: str = "a") -> None:
        self._append(name, awaited=waits)

    def end(self, *waits: AwaitedRow, name: str = "a") -> None:
        self._append(name, not_awaited=tuple((each.saga_id, each.path) for each in waits))

    def give_back(self, message: MessageRow, *, inbox_done: tuple[str, ...] = (), name: str = "a") -> None:
        self._append(name, given_back=(message,), inbox_done=inbox_done)

    def refuse(self, message_id: str, waits: AwaitedRow, *, inbox_done: tuple[str, ...], name: str = "a") -> None:
        self._append(name, refused=(message_id,), awaited=(waits,), inbox_done=inbox_done)

    def _append(self, name: str, *, shard: int = 0, **said: Any) -> None:
        version = self._versions[name] = self._versions.get(name, 0) + 1
        begun = {"started": [run(name)]} if version == 1 else {"changed": [change(name, version=version)]}
        self.owner.append(self.owner.part(shard, [(name, version)], **begun, **said))


def brought(store: Store, shard: int = 0) -> list[tuple[str, str, str]]:
    """Whom the inbox brings which message, and its content."""
    found = [wishes.read(row.body) for row in store.inbox(shard)]
    return [(each.saga_id, each.message_id, each.body) for each in found if isinstance(each, wishes.Deliver)]


def test_a_message_that_is_waited_for_goes_to_the_inbox_of_who_waits(store: Store) -> None:
    Waits(store).begin(wait())
    assert store.awaited() == [wait()]
    assert store.put_messages([sent()]) == [True]
    assert brought(store) == [(saga_id("a"), "m1", '{"pallets":3}')]
    assert store.awaited() == []
    (row,) = store.messages()
    assert (row.taken_by, row.body) == (saga_id("a"), "")


def test_what_one_run_waits_for_is_found_and_what_one_key_is_awaited_by(store: Store) -> None:
    waits = Waits(store)
    waits.begin(wait())
    waits.begin(wait("b"))
    assert store.awaited(saga_id=saga_id("b")) == [wait("b")]
    assert store.awaited(key=wait().correlation_key) == [wait(), wait("b")]
    assert store.awaited(key="another", saga_id=saga_id("b")) == []


def test_a_message_that_comes_early_is_kept_until_somebody_waits_for_it(store: Store) -> None:
    store.put_messages([sent()])
    assert brought(store) == []
    Waits(store).begin(wait())
    assert brought(store) == [(saga_id("a"), "m1", '{"pallets":3}')]
    assert store.awaited() == []


def test_the_row_of_the_inbox_says_all_that_gives_the_message_back(store: Store) -> None:
    Waits(store).begin(wait(kind=ANSWER))
    store.put_messages([sent(answer="refused", reason="no room", external_id="x-1", partition=3, offset=9)])
    (row,) = store.inbox(0)
    assert wishes.read(row.body) == wishes.Deliver(
        actor="kim", saga_id=saga_id("a"), path="goods", message_id="m1", correlation_key="A-12", type="Arrival",
        answer="refused", reason="no room", external_id="x-1", body='{"pallets":3}', topic="amends.messages",
        partition=3, offset=9, received_at=LONG_AGO, expires_at=FAR,
    )  # fmt: skip


@pytest.mark.parametrize("early", [True, False])
def test_the_same_message_twice_is_one_also_after_it_was_taken(store: Store, *, early: bool) -> None:
    waits = Waits(store)
    if early:
        assert store.put_messages([sent(), sent(body="2")]) == [True, False]
    waits.begin(wait())
    assert store.put_messages([sent(body="3")]) == [not early]
    waits.begin(wait("b", path="other"), name="b")
    assert store.put_messages([sent(body="4")]) == [False]
    assert [each[:2] for each in brought(store)] == [(saga_id("a"), "m1")]
    assert store.awaited() == [wait("b", path="other")]


def test_one_message_meets_one_wait_the_oldest_and_one_wait_one_message_the_oldest(store: Store) -> None:
    waits = Waits(store)
    for name in ("a", "b"):
        waits.begin(wait(name), name=name)
    store.put_messages([sent("m1")])
    store.put_messages([sent("m2"), sent("m3"), sent("m4")])
    waits.begin(wait("c"), name="c")
    found = [each[:2] for each in brought(store)]
    assert found == [(saga_id("a"), "m1"), (saga_id("b"), "m2"), (saga_id("c"), "m3")]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(sent(key="A-13"), id="another key"),
        pytest.param(sent(type="Return"), id="another type"),
        pytest.param(sent(answer="succeeded"), id="an answer to a pending action"),
        pytest.param(sent(expires_at=LONG_AGO), id="one that has expired"),
    ],
)
def test_a_message_that_is_not_waited_for_is_kept_for_others(store: Store, message: MessageRow) -> None:
    store.put_messages([message])
    Waits(store).begin(wait())
    assert brought(store) == []
    assert store.awaited() == [wait()]
    assert [row.taken_by for row in store.messages()] == [None]


def test_a_wait_that_is_over_gets_no_message(store: Store) -> None:
    waits = Waits(store)
    waits.begin(wait())
    waits.end(wait())
    store.put_messages([sent()])
    assert brought(store) == []


@pytest.mark.parametrize("another", [True, False])
def test_a_message_that_is_given_back_is_kept_or_brought_to_another(store: Store, *, another: bool) -> None:
    waits = Waits(store)
    waits.begin(wait())
    store.put_messages([sent()])
    (row,) = store.messages()
    if another:
        waits.begin(wait("b"), name="b")
    inbox = tuple(each.message_id for each in store.inbox(0))
    waits.give_back(msgspec.structs.replace(row, body=sent().body), inbox_done=inbox)
    assert [each[:2] for each in brought(store)] == ([(saga_id("b"), "m1")] if another else [])
    (kept,) = store.messages()
    assert (kept.taken_by, kept.body) == ((saga_id("b"), "") if another else (None, '{"pallets":3}'))


def test_a_message_that_another_has_taken_meanwhile_is_not_given_back_a_second_time(store: Store) -> None:
    waits = Waits(store)
    waits.begin(wait())
    store.put_messages([sent()])
    waits.begin(wait("b"), name="b")
    taken = sent(taken_by=saga_id("a"))
    waits.give_back(taken)
    waits.begin(wait("c"), name="c")
    waits.give_back(taken)
    assert [each[:2] for each in brought(store)] == [(saga_id("a"), "m1"), (saga_id("b"), "m1")]


def test_a_batch_that_fails_takes_no_message(store: Store) -> None:
    store.put_messages([sent()])
    waits = Waits(store)
    waits.begin(wait("other", key="x"))
    part = waits.owner.part(0, [("a", 2)], changed=[change("a")], awaited=(wait(),), epoch=99)
    with pytest.raises(Exception, match="fenced"):
        waits.owner.append(part)
    assert brought(store) == []
    assert [row.taken_by for row in store.messages()] == [None]


def unclaimed(row: MessageRow) -> DeadLetterRow:
    return letter(row.offset, topic=row.topic, reason="unclaimed", detail=row.message_id)


def test_what_has_expired_is_forgotten_and_a_dead_letter_unless_it_was_taken(store: Store) -> None:
    waits = Waits(store)
    waits.begin(wait())
    store.put_messages(
        [sent("taken", expires_at=LONG_AGO + 5), sent("kept"), sent("late", "A-99", expires_at=LONG_AGO)]
    )
    assert store.sweep_messages(LONG_AGO, unclaimed) == 1
    assert [row.detail for row in store.dead_letters()] == ["late"]
    assert store.sweep_messages(LONG_AGO + 5, unclaimed) == 1
    assert [row.message_id for row in store.messages()] == ["kept"]
    assert store.dead_letters_count() == 1
    assert store.put_messages([sent("taken")]) == [True], "it is remembered for as long as it was to be kept"


def test_a_message_that_was_refused_is_forgotten_so_that_it_may_come_again(store: Store) -> None:
    waits = Waits(store)
    waits.begin(wait())
    store.put_messages([sent("bad")])
    waits.refuse("bad", wait(), inbox_done=tuple(row.message_id for row in store.inbox(0)))
    assert store.messages() == []
    assert store.put_messages([sent("bad", body='"mended"')]) == [True]
    assert brought(store) == [(saga_id("a"), "bad", '"mended"')], "the wait goes on"


def test_messages_are_listed_newest_first_and_by_key(store: Store) -> None:
    store.put_messages([sent("m1"), sent("m2", "B-1"), sent("m3")])
    assert [row.message_id for row in store.messages()] == ["m3", "m2", "m1"]
    assert [row.message_id for row in store.messages(key="B-1")] == ["m2"]
    assert [row.message_id for row in store.messages(key="A-12", limit=1)] == ["m3"]
    offsets = [row.offset for row in store.messages()]
    assert offsets == sorted(set(offsets), reverse=True)
    assert min(offsets) > 0


def test_a_message_and_a_wait_that_come_at_the_same_moment_never_miss_each_other(
    opened: Callable[..., Store], store: Store
) -> None:
    """From two connections, again and again: each pair must meet."""
    waits, other, rounds = Waits(store), opened(), 40
    gates = [threading.Barrier(2) for _ in range(rounds)]

    def send() -> None:
        for number, gate in enumerate(gates):
            gate.wait(20)
            other.put_messages([sent(f"m{number}", f"K-{number}")])

    sending = threading.Thread(target=send)
    sending.start()
    for number, gate in enumerate(gates):
        gate.wait(20)
        waits.begin(wait(str(number), f"K-{number}"), name=str(number))
    sending.join(20)
    assert {each[:2] for each in brought(store)} == {(saga_id(str(n)), f"m{n}") for n in range(rounds)}
    assert store.awaited() == []
