"""What the log looks like on the bus: the entry's own bytes, an outcome per ending, a dead letter as it was."""

import hashlib
import json
import struct

import msgspec
import pytest

from amends.connectors.local.views import LocalTopicReading
from amends.coordinator.ports.rows import Batch, DeadLetterRow, InboxRow, StoredEntry
from amends.coordinator.reading.histories import Histories
from amends.coordinator.reading.publishing import OwnTopics, Publishing, may_have_outcome
from amends.coordinator.testing.world import World
from amends.schemas import wishes
from amends.schemas.entry import decode, unseal
from amends.schemas.headers import Format
from amends.schemas.ids import SagaId, outcome_id_of
from amends.schemas.instants import SECOND
from amends.schemas.outcome import OUTCOMES
from amends.schemas.record import Record
from amends.testing import fails, ok, world
from tests.replay.sagas import read_back_saga
from tests.unit.runtime.sagas import Done, order_saga

PUBLISHING = Publishing(own=OwnTopics("amends"), namespace="test")


def played() -> World:
    """A world in which two orders were worked off."""
    installation = world(order_saga())
    installation.publish({"id": "A-1"})
    installation.publish({"id": "A-2"})
    installation.run()
    return installation


def entries(installation: World) -> list[StoredEntry]:
    return installation.store.entries_from(0, after=0, limit=1_000)


def reading(installation: World, form: Format = "avro") -> LocalTopicReading:
    publishing = Publishing(own=OwnTopics("amends"), namespace="test", form=form)
    return LocalTopicReading(store=installation.store, publishing=publishing)


