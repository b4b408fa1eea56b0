"""Handlers of a participant: given their command's body, run in its transaction, judged by what they raise."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

from pydantic import TypeAdapter, ValidationError

from amends.connectors.participant.ledger import Worked
from amends.connectors.participant.wire import REPLY_BYTES_MAX, Command
from amends.connectors.promises import malformed
from amends.connectors.sql.sessions import Fault, Session, Trouble
from amends.connectors.sql.transaction import Transaction
from amends.connectors.values import adapter_of
from amends.coordinator.definition.handler import told
from amends.coordinator.failures import StepRefused, StepUnavailable, told_by

log = logging.getLogger("amends.participant")

TOLD_CHARACTERS_MAX: Final = 255
_TAKES_COMMAND: Final = 3
_PLAIN: Final = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One function: `def book(tx: Transaction, order: Order) -> Booking`, and a `Command` as third if it wants that."""

    name: str
    function: Callable[..., Any]
    body: TypeAdapter[Any]
    result: TypeAdapter[Any]
    takes_command: bool
    external_id: str | None

    @classmethod
    def of(cls, service: str, name: str, function: Callable[..., Any], external_id: str | None) -> "Handler":
        """Read the function's signature. Raises `UsageError` (AM2005)."""
        parameters = list(inspect.signature(function).parameters.values())
        plain = all(each.kind in _PLAIN for each in parameters) and not inspect.iscoroutinefunction(function)
        if not plain or not 2 <= len(parameters) <= _TAKES_COMMAND:  # noqa: PLR2004
            do = "write def handler(tx: Transaction, body: Body) -> Result, with command: Command as third if you like"
            raise malformed(service, f"the handler of {name!r} is not a plain function of two or three", do=do)
        hints = get_type_hints(function)
        if parameters[1].name not in hints or "return" not in hints:
            do = f"say what {parameters[1].name!r} is, and what is returned: `-> None` where nothing is"
            raise malformed(service, f"the handler of {name!r} lacks a type hint", do=do)
        return cls(
            name=name,
            function=function,
            body=adapter_of(hints[parameters[1].name]),
            result=adapter_of(hints["return"]),
            takes_command=len(parameters) == _TAKES_COMMAND,
            external_id=external_id,
        )

    def work(self, session: Session, command: Command, kept: str | None) -> Worked:
        """Call it. A failure takes back all it did: whatever it raises, nothing happened."""
        try:
            body = self.body.validate_json(command.body)
        except ValidationError as error:
            return Worked(state="refused", reason=_reason(f"its body is not what {command.name} takes: {told(error)}"))
        session.savepoint()
        transaction = Transaction(session, command.key, kept)
        try:
            value = self._called(transaction, body, command)
            result = self.result.dump_json(value, warnings="error")
            self.result.validate_json(result)  # what nobody could read must not be done
            external_id = self._external_id(value)
        except StepRefused as refusal:
            session.rollback_to_savepoint()
            return Worked(state="refused", reason=_reason(refusal.reason))
        except StepUnavailable as failure:
            session.rollback_to_savepoint()
            return Worked(state="unavailable", reason=_reason(failure.reason))
        finally:
            transaction.end()
        if len(result) > REPLY_BYTES_MAX:
            session.rollback_to_savepoint()
            return Worked(state="refused", reason=f"its result is {len(result)} bytes, {REPLY_BYTES_MAX} are allowed")
        session.release()
        return Worked(state="done", result=result.decode(), external_id=external_id)

    def _called(self, transaction: Transaction, body: object, command: Command) -> object:
        return self.function(transaction, body, *((command,) if self.takes_command else ()))

    def _external_id(self, value: object) -> str | None:
        found = None
        if self.external_id is not None:
            found = value.get(self.external_id) if isinstance(value, dict) else getattr(value, self.external_id, None)
        return None if found is None else _told(str(found)) or None


def failed(command: Command, error: BaseException | None, fault: Fault | None) -> Worked:
    """A handler that raised something else: all of it was rolled back, so it did not happen.

    What the database's data do not allow is refused; anything else may go well later.
    """
    why = fault.why if fault is not None else type(error).__name__
    log.warning("handler_failed", extra={"command": command.name, "key": command.key, "why": why})
    refused = fault is not None and fault.trouble is Trouble.REFUSED
    return Worked(state="refused" if refused else "unavailable", reason=_reason(f"{why}; all of it was rolled back"))


def _reason(text: str) -> str:
    return _told(told_by(ValueError(text))) or "no reason given"


def _told(text: str) -> str:
    """What a reply may say beside its result, whatever it is made of."""
    shown = text[:TOLD_CHARACTERS_MAX]
    return "".join(character if character.isprintable() else "\ufffd" for character in shown)
