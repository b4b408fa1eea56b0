"""A participant's database as its service uses it: one connection, one command at a time, each in one transaction."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from amends.connectors.participant import ledger
from amends.connectors.participant.handlers import Handler, failed
from amends.connectors.participant.ledger import INDEX, TABLE, DueReply, Verdict, Worked
from amends.connectors.participant.wire import Command
from amends.connectors.sql.connections import database_of
from amends.connectors.sql.sessions import Fault, Session, Trouble
from amends.connectors.stores.clock import wall_clock
from amends.coordinator.errors import AmendsError, StoreUnavailable

TRANSACTION_S: Final = 30.0
"""A command's transaction may take so long."""
DUE_MAX: Final = 100
T = TypeVar("T")


class _HandlerFailedError(Exception):
    """Whatever a handler raised; its transaction is rolled back."""

    def __init__(self, worked: Worked) -> None:
        super().__init__(worked.reason)
        self.worked = worked


class CommandInbox:
    """Called by one thread at a time. Its methods raise `StoreUnavailable` while the database is away."""

    def __init__(self, name: str, url: str, handlers: Mapping[str, Handler]) -> None:
        self._database = database_of(name, url, 1)
        self._handlers = handlers
        self._session: Session | None = None

    def take(self, command: Command) -> Verdict:
        """Carry it out, or find out what came of it. It is committed when this returns."""
        instead: Worked | None = None

        def work(session: Session, kept: str | None) -> Worked:
            if instead is not None:
                return instead
            handler = self._handlers.get(command.name)
            if handler is None:
                return Worked(state="refused", reason=f"there is no command {command.name!r} here"[:255])
            try:
                return handler.work(session, command, kept)
            except BaseException as error:  # one that ends a thread or a process is the handler's failure as well
                fault = self._database.fault_of(error) if isinstance(error, Exception) else None
                if fault is not None and fault.trouble in {Trouble.GONE, Trouble.BUSY}:
                    raise
                raise _HandlerFailedError(self.failed(command, error, fault)) from error

        def decided(session: Session) -> Verdict:
            return ledger.decide(session, command, work, at=wall_clock())

        try:
            return self._in_transaction(decided)
        except _HandlerFailedError as error:
            instead = error.worked  # What it did was rolled back, and that is what is answered.
        return self._in_transaction(decided)

    def failed(self, command: Command, error: BaseException, fault: Fault | None) -> Worked:
        """What a handler comes to that raised something it did not mean to."""
        return failed(command, error, fault)

    def due(self) -> list[DueReply]:
        """Replies to be published."""
        return self._in_transaction(lambda session: ledger.due_replies(session, limit=DUE_MAX))

    def sent(self, due: list[DueReply]) -> None:
        """They were."""
        self._in_transaction(lambda session: ledger.replies_sent(session, due))

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _in_transaction(self, work: Callable[[Session], T]) -> T:
        try:
            session = self._connected()
            session.begin(read_only=False, timeout_s=TRANSACTION_S)
            found = work(session)
            session.commit()
        except (AmendsError, _HandlerFailedError):
            self._leave()
            raise
        except Exception as error:
            self._leave()
            raise self._judged(error) from error
        return found

    def _connected(self) -> Session:
        if self._session is None:
            session = self._database.connect(timeout_s=TRANSACTION_S)
            session.begin(read_only=False, timeout_s=TRANSACTION_S)
            session.run(TABLE, ())
            session.run(INDEX, ())
            session.commit()
            self._session = session
        return self._session

    def _leave(self) -> None:
        if self._session is not None and not self._session.rollback():
            self._session.close()
            self._session = None

    def _judged(self, error: Exception) -> Exception:
        """A database that is away or busy comes back; anything else is the handler's, or ours."""
        fault = self._database.fault_of(error)
        if fault is None or fault.trouble in {Trouble.REFUSED, Trouble.BROKEN}:  # not by waiting
            return error
        self.close()
        return StoreUnavailable("AM0301", f"the participant's database: {fault.why}", do="it is tried again")
