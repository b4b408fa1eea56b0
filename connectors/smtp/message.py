"""What is sent: a message whose Message-ID comes from the effect's key, so that it can be asked for and known again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, getaddresses, parseaddr
from typing import Final

from pydantic import BaseModel, ConfigDict

_OURS: Final = frozenset(
    {"from", "to", "cc", "bcc", "subject", "date", "message-id", "auto-submitted", "content-type", "mime-version"}
)


class Sent(BaseModel):
    """The message that the server took over; `message_id` with its angle brackets."""

    model_config = ConfigDict(frozen=True)

    message_id: str


class UnfitMessageError(Exception):
    """It cannot be sent as it is; nothing was. Holds no text and no address of anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the server is told and what it is handed."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    international: bool
    """An address is not ASCII: the server must know SMTPUTF8 (RFC 6531)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a handler wants to send."""

    to: Sequence[str]
    subject: str
    text: str
    html: str | None
    cc: Sequence[str]
    bcc: Sequence[str]
    reply_to: str | None
    headers: Mapping[str, str]
    attachments: Mapping[str, bytes]


def envelope_of(letter: Letter, *, sender: str, message_id: str, at: datetime, size_bytes_max: int) -> Envelope:
    """Write the message. Raises `UnfitMessageError` for addresses or headers that no message can have."""
    recipients = _addresses([*letter.to, *letter.cc, *letter.bcc])
    bare_sender = parseaddr(sender)[1]
    international = not all(address.isascii() for address in (bare_sender, *recipients))
    try:
        message = _message(letter, sender=sender, message_id=message_id, at=at)
        content = message.as_bytes(policy=SMTPUTF8 if international else SMTP)
    except (MessageError, ValueError, TypeError, LookupError) as error:
        raise UnfitMessageError(f"it cannot be written as a message ({type(error).__name__})") from None
    if len(content) > size_bytes_max:
        raise UnfitMessageError(f"it has {len(content)} bytes, and the limit is {size_bytes_max}")
    return Envelope(sender=bare_sender, recipients=recipients, content=content, international=international)


def domain_of(sender: str) -> str | None:
    """The domain of an address such as `Shop <orders@shop.example>`; None where there is none."""
    address = parseaddr(sender)[1]
    try:
        return Address(addr_spec=address).domain or None
    except (ValueError, IndexError, MessageError):
        return None


def _addresses(written: Sequence[str]) -> tuple[str, ...]:
    """The bare addresses, each once."""
    found = tuple(dict.fromkeys(address for _, address in getaddresses(list(written))))
    if not found:
        raise UnfitMessageError("it has no recipient")
    if not all(domain_of(address) and address.isprintable() and " " not in address for address in found):
        raise UnfitMessageError("one of its recipients is no address")
    return found


def _message(letter: Letter, *, sender: str, message_id: str, at: datetime) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    for name, value in letter.headers.items():
        if name.lower() in _OURS:
            raise UnfitMessageError("one of its headers is the connector's own")
        message[name] = value
    message["From"] = sender
    message["To"] = ", ".join(letter.to)
    if letter.cc:
        message["Cc"] = ", ".join(letter.cc)
    if letter.reply_to is not None:
        message["Reply-To"] = letter.reply_to
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence note answers it
    message.set_content(letter.text)
    if letter.html is not None:
        message.add_alternative(letter.html, subtype="html")
    for name, content in letter.attachments.items():
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message
