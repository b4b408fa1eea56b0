"""Every run and its chain are rebuilt from Kafka alone; a record that was touched is found and named."""

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.e2e.kafka.installation import ORDERS, Installation, outcomes
from tests.e2e.kafka.senders import as_json, order, send
from tests.e2e.kafka.topics import Copied, records
from tests.integration.kafka.clients import create_topic

pytestmark = pytest.mark.timeout(240)

NOWHERE = "sqlite:////nowhere/amends.db"


Audit = list[Copied]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """An installation whose runs are over, and what is in its two topics."""

    installation: Installation
    runs: dict[str, str]
    """The saga id of each run, by its order."""
    audit: Audit
    outcomes: list[Copied]

    def at(self, name: str, version: int) -> int:
        """Where in `audit` a run's entry is."""
        return next(
            index
            for index, each in enumerate(self.audit)
            if each.saga_id == self.runs[f"A-{name}"] and each.version == version
        )

    def last(self, name: str) -> int:
        """The version of a run's last entry."""
        return max(each.version for each in self.audit if each.saga_id == self.runs[f"A-{name}"])


@pytest.fixture(scope="module")
def played(on_postgres: Installation, schemas: Path) -> Played:
    """Play a completed, a compensated, a parked and later resolved run, and another completed one."""
    made = on_postgres
    fates = {"one": None, "two": "charge", "three": "unreserve", "four": None}
    for name, refuse in fates.items():
        send(made.address, made.orders, as_json(order(name, refuse=refuse)))
    with made.started("worker", "worker", ORDERS), made.started("relay", "relay"):
        outcomes(made, *(f"A-{name}" for name in fates), schemas=schemas)
        (parked,) = made.json("parked", "list")
        wish = ["--step", parked["step"], "--done-by-hand", "--evidence", "seen", "--wait"]
        made.run("parked", "resolve", parked["saga_id"], *wish, code=3)
    made.run("worker", ORDERS, "--until-idle")
    rows = made.json("runs", "list")
    return Played(
        installation=made,
        runs={row["business_key"]: row["saga_id"] for row in rows},
        audit=records(made, made.own.audit),
        outcomes=records(made, made.own.outcomes),
    )


def test_every_run_is_verified_from_kafka_alone(played: Played) -> None:
    report = verified(played.installation, code=0)
    assert report == {"ok": True, "runs": 4, "entries": len(played.audit), "faults": []}
    in_store = played.installation.json("audit", "verify", "--all")
    assert (in_store["ok"], in_store["entries"]) == (True, len(played.audit))


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_a_run_is_rebuilt_from_kafka_alone_as_it_is_in_the_store(played: Played, name: str) -> None:
    run = played.runs[f"A-{name}"]
    in_store = played.installation.json("replay", run)
    elsewhere = replace(played.installation, store=NOWHERE)
    assert elsewhere.json("replay", run, "--from-topic") == in_store
    assert in_store["state"]["status"] == {"one": "completed"}.get(name, "compensated")


def test_the_topic_carries_the_log_s_own_bytes(played: Played) -> None:
    for name, run in played.runs.items():
        lines = played.installation.run("audit", "tail", run, "-o", "jsonl").splitlines()
        assert [each.value.decode() for each in played.audit if each.saga_id == run] == lines, name


def test_entries_published_twice_are_no_fault(played: Played) -> None:
    twice = [each for each in played.audit for _ in range(2)]
    late = [*twice, *played.audit[:5]]
    assert verified(copied(played, late), code=0)["runs"] == 4


def altered(played: Played) -> tuple[Audit, str, int, set[str]]:
    """One word of an entry is another, its hash is what it was."""
    audit, at = list(played.audit), played.at("two", 2)
    changed = audit[at].value.replace(b'"type":"StepRequested"', b'"type":"StepRequesteD"', 1)
    if changed == audit[at].value:
        changed = audit[at].value.replace(b'"at":"2', b'"at":"3', 1)
    audit[at] = replace(audit[at], value=changed)
    return audit, "two", 2, {"hash", "undecodable"}


def altered_and_hashed_anew(played: Played) -> tuple[Audit, str, int, set[str]]:
    """Another time, and the right hash for it: the next entry still names the former one."""
    audit, at = list(played.audit), played.at("two", 2)
    audit[at] = replace(audit[at], value=with_other_time(audit[at].value))
    return audit, "two", 3, {"link"}


def altered_at_the_end(played: Played) -> tuple[Audit, str, int, set[str]]:
    """The same in the last entry, which no other one names; but the outcome does."""
    last = played.last("one")
    audit, at = list(played.audit), played.at("one", last)
    audit[at] = replace(audit[at], value=with_other_time(audit[at].value))
    return audit, "one", last, {"head"}


def swapped_in_a_run(played: Played) -> tuple[Audit, str, int, set[str]]:
    """Two entries of a run stand in each other's place."""
    audit, first, second = list(played.audit), played.at("one", 2), played.at("one", 3)
    audit[first], audit[second] = audit[second], audit[first]
    return audit, "one", 2, {"gap", "link"}


