"""What happens under one key inside a participant's transaction: the first time, again, and after its undo."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic_core import PydanticSerializationError

from amends.connectors.sql.inbox import Inbox
from amends.connectors.sql.job import Outcome
from amends.connectors.sql.sessions import Session, TransactionEndedError
from amends.connectors.sql.transaction import Transaction
from amends.connectors.values import adapter_of
from amends.coordinator.attempt import Attempt
from amends.coordinator.errors import UsageError
from amends.coordinator.failures import StepRefused

Result = TypeVar("Result")

EXTERNAL_ID_LENGTH_MAX = 255


class Effect:
    """What happens under one key, inside the transaction."""

    def __init__(
        self,
        *,
        name: str,
        attempt: Attempt,
        key: str,
        work: Callable[[Transaction], Any],
        returns: Any = None,  # noqa: ANN401  a type, or a type form
        external_id: str | None = None,
    ) -> None:
        self._name = name
        self._attempt = attempt
        self._key = key
        self._work = work
        self._returns = returns
        self._adapter = adapter_of(returns)
        self._external_id = external_id

    def perform(self, session: Session, inbox: Inbox) -> Outcome:
        place = inbox.take(self._key)
        match place.state:
            case "asked":
                return self._first_time(session, inbox, step_result=None)
            case "done":
                self._same_arguments(place.arguments)
                return self._done(self._adapter.validate_json(place.result or "null"), "repeated")
            case "refused":
                return Outcome(status="refused", refusal=place.refusal())
            case "tombstone" | "undone":
                reason = (
                    f"{self._name}: its undo came first"
                    if place.state == "tombstone"
                    else f"{self._name}: it was undone"
                )
                return Outcome(status="refused", refusal=StepRefused(reason, kind="undone"))

    def undo(self, session: Session, inbox: Inbox, undone_key: str) -> Outcome:
        place = inbox.take(self._key)
        if place.state == "done":
            return Outcome(status="repeated", value=True)
        if place.state == "refused":
            return Outcome(status="refused", refusal=place.refusal())
        step = inbox.take(undone_key)
        if step.state == "asked":
            inbox.bury(undone_key)
        if step.state != "done":
            return Outcome(status="nothing to undo", value=False)
        outcome = self._first_time(session, inbox, step_result=step.result or "null")
        if outcome.refusal is not None:
            return outcome
        inbox.undone(undone_key)
        return Outcome(status="undone", value=True)

    def _first_time(self, session: Session, inbox: Inbox, *, step_result: str | None) -> Outcome:
        session.savepoint()
        try:
            value = worked(self._work, Transaction(session, self._key, step_result))
            result = self._written(value) if step_result is None else "null"  # nobody asks what an undo returned
        except StepRefused as refusal:
            return self._refused(session, inbox, refusal)
        try:
            session.release()
        except TransactionEndedError:
            raise UsageError(
                "AM2006",
                f"{self._attempt.path}: the work ended the transaction of {self._name} itself",
                do="leave COMMIT and ROLLBACK to Sql: return to commit, raise to roll back",
            ) from None
        inbox.keep(self._key, result)
        return self._done(value, "done")

    def _refused(self, session: Session, inbox: Inbox, refusal: StepRefused) -> Outcome:
        session.rollback_to_savepoint()
        inbox.refuse(self._key, refusal)
        return Outcome(status="refused", refusal=refusal)

    def _done(self, value: object, status: str) -> Outcome:
        field = self._external_id
        found = None
        if field is not None:
            found = value.get(field) if isinstance(value, Mapping) else getattr(value, field, None)
        return Outcome(
            status=status, value=value, external_id=None if found is None else str(found)[:EXTERNAL_ID_LENGTH_MAX]
        )

    def _written(self, value: object) -> str:
        try:
            return self._adapter.dump_json(value, warnings="error").decode()
        except (PydanticSerializationError, ValueError) as error:
            without = "no returns= was given: give it, or return nothing"
            said = without if self._returns is None else "returns= says another type"
            reason = f"{self._name}: the work returned a value of type {type(value).__name__}, but {said}"
            raise StepRefused(reason, kind="invalid_result") from error

    def _same_arguments(self, kept: str | None) -> None:
        if kept is not None and self._attempt.arguments is not None and kept != self._attempt.arguments:
            raise UsageError(
                "AM2004",
                f"{self._attempt.path} asked {self._name} under a key that was used with other arguments",
                do="look at what stands under it in amends_inbox; a key is bound to its arguments",
            )


def worked(work: Callable[[Transaction], Result], transaction: Transaction) -> Result:
    """Call the work; the transaction is of no use afterwards."""
    try:
        value = work(transaction)
    finally:
        transaction.end()
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise UsageError("AM2006", "the work is async", do="make it a plain function: it runs in a thread of its own")
    return value
