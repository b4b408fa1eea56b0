"""`Http` against a real participant: what each declaration promises is kept, and one that lies is caught."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from pydantic import BaseModel

from amends.connectors.http import Http
from amends.coordinator.attempt import current_attempt
from amends.coordinator.testing import connector_kit
from amends.coordinator.testing.connector_kit import BrokenPromise, Check, Subject
from tests.contract.connectors.books import BOOKS, URL, fault

SECRET = "s3cr3t-token-of-the-kit"


class Done(BaseModel):
    id: str


def subject_of(kind: str, http: Http, *, fences: bool = False) -> Subject:
    async def do(thing: str) -> Done:
        return await http.post(f"/{kind}/{thing}/do", json={"thing": thing}, returns=Done)

    async def undo(thing: str) -> None:
        await http.post(f"/{kind}/{thing}/undo")

    async def lookup(_thing: str) -> Done | None:
        return await http.get(f"/keys/{current_attempt(http.name).idempotency_key}", returns=Done, missing=None)

    return Subject(
        dependency=http,
        do=do,
        undo=undo,
        lookup=None if kind == "plain" else lookup,
        applied=BOOKS.applied,
        undone=BOOKS.undone,
        refuses=partial(fault, mode="refuse"),
        loses_replies=partial(fault, mode="lose"),
        unreachable=nobody_there,
        fences=fences,
        secrets=(SECRET,),
    )


@asynccontextmanager
async def nobody_there(_thing: str) -> AsyncIterator[None]:
    there = os.environ[URL]
    os.environ[URL] = "http://127.0.0.1:1"
    yield
    os.environ[URL] = there


def declared(**promises: object) -> Http:
    headers = {"Authorization": "Bearer ${env:AMENDS_TEST_KIT_TOKEN}"}
    base_url = f"${{env:{URL}}}"
    return Http("participant", base_url=base_url, headers=headers, settle_s=0, timeout_s=2, **promises)  # type: ignore[arg-type]


KEY = "Idempotency-Key"
FULL = subject_of("full", declared(idempotency_header=KEY, tombstones=True), fences=True)
DEDUPLICATING = subject_of("dedup", declared(idempotency_header=KEY))
PLAIN = subject_of("plain", declared())

LIES = {
    "plain that says it deduplicates": (
        subject_of("plain", declared(idempotency_header=KEY)),
        {"same_key_twice", "same_key_at_once", "undo_twice", "late_do_after_undo", "lost_reply_is_in_doubt"},
    ),
    "deduplicating that says it takes tombstones": (
        subject_of("dedup", declared(idempotency_header=KEY, tombstones=True)),
        {"undo_before_do"},
    ),
    "deduplicating that says it fences": (
        subject_of("dedup", declared(idempotency_header=KEY), fences=True),
        {"lower_epoch_is_refused"},
    ),
}


@pytest.fixture(autouse=True)
def _token(http_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_TEST_KIT_TOKEN", SECRET)


@pytest.mark.parametrize("check", connector_kit.checks_of(FULL), ids=str)
async def test_http_with_keys_and_tombstones_keeps_its_promises(check: Check) -> None:
    await check.run(FULL)


@pytest.mark.parametrize("check", connector_kit.checks_of(DEDUPLICATING), ids=str)
async def test_http_with_keys_keeps_its_promises(check: Check) -> None:
    await check.run(DEDUPLICATING)


@pytest.mark.parametrize("check", connector_kit.checks_of(PLAIN), ids=str)
async def test_http_without_promises_keeps_what_every_connector_promises(check: Check) -> None:
    await check.run(PLAIN)


@pytest.mark.parametrize("lie", LIES)
async def test_the_kit_catches_a_participant(lie: str) -> None:
    subject, broken = LIES[lie]
    with pytest.raises(ExceptionGroup) as caught:
        await connector_kit.run(subject)
    assert all(isinstance(error, BrokenPromise) for error in caught.value.exceptions)
    names = {
        check.name
        for check in connector_kit.checks_of(subject)
        for error in caught.value.exceptions
        if check.promise in str(error)
    }
    assert names == broken
