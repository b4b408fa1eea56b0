"""Secrets are taken out by value, however they are spelled, and what is left still reads."""

import json
import logging

import pytest

from amends.coordinator.redaction import Redactor

SECRET = 'p"ä/s s+w'


@pytest.fixture
def redactor() -> Redactor:
    made = Redactor()
    made.learn(SECRET)
    return made


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"it is {SECRET}.", id="as it is"),
        pytest.param(json.dumps({"a": SECRET}), id="in escaped JSON"),
        pytest.param(json.dumps({"a": SECRET}, ensure_ascii=False), id="in JSON"),
        pytest.param("https://x/?p=p%22%C3%A4%2Fs%20s%2Bw", id="in a URL"),
        pytest.param("p=p%22%C3%A4%2Fs+s%2Bw", id="in a form"),
        pytest.param("Basic cCLDpC9zIHMrdw==", id="in base64"),
    ],
)
def test_a_secret_is_found_however_it_is_spelled(redactor: Redactor, text: str) -> None:
    cleaned = redactor.redact(text)
    assert "[redacted]" in cleaned
    assert not any(part in cleaned for part in ("ä/s", "u00e4", "%C3%A4", "cCLDp"))


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_stays_json(redactor: Redactor, ascii_only: bool) -> None:  # noqa: FBT001  a case of the table
    said = {"a": [SECRET, 1], "b": f"x{SECRET}y", SECRET: "\\", "c": '\\"'}
    cleaned = redactor.redact_json(json.dumps(said, ensure_ascii=ascii_only).encode())
    assert json.loads(cleaned) == {"a": ["[redacted]", 1], "b": "x[redacted]y", "[redacted]": "\\", "c": '\\"'}


@pytest.mark.parametrize("secret", ["123456", '"quoted"', "ends with \\", ": true, "])
def test_only_the_strings_of_json_are_touched(secret: str) -> None:
    redactor = Redactor()
    redactor.learn(secret)
    said = {"number": 123456, "1": 1.50, "secret": f"<{secret}>", "true": True, "list": [123456.0, None]}
    data = json.dumps(said).encode()
    assert json.loads(redactor.redact_json(data)) == {**said, "secret": "<[redacted]>"}


def test_json_without_a_secret_is_given_back_as_it_is(redactor: Redactor) -> None:
    data = b'{"a": 1.0,  "b":"x"}'
    assert redactor.redact_json(data) is data


def test_a_secret_within_another_leaves_no_remainder(redactor: Redactor) -> None:
    redactor.learn("abcdef")
    redactor.learn("abcdefghij")
    assert redactor.redact("abcdefghij abcdef") == "[redacted] [redacted]"


def test_a_value_too_short_to_look_for_is_logged_once_and_not_looked_for(caplog: pytest.LogCaptureFixture) -> None:
    redactor = Redactor()
    for _ in range(2):
        redactor.learn("12345")
    assert redactor.redact("12345") == "12345"
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == ["secret_too_short"]


def test_knowing_nothing_changes_nothing() -> None:
    redactor = Redactor()
    redactor.learn("")
    assert redactor.redact("anything") == "anything"
