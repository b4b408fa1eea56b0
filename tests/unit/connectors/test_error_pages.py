"""Pages of connector errors: the first example of each raises it, with just that output; the remedy does not."""

import asyncio
import re
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from amends.coordinator.attempt import attempting
from amends.coordinator.errors import AmendsError
from amends.coordinator.failures import StepUnavailable
from amends.coordinator.loop_resources import close_all
from amends.testing import connector_kit

PAGES = Path(__file__).parents[3] / "docs" / "errors"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODES = sorted(page.stem for page in PAGES.glob("AM2*.md"))


def blocks(code: str, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall((PAGES / f"{code}.md").read_text()) if kind == language]


def execute(source: str) -> None:
    """Execute an example, and its handler where it has one."""
    names: dict[str, Any] = {}
    exec(source, names)  # a page of ours
    if "reserve" in names:
        asyncio.run(in_an_attempt(names["reserve"]))


async def in_an_attempt(handler: Callable[[], Awaitable[None]]) -> None:
    with attempting(replace(connector_kit.attempt_at(connector_kit.new_saga_id()), path="reserve")):
        try:
            await handler()
        finally:
            await close_all()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("stock.db")) as database, database:
        database.execute("CREATE TABLE stock (sku TEXT PRIMARY KEY, free INTEGER)")


def test_every_error_of_a_connector_has_a_page() -> None:
    found = "".join(file.read_text() for file in (PAGES.parents[1] / "connectors").rglob("*.py"))
    assert {*re.findall(r'"(AM2\d{3})"', found), "AM2001", "AM2008"} == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_the_first_example_of_a_page_raises_its_error(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if code == "AM2007":
        monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises((AmendsError, StepUnavailable)) as caught:
        execute(blocks(code, "python")[0])
    said = caught.value.line() if isinstance(caught.value, AmendsError) else str(caught.value)
    assert f"{said}\n" == blocks(code, "text")[0]


@pytest.mark.parametrize("code", [code for code in CODES if code != "AM2007"])
def test_the_remedy_on_a_page_works(code: str) -> None:
    execute(blocks(code, "python")[1])
