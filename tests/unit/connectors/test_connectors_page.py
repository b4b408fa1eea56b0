"""docs/connectors.md: its examples load; its table, its message and its statuses are the code's."""

import re
from pathlib import Path

import pytest

from amends.connectors.http.answers import SILENT_ON_A_REPETITION
from amends.connectors.sql.inbox import TABLE
from amends.coordinator.definition.form import Certainty
from amends.coordinator.testing.connector_checks import CHECKS
from amends.testing import connector_kit

PAGE = (Path(__file__).parents[3] / "docs" / "connectors.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(PAGE) if kind == language]


@pytest.mark.parametrize("example", blocks("python"))
def test_an_example_loads(example: str) -> None:
    exec(example, {})  # a page of ours


def test_the_inbox_shown_is_the_inbox_made() -> None:
    assert blocks("sql")[0].strip() == TABLE.strip()


def test_the_statuses_that_say_nothing_to_a_repetition_are_the_ones_listed() -> None:
    (listed,) = re.findall(r"first request is still running: ([^a-z]*) and 451 then say nothing", PAGE)
    found = {451}
    for part in listed.split(", "):
        first, _, last = part.partition("–")  # noqa: RUF001  a range, as the page writes it
        found.update(range(int(first), int(last or first) + 1))
    assert found == SILENT_ON_A_REPETITION


async def test_the_broken_promise_shown_is_what_the_kit_says() -> None:
    class Payments:
        name = "payments"
        certainty = Certainty(deduplicates=True)

    acted: list[str] = []

    async def charge(order: str) -> None:
        acted.append(order)

    async def charges(order: str) -> int:
        return acted.count(order)

    subject = connector_kit.Subject(dependency=Payments(), do=charge, applied=charges)
    (check,) = (check for check in CHECKS if check.name == "same_key_twice")
    with pytest.raises(connector_kit.BrokenPromise) as caught:
        await check.run(subject)
    assert f"{caught.value}\n" == blocks("text")[0]
