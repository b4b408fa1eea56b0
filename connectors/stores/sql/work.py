"""What the shared SQL needs of a database: a statement with `?` for each parameter, inside or outside a transaction.

Everything the two databases say alike is written once, in this folder; what they say differently (the append, leases,
connections) stands in the folder of each.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from amends.schemas.instants import Instant


class Work(Protocol):
    """An open transaction that writes."""

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        """The rows that the statement gives."""
        ...

    def change(self, sql: str, params: Sequence[object] = ()) -> int:
        """The number of rows that the statement changed."""
        ...

    def change_each(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """The same statement for each of these."""
        ...


class SqlStore(ABC):
    """The seam between the shared SQL and one database."""

    for_update: ClassVar[str]
    """What locks the rows of a SELECT until the end of the transaction; nothing where there is one writer anyway."""

    among: ClassVar[str]
    """`column {among}` asks whether the column is one of the values that `_many` makes one parameter of."""

    lock_key: ClassVar[str | None]
    """What locks a correlation key, its one parameter, until the end of the transaction; None where one writes."""

    @abstractmethod
    def now(self) -> Instant: ...

    @abstractmethod
    def _rows(self, sql: str, params: Sequence[object] = ()) -> list[Any]:
        """Read, in a snapshot of its own."""

    @abstractmethod
    def _many(self, values: Sequence[str]) -> object: ...

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Work]:
        """One transaction: committed at the end of the block, rolled back when it raises."""
