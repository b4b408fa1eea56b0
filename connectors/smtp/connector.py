"""`Smtp`: mail. What was sent cannot be called back, so a step that sends is `irreversible`, or has a follow-up."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from amends.connectors.promises import malformed, promise
from amends.connectors.secrets import secret_template, template
from amends.connectors.sending import claim, effect_key, release, verdict
from amends.connectors.smtp.delivery import Delivery, Security, Server
from amends.connectors.smtp.message import Envelope, Letter, Sent, UnfitMessageError, domain_of, envelope_of
from amends.connectors.threads import close_executor, run_to_its_end
from amends.coordinator.attempt import Attempt, current_attempt
from amends.coordinator.errors import UsageError
from amends.coordinator.failures import StepRefused, StepUnavailable
from amends.coordinator.loop_resources import hold

PORT_MAX: Final = 65_535


class Smtp:
    """A mail server. `host`, `port`, `user`, `ca_file` may be references; `password` must be one.

    `sender` is an address such as `Shop <orders@shop.example>`; Message-IDs are made in its domain, from the effect's
    key: the same effect is always the same message. `idempotent=True` promises that the server takes a Message-ID once.
    Without it, give the step a `lookup` that asks for `message_id()`. `settle_s`: the longest a message may be on its
    way to where that lookup sees it. `security="none"` is for servers on the same machine.
    """

    def __init__(
        self,
        name: str,
        *,
        host: str,
        sender: str,
        port: int | str = 587,
        security: Security = "starttls",
        user: str | None = None,
        password: str | None = None,
        ca_file: str | None = None,
        idempotent: bool | str = False,
        settle_s: float = 60.0,
        timeout_s: float = 20.0,
        threads: int = 4,
        message_bytes_max: int = 10_000_000,
    ) -> None:
        domain = domain_of(sender)
        if not name or domain is None or timeout_s <= 0 or threads < 1 or message_bytes_max < 1:
            raise malformed(
                name, "it has no name, no sender's address, or a limit that is not positive", do="mend the declaration"
            )
        if (user is None) != (password is None) or (user is not None and security == "none"):
            raise malformed(
                name,
                "user and password go together, and never over an open connection",
                do="say both or none, with security='starttls' or 'tls'",
            )
        self.name = name
        self.certainty = promise(name=name, idempotent=idempotent, tombstones=False, settle_s=settle_s)
        what = f"of the connector {name!r}"
        self._host = template(host, what=f"host {what}")
        self._port = template(str(port), what=f"port {what}")
        self._user = None if user is None else template(user, what=f"user {what}")
        self._password = None if password is None else secret_template(password, what=f"password {what}")
        self._sender = sender
        self._domain = domain
        self._security: Security = security
        self._ca_file = None if ca_file is None else template(ca_file, what=f"ca_file {what}")
        self._timeout_s = timeout_s
        self._threads = threads
        self._message_bytes_max = message_bytes_max

    def __repr__(self) -> str:
        return f"Smtp({self.name!r})"

    def message_id(self, *, part: str | None = None) -> str:
        """The Message-ID of the current attempt's effect: what a lookup asks the mailbox for."""
        return self._message_id(effect_key(current_attempt(self.name), part))

    async def send(
        self,
        *,
        to: str | Sequence[str],
        subject: str,
        text: str,
        html: str | None = None,
        cc: Sequence[str] = (),
        bcc: Sequence[str] = (),
        reply_to: str | None = None,
        headers: Mapping[str, str] | None = None,
        attachments: Mapping[str, bytes] | None = None,
        part: str | None = None,
    ) -> Sent:
        """Hand one message to the server, for all recipients or for none. `part` names one of several of a step."""
        attempt = current_attempt(self.name)
        key = effect_key(attempt, part)
        letter = Letter(
            to=(to,) if isinstance(to, str) else tuple(to),
            subject=subject,
            text=text,
            html=html,
            cc=cc,
            bcc=bcc,
            reply_to=reply_to,
            headers=headers or {},
            attachments=attachments or {},
        )
        message_id = self._message_id(key)
        try:
            envelope, server = self._envelope(letter, attempt, message_id), self._server(attempt)
        except UnfitMessageError as error:
            raise verdict(attempt, StepRefused(f"{self.name}: {error}", kind="invalid_request")) from None
        except UsageError as error:  # a reference that leads nowhere
            raise verdict(attempt, StepUnavailable(f"{self.name}: nothing was sent: {error.line()}")) from error
        await self._deliver(attempt, key, envelope, server, message_id)
        return Sent(message_id=message_id)

    async def _deliver(self, attempt: Attempt, key: str, envelope: Envelope, server: Server, message_id: str) -> None:
        def still_allowed() -> None:
            attempt.before_send(tool=self.name, action="send", resource=message_id, acts=True)

        claimed = claim(attempt, self.name, key, hash((envelope.recipients, envelope.content)))
        delivery = Delivery(server, envelope, name=self.name, allow=still_allowed)
        status = "lost"
        try:
            still_allowed()
            status = await run_to_its_end(self._executor(), delivery.run, abandon=delivery.abandon)
        except (StepRefused, StepUnavailable) as failure:
            status = failure.kind
            if claimed:
                release(attempt, self.name, key)
            raise verdict(attempt, failure) from failure.__cause__
        finally:
            if delivery.began:
                external_id = message_id if delivery.sent else None
                attempt.record(
                    tool=self.name, action="send", resource=message_id, status=status, external_id=external_id
                )

    def _envelope(self, letter: Letter, attempt: Attempt, message_id: str) -> Envelope:
        return envelope_of(
            letter,
            sender=self._sender,
            message_id=message_id,
            at=datetime.fromtimestamp(attempt.clock() // 1_000_000, UTC),
            size_bytes_max=self._message_bytes_max,
        )

    def _server(self, attempt: Attempt) -> Server:
        place = attempt.place_of(self.name)
        if place is not None:
            return self._rehearsed(place, attempt)
        port = self._port.resolve(secret=False)
        if not port.isascii() or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
            raise malformed(self.name, "its port is no number from 1 to 65535", do="mend what its port refers to")
        return Server(
            host=self._host.resolve(secret=False),
            port=int(port),
            security=self._security,
            user=None if self._user is None else self._user.resolve(secret=False),
            password=None if self._password is None else self._password.resolve(secret=True),
            ca_file=None if self._ca_file is None else self._ca_file.resolve(secret=False),
            timeout_s=max(0.1, min(self._timeout_s, attempt.time_left_s())),
        )

    def _rehearsed(self, place: str, attempt: Attempt) -> Server:
        """Where a rehearsal leads, `smtp://host:port`: without password, as nothing is encrypted there."""
        parts = urlsplit(place)
        return Server(
            host=parts.hostname or "",
            port=parts.port or 0,
            security="none",
            user=None,
            password=None,
            ca_file=None,
            timeout_s=max(0.1, min(self._timeout_s, attempt.time_left_s())),
        )

    def _message_id(self, key: str) -> str:
        return f"<{key}@{self._domain}>"

    def _executor(self) -> ThreadPoolExecutor:
        def open_it() -> ThreadPoolExecutor:
            return ThreadPoolExecutor(self._threads, thread_name_prefix=f"amends-smtp-{self.name}")

        return hold(self, open_it, close_executor)
