"""What waits or is kept beside the log: inbox, local topics, dead letters, definitions, places of the relay."""

import threading
from collections.abc import Callable

import msgspec
import pytest

from amends.coordinator.errors import Fenced
from amends.coordinator.ports.rows import Batch, DefinitionRow, RelayWait
from amends.coordinator.ports.store import Store
from tests.contract.stores.builders import LEASE_MS, T0, Owner, change, letter, local, message


def test_messages_wait_oldest_first_and_the_same_wish_twice_is_one(store: Store) -> None:
    store.put_inbox(
        [message("z", body=b"\x00first"), message("a"), message("z", body=b"second"), message("b", shard=1)]
    )
    store.put_inbox([message("a", body=b"third")])
    store.put_inbox([message("c")])
    assert sorted(row.message_id for row in store.inbox(0)[:2]) == ["a", "z"]
    assert store.inbox(0)[2:] == [message("c")]
    assert {row.message_id: row.body for row in store.inbox(0)} == {"z": b"\x00first", "a": b"{}", "c": b"{}"}
    assert store.inbox(1) == [message("b", shard=1)]
    assert len(store.inbox(0, limit=2)) == 2


def test_dead_letters_are_numbered_from_1_without_a_gap(store: Store) -> None:
    store.append(Batch(dead_letters=(letter(5), letter(6))))
    store.append(Batch(dead_letters=(letter(6), letter(7), letter(5), letter(6, saga="ship"), letter(6, saga="ship"))))
    assert [(row.n, row.offset, row.saga) for row in store.dead_letters()] == [
        (1, 5, None),
        (2, 6, None),
        (3, 7, None),
        (4, 6, "ship"),
    ]
    assert store.dead_letter(2) == letter(6, n=2)
    assert store.dead_letter(0) is store.dead_letter(5) is None
    assert [row.n for row in store.dead_letters(after=1, limit=2)] == [2, 3]
    assert [row.n for row in store.dead_letters_at("billing.refunds", 0, 6)] == [2, 4]
    assert store.dead_letters_at("billing.refunds", 1, 6) == []
    assert store.dead_letters_count() == 4


def test_another_record_at_the_place_of_a_dead_letter_is_another_dead_letter(store: Store) -> None:
    others = (
        letter(5, value=b"other"),
        letter(5, key=b"kother", value=b""),
        letter(5, key=None, value=None, size_bytes=9),
        letter(5, key=None, value=None, size_bytes=8),
    )
    store.append(Batch(dead_letters=(letter(5), *others)))
    store.append(Batch(dead_letters=(*others, letter(5, at=T0 + 1))))  # They are read again.
    assert store.dead_letters() == [msgspec.structs.replace(one, n=n) for n, one in enumerate((letter(5), *others), 1)]


def test_dead_letters_are_listed_without_what_may_be_large(store: Store) -> None:
    assert store.dead_letters_count() == 0
    store.append(Batch(dead_letters=(letter(5), letter(6))))
    assert store.dead_letters(whole=False) == [
        letter(offset, n=n, value=None, headers=()) for n, offset in ((1, 5), (2, 6))
    ]
    assert [row.n for row in store.dead_letters(after=1, limit=5, whole=False)] == [2]


def test_where_the_relay_stands_still_is_told_until_it_has_passed(store: Store) -> None:
    owner = Owner(store, "relay-1", role="relay")
    letters = RelayWait(shard=None, position=2, why="AM4107: large", since=T0)
    shard = RelayWait(shard=1, position=5, why="AM4108: not allowed", since=T0)
    for wait in (shard, msgspec.structs.replace(letters, why="former"), letters):
        store.relay_waits_at(wait)
    assert store.relay_waits() == [letters, shard]
    store.relayed(1, epoch=owner.leases[1].epoch, position=4)
    store.dead_letters_move(1)
    assert store.relay_waits() == [letters, shard]
    store.dead_letters_move(2)
    assert store.relay_waits() == [shard]
    store.relayed(1, epoch=owner.leases[1].epoch, position=5)
    assert store.relay_waits() == []


def test_dead_letters_keep_their_numbers_dense_while_many_append(store: Store) -> None:
    def write(first: int) -> None:
        for offset in range(first, first + 20, 2):
            store.append(Batch(dead_letters=(letter(offset), letter(offset + 1))))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 10, 20)]  # half of them twice
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.dead_letters()
    assert [row.n for row in found] == list(range(1, 41))
    assert sorted(row.offset for row in found) == list(range(40))


def test_a_dead_letter_keeps_what_cannot_be_text(store: Store) -> None:
    row = letter(1, key=None, value=None, headers=(), detail="a lone \ud800 and a \x00", idempotency_key="k", saga="s")
    store.append(Batch(dead_letters=(row,)))
    found = store.dead_letter(1)
    assert found is not None
    assert (found.key, found.value, found.headers, found.idempotency_key) == (None, None, (), "k")
    assert found.detail.startswith("a lone ")


def test_a_dead_letter_is_marked_when_it_was_redriven(store: Store) -> None:
    store.append(Batch(dead_letters=(letter(1), letter(2))))
    store.mark_redriven(1, T0 + 5)
    store.mark_redriven(9, T0)
    assert [row.redriven_at for row in store.dead_letters()] == [T0 + 5, None]


def test_the_relay_of_dead_letters_moves_only_forward(store: Store) -> None:
    assert store.dead_letters_relayed() == 0
    store.dead_letters_move(3)
    store.dead_letters_move(2)
    assert store.dead_letters_relayed() == 3


