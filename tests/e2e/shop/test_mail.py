"""Mail as a process: a message is stored once by its Message-ID, and the lookup tells the truth."""

import smtplib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from amends.examples.shop.launch import Running, begin, participants, ready
from tests.e2e.shop.by_hand import ask, send


def found(mail: Running, message_id: str) -> Any:
    status, answer, _ = ask(mail.url, "GET", f"/messages?id={quote(message_id)}")
    return status, [message["recipient"] for message in answer["messages"]]


def talk(mail: Running) -> smtplib.SMTP:
    return smtplib.SMTP(mail.addresses["smtp_host"], mail.addresses["smtp_port"], timeout=10)


def test_a_message_sent_twice_is_stored_once(mail: Running) -> None:
    for _ in range(2):
        send(mail, "maren@example.com", "Your order A-1 is confirmed", "<m1@shop.example>", "Thank you.")
    assert found(mail, "<m1@shop.example>") == (200, ["maren@example.com"])


def test_a_message_that_never_came_is_not_found(mail: Running) -> None:
    assert found(mail, "<never@shop.example>") == (404, [])


def test_an_unknown_mailbox_is_refused_for_good(mail: Running) -> None:
    for _ in range(2):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            send(mail, "jo@nowhere.example", "Hello", "<m2@shop.example>", "Hello")
        assert refused.value.recipients["jo@nowhere.example"][0] == 550
    assert found(mail, "<m2@shop.example>") == (404, [])


def test_a_greylisted_message_is_taken_at_the_second_try_even_under_another_id(mail: Running) -> None:
    with pytest.raises(smtplib.SMTPDataError) as later:
        send(mail, "jo@greylisted.example", "Hello", "<m3@shop.example>", "Hello")
    assert later.value.smtp_code == 451
    send(mail, "jo@greylisted.example", "Hello", "<m3-second@shop.example>", "Hello")
    assert found(mail, "<m3@shop.example>") == (404, [])
    assert found(mail, "<m3-second@shop.example>") == (200, ["jo@greylisted.example"])


def test_a_connection_that_breaks_after_the_message_was_stored_leaves_one_message(mail: Running) -> None:
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(mail, "jo@flaky.example", "Hello", "<m4@shop.example>", "Hello")
    assert found(mail, "<m4@shop.example>") == (200, ["jo@flaky.example"])
    send(mail, "jo@flaky.example", "Hello", "<m4@shop.example>", "Hello")
    assert found(mail, "<m4@shop.example>") == (200, ["jo@flaky.example"])


def test_a_slow_reply_comes_after_the_message_was_stored(mail: Running) -> None:
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(mail, "jo@slow.example", "Hello", "<m5@shop.example>", "Hello", timeout_s=0.5)
    assert found(mail, "<m5@shop.example>") == (200, ["jo@slow.example"])


def test_faults_can_be_ordered_and_repaired(mail: Running) -> None:
    assert ask(mail.url, "POST", "/faults", {"mode": "down", "ending": "@later.example"})[0] == 201
    with pytest.raises(smtplib.SMTPDataError):
        send(mail, "jo@later.example", "Hello", "<m6@shop.example>", "Hello")
    ask(mail.url, "DELETE", "/faults?ending=@later.example")
    send(mail, "jo@later.example", "Hello", "<m6@shop.example>", "Hello")
    assert found(mail, "<m6@shop.example>") == (200, ["jo@later.example"])


def test_each_recipient_has_the_message_and_lines_that_begin_with_a_dot_arrive_whole(data: Path) -> None:
    message = "Message-ID: <m7@shop.example>\r\nSubject: Dots\r\n\r\n.dot\r\n..two\r\n.\r\nend\r\n"
    with participants(data, "mail") as running, talk(running["mail"]) as client:
        client.sendmail("orders@shop.example", ["a@example.com", "b@example.com"], message)
    with closing(sqlite3.connect(data / "mail.db")) as database:
        stored = database.execute("SELECT recipient, sender, subject, raw FROM messages ORDER BY recipient").fetchall()
    assert stored == [
        (to, "orders@shop.example", "Dots", message.encode()) for to in ("a@example.com", "b@example.com")
    ]


@pytest.mark.parametrize(
    ("commands", "code"),
    [
        pytest.param(["RCPT TO:<a@example.com>"], 503, id="a recipient before the sender"),
        pytest.param(["DATA"], 503, id="data before the recipients"),
        pytest.param(["MAIL FROM:a@example.com"], 501, id="an address without brackets"),
        pytest.param(["MAIL FROM:<a@example.com>", "RCPT TO:<>"], 501, id="an empty recipient"),
        pytest.param(["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "RSET", "DATA"], 503, id="after a reset"),
        pytest.param(["VRFY jo"], 252, id="verify"),
        pytest.param(["TURN"], 500, id="an unknown command"),
    ],
)
def test_a_session_keeps_the_order_of_the_protocol(mail: Running, commands: list[str], code: int) -> None:
    with talk(mail) as client:
        client.ehlo()
        for command in commands[:-1]:
            assert client.docmd(command)[0] == 250
        assert client.docmd(commands[-1])[0] == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("Subject: no id\r\n\r\nHello", 554, id="without a Message-ID"),
        pytest.param(
            f"Message-ID: <big@shop.example>\r\n\r\n{'x' * 70 + chr(13) + chr(10)}" * 14_000, 552, id="too large"
        ),
    ],
)
def test_a_message_that_cannot_be_kept_is_refused_and_the_session_goes_on(mail: Running, text: str, code: int) -> None:
    with talk(mail) as client:
        client.ehlo()
        client.mail("a@example.com")
        client.rcpt("b@example.com")
        assert client.data(text)[0] == code
        assert client.noop()[0] == 250
    assert found(mail, "<big@shop.example>") == (404, [])


def test_what_was_accepted_survives_a_crash(data: Path) -> None:
    first = ready("mail", begin("mail", data), data)
    send(first, "maren@example.com", "Your order A-1 is confirmed", "<m1@shop.example>", "Thank you.")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(first, "jo@flaky.example", "Your order A-2 is confirmed", "<m2@shop.example>", "Thank you.")
    ports = ["--port", str(first.addresses["smtp_port"]), "--http-port", first.url.rpartition(":")[2]]
    assert first.kill() == -9

    second = ready("mail", begin("mail", data, ports), data)
    try:
        assert second.addresses | {"pid": 0} == first.addresses | {"pid": 0}
        for message_id, recipient in (
            ("<m1@shop.example>", "maren@example.com"),
            ("<m2@shop.example>", "jo@flaky.example"),
        ):
            send(second, recipient, "Your order A-1 is confirmed", message_id, "Thank you.")
            assert found(second, message_id) == (200, [recipient])
    finally:
        assert second.stop() == 0