def swapped_between_runs(played: Played) -> tuple[Audit, str, int, set[str]]:
    """Two runs carry each other's entries under their own keys."""
    audit, first, second = list(played.audit), played.at("one", 2), played.at("four", 2)
    audit[first], audit[second] = (
        replace(audit[first], value=audit[second].value),
        replace(audit[second], value=audit[first].value),
    )
    return audit, "one", 2, {"undecodable", "link"}


def deleted_in_the_middle(played: Played) -> tuple[Audit, str, int, set[str]]:
    """An entry is not there."""
    at = played.at("three", 3)
    return [*played.audit[:at], *played.audit[at + 1 :]], "three", 3, {"gap"}


def deleted_at_the_start(played: Played) -> tuple[Audit, str, int, set[str]]:
    """The first entry is not there."""
    at = played.at("three", 1)
    return [*played.audit[:at], *played.audit[at + 1 :]], "three", 1, {"gap"}


def deleted_before_the_outcome_s_version(played: Played) -> tuple[Audit, str, int, set[str]]:
    """The last entries are not there, though an outcome names their version."""
    last = played.last("two")
    gone = {played.at("two", last), played.at("two", last - 1)}
    return [each for at, each in enumerate(played.audit) if at not in gone], "two", last - 1, {"gap"}


def deleted_whole(played: Played) -> tuple[Audit, str, int, set[str]]:
    """No entry of a run is there, only its outcome."""
    kept = [each for each in played.audit if each.saga_id != played.runs["A-four"]]
    return kept, "four", played.last("four"), {"gap"}


def made_up(played: Played) -> tuple[Audit, str, int, set[str]]:
    """A second entry of the same version says something else, with a right hash of its own."""
    audit, at = list(played.audit), played.at("four", 2)
    audit.insert(at + 1, replace(audit[at], value=with_other_time(audit[at].value)))
    return audit, "four", 2, {"link"}


def garbage(played: Played) -> tuple[Audit, str, int, set[str]]:
    """An entry is no entry any more."""
    audit, at = list(played.audit), played.at("four", 2)
    audit[at] = replace(audit[at], value=b"\x00garbage")
    return audit, "four", 2, {"undecodable"}


TOUCHED: list[Callable[[Played], tuple[Audit, str, int, set[str]]]] = [
    altered,
    altered_and_hashed_anew,
    altered_at_the_end,
    swapped_in_a_run,
    swapped_between_runs,
    deleted_in_the_middle,
    deleted_at_the_start,
    deleted_before_the_outcome_s_version,
    deleted_whole,
    made_up,
    garbage,
]


@pytest.mark.parametrize("touch", [pytest.param(each, id=each.__name__.replace("_", " ")) for each in TOUCHED])
def test_a_record_that_was_touched_is_named(
    played: Played, touch: Callable[[Played], tuple[Audit, str, int, set[str]]]
) -> None:
    audit, name, version, faults = touch(played)
    report = verified(copied(played, audit), code=1)
    first = report["faults"][0]
    run = played.runs[f"A-{name}"]
    assert not report["ok"]
    named = {(each["saga_id"], each["version"]) for each in report["faults"]}
    assert (run, version) in named, report["faults"]
    assert first["fault"] in faults, report["faults"]
    untouched = set(played.runs.values()) - {run}
    if touch is not swapped_between_runs:
        assert not {each["saga_id"] for each in report["faults"]} & untouched


def with_other_time(value: bytes) -> bytes:
    """Give an entry that happened a second later, hashed as it should be."""
    entry = json.loads(value)
    second = (int(entry["at"][17:19]) + 1) % 60
    entry["at"] = f"{entry['at'][:17]}{second:02d}{entry['at'][19:]}"
    del entry["hash"]
    body = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    entry["hash"] = hashlib.sha256(body).hexdigest()
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def verified(installation: Installation, *, code: int) -> dict[str, Any]:
    """Verify without any store: from the topics alone."""
    report: dict[str, Any] = replace(installation, store=NOWHERE).json(
        "audit", "verify", "--all", "--from-topic", code=code
    )
    return report


def copied(played: Played, audit: Audit) -> Installation:
    """Make topics with these audit records and the outcomes as they are; give an installation that has them."""
    copy = replace(played.installation, prefix=f"t{uuid.uuid4().hex[:8]}-")
    for topic in (copy.own.audit, copy.own.outcomes):
        create_topic(copy.address, topic, partitions=3)
    producer = Producer({"bootstrap.servers": copy.address, "enable.idempotence": True})
    for topic, found in ((copy.own.audit, audit), (copy.own.outcomes, played.outcomes)):
        for each in found:
            producer.produce(topic, value=each.value, key=each.key, partition=each.partition, headers=each.headers)
    assert producer.flush(20) == 0
    return copy