def test_the_relay_moves_only_forward_and_only_under_its_own_epoch(store: Store) -> None:
    former = Owner(store, "relay-1", role="relay").leases[1]
    store.relayed(1, epoch=former.epoch, position=4)
    store.relayed(1, epoch=former.epoch, position=3)
    assert [store.relay_position(shard) for shard in range(3)] == [0, 4, 0]
    store.release("relay", "relay-1", [1], clean=True)
    newer = store.claim("relay", "relay-2", lease_ms=LEASE_MS, limit=1)[0]
    assert (newer.shard, newer.position) == (1, 4)
    with pytest.raises(Fenced):
        store.relayed(1, epoch=former.epoch, position=9)
    assert store.relay_position(1) == 4


def test_records_get_offsets_from_0_per_topic(store: Store) -> None:
    assert store.publish([local("a", b"1"), local("b", None), local("a", b"2", key=b"\xff")]) == [0, 0, 1]
    assert store.publish([local("a", b"3")]) == [2]
    assert store.publish([]) == []
    assert store.topics() == ["a", "b"]
    assert [(row.offset, row.key, row.value) for row in store.records("a", after=-1, limit=9)] == [
        (0, None, b"1"),
        (1, b"\xff", b"2"),
        (2, None, b"3"),
    ]
    assert store.records("a", after=0, limit=1) == [msgspec.structs.replace(local("a", b"2", key=b"\xff"), offset=1)]
    assert store.records("nobody", after=-1, limit=9) == []


def test_offsets_are_gapless_and_never_skipped_while_many_publish(store: Store) -> None:
    def write(name: str) -> None:
        for number in range(20):
            store.publish([local("t", f"{name}{number}".encode()), local(f"only-{name}"), local("t", b"x")])

    writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in writers:
        thread.start()
    seen: list[int] = []
    while any(thread.is_alive() for thread in writers) or len(seen) < 120:
        seen += [row.offset for row in store.records("t", after=seen[-1] if seen else -1, limit=5)]
    assert seen == list(range(120))


def test_a_group_moves_only_forward_in_its_topics(store: Store) -> None:
    assert store.consumed("g", "a") == 0
    store.consume("g", {"a": 3, "b": 1})
    store.consume("g", {"a": 2, "b": 5})
    store.consume("other", {"a": 9})
    assert [store.consumed(*place) for place in [("g", "a"), ("g", "b"), ("other", "a"), ("other", "b")]] == [
        3,
        5,
        9,
        0,
    ]


def test_a_definition_is_stored_once_under_its_hash(store: Store) -> None:
    row = DefinitionRow(hash="sha256:1", name="refund", version=2, body=b'{"a":1}', stored_at=T0)
    store.put_definition(row)
    store.put_definition(msgspec.structs.replace(row, stored_at=T0 + 1))
    older = msgspec.structs.replace(row, hash="sha256:0", version=1)
    store.put_definition(older)
    assert store.definition("sha256:1") == row
    assert store.definition("sha256:2") is None
    assert store.definitions() == [older, row]


def test_graphs_of_one_version_bear_the_order_in_which_they_were_stored_whatever_the_clocks_say(store: Store) -> None:
    first = DefinitionRow(hash="sha256:b", name="refund", version=2, body=b"1", stored_at=T0)
    behind = msgspec.structs.replace(first, hash="sha256:a", stored_at=T0 - 5)
    elsewhere = msgspec.structs.replace(behind, hash="sha256:c", version=3)
    for row in (first, behind, elsewhere):
        store.put_definition(row)
    assert [(row.hash, row.stored_at) for row in store.definitions()] == [
        ("sha256:a", T0 + 1),
        ("sha256:b", T0),
        ("sha256:c", T0 - 5),
    ]


def test_a_definition_gets_another_body_once_no_run_of_it_is_open(store: Store) -> None:
    row = DefinitionRow(hash="sha256:d", name="refund", version=3, body=b'{"schemas":1}', stored_at=T0)
    today = msgspec.structs.replace(row, body=b'{"schemas":2}', stored_at=T0 + 1)
    store.put_definition(row)
    owner = Owner(store)
    owner.start("open")
    store.put_definition(today)
    assert store.definition("sha256:d") == row
    owner.append(owner.part(log=[("open", 2)], changed=[change("open", status="completed", ended_at=T0 + 1)]))
    store.put_definition(today)
    assert store.definition("sha256:d") == msgspec.structs.replace(row, body=today.body)


def test_the_change_mark_differs_after_another_store_object_wrote(opened: Callable[..., Store]) -> None:
    store, other = opened(), opened()
    changes: list[Callable[[], object]] = [
        lambda: other.put_inbox([message("m")]),
        lambda: other.publish([local("t")]),
        lambda: other.append(Batch(dead_letters=(letter(1),))),
        lambda: other.mark_redriven(1, T0),
        lambda: Owner(other).start("a"),
    ]
    for write in changes:
        before = store.change_mark()
        if store.kind != "postgresql":  # whose mark differs after commits to other databases of the server as well
            assert store.change_mark() == before
        write()
        assert store.change_mark() != before


def test_the_store_keeps_its_incarnation(opened: Callable[..., Store]) -> None:
    first = opened().incarnation()
    opened().migrate(shards=7)
    assert opened().incarnation() == first
    assert len(opened().shards()) == 3
