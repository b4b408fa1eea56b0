"""References: resolved at the moment of use, never shown, and told what is wrong with them without a value."""

from collections.abc import Callable
from pathlib import Path

import pytest

from amends.connectors.http import Http
from amends.connectors.secrets import FILE_BYTES_MAX, secret_template, template
from amends.connectors.smtp import Smtp
from amends.connectors.sql import Sql
from amends.coordinator.errors import UsageError
from amends.coordinator.redaction import redact


def test_a_reference_is_resolved_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    token = template("Bearer ${env:AMENDS_TEST_TOKEN}", what="a header")
    for value in ("first-value", "rotated-value"):
        monkeypatch.setenv("AMENDS_TEST_TOKEN", value)
        assert token.resolve(secret=True) == f"Bearer {value}"
        assert redact(f"it was {value}") == "it was [redacted]"


def test_what_is_no_secret_is_left_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_TEST_HOST", "payments.example")
    assert template("https://${env:AMENDS_TEST_HOST}", what="base_url").resolve(secret=False)
    assert redact("payments.example was down") == "payments.example was down"


def test_a_file_is_read_without_its_last_line_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("two\nlines\r\n")
    assert template(f"${{file:{file}}}", what="password").resolve(secret=True) == "two\nlines"


def test_several_references_stand_in_one_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMENDS_TEST_USER", "shop")
    (tmp_path / "p").write_text("pass:word")
    text = f"postgresql://${{env:AMENDS_TEST_USER}}:${{file:{tmp_path / 'p'}}}@db/stock"
    assert template(text, what="url").resolve(secret=False) == "postgresql://shop:pass:word@db/stock"


@pytest.mark.parametrize("text", ["${ENV:X}", "${env:}", "${env:A B}", "${X}", "a ${", "${env:X} ${"])
def test_a_reference_that_cannot_be_read_is_an_error_where_it_is_declared(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        template(text, what="the header 'X'")
    assert caught.value.code == "AM2002"


def test_a_reference_that_leads_nowhere_says_which(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("x" * (FILE_BYTES_MAX + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for reference, why in (
        ("${env:AMENDS_TEST_NOT_SET}", "password: .* is not set"),
        (f"${{file:{tmp_path}/none}}", "password: .* No such file"),
        (f"${{file:{tmp_path}/large}}", "password: .* larger than"),
        (f"${{file:{tmp_path}/binary}}", "password: .* not UTF-8"),
    ):
        with pytest.raises(UsageError, match=why) as caught:
            template(reference, what="password").resolve(secret=True)
        assert caught.value.code == "AM2002"


WRITTEN_DOWN: dict[str, Callable[[], object]] = {
    "a password in an argument": lambda: secret_template("hunter2", what="password"),
    "a token in a header": lambda: Http("x", base_url="http://x", headers={"Authorization": "Bearer hunter2"}),
    "a password in a base URL": lambda: Http("x", base_url="http://me:hunter2@x"),
    "a password in a database URL": lambda: Sql("x", url="postgresql://me:hunter2@x/y"),
    "a mail password": lambda: Smtp("x", host="x", sender="a@b.example", user="me", password="hunter2"),
}


@pytest.mark.parametrize("where", WRITTEN_DOWN)
def test_a_secret_in_the_code_is_refused_and_not_repeated(where: str) -> None:
    with pytest.raises(UsageError) as caught:
        WRITTEN_DOWN[where]()
    assert caught.value.code == "AM2003"
    assert "hunter2" not in str(caught.value)


MALFORMED: dict[str, Callable[[], object]] = {
    "no name": lambda: Http("", base_url="http://x"),
    "no HTTP": lambda: Http("x", base_url="ftp://x"),
    "a query in the base": lambda: Http("x", base_url="http://x?a=1"),
    "a header that breaks its line": lambda: Http("x", base_url="http://x", headers={"X": "a\nb"}),
    "no header name": lambda: Http("x", base_url="http://x", idempotency_header="Idempotency Key"),
    "no duration": lambda: Http("x", base_url="http://x", idempotent="a while"),
    "negative time": lambda: Http("x", base_url="http://x", settle_s=-1),
    "no database it knows": lambda: Sql("x", url="mysql://x/y"),
    "no path": lambda: Sql("x", url="sqlite://"),
    "no sender": lambda: Smtp("x", host="x", sender="nobody"),
    "a user without a password": lambda: Smtp("x", host="x", sender="a@b.example", user="me"),
    "a password in the open": lambda: Smtp(
        "x", host="x", sender="a@b.example", user="me", password="${env:P}", security="none"
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_declaration_that_cannot_work_is_an_error_at_once(what: str) -> None:
    with pytest.raises(UsageError) as caught:
        MALFORMED[what]()
    assert caught.value.code == "AM2005"


def test_what_a_connector_promises_is_read_from_its_declaration() -> None:
    assert not Http("x", base_url="http://x").certainty.deduplicates
    assert Http("x", base_url="http://x", idempotency_header="K").certainty.deduplicates
    assert not Http("x", base_url="http://x", idempotency_header="K", idempotent=False).certainty.deduplicates
    assert Http("x", base_url="http://x", idempotent="24h").certainty.window_ms == 86_400_000
    assert Http("x", base_url="http://x").certainty.settle_ms == 30_000
    assert Sql("x", url="sqlite:///x.db").certainty.tombstones
    assert not Smtp("x", host="x", sender="a@b.example").certainty.deduplicates
