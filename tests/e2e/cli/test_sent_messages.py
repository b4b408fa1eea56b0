"""`amends messages send`: one id names one message."""

import pytest

from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(120)

SENT = ("messages", "send", "A-12", "--type", "Parts", "--json", '{"pallets": 3}', "--id", "delivery-7")

OTHERS = {
    "another content": ("--json", '{"pallets": 4}'),
    "another type": ("--type", "Tools"),
    "an answer": ("--answer", "succeeded"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_message_under_an_id_is_refused_and_the_former_stays(
    installation: Installation, other: tuple[str, ...]
) -> None:
    installation.ok(*SENT)
    before = installation.json("messages", "list")
    installation.command(*SENT, *other).refused(7, "AM5017", "'delivery-7' with another content", "another --id")
    installation.command(*SENT[:2], "A-13", *SENT[3:]).refused(7, "AM5017", "another key")
    assert installation.json("messages", "list") == before


def test_the_same_message_twice_is_one(installation: Installation) -> None:
    installation.ok(*SENT)
    assert installation.ok(*SENT) == "· delivery-7 was sent before: nothing new\n"
    assert len(installation.json("messages", "list")) == 1
