"""The inbox table beside a participant's own tables: what was asked under which key, and what came of it.

Its row is written in the transaction of the effect, so there is no moment at which one is there without the other. The
row is taken first and its lock held to the end: a rival under the same key waits until this transaction is decided,
which is why a lookup tells the truth even while a request of a dead worker is still being executed.
"""

from dataclasses import dataclass
from typing import Final, Literal

from amends.connectors.sql.sessions import Session
from amends.coordinator.attempt import Attempt
from amends.coordinator.failures import StepRefused
from amends.schemas.instants import text_of

TABLE: Final = """
CREATE TABLE IF NOT EXISTS amends_inbox (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('asked', 'done', 'refused', 'tombstone', 'undone')),
    epoch BIGINT NOT NULL,
    saga_id TEXT NOT NULL,
    path TEXT NOT NULL,
    direction TEXT NOT NULL,
    at TEXT NOT NULL,
    arguments TEXT,
    result TEXT,
    failure_kind TEXT,
    failure_reason TEXT
)
"""

State = Literal["asked", "done", "refused", "tombstone", "undone"]
"""`asked`: somebody asked, nothing was done. `tombstone`: the undo came first. `undone`: done, then undone."""

_TAKE = """
INSERT INTO amends_inbox (key, state, epoch, saga_id, path, direction, at) VALUES (?, 'asked', ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    epoch = CASE WHEN excluded.epoch > amends_inbox.epoch THEN excluded.epoch ELSE amends_inbox.epoch END
RETURNING state, epoch, arguments, result, failure_kind, failure_reason
"""
_SET_STATE = "UPDATE amends_inbox SET state = ? WHERE key = ?"
_KEEP = "UPDATE amends_inbox SET state = 'done', arguments = ?, result = ? WHERE key = ?"
_REFUSE = "UPDATE amends_inbox SET state = 'refused', arguments = ?, failure_kind = ?, failure_reason = ? WHERE key = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A key's row, taken: nobody else decides about this key until the transaction ends."""

    state: State
    arguments: str | None
    result: str | None
    failure_kind: str | None
    failure_reason: str | None

    def refusal(self) -> StepRefused:
        """The failure stored under this key, word for word."""
        return StepRefused(self.failure_reason or "refused", kind=self.failure_kind or "refused")


class Inbox:
    """The table, seen through one session in the name of one attempt."""

    def __init__(self, session: Session, attempt: Attempt) -> None:
        self._session = session
        self._attempt = attempt

    def take(self, key: str) -> Place:
        """Take the row of a key. Raises `StepRefused` where a newer owner has asked under it: we are a zombie."""
        attempt = self._attempt
        at = text_of(attempt.clock())
        params = (key, attempt.epoch, attempt.saga_id, attempt.path, attempt.direction, at)
        rows, _ = self._session.run(_TAKE, params)
        row = rows[0]
        if row.pop("epoch") > attempt.epoch:
            raise StepRefused("a newer owner of this run has asked under the same key; nothing was done", kind="fenced")
        return Place(**row)

    def keep(self, key: str, result: str) -> None:
        """The effect is done, and this is its result."""
        self._write(_KEEP, self._attempt.arguments, result, key)

    def refuse(self, key: str, refusal: StepRefused) -> None:
        """The effect is refused, and stays so under this key."""
        self._write(_REFUSE, self._attempt.arguments, refusal.kind, refusal.reason, key)

    def bury(self, key: str) -> None:
        """A request under this key will be refused if it still comes."""
        self._write(_SET_STATE, "tombstone", key)

    def undone(self, key: str) -> None:
        """What was done under this key is undone."""
        self._write(_SET_STATE, "undone", key)

    def _write(self, statement: str, *params: object) -> None:
        self._session.run(statement, params)
