"""What the work of a step is given: statements inside a transaction that is not its own to end."""

import re
from typing import TypeVar, cast

from amends.connectors.sql.sessions import Params, Row, Session
from amends.connectors.values import adapter_of
from amends.coordinator.errors import UsageError

Result = TypeVar("Result")

_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*([A-Za-z]+)", re.DOTALL)
_NOT_YOURS = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"})


class Transaction:
    """A participant's transaction while the work runs. Parameters are written `:name` or `?`, whatever the database.

    It ends with the work: committed when the work returns, rolled back when it raises.
    """

    def __init__(self, session: Session, key: str, step_result: str | None) -> None:
        self.key = key
        """The effect's idempotency key, for a column of your own if you like."""
        self._session: Session | None = session
        self._step_result = step_result

    def execute(self, statement: str, params: Params = ()) -> int:
        """Execute one statement; how many rows it changed."""
        return self._run(statement, params)[1]

    def fetch_one(self, statement: str, params: Params = ()) -> Row | None:
        """The first row, by column name."""
        rows, _ = self._run(statement, params)
        return rows[0] if rows else None

    def fetch_all(self, statement: str, params: Params = ()) -> list[Row]:
        """All rows, by column name; put a LIMIT on what may grow."""
        return self._run(statement, params)[0]

    def step_result(self, returns: type[Result]) -> Result:
        """In an undo: what the step kept when it was done, from this database, not from the coordinator's memory."""
        if self._step_result is None:
            raise UsageError("AM2006", "there is no step's result here", do="ask for it in Sql.undo only")
        return cast("Result", adapter_of(returns).validate_json(self._step_result))

    def end(self) -> None:
        """Called by the connector: a transaction that escaped from the work is of no use to anybody."""
        self._session = None

    def _run(self, statement: str, params: Params) -> tuple[list[Row], int]:
        if self._session is None:
            raise UsageError(
                "AM2006", "a transaction was used after its work had ended", do="use it inside the work only"
            )
        found = _FIRST_WORD.match(statement)
        if found is not None and found[1].upper() in _NOT_YOURS:
            raise UsageError(
                "AM2006",
                f"the work of a step called {found[1].upper()}",
                do="leave the transaction to Sql: it commits when the work returns and rolls back when it raises",
            )
        return self._session.run(statement, params)
