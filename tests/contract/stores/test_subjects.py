"""Subjects and their data keys, on every store: one key that lives, no run under a key that is gone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from amends.coordinator.errors import Conflict, KeyErased
from amends.coordinator.ports.rows import ERASED, AwaitedRow, MessageRow, SubjectRow
from amends.coordinator.ports.store import Store
from amends.coordinator.runtime.delivering import unclaimed
from tests.contract.stores.builders import T0, Owner, change, duplicate, letter, local, run, saga_id

WRAPPED = b"the wrapped key of Ada"


def subject(name: str = "ada", **changes: Any) -> SubjectRow:
    names = {"key_id": f"key-{name}", "subject": f"hash-{name}", "label": f"sealed-{name}"}
    values: dict[str, Any] = {**names, "wrapped": WRAPPED, "made_at": T0}
    return SubjectRow(**(values | changes))


def ended(name: object) -> Any:
    return change(name, status="completed", ended_at=T0 + 5)


def erase(store: Store, name: str = "ada") -> SubjectRow | None:
    return store.erase_subject(f"hash-{name}", reason="asked to", by="ops", at=T0 + 9)


def test_a_subject_has_one_key_whoever_makes_it_first(store: Store) -> None:
    first = store.put_subjects([subject(), subject("bob")])
    second = store.put_subjects([subject(key_id="another"), subject("bob", key_id="other")])

    assert first == second == {"hash-ada": subject(), "hash-bob": subject("bob")}
    assert store.subject_key("key-ada") == subject()
    assert store.subject_key("another") is None
    assert store.subject_keys(["hash-ada", "hash-nobody"]) == {"hash-ada": subject()}


def test_runs_are_counted_on_the_key_they_began_under(store: Store) -> None:
    store.put_subjects([subject(), subject("bob", made_at=T0 + 1)])
    owner = Owner(store)
    rows = [run(name) for name in ("a", "b")]
    sealed = tuple(("key-ada", saga_id(name)) for name in ("a", "b"))
    owner.append(owner.part(0, [("a", 1), ("b", 1)], started=rows), sealed=sealed)
    owner.append(owner.part(0, [("a", 2)], changed=[ended("a")]))

    found = {each.row.key_id: (each.runs, each.open_runs) for each in store.subjects()}
    assert found == {"key-ada": (2, 1), "key-bob": (0, 0)}
    assert [each.row.key_id for each in store.subjects()] == ["key-bob", "key-ada"], "the latest first"
    assert store.subject_runs("hash-ada") == sorted([saga_id("a"), saga_id("b")])


def test_a_subject_with_an_open_run_is_not_erased_and_the_run_is_named(store: Store) -> None:
    store.put_subjects([subject()])
    owner = Owner(store)
    owner.append(owner.part(0, [("a", 1)], started=[run("a")]), sealed=(("key-ada", saga_id("a")),))

    with pytest.raises(Conflict, match=saga_id("a")) as refused:
        erase(store)
    assert (refused.value.code, "more of the subject" in refused.value.why) == ("AM0335", False)
    others = (("key-ada", saga_id("b")), ("key-ada", saga_id("c")))
    owner.append(owner.part(0, [("b", 1), ("c", 1)], started=[run("b"), run("c")]), sealed=others)
    with pytest.raises(Conflict, match="2 more of the subject are open"):
        erase(store)
    assert store.subject_key("key-ada") == subject()


def test_a_held_subject_is_not_erased_until_it_is_released(store: Store) -> None:
    store.put_subjects([subject()])
    assert store.hold_subject("hash-ada", reason="lawsuit", by="ops", at=T0)
    assert not store.hold_subject("hash-nobody", reason="lawsuit", by="ops", at=T0)

    held = erase(store)
    assert held is not None
    assert (held.held, held.wrapped, held.erased_at) == ("lawsuit", WRAPPED, None)

    store.hold_subject("hash-ada", reason=None, by="ops", at=T0)
    gone = erase(store)
    assert gone is not None
    assert (gone.wrapped, gone.erased_at, gone.erased_by, gone.reason) == (None, T0 + 9, "ops", "asked to")


def test_no_run_begins_under_a_key_that_was_erased_and_nothing_of_its_batch_is_there(store: Store) -> None:
    store.put_subjects([subject(), subject("bob")])
    assert erase(store) is not None
    owner = Owner(store)

    with pytest.raises(KeyErased) as refused:
        owner.append(
            owner.part(0, [("a", 1), ("b", 1)], started=[run("a"), run("b")]),
            sealed=(("key-ada", saga_id("a")), ("key-bob", saga_id("b"))),
        )

    assert refused.value.key_ids == ("key-ada",)
    assert store.run(saga_id("a")) is store.run(saga_id("b")) is None
    assert store.subject_runs("hash-bob") == []
    owner.append(owner.part(0, [("b", 1)], started=[run("b")]), sealed=(("key-bob", saga_id("b")),))


def test_a_subject_that_comes_back_has_a_new_key_and_the_erasure_stays_on_record(store: Store) -> None:
    store.put_subjects([subject()])
    erase(store)
    assert store.subject_keys(["hash-ada"]) == {}
    again = store.erase_subject("hash-ada", reason="again", by="other", at=T0 + 10)
    assert again is not None
    assert (again.reason, again.erased_at) == ("asked to", T0 + 9)
    assert store.erase_subject("hash-nobody", reason="asked to", by="ops", at=T0) is None
    assert store.some_subject() is None

    new = subject(key_id="key-2", made_at=T0 + 20)
    assert store.put_subjects([new]) == {"hash-ada": new}
    assert store.some_subject() == new
    assert [(each.row.key_id, each.row.erased_at) for each in store.subjects()] == [
        ("key-2", None),
        ("key-ada", T0 + 9),
    ]


def test_what_stands_in_clear_of_a_subject_goes_with_its_key_and_nothing_else_does(store: Store) -> None:
    store.put_subjects([subject()])
    topic = "billing.refunds"
    store.publish(
        [
            local(topic, b"Ada's", key=b"Ada"),
            local(topic, b"Bob's"),
            local(topic, b"Ada's again"),
            local(topic, b"later"),
        ]
    )
    owner = Owner(store)
    owner.append(
        owner.part(0, [("a", 1), ("b", 1)], started=[run("a", offset=0), run("b", offset=1)]),
        sealed=(("key-ada", saga_id("a")),),
    )
    conflict = letter(2, value=b"Ada's again", detail="Ada", reason="conflict", saga_id=saga_id("a"))
    owner.append(owner.part(0, [("a", 2)], changed=[ended("a")]), dead_letters=(conflict, letter(7)))
    assert erase(store) is not None

    first, second, third, _ = store.records(topic, after=-1, limit=9)
    assert (first.key, first.value, first.headers) == (None, None, ())
    assert second.value == b"Bob's"
    assert third.value is None, "a trigger in conflict with a run of hers"
    letters = store.dead_letters()
    assert (letters[0].value, letters[0].headers, letters[0].detail) == (None, (), "erased")
    assert letters[1] == letter(7, n=2)
    owner.append(duplicates=(duplicate("a", 3),))
    erase(store)
    assert [each.value for each in store.records(topic, after=-1, limit=9)] == [None, b"Bob's", None, None]
    digests = {name: row.request_digest for name in ("a", "b") if (row := store.run(saga_id(name)))}
    assert digests == {"a": ERASED, "b": "sha256:r"}


def test_messages_that_runs_of_an_erased_subject_took_go_with_its_key(store: Store) -> None:
    store.put_subjects([subject()])
    store.publish([local("answers", b"Ada's answer"), local("answers", b"another")])
    owner = Owner(store)
    sealed = (("key-ada", saga_id("a")),)
    owner.append(owner.part(0, [("a", 1)], started=[run("a")]), sealed=sealed)
    awaited = AwaitedRow(saga_id=saga_id("a"), path="wait", shard=0, correlation_key="K", type="answer")
    owner.append(owner.part(0, [("a", 2)], awaited=(awaited,)))
    row = MessageRow(
        message_id="m-1",
        correlation_key="K",
        type="answer",
        topic="answers",
        partition=0,
        offset=0,
        received_at=T0,
        expires_at=T0 + 10**15,
        actor="ops",
        body='"Ada"',
        reason="Ada said no",
        external_id="acct-Ada",
    )
    other = msgspec.structs.replace(row, message_id="m-2", correlation_key="L", offset=1)
    store.put_messages([row, other])
    waiting = [each.message_id for each in store.inbox(0)]
    owner.append(owner.part(0, [("a", 3)], changed=[ended("a")], inbox_done=waiting))
    assert erase(store) is not None

    kept = {each.message_id: each for each in store.messages()}
    assert "Ada" not in repr(kept["m-1"])
    assert kept["m-2"].body == '"Ada"', "nobody has taken it: it is not known to be hers"
    assert [each.value for each in store.records("answers", after=-1, limit=9)] == [None, b"another"]


def test_messages_that_came_too_late_for_an_erased_subject_go_too_and_are_nobody_s(store: Store) -> None:
    store.put_subjects([subject()])
    store.publish([local("answers", b"%d" % number) for number in range(5)])
    owner = Owner(store)
    owner.append(owner.part(0, [("a", 1)], started=[run("a")]), sealed=(("key-ada", saga_id("a")),))
    owner.append(owner.part(0, [("a", 2)], changed=[ended("a")]))
    kinds = {"late": ("K", "answer"), "swept": ("K", "answer"), "other key": ("L", "answer"), "other": ("K", "else")}
    rows = [
        MessageRow(
            message_id=name,
            correlation_key=key,
            type=kind,
            topic="answers",
            partition=0,
            offset=offset,
            received_at=T0,
            expires_at=T0 + (5 if name == "swept" else 10**15),
            actor="ops",
            body='"Ada"',
            reason="Ada",
        )
        for offset, (name, (key, kind)) in enumerate(kinds.items())
    ]
    by_hand = msgspec.structs.replace(rows[0], message_id="by hand", partition=-1, offset=-1)
    store.put_messages([*rows, by_hand])
    assert store.sweep_messages(T0 + 6, unclaimed) == 1

    waited = [("K", "answer")]
    assert store.erase_subject("hash-ada", reason="asked to", by="ops", at=T0 + 9, waited=waited) is not None

    kept = {each.message_id: each for each in store.messages()}
    assert [kept[name].taken_by for name in ("late", "by hand")] == [ERASED, ERASED]
    assert "Ada" not in repr((kept["late"], kept["by hand"], store.dead_letters()))
    assert [kept[name].body for name in ("other key", "other")] == ['"Ada"', '"Ada"']
    values = [each.value for each in store.records("answers", after=-1, limit=9)]
    assert values == [None, None, b"2", b"3", b"4"]
    assert store.put_messages([rows[0]]) == [False], "it is still known by its id"

    owner.append(owner.part(0, [("b", 1)], started=[run("b")]))
    awaited = AwaitedRow(saga_id=saga_id("b"), path="wait", shard=0, correlation_key="K", type="answer")
    owner.append(owner.part(0, [("b", 2)], awaited=(awaited,)))
    assert store.inbox(0) == [], "nobody gets what is left of it"


def test_nothing_of_an_erased_key_stays_in_the_files_of_a_sqlite_store(
    opened: Callable[..., Store], tmp_path: Path
) -> None:
    store = opened()
    if store.kind != "sqlite":
        store.scrub()
        return
    rows = [subject(f"n{number}", wrapped=b"wrapped %d" % number * 20) for number in range(300)]
    for row in rows:  # one by one, so that pages are split on the way
        store.put_subjects([row])
    store.put_subjects([subject()])
    owner = Owner(store)
    owner.append(owner.part(0, [("a", 1)], started=[run("a")]))
    assert any(WRAPPED in file.read_bytes() for file in tmp_path.glob("amends.db*"))

    store.erase_subject("hash-ada", reason="asked to", by="ops", at=T0)
    store.scrub()

    for file in tmp_path.glob("amends.db*"):
        assert WRAPPED not in file.read_bytes(), file
    assert store.subject_key("key-n7") == rows[7], "the others are as they were"
    owner.append(owner.part(0, [("a", 2)]))
