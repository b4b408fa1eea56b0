"""Whom a message reaches, and what is awaited in its place."""

import pytest

from amends.coordinator.ports.rows import MessageRow
from amends.coordinator.reading.listening import awaited_instead
from tests.unit.runtime.test_waiting_runs import ordered


@pytest.mark.parametrize(
    ("key", "kind", "answer", "said"),
    [
        pytest.param("A-12", "Arrived", None, "under key A-12 Arrival is awaited, not Arrived", id="another type"),
        pytest.param("A-12", "any", "succeeded", "under key A-12 Arrival is awaited, not an answer", id="an answer"),
        pytest.param("A-12", "Arrival", None, None, id="what is awaited"),
        pytest.param("A-13", "Arrived", None, None, id="a key that nobody waits for"),
    ],
)
def test_who_sends_what_nobody_waits_for_is_told_what_the_key_is_awaited_with(
    key: str, kind: str, answer: str | None, said: str | None
) -> None:
    place = ordered()
    message = MessageRow(
        message_id="m", correlation_key=key, type=kind, answer=answer, reason=None, external_id=None, body="null",
        topic="amends.messages", received_at=0, expires_at=1, actor="ines",
    )  # fmt: skip
    assert awaited_instead(place.store, message) == said
