"""What the connector asks of a database: sessions, and what an error of the driver says about the transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

Params = Sequence[object] | Mapping[str, object]
Row = dict[str, Any]

SAVEPOINT = "amends_work"


class Trouble(Enum):
    """What an error says, and so what may be done about it."""

    REFUSED = "refused"  # the data does not allow it: the same statement would fail again
    BUSY = "busy"  # a rival was in the way: the same transaction may pass now
    GONE = "gone"  # no connection, no room, no permission to write
    TIMEOUT = "timeout"  # it took longer than the attempt may
    BROKEN = "broken"  # a statement that cannot work, or misuse of the driver


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A driver's error, read. `why` holds no value of anybody. `undecided`: at COMMIT, it may have been committed."""

    trouble: Trouble
    why: str
    undecided: bool


class TransactionEndedError(Exception):
    """The work committed or rolled back by itself."""


class Session(Protocol):
    """One connection, used by one thread at a time."""

    def begin(self, *, read_only: bool, timeout_s: float) -> None:
        """Start a transaction in which no statement takes longer; one that writes excludes rivals early."""

    def run(self, statement: str, params: Params) -> tuple[list[Row], int]:
        """Execute one statement, its parameters written `?` or `:name`; its rows, and how many it changed."""

    def savepoint(self) -> None: ...

    def release(self) -> None:
        """Keep what was done since the savepoint. Raises `TransactionEndedError` where it is not there any more."""

    def rollback_to_savepoint(self) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> bool:
        """Leave the transaction, whatever state it is in; False where the session is of no use any more."""

    def interrupt(self) -> None:
        """Called from another thread: make the statement that runs fail, if one does."""

    def close(self) -> None: ...


class Database(Protocol):
    """A kind of database at an address."""

    threads: int
    """How many transactions it is worth to run at once."""

    def connect(self, *, timeout_s: float) -> Session:
        """Open a session; the inbox table is there afterwards."""

    def fault_of(self, error: Exception) -> Fault | None:
        """What an error says; None for one that is not the driver's."""