def headers(record: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def test_an_audit_record_is_the_entry_itself_under_its_run() -> None:
    installation = played()
    log = entries(installation)
    records = reading(installation).read("amends.audit", limit=1_000)
    assert [(each.key, each.value, each.offset) for each in records] == [
        (entry.saga_id.encode(), entry.data, entry.position) for entry in log
    ]


def test_an_audit_record_is_a_cloudevent_that_names_run_and_version() -> None:
    installation = played()
    entry = entries(installation)[1]
    record = reading(installation).read("amends.audit", after=1, limit=1)[0]
    assert headers(record) == {
        "ce_specversion": "1.0",
        "ce_id": f"{entry.saga_id}:{entry.version}",
        "ce_source": "amends://test/order",
        "ce_type": "amends.entry",
        "ce_time": decode(entry.data).at,
        "ce_subject": entry.saga_id,
        "ce_dataschema": "amends:entry/json",
        "content-type": "application/json",
        "amends-saga-id": entry.saga_id,
        "amends-version": str(entry.version),
    }


def test_the_chain_of_a_run_verifies_from_the_audit_records_alone() -> None:
    records = reading(played()).read("amends.audit", limit=1_000)
    for key in {each.key for each in records}:
        previous = ""
        for version, record in enumerate((each for each in records if each.key == key), start=1):
            assert record.value is not None
            entry = json.loads(record.value)
            assert (entry["version"], entry["previous_hash"]) == (version, previous)
            assert hashlib.sha256(unseal(record.value)).hexdigest() == entry["hash"]
            previous = entry["hash"]


@pytest.mark.parametrize("form", ["avro", "json"])
def test_each_run_that_ended_has_one_outcome_under_its_business_key(form: Format) -> None:
    installation = played()
    records = reading(installation, form).read("amends.outcomes")
    outcomes = [(OUTCOMES.of_avro if form == "avro" else OUTCOMES.of_json)(each.value or b"") for each in records]
    assert [(each.idempotency_key, each.status) for each in outcomes] == [("A-1", "completed"), ("A-2", "completed")]
    last = {entry.saga_id: entry for entry in entries(installation)}
    for record, outcome in zip(records, outcomes, strict=True):
        entry = last[SagaId(outcome.saga_id)]
        assert record.key == outcome.business_key.encode()
        assert record.offset == entry.position
        assert (outcome.log_version, outcome.log_hash) == (entry.version, decode(entry.data).hash)
        assert outcome.outcome_id == outcome_id_of(saga_id=entry.saga_id, version=entry.version)
        assert headers(record)["ce_id"] == outcome.outcome_id
        assert headers(record)["content-type"] == f"application/{form}"
        assert "key" in json.loads(bytes(outcome.result))


def test_a_run_that_parked_and_was_resolved_has_two_outcomes_the_second_in_place_of_the_first() -> None:
    installation = world(order_saga(), replies={"c": fails(), "a.undo": [fails("down"), ok()]})
    installation.publish({"id": "A-1"})
    installation.run()
    (row,) = installation.store.runs()
    wish = wishes.Resolve(actor="kim", saga_id=row.saga_id, step="a", resolution="retry", reason=None, evidence=None)
    installation.store.put_inbox([InboxRow(shard=0, message_id="w", body=wishes.write(wish))])
    installation.take_inbox()
    installation.run()
    parked, ended = (OUTCOMES.of_avro(each.value or b"") for each in reading(installation).read("amends.outcomes"))
    assert (parked.status, ended.status) == ("parked", "compensated")
    assert ended.supersedes == parked.outcome_id
    assert parked.supersedes is None
    assert [each.step for each in parked.exposure] == ["a"]
    assert ended.exposure == ()
    assert parked.log_version < ended.log_version


def test_a_late_read_back_is_an_outcome_in_place_of_the_one_before() -> None:
    installation = world(read_back_saga())
    installation.publish({"id": "R-77", "order": "A-12"})
    installation.run(until=installation.clock.now + 3 * 3600 * SECOND)
    found = [OUTCOMES.of_avro(record.value or b"") for record in reading(installation).read("amends.outcomes")]
    assert [each.proof for each in found] == ["pending", "proven"]
    assert [each.supersedes for each in found] == [None, found[0].outcome_id]


def test_marks_of_endings_in_user_data_do_not_count() -> None:
    installation = world(order_saga(), replies={"a": ok(Done(key='"type":"SagaCompleted"'))})
    installation.publish({"id": "A-1"})
    installation.run()
    log = entries(installation)
    assert [may_have_outcome(entry) for entry in log] == [False] * (len(log) - 1) + [True]


def test_a_result_that_is_too_large_for_the_topic_may_be_left_out_and_says_so() -> None:
    installation = played()
    histories = Histories(installation.store)
    last = next(entry for entry in entries(installation) if may_have_outcome(entry))
    publication = PUBLISHING.outcome(histories.upto(last), installation.store.blob)
    assert publication is not None
    assert publication.smaller is not None
    whole, smaller = (OUTCOMES.of_avro(each.value or b"") for each in (publication.record, publication.smaller))
    assert bytes(smaller.result) == b"null"
    assert msgspec.structs.replace(whole, result=smaller.result) == smaller
    size = dict(publication.smaller.headers)["amends-result-omitted"]
    assert int(size) == len(bytes(whole.result))


def test_an_entry_that_ended_nothing_has_no_outcome() -> None:
    installation = played()
    first = entries(installation)[0]
    assert PUBLISHING.outcome(Histories(installation.store).upto(first), installation.store.blob) is None


@pytest.mark.parametrize("bytes_max", [0, 1_000, 10_000_000])
def test_a_history_is_the_same_whatever_was_remembered(bytes_max: int) -> None:
    installation = played()
    log = entries(installation)
    histories = Histories(installation.store, bytes_max=bytes_max)
    for entry in log:
        histories.saw(entry)
        assert [each.version for each in histories.upto(entry)] == list(range(1, entry.version + 1))
        assert histories.upto(entry)[-1] == decode(entry.data)


def test_a_history_up_to_an_entry_leaves_out_what_came_later() -> None:
    installation = played()
    log = entries(installation)
    histories = Histories(installation.store)
    for entry in log:
        histories.saw(entry)
    assert [each.version for each in histories.upto(log[0])] == [1]


def dead(**changes: object) -> DeadLetterRow:
    row = DeadLetterRow(
        topic="orders",
        partition=3,
        offset=118,
        key=b"A-1",
        value=b"\xff\xfe",
        headers=(("idempotency-key", b"R-1"),),
        idempotency_key="R-1",
        saga="order",
        reason="undecodable",
        detail="not JSON",
        path="lines.0",
        saga_id=None,
        size_bytes=2,
        at=1_795_262_527_110_000,
    )
    return msgspec.structs.replace(row, **changes)


def test_a_dead_letter_is_the_original_with_headers_in_both_dialects() -> None:
    installation = world(order_saga())
    installation.store.append(Batch(dead_letters=(dead(),)))
    (record,) = reading(installation).read("amends.dead-letters")
    found = dict(record.headers)
    assert (record.key, record.value, record.offset) == (b"A-1", b"\xff\xfe", 1)
    assert found["idempotency-key"] == b"R-1"
    assert (found["amends-reason"], found["amends-detail"]) == (b"undecodable", b"not JSON")
    assert found["kafka_dlt-original-topic"] == b"orders"
    assert struct.unpack(">i", found["kafka_dlt-original-partition"]) == (3,)
    assert struct.unpack(">q", found["kafka_dlt-original-offset"]) == (118,)
    assert found["kafka_dlt-original-consumer-group"] == b"amends.test"
    assert found["__connect.errors.topic"] == b"orders"
    assert found["__connect.errors.offset"] == b"118"


def test_a_large_dead_letter_may_be_cut_and_then_names_its_size_and_digest() -> None:
    value = bytes(range(256)) * 1_000
    publication = PUBLISHING.dead_letter(dead(n=1, value=value, size_bytes=len(value)))
    assert publication.record.value == value
    assert publication.smaller is not None
    assert publication.smaller.value == value[: 64 * 1024]
    found = dict(publication.smaller.headers)
    assert found["amends-original-size"] == str(len(value)).encode()
    assert found["amends-original-sha256"] == hashlib.sha256(value).hexdigest().encode()


def test_views_are_read_in_pages() -> None:
    installation = played()
    view = reading(installation)
    for topic in ("amends.audit", "amends.outcomes"):
        whole = view.read(topic, limit=1_000)
        paged: list[Record] = []
        while page := view.read(topic, after=paged[-1].offset if paged else -1, limit=1):
            paged += page
        assert paged == whole


def test_a_topic_of_the_user_s_is_read_beside_the_views() -> None:
    installation = played()
    view = reading(installation)
    assert [each.value for each in view.read("orders")] == [b'{"id": "A-1"}', b'{"id": "A-2"}']
    assert view.topics() == ["amends.audit", "amends.checkpoints", "amends.dead-letters", "amends.outcomes", "orders"]
    assert view.read("amends.checkpoints") == []
    assert view.read("amends.reviews") == []
