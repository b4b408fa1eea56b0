"""`Smtp` and real mail servers: a message is known by its effect, and doubt begins with the last byte, not sooner."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_string, policy
from email.message import EmailMessage
from functools import partial
from uuid import uuid4

import pytest
from pydantic import BaseModel

from amends.connectors.http import Http
from amends.connectors.sending import EffectInPart
from amends.connectors.smtp import Sent, Smtp
from amends.coordinator.attempt import Attempt, attempting
from amends.coordinator.errors import UsageError
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown
from amends.coordinator.redaction import redact
from amends.coordinator.testing import connector_kit
from amends.coordinator.testing.attempts import attempt_at, new_saga_id, step_key
from amends.coordinator.testing.connector_kit import Check, Subject
from amends.schemas.events import EvidenceRecorded
from tests.contract.connectors.books import MAILBOX, fault

pytestmark = pytest.mark.usefixtures("mail_ports")

SENDER = "The Shop <orders@shop.example>"
OPEN = Smtp("mail", host="127.0.0.1", port="${env:AMENDS_TEST_MAIL_OPEN}", sender=SENDER, security="none", settle_s=0)
SECURED = Smtp(
    "mail",
    host="localhost",
    port="${env:AMENDS_TEST_MAIL_SECURED}",
    sender=SENDER,
    user="shop",
    password="${env:AMENDS_TEST_MAIL_PASSWORD}",
    ca_file="${env:AMENDS_TEST_MAIL_CA}",
    idempotent=True,
    settle_s=0,
)
LOOK = Http("mailbox", base_url="${env:AMENDS_TEST_MAILBOX}")


class Kept(BaseModel):
    id: str


def subject_of(mail: Smtp) -> Subject:
    async def do(thing: str) -> Sent:
        return await mail.send(to=f"{thing}@home.example", subject="Your order", text="It is on its way.")

    async def lookup(_thing: str) -> Sent | None:
        kept = await LOOK.get("/messages", params={"id": mail.message_id()}, returns=Kept, missing=None)
        return None if kept is None else Sent(message_id=kept.id)

    return Subject(
        dependency=mail,
        do=do,
        lookup=lookup,
        applied=MAILBOX.applied,
        refuses=partial(fault, mode="rcpt-550", books=MAILBOX),
        loses_replies=partial(fault, mode="lose", books=MAILBOX),
        unreachable=nobody_there,
        secrets=("correct horse battery", "secret-of-the-server"),
    )


@asynccontextmanager
async def nobody_there(_thing: str) -> AsyncIterator[None]:
    names = ("AMENDS_TEST_MAIL_OPEN", "AMENDS_TEST_MAIL_SECURED")
    there = {name: os.environ[name] for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    yield
    os.environ.update(there)


@pytest.mark.parametrize("check", connector_kit.checks_of(subject_of(OPEN)), ids=str)
async def test_smtp_keeps_what_every_connector_promises(check: Check) -> None:
    await check.run(subject_of(OPEN))


@pytest.mark.parametrize("check", connector_kit.checks_of(subject_of(SECURED)), ids=str)
async def test_smtp_to_a_server_that_knows_message_ids_keeps_its_promises(check: Check) -> None:
    await check.run(subject_of(SECURED))


@pytest.fixture
def name() -> str:
    return f"n{uuid4().hex[:8]}"


def step(**changes: object) -> Attempt:
    return attempt_at(new_saga_id(), **changes)  # type: ignore[arg-type]


async def the_message(name: str) -> EmailMessage:
    (kept,) = await MAILBOX.kept(name)
    message = message_from_string(kept["raw"], policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_a_message_is_named_after_its_effect(name: str) -> None:
    saga_id = new_saga_id()
    with attempting(attempt_at(saga_id)) as attempt:
        sent = await OPEN.send(
            to=[f"Zoë <{name}@home.example>"],
            bcc=[f"{name}-bcc@home.example"],
            subject="Größe: fünf",
            text=".a dot\n..two\nlast",
            html="<p>ü</p>",
            headers={"X-Order": "A-1"},
            attachments={"bill.pdf": b"\x00\r\n.\r\n"},
        )
    assert sent.message_id == f"<{step_key(saga_id)}@shop.example>"
    message = await the_message(name)
    assert message["Message-ID"] == sent.message_id
    assert (message["Subject"], message["From"], message["X-Order"]) == ("Größe: fünf", SENDER, "A-1")
    assert "bcc" not in str(message).lower()
    text = message.get_body(("plain",))
    assert text is not None
    assert text.get_content().splitlines() == [".a dot", "..two", "last"]
    (attachment,) = message.iter_attachments()
    assert attachment.get_content() == b"\x00\r\n.\r\n"
    assert await MAILBOX.applied(f"{name}-bcc") == 1
    (note,) = attempt.notes
    assert isinstance(note, EvidenceRecorded)
    assert (note.tool, note.action, note.status, note.external_id) == ("mail", "send", "250", sent.message_id)
    assert name not in str(note)


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [
        pytest.param("rcpt-451", StepUnavailable, id="a recipient later"),
        pytest.param("rcpt-550", StepRefused, id="a recipient never"),
        pytest.param("leave", StepUnavailable, id="the server leaves before the message"),
        pytest.param("data-451", StepUnavailable, id="the message later"),
        pytest.param("data-552", StepRefused, id="the message never"),
        pytest.param("lose", StepUnknown, id="the reply to the message is lost"),
        pytest.param("slow", StepUnknown, id="the reply to the message does not come in time"),
    ],
)
async def test_what_a_reply_says(name: str, mode: str, verdict: type[Exception]) -> None:
    mail = Smtp(
        "mail",
        host="127.0.0.1",
        port="${env:AMENDS_TEST_MAIL_OPEN}",
        sender=SENDER,
        security="none",
        timeout_s=0.5,
    )
    await MAILBOX.set_fault(name, mode)
    to = [f"{name}-good@home.example", f"{name}@home.example"]
    with attempting(step()) as attempt, pytest.raises(verdict) as caught:
        await mail.send(to=to, subject="s", text="t")
    in_doubt = verdict is StepUnknown
    assert bool(attempt.acted) == in_doubt
    assert await MAILBOX.applied(name) == await MAILBOX.applied(f"{name}-good") * in_doubt == int(in_doubt)
    assert name not in f"{caught.value}"
    assert "secret-of-the-server" not in f"{caught.value}"


async def test_a_wrong_password_is_refused_and_never_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_TEST_MAIL_PASSWORD", "wrong but secret")
    with attempting(step()) as attempt, pytest.raises(StepRefused) as caught:
        await SECURED.send(to=f"{name}@home.example", subject="s", text="t")
    assert caught.value.kind == "permission_denied"
    assert "wrong but secret" not in f"{caught.value} {caught.value.__cause__} {attempt.notes}"
    assert redact("it was wrong but secret") == "it was [redacted]"


async def test_a_certificate_nobody_vouches_for_stops_everything(name: str) -> None:
    mail = Smtp("mail", host="localhost", port="${env:AMENDS_TEST_MAIL_SECURED}", sender=SENDER)
    with attempting(step()), pytest.raises(StepUnavailable, match="SSLCertVerificationError; nothing was sent"):
        await mail.send(to=f"{name}@home.example", subject="s", text="t")


async def test_a_server_without_starttls_is_not_spoken_to_in_the_open(name: str) -> None:
    mail = Smtp("mail", host="localhost", port="${env:AMENDS_TEST_MAIL_OPEN}", sender=SENDER)
    with attempting(step()), pytest.raises(StepRefused, match="lacks what is needed"):
        await mail.send(to=f"{name}@home.example", subject="s", text="t")
    assert await MAILBOX.applied(name) == 0


async def test_addresses_beyond_ascii_go_to_servers_that_know_them(name: str) -> None:
    with attempting(step()):
        await OPEN.send(to=f"{name}@größe.example", subject="s", text="t")
    assert await MAILBOX.applied(name) == 1
    with attempting(step()), pytest.raises(StepRefused, match="SMTPUTF8"):
        await SECURED.send(to=f"{name}@größe.example", subject="s", text="t")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"to": []}, "no recipient", id="nobody"),
        pytest.param({"to": "nobody"}, "is no address", id="no address"),
        pytest.param({"to": "a@b.example>\r\nRCPT TO:<c@d.example"}, "is no address", id="a command in an address"),
        pytest.param({"subject": "a\r\nBcc: c@d.example"}, "cannot be written", id="a header in a subject"),
        pytest.param({"headers": {"Bcc": "c@d.example"}}, "the connector's own", id="a header of ours"),
        pytest.param({"text": "x" * 11_000_000}, "the limit is 10000000", id="too large"),
    ],
)
async def test_what_is_no_message_is_refused_before_anything_is_sent(changed: dict[str, object], why: str) -> None:
    letter = {"to": "a@b.example", "subject": "s", "text": "t", **changed}
    with attempting(step()) as attempt, pytest.raises(StepRefused, match=why) as caught:
        await OPEN.send(**letter)  # type: ignore[arg-type]
    assert caught.value.kind == "invalid_request"
    assert not attempt.acted
    assert "d.example" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_second_message_of_a_step_is_a_part_of_it(name: str) -> None:
    with attempting(step()):
        await OPEN.send(to=f"{name}@home.example", subject="s", text="one")
        with pytest.raises(UsageError, match="second effect under one key"):
            await OPEN.send(to=f"{name}@home.example", subject="s", text="two")
        with pytest.raises(EffectInPart):
            await OPEN.send(to="nobody", subject="s", text="two", part="b")
        await OPEN.send(to=f"{name}@home.example", subject="s", text="two", part="b")
    assert await MAILBOX.applied(name) == 2


async def test_a_cancelled_message_ends_with_its_thread_and_in_doubt(name: str) -> None:
    await MAILBOX.set_fault(name, "slow")
    attempt = step()

    async def act() -> None:
        with attempting(attempt):
            await OPEN.send(to=f"{name}@home.example", subject="s", text="t")

    acting = asyncio.create_task(act())
    async with asyncio.timeout(10):
        while not await MAILBOX.applied(name):  # noqa: ASYNC110  the event is in another process
            await asyncio.sleep(0.01)
    acting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await acting
    assert attempt.acted
    assert [note.status for note in attempt.notes if isinstance(note, EvidenceRecorded)] == ["lost"]
