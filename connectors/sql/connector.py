"""`Sql`: a participant that is a database, where a step and its undo are transactions of the participant's own.

Work is a plain function that is handed a transaction. It is called only where its key was not used before, and its
result is kept under the key in the same transaction: there is nothing a handler could forget that would act twice.
"""

from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar, cast, overload
from urllib.parse import urlsplit

from amends.connectors.promises import malformed, promise
from amends.connectors.secrets import secret_template, template
from amends.connectors.sending import claim, effect_key, key_of_part, release, verdict
from amends.connectors.sql.connections import Connections, connections_of, database_of
from amends.connectors.sql.effect import Effect, worked
from amends.connectors.sql.inbox import Inbox
from amends.connectors.sql.job import Body, Job, Outcome
from amends.connectors.sql.sessions import Session
from amends.connectors.sql.transaction import Transaction
from amends.connectors.threads import run_to_its_end
from amends.connectors.values import adapter_of
from amends.coordinator.attempt import Attempt, current_attempt
from amends.coordinator.errors import AmendsError, UsageError
from amends.coordinator.failures import StepRefused, StepUnavailable

Result = TypeVar("Result")

_call_numbers = count(1)


class Sql:
    """A SQLite file (`sqlite:///stock.db`) or a PostgreSQL database; a password in the URL is a reference.

    It deduplicates by our key and takes tombstones, by the table `amends_inbox`, which it makes at first use. Rows of
    keys that nobody will ask for again may be deleted: say `idempotent="90d"` and delete what is older than that.
    `threads`: transactions at once (PostgreSQL; SQLite has one writer).
    """

    def __init__(
        self, name: str, *, url: str, threads: int = 8, idempotent: bool | str = True, retries: int = 2
    ) -> None:
        if not name or threads < 1 or retries < 0 or not idempotent:
            raise malformed(name, "its name is empty, or a limit is not positive", do="mend the declaration")
        self.name = name
        self.certainty = promise(name=name, idempotent=idempotent, tombstones=True, settle_s=0)
        self._threads = threads
        self._tries = retries + 1
        self._url = template(url, what=f"url of the connector {name!r}")
        if self._url.constant:
            database_of(name, url, threads)
            if urlsplit(url).password:
                secret_template(url, what=f"the password in url of the connector {name!r}")

    def __repr__(self) -> str:
        return f"Sql({self.name!r})"

    @property
    def is_postgres(self) -> bool:
        """Whether its URL says that it is PostgreSQL; one that is a reference as a whole does not say it here."""
        return self._url.text.startswith(("postgresql:", "postgres:"))

    @overload
    async def perform(
        self,
        work: Callable[[Transaction], None],
        *,
        part: str | None = None,
        independent: bool = False,
    ) -> None: ...

    @overload
    async def perform(
        self,
        work: Callable[[Transaction], Result],
        *,
        returns: type[Result],
        part: str | None = None,
        external_id: str | None = None,
        independent: bool = False,
    ) -> Result: ...

    async def perform(
        self,
        work: Callable[[Transaction], Any],
        *,
        returns: Any = None,
        part: str | None = None,
        external_id: str | None = None,
        independent: bool = False,
    ) -> Any:
        """Do the work once under this effect's key; repeated, answer with the result that was kept.

        `work` raises `StepRefused` to refuse: all is rolled back, and the refusal is kept under the key. `part` names
        one of several effects of a step. In an undo, `independent=True` says that this reverses nothing done here.
        """
        attempt = current_attempt(self.name)
        if attempt.direction == "undo" and not independent:
            raise UsageError(
                "AM2006",
                f"{attempt.path}: perform was called in an undo",
                do="call undo, which refuses the step's late request, or say independent=True for an effect of its own",
            )
        key = effect_key(attempt, part)
        effect = Effect(name=self.name, attempt=attempt, key=key, work=work, returns=returns, external_id=external_id)
        return await self._act(attempt, key, "perform", effect.perform)

    async def undo(self, work: Callable[[Transaction], object], *, part: str | None = None) -> bool:
        """Undo what the step did here, once; True if there was something to undo.

        The work is called only where the step's effect stands. Where it never came, its key is buried, so that it is
        refused if it still comes; `tx.step_result(…)` is what the step kept.
        """
        attempt = current_attempt(self.name)
        if attempt.undoing is None:
            raise UsageError("AM2006", f"{attempt.path}: undo was called outside an undo", do="call perform in a step")
        key, undone = effect_key(attempt, part), key_of_part(attempt.undoing.idempotency_key, part)
        effect = Effect(name=self.name, attempt=attempt, key=key, work=work)
        return bool(await self._act(attempt, key, "undo", lambda session, inbox: effect.undo(session, inbox, undone)))

    @overload
    async def lookup(self, *, part: str | None = None) -> bool: ...

    @overload
    async def lookup(self, *, returns: type[Result], part: str | None = None) -> Result | None: ...

    async def lookup(self, *, returns: Any = None, part: str | None = None) -> Any:
        """Did it happen? The result kept under this effect's key, or None; without `returns`, yes or no.

        It waits for a transaction that is still deciding about the key, and afterwards an older owner of the run can
        not act under it any more.
        """
        attempt = current_attempt(self.name)
        key = effect_key(attempt, part)

        def body(_session: Session, inbox: Inbox) -> Outcome:
            place = inbox.take(key)
            present = place.state == "done"
            if returns is None:
                return Outcome(status="present" if present else "absent", value=present)
            value = adapter_of(returns).validate_json(place.result or "null") if present else None
            return Outcome(status="present" if present else "absent", value=value)

        return (await self._run(attempt, "lookup", _resource(key), body, acts=False)).value

    async def read(self, work: Callable[[Transaction], Result]) -> Result:
        """Read, in a transaction that can change nothing; for read-backs and `read` steps."""
        attempt = current_attempt(self.name)

        def body(session: Session, _inbox: Inbox) -> Outcome:
            return Outcome(status="read", value=worked(work, Transaction(session, attempt.idempotency_key, None)))

        return cast("Result", (await self._run(attempt, "read", self.name, body, acts=False, read_only=True)).value)

    async def _act(self, attempt: Attempt, key: str, action: str, body: Body) -> object:
        claimed = claim(attempt, self.name, key, next(_call_numbers))
        try:
            outcome = await self._run(attempt, action, _resource(key), body, acts=True)
            if outcome.refusal is not None:
                raise outcome.refusal
        except (StepRefused, StepUnavailable) as failure:
            if claimed:
                release(attempt, self.name, key)
            raise verdict(attempt, failure) from failure.__cause__
        return outcome.value

    async def _run(
        self, attempt: Attempt, action: str, resource: str, body: Body, *, acts: bool, read_only: bool = False
    ) -> Outcome:
        job = Job(
            connections := self._connections(attempt),
            attempt,
            name=self.name,
            action=action,
            resource=resource,
            acts=acts,
            body=body,
            tries=self._tries,
            read_only=read_only,
        )
        status, external_id = "lost", None
        try:
            outcome = await run_to_its_end(connections.executor, job.run, abandon=job.abandon)
            status, external_id = outcome.status, outcome.external_id
            return outcome
        except (StepRefused, StepUnavailable) as failure:
            status = failure.kind
            raise failure if acts else verdict(attempt, failure) from failure.__cause__
        except AmendsError as error:
            status = error.code
            raise
        finally:
            if job.began:
                attempt.record(tool=self.name, action=action, resource=resource, status=status, external_id=external_id)

    def _connections(self, attempt: Attempt) -> Connections:
        try:
            url = attempt.place_of(self.name) or self._url.resolve(secret=False)
            return connections_of(self, self.name, url, self._threads)
        except UsageError as error:  # a reference that leads nowhere, or to no database
            raise verdict(attempt, StepUnavailable(f"{self.name}: nothing was done: {error.line()}")) from error


def _resource(key: str) -> str:
    return f"amends_inbox/{key}"
