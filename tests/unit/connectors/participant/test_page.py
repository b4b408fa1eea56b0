"""docs/participants.md: its saga keeps every rule, its service works, its headers are those that are sent."""

import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from runpy import run_path
from typing import Any, Final

import pytest

from amends import Saga
from amends.connectors.participant.inbox import CommandInbox
from amends.connectors.participant.wire import Command, command_record
from amends.participant import Service

PAGE: Final = (Path(__file__).parents[4] / "docs" / "participants.md").read_text()
BLOCK: Final = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def names_of(example: int) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "page"}
    exec(BLOCK.findall(PAGE)[example], names)  # a page of ours
    return names


def command(name: str, key: str, undoes: str | None = None) -> Command:
    return Command(
        name=name,
        body=b'{"order":"A"}',
        key=key,
        undoes=undoes,
        epoch=1,
        correlation=key,
        reply_topic="shipping.replies",
        saga_id="s",
        namespace="default",
        saga="orders",
        attempt=1,
        traceparent="00-" + "0" * 32 + "-" + "0" * 16 + "-00",
    )


def test_its_saga_keeps_every_rule() -> None:
    saga = names_of(0)["orders"]
    assert isinstance(saga, Saga)
    assert saga.check() == []


def test_its_service_books_and_cancels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("shipping.db")) as database, database:
        database.execute("CREATE TABLE slots (sku TEXT PRIMARY KEY)")
    service = names_of(1)["shipping"]
    assert isinstance(service, Service)
    with closing(CommandInbox(service.name, "sqlite:///shipping.db", service._handlers)) as inbox:
        assert inbox.take(command("book", "k")) == "worked"
        assert inbox.take(command("cancel", "u", undoes="k")) == "worked"
        assert [(each.reply.answer, each.reply.external_id) for each in inbox.due()] == [
            ("succeeded", "slot of A"),
            ("succeeded", None),
        ]


def test_its_rehearsal_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, example in (("app", 0), ("shipping", 1), ("rehearsal", 2)):
        (tmp_path / f"{name}.py").write_text(BLOCK.findall(PAGE)[example])
        monkeypatch.delitem(sys.modules, name, raising=False)
    names = run_path(str(tmp_path / "rehearsal.py"))
    tests = [test for name, test in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_its_headers_are_those_of_a_command() -> None:
    record = command_record(command("cancel", "u", undoes="k"), topic="c", participant="shipping", at=0)
    sent = {name for name, _ in record.headers if not name.startswith("ce_")} - {"content-type", "traceparent"}
    rows = re.findall(r"^\| (`amends-[^|]*|`idempotency-key`) \|", PAGE, re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert described == sent
