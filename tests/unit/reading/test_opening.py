"""What readers see of what is sealed: opened with the key, else said to be sealed or erased, and nothing fails."""

import json
from pathlib import Path

import msgspec
import pytest

from amends.connectors.stores import open_store
from amends.coordinator.ports.rows import SubjectRow
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.opening import ERASED, KEYS_MAX, SEALED, Opening, is_sealed, without_seals
from amends.coordinator.sealing.keys import Seal, SubjectKey
from amends.coordinator.sealing.master import MasterReference, new_key
from amends.schemas.entry import External, Inline, Sealed, decode
from amends.schemas.events import SagaKilled, StepFailed
from tests.unit.evidence.bundles import played

VALUE = b'{"name":"Ada"}'


def sealed(key: SubjectKey, *, stays: bool = False) -> tuple[str, Sealed]:
    digest = key.digest(VALUE)
    return digest, Sealed(sealed=Seal(key, stays).payload(digest, VALUE))


def known(store: Store, key: SubjectKey, *, subject: str = "ada") -> None:
    wrapped = store.master().wrap(key)
    store.put_subjects([SubjectRow(key_id=key.key_id, subject=subject, label="l", wrapped=wrapped, made_at=0)])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store("memory:", data_dir=tmp_path, shards=1, master=MasterReference(lambda: "00" * 32))


@pytest.fixture
def key(store: Store) -> SubjectKey:
    key = new_key()
    known(store, key)
    return key


def test_with_the_key_a_value_and_a_text_are_as_they_were(store: Store, key: SubjectKey) -> None:
    digest, payload = sealed(key)
    opening = Opening(store)
    assert opening.value(digest, payload) == VALUE
    assert opening.value("sha256:x", Inline(inline="7")) == b"7"
    assert opening.text(f"no post to {Seal(key).text('Ada')}") == "no post to Ada"
    assert opening.value("sha256:x", External(external=3)) is None


def test_a_value_beside_the_entries_is_opened_too(
    store: Store, key: SubjectKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, payload = sealed(key)
    blobs = {digest: payload.sealed.encode(), "sha256:x": b"plain"}
    monkeypatch.setattr(store, "blob", blobs.get)
    opening = Opening(store)
    assert opening.value(digest, External(external=9)) == VALUE
    assert opening.blob("sha256:x") == b"plain"
    assert opening.blob("sha256:y") is None
    assert Opening().blob(digest) is None


def test_what_nobody_can_open_says_so(store: Store, key: SubjectKey) -> None:
    erased, unknown = key, new_key()
    store.erase_subject("ada", reason="asked to", by="ops", at=1)
    opening = Opening(store)
    for secret, says in ((erased, ERASED), (unknown, SEALED)):
        digest, payload = sealed(secret)
        assert json.loads(opening.value(digest, payload) or b"") == {says.strip("()"): digest}
        assert opening.text(f"to {Seal(secret).text('Ada')}.") == f"to {says}."
    digest, payload = sealed(key)
    assert json.loads(Opening().value(digest, payload) or b"") == {"sealed": digest}
    assert json.loads(opening.value(digest, Sealed(sealed="rubbish")) or b"") == {"sealed": digest}
    assert without_seals(f"to {Seal(key).text('Ada')}") == f"to {SEALED}"


def test_what_was_changed_is_not_opened(store: Store, key: SubjectKey) -> None:
    digest, payload = sealed(key)
    other = key.digest(b"7")
    assert json.loads(Opening(store).value(other, payload) or b"") == {"sealed": other}
    assert Opening(store).value(digest, payload) == VALUE


def test_another_master_key_opens_nothing_and_breaks_nothing(
    store: Store, key: SubjectKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, payload = sealed(key)
    monkeypatch.setattr(store, "master", MasterReference(lambda: "11" * 32))
    assert json.loads(Opening(store).value(digest, payload) or b"") == {"sealed": digest}
    monkeypatch.setattr(store, "master", MasterReference(None))
    assert Opening(store).text(Seal(key).text("Ada")) == SEALED


def test_what_is_to_stay_sealed_where_it_is_published_is_open_to_a_reader(store: Store, key: SubjectKey) -> None:
    digest, payload = sealed(key, stays=True)
    assert Opening(store).value(digest, payload) == VALUE
    assert json.loads(Opening(store, published=True).value(digest, payload) or b"") == {"sealed": digest}
    digest, payload = sealed(key)
    assert Opening(store, published=True).value(digest, payload) == VALUE


def test_the_texts_of_an_event_are_opened_where_they_stand(store: Store, key: SubjectKey) -> None:
    failed = StepFailed(path="a", attempt=1, kind="refused", message=Seal(key).text("no Ada"), retriable=False)
    killed = SagaKilled(reason="enough")
    opened, same = Opening(store).within((failed, killed))
    assert opened == msgspec.structs.replace(failed, message="no Ada")
    assert same is killed


def test_no_more_keys_are_remembered_than_the_limit(store: Store) -> None:
    opening = Opening(store)
    keys = [new_key() for _ in range(KEYS_MAX + 1)]
    for number, key in enumerate(keys):
        known(store, key, subject=f"s{number}")
        assert opening.value(*sealed(key)) == VALUE
    assert len(opening._keys) == 1
    assert opening.value(*sealed(keys[0])) == VALUE


def test_a_run_without_a_subject_is_not_sealed(store: Store) -> None:
    played(store)
    (row, *_) = store.runs()
    assert not is_sealed(decode(store.entries_of(row.saga_id)[0].data))
