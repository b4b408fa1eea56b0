"""Sealed runs in the engine: no run begins under a key that is gone, and no request twice."""

import pytest
from pydantic import BaseModel

from amends import Saga, Topic
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.rows import ERASED
from amends.coordinator.runtime.keyring import KEPT_US, KeyGone, Keyring, require_master
from amends.coordinator.sealing.master import MasterKey
from amends.coordinator.testing.world import World
from amends.schemas.entry import Inline, decode
from amends.testing import world


class Letter(BaseModel):
    id: str
    person: str
    text: str = "dear"


def letters() -> Saga[Letter]:
    saga = Saga("letter", trigger=Topic("letters", Letter, idempotency_key="id"), subject="person")

    @saga.read
    def write(trigger: Letter) -> str:
        return trigger.text

    return saga


@pytest.fixture
def installation() -> World:
    made = world(letters())
    made.publish({"id": "1", "person": "ursula"})
    made.run()
    return made


def erase(installation: World, person: str = "ursula") -> None:
    store = installation.store
    assert store.erase_subject(store.master().name_of(person), reason="asked to", by="ops", at=store.now())


def test_a_run_is_not_begun_under_an_erased_key_that_the_engine_remembers(installation: World) -> None:
    erase(installation)
    for number, person in (("2", "ursula"), ("3", "bob"), ("4", "ursula")):
        installation.publish({"id": number, "person": person})
    installation.run()

    assert [row.status for row in installation.store.runs()] == ["completed"] * 4
    erased, ursula, bob = sorted(
        installation.store.subjects(), key=lambda each: (each.row.erased_at is None, -each.runs)
    )
    assert (erased.runs, ursula.runs, bob.runs) == (1, 2, 1)


def test_no_value_of_a_sealed_run_stands_in_its_entries_as_it_is(installation: World) -> None:
    (row,) = installation.store.runs()
    entries = [decode(each.data) for each in installation.store.entries_of(row.saga_id)]
    assert not [each for entry in entries for each in entry.payloads.values() if isinstance(each, Inline)]
    assert b"ursula" not in b"".join(each.data for each in installation.store.entries_of(row.saga_id))


def test_a_request_is_the_same_or_another_one_by_what_it_asks_until_it_is_erased(installation: World) -> None:
    installation.publish({"id": "1", "person": "ursula"})
    installation.publish({"id": "1", "person": "ursula", "text": "another"})
    installation.run()
    assert [row.duplicates for row in installation.store.runs()] == [1]
    assert [letter.reason for letter in installation.store.dead_letters()] == ["conflict"]

    erase(installation)
    installation.publish({"id": "1", "person": "ursula", "text": "a third"})
    installation.run()
    (row,) = installation.store.runs()
    assert (row.duplicates, row.request_digest) == (2, ERASED)
    assert installation.store.dead_letters_count() == 1


def test_a_worker_that_starts_anew_reads_what_it_sealed(installation: World) -> None:
    (row,) = installation.store.runs()
    keyring = Keyring(store=installation.store)
    (first,) = installation.store.entries_of(row.saga_id, limit=1)
    ((digest, payload),) = decode(first.data).payloads.items()
    assert keyring.value(digest, payload) == b'{"id":"1","person":"ursula"}'

    erase(installation)
    with pytest.raises(KeyGone):
        keyring.value(digest, payload)


def test_a_worker_serves_sagas_with_a_subject_and_without_one() -> None:
    plain = Saga("note", trigger=Topic("notes", Letter, idempotency_key="id"))

    @plain.read
    def keep(trigger: Letter) -> str:
        return trigger.text

    made = world(letters(), plain)
    for topic in ("letters", "notes", "letters", "notes"):
        made.publish({"id": "1", "person": "ursula"}, topic=topic)
    made.publish({"id": "1", "person": "ursula", "text": "another"}, topic="notes")
    made.run()

    rows = {row.saga: row for row in made.store.runs()}
    assert {saga: (row.status, row.duplicates) for saga, row in rows.items()} == {
        "letter": ("completed", 1),
        "note": ("completed", 1),
    }
    keyring = Keyring(store=made.store)
    assert keyring.of_run(rows["note"].saga_id) is None
    assert keyring.of_run(rows["letter"].saga_id) is not None
    (facts,) = made.store.subjects()
    assert facts.runs == 1
    assert [(each.saga, each.reason) for each in made.store.dead_letters()] == [("note", "conflict")]


def test_only_erased_keys_are_forgotten(installation: World) -> None:
    keyring, now = Keyring(store=installation.store), installation.clock.now
    keyring.ask(["ursula", "eve"], now)
    ursula, eve = keyring.of("ursula"), keyring.of("eve")
    keyring.forget([ursula.key_id])
    assert keyring.of("eve") is eve
    with pytest.raises(KeyError):
        keyring.of("ursula")


def test_a_store_is_served_with_the_master_key_of_its_data_keys_alone(installation: World) -> None:
    store = installation.store
    require_master(store)
    own = store.master
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(own), "__call__", lambda _: MasterKey(b"n" * 32))
        with pytest.raises(UsageError) as error:
            require_master(store)
    assert error.value.code == "AM0333"
    erase(installation)
    require_master(store)


def test_a_key_is_asked_for_anew_after_a_minute(installation: World) -> None:
    keyring, now = Keyring(store=installation.store), installation.clock.now
    keyring.ask(["ursula", "eve"], now)
    former = keyring.of("ursula")
    assert keyring.of("eve") != former
    erase(installation)
    keyring.ask(["ursula"], now + KEPT_US)
    assert keyring.of("ursula") is former
    keyring.ask(["ursula"], now + KEPT_US + 1)
    assert keyring.of("ursula").key_id != former.key_id
