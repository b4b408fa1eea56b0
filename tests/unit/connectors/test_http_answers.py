"""What an HTTP answer says, as a table: nothing is called definite that is not."""

from datetime import UTC, datetime

import pytest

from amends.connectors.http.answers import failure_of, retry_after_s
from amends.connectors.http.wire import Answer
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown

NOW = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)


def answer(status: int, body: bytes = b"", *, content_type: str = "application/json", replayed: bool = False) -> Answer:
    return Answer(
        status=status,
        body=body,
        content_type=content_type,
        location=None,
        retry_after=None,
        unread=None,
        replayed=replayed,
    )


def verdict(given: Answer, *, acts: bool = True, repeated: bool = False) -> Exception:
    return failure_of(given, "POST /x", acts=acts, repeated=repeated, definite=(), now=NOW)


@pytest.mark.parametrize("status", [*range(300, 307), *range(500, 512), 599])
def test_no_redirect_and_no_server_error_after_an_action_is_definite(status: int) -> None:
    assert isinstance(verdict(answer(status)), StepUnknown)
    assert isinstance(verdict(answer(status, replayed=True), repeated=True), StepUnknown)


@pytest.mark.parametrize("status", range(300, 600))
def test_a_reader_is_never_in_doubt(status: int) -> None:
    assert isinstance(verdict(answer(status), acts=False), StepRefused | StepUnavailable)


@pytest.mark.parametrize("status", range(400, 500))
def test_every_refusal_of_a_first_request_is_definite(status: int) -> None:
    assert isinstance(verdict(answer(status)), StepRefused | StepUnavailable)


@pytest.mark.parametrize("status", [400, 401, 403, 409, 412, 413, 422])
def test_to_a_repetition_only_what_is_replayed_is_definite(status: int) -> None:
    assert isinstance(verdict(answer(status), repeated=True), StepUnknown)
    assert isinstance(verdict(answer(status, replayed=True), repeated=True), StepRefused)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(b'{"error": "card_declined"}', " card_declined", id="a code"),
        pytest.param(b'{"error": {"code": "card_declined", "message": "no"}}', " card_declined", id="a code within"),
        pytest.param(b'{"type": "conflict"}', " conflict", id="a type"),
        pytest.param(b'{"error": "card 4111 of Ann Lee"}', "", id="a sentence is somebody's data"),
        pytest.param(b'{"error": "4111111111111111"}', "", id="digits are somebody's data"),
        pytest.param(b'{"error": ["a"]}', "", id="a list"),
        pytest.param(b'["error"]', "", id="no object"),
        pytest.param(b"{", "", id="no JSON"),
        pytest.param(b"[" * 50_000, "", id="a depth without end"),
    ],
)
def test_of_a_refusals_body_only_a_code_is_repeated(body: bytes, shown: str) -> None:
    assert str(verdict(answer(402, body))) == f"POST /x was answered 402{shown}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 40, 86_400.0),
        ("Sat, 21 Nov 2026 14:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 13:00:30 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, NOW) == seconds
