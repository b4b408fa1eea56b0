"""What is read back after the end, what is expected, and savepoints: with PostgreSQL, Kafka, and workers that die."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kafka.installation import HERE, Installation, wait_for
from tests.e2e.kafka.topics import records

APP = HERE / "proof_app.py"


@pytest.fixture
def proof(postgres: str, kafka: str, tmp_path: Path, prefix: str) -> Installation:
    """An installation with its topics; nothing of it runs."""
    books = tmp_path / "books"
    books.mkdir()
    more = {"BOOKS": str(books), "AMENDS_TOPIC_FORMAT": "json"}
    made = Installation(folder=tmp_path, store=postgres, bus=f"kafka://{kafka}", prefix=prefix, more=more)
    made.run("topics", "create", APP, "--partitions", 2)
    return made


def proofs(proof: Installation) -> dict[str, tuple[str, str | None]]:
    """How each run stands, and what shows that it achieved what it was for."""
    return {each["business_key"]: (each["status"], each["proof"]) for each in proof.json("runs", "list")}


def comes_to(proof: Installation, expected: dict[str, tuple[str, str | None]]) -> None:
    try:
        wait_for(lambda: proofs(proof) == expected, f"runs come to {expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{proof.everything()}") from None


def published(proof: Installation, order: str) -> list[dict[str, Any]]:
    """The outcomes of an order's run on the topic, each once, in the order in which they replace each other."""
    read = (json.loads(each.value) for each in records(proof, proof.own.outcomes))
    found = {each["outcome_id"]: each for each in read if each["business_key"] == order}
    return sorted(found.values(), key=lambda each: int(each["log_version"]))


def effects(proof: Installation) -> Counter[tuple[str, str]]:
    """How often the participant did what, by order."""
    names = (each.name.split() for each in Path(proof.more["BOOKS"]).iterdir())
    return Counter((name[0], name[1]) for name in names if len(name) == 3 and name[0] != "asked")


@pytest.mark.timeout(300)
def test_runs_are_proven_and_one_goes_back_to_a_step_though_their_workers_are_killed(proof: Installation) -> None:
    books = Path(proof.more["BOOKS"])
    for name in ("hold", "closed"):
        (books / name).touch()
    triggers = {"A": {"parcel": False}, "B": {"parcel": False, "paid": False}, "C": {}}
    file = proof.folder / "orders.jsonl"
    file.write_text(
        "".join(json.dumps({"id": f"R-{key}", "order": key, **each}) + "\n" for key, each in triggers.items())
    )
    proof.run("publish", proof.orders, "--file", file)

    with proof.started("first", "worker", APP, "--with-relay") as first:
        comes_to(proof, {"A": ("completed", "pending"), "B": ("completed", "flagged"), "C": ("parked", None)})
        wait_for((books / "asked about A").exists, "A is read back")
        wait_for(lambda: len(published(proof, "A")) == 1, "A has an outcome")
        first.kill()  # Between the end of the run and what is read back of it.
        first.wait(10)
    asked = proof.json("parked", "resolve", "orders/R-C", "--undo-to", "reserve", "--reason", "a truck is on its way")
    assert asked["state"] == "requested"
    (books / "closed").unlink()
    with proof.started("second", "worker", APP) as second:
        wait_for((books / "refunding C").exists, "the charge of C is being undone")
        assert proofs(proof)["C"] == ("compensating", None)
        second.kill()  # Between the wish and its undo.
        second.wait(10)
    assert effects(proof)["refund", "C"] == 0
    (books / "hold").unlink()
    (books / "truck").touch()
    with proof.started("third", "worker", APP, "--with-relay"):
        comes_to(proof, {"A": ("completed", "proven"), "B": ("completed", "flagged"), "C": ("completed", "proven")})
        wait_for(lambda: [len(published(proof, key)) for key in "ABC"] == [2, 2, 3], "all outcomes are published")

    first_of_a, last_of_a = published(proof, "A")
    assert (first_of_a["proof"], last_of_a["proof"]) == ("pending", "proven")
    assert last_of_a["supersedes"] == first_of_a["outcome_id"]
    unproven = ("outcome_id", "supersedes", "proof", "log_version", "log_hash")
    assert {name: first_of_a[name] for name in first_of_a if name not in unproven} == {
        name: last_of_a[name] for name in last_of_a if name not in unproven
    }
    assert [(each["status"], each["proof"]) for each in published(proof, "C")] == [
        ("parked", None),
        ("completed", "pending"),
        ("completed", "proven"),
    ]
    once = {(what, order): 1 for what in ("reserve", "charge", "ship") for order in "AB"}
    again = {("reserve", "C"): 1, ("charge", "C"): 2, ("refund", "C"): 1, ("ship", "C"): 1}
    assert effects(proof) == {**once, **again}, "what is before the savepoint stood, what is behind it was done anew"
    flagged = proof.json("runs", "list", "--proof", "flagged")
    assert [each["business_key"] for each in flagged] == ["B"]
    assert proof.json("audit", "verify", "--from-topic")["ok"]
