"""The store's URL: its password may be a reference, and is written by nothing of ours."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from amends.coordinator.bootstrap import open_store, resolved_store_url
from amends.coordinator.config import Settings, shown
from amends.coordinator.errors import UsageError
from amends.coordinator.redaction import redact


@pytest.mark.parametrize("source", ["env", "file"])
def test_a_password_is_read_where_its_reference_leads_and_escaped(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text(f"of {source}: a/b@c\n")
    monkeypatch.setenv("STORE_PASSWORD", f"of {source}: a/b@c")
    reference = "${env:STORE_PASSWORD}" if source == "env" else f"${{file:{file}}}"
    settings = Settings(store=f"postgresql://amends:{reference}@db:5432/amends")

    url = urlsplit(resolved_store_url(settings))

    assert (url.username, url.password, url.hostname) == ("amends", f"of%20{source}%3A%20a%2Fb%40c", "db")
    assert redact(f"it was of {source}: a/b@c") == "it was [redacted]"


def test_a_password_that_stands_in_the_url_is_known_to_the_redactor() -> None:
    url = "postgresql://amends:written%2Fdown@db/amends"
    assert resolved_store_url(Settings(store=url)) == url
    assert redact("it was written/down") == "it was [redacted]"


@pytest.mark.parametrize("url", ["sqlite:///${env:HOME}/x.db", "postgresql://amends@db/amends", "postgresql://[::1/db"])
def test_what_holds_no_password_is_taken_as_it_is(url: str) -> None:
    assert resolved_store_url(Settings(store=url)) == url


def test_a_reference_that_leads_nowhere_is_named() -> None:
    with pytest.raises(UsageError, match="STORE_PASSWORD_THAT_IS_NOT_SET") as caught:
        open_store(Settings(store="postgresql://amends:${env:STORE_PASSWORD_THAT_IS_NOT_SET}@db/amends"))
    assert caught.value.code == "AM2002"


@pytest.mark.parametrize(
    "password", ["written", "${file:/run/secrets/store_password}", "${env:PW}", "with/slash@and:more"]
)
def test_a_url_is_shown_without_its_password(password: str) -> None:
    assert shown("store", f"postgresql://amends:{password}@db:5432/amends") == "postgresql://amends:***@db:5432/amends"
