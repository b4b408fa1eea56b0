"""Erasing a subject whose runs were published over Kafka: what is sealed on the topics is unreadable from then on."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.e2e.kafka.installation import Installation
from tests.e2e.kafka.senders import as_json, send

pytestmark = pytest.mark.timeout(240)
PEOPLE: Final = Path(__file__).parents[1] / "cli" / "apps" / "people.py"
ADA, BOB = "ada@example.org", "bob@example.org"
TEXT, OTHER = "come-to-the-analytical-engine", "bring-the-other-drawing"


@pytest.fixture
def letters(on_postgres: Installation) -> Installation:
    """Ada's runs, one completed, one with a large result, one undone after a participant's words; and one of Bob's."""
    topic = f"{on_postgres.prefix}letters"
    sealed = {"AMENDS_MASTER_KEY": "${env:MASTER}", "MASTER": b64encode(b"m" * 32).decode(), "SEAL_RESULT": "yes"}
    made = replace(on_postgres, more={**on_postgres.more, **sealed, "LETTERS_TOPIC": topic})
    made.run("topics", "create", PEOPLE)
    for number, (person, text, fail) in enumerate(
        [(ADA, TEXT, ""), (ADA, TEXT, "large"), (ADA, TEXT, "refuse"), (BOB, OTHER, "")]
    ):
        request = {"request_id": f"R-{number}", "order_id": f"L-{number}", "person": person, "text": text, "fail": fail}
        send(made.address, topic, as_json(request))
    made.run("worker", PEOPLE, "--until-idle")
    return made


def published(made: Installation) -> dict[str, str]:
    """All that consumers of our own topics can read."""
    topics = (made.own.audit, made.own.outcomes, made.own.dead_letters)
    return {topic: made.run("topics", "tail", topic, "-o", "jsonl") for topic in topics}


def rows(made: Installation) -> Iterator[str]:
    """Every row of the store, as text."""
    with psycopg.connect(made.store) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'amends'").fetchall()
        for (table,) in tables:
            yield from (repr(row) for row in connection.execute(f"SELECT * FROM amends.{table}"))


def test_nothing_of_an_erased_subject_can_be_read_on_our_topics_in_the_store_bundles_or_archives(
    letters: Installation, tmp_path: Path
) -> None:
    runs = {row["business_key"]: row["saga_id"] for row in letters.json("runs", "list")}
    shown = letters.json("runs", "show", runs["L-0"])
    assert shown["result"] == {"text": f"Dear {ADA}, {TEXT}"}, "who has the key reads it until then"
    letters.run("forensics", "export", *runs.values(), "--to", tmp_path / "before.amends")

    letters.run("subjects", "erase", ADA, "--reason", "asked to")

    letters.run("forensics", "export", *runs.values(), "--to", tmp_path / "after.amends")
    on_topics = published(letters)
    assert [topic for topic, said in on_topics.items() if TEXT in said or ADA in said] == []
    assert len(on_topics[letters.own.outcomes].splitlines()) == len(runs)
    assert [row for row in rows(letters) if TEXT in row or ADA in row] == []
    for file in ("before.amends", "after.amends"):
        opened = letters.run("forensics", "open", tmp_path / file, "-o", "json")
        assert json.loads(opened)["ok"]
        assert TEXT.encode() not in (tmp_path / file).read_bytes()
    assert list(letters.json("runs", "show", runs["L-0"])["result"]) == ["erased"]
    assert letters.json("runs", "show", runs["L-3"])["result"] == {"text": f"Dear {BOB}, {OTHER}"}
    assert letters.json("audit", "verify")["ok"]
    assert letters.json("audit", "verify", "--from-topic")["ok"]

    assert letters.json("archive", "--before", "0s", "--to", tmp_path / "archive")["runs"] == len(runs)
    kept = [file.read_bytes() for file in (tmp_path / "archive").iterdir()]
    assert kept
    assert not any(text.encode() in file for text in (TEXT, ADA) for file in kept)
    assert letters.json("audit", "verify")["ok"]
