"""What a participant remembers of commands, in its own database: one row for each key, decided in one transaction.

The row is written in the transaction of the effect, and holds the reply: so there is no moment at which one is there
without the other, and a reply that was lost is sent again. A key that was answered once never acts again, whatever the
answer was: who got a definite failure asks anew under another key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from amends.connectors.participant.wire import Command, Reply
from amends.connectors.sql.sessions import Row, Session
from amends.schemas.canonical import sha256_hex
from amends.schemas.instants import Instant, text_of
from amends.schemas.message import Answer

TABLE: Final = """
CREATE TABLE IF NOT EXISTS amends_commands (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('asked', 'done', 'refused', 'unavailable', 'tombstone', 'undone')),
    epoch BIGINT NOT NULL,
    command TEXT NOT NULL,
    saga_id TEXT NOT NULL,
    at TEXT NOT NULL,
    body_digest TEXT,
    answer TEXT,
    result TEXT,
    reason TEXT,
    external_id TEXT,
    correlation TEXT,
    reply_topic TEXT,
    traceparent TEXT,
    reply_due INTEGER NOT NULL DEFAULT 0
)
"""
INDEX: Final = "CREATE INDEX IF NOT EXISTS amends_commands_due ON amends_commands (at) WHERE reply_due = 1"

State = Literal["asked", "done", "refused", "unavailable", "tombstone", "undone"]
"""`tombstone`: its undo came first. `undone`: done, then undone."""

_TAKE: Final = """
INSERT INTO amends_commands (key, state, epoch, command, saga_id, at) VALUES (?, 'asked', ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    epoch = CASE WHEN excluded.epoch > amends_commands.epoch THEN excluded.epoch ELSE amends_commands.epoch END
RETURNING state, epoch, body_digest, result
"""
_DECIDE: Final = """
UPDATE amends_commands SET state = ?, command = ?, body_digest = ?, answer = ?, result = ?, reason = ?, external_id = ?,
    correlation = ?, reply_topic = ?, traceparent = ?, reply_due = 1
WHERE key = ?
"""
_AGAIN: Final = """
UPDATE amends_commands SET command = ?, correlation = ?, reply_topic = ?, traceparent = ?, reply_due = 1 WHERE key = ?
"""
_SET_STATE: Final = "UPDATE amends_commands SET state = ? WHERE key = ?"
_DUE: Final = """
SELECT key, answer, command, correlation, reply_topic, traceparent, result, reason, external_id FROM amends_commands
WHERE reply_due = 1 ORDER BY at LIMIT ?
"""
_SENT: Final = "UPDATE amends_commands SET reply_due = 0 WHERE key = ? AND correlation = ? AND reply_topic = ?"
"""Not where it was asked for meanwhile under another correlation: that one is still to be sent."""

NO_RESULT: Final = "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """What a handler came to."""

    state: Literal["done", "refused", "unavailable"]
    result: str = NO_RESULT
    reason: str | None = None
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueReply:
    """A reply that is to be published, and where."""

    reply: Reply
    topic: str
    traceparent: str | None


Verdict = Literal["worked", "repeated", "nothing_to_undo", "undone_before", "fenced"]
Work = Callable[[Session, str | None], Worked]
"""The handler, inside the transaction; given what the undone command kept, where it undoes one."""


def decide(session: Session, command: Command, work: Work, *, at: Instant) -> Verdict:
    """Carry the command out at most once, and see to its reply, inside a transaction: its commit is the effect.

    An undo is looked at together with what it undoes: the later of the two waits for the earlier one's transaction.
    """
    place = _take(session, command.key, command, at)
    if place["epoch"] > command.epoch:
        return "fenced"  # Whoever asks has been replaced; an answer would be taken for one to the other's request.
    if place["state"] not in {"asked", "tombstone", "undone"}:
        _reply_again(session, command)
        return "repeated"
    if place["state"] != "asked":
        why = "its undo came first" if place["state"] == "tombstone" else "it was undone"
        _decide(session, command, Worked(state="refused", reason=why), state=place["state"])
        return "undone_before"
    if command.undoes is None:
        _decide(session, command, work(session, None))
        return "worked"
    return _undo(session, command, command.undoes, work, at)


def _undo(session: Session, command: Command, undoes: str, work: Work, at: Instant) -> Verdict:
    undone = _take(session, undoes, command, at)
    if undone["epoch"] > command.epoch:
        return "fenced"
    if undone["state"] != "done":
        if undone["state"] != "undone":
            session.run(_SET_STATE, ("tombstone", undoes))
        _decide(session, command, Worked(state="done"))
        return "nothing_to_undo"
    worked = work(session, undone["result"] or NO_RESULT)
    if worked.state == "done":
        session.run(_SET_STATE, ("undone", undoes))
    _decide(session, command, worked)
    return "worked"


def due_replies(session: Session, *, limit: int) -> list[DueReply]:
    """Replies that were not published since they were decided, or asked for again."""
    rows, _ = session.run(_DUE, (limit,))
    return [_due(row) for row in rows]


def replies_sent(session: Session, due: list[DueReply]) -> None:
    """They are on their topics."""
    for each in due:
        session.run(_SENT, (each.reply.key, each.reply.correlation, each.topic))


def _take(session: Session, key: str, command: Command, at: Instant) -> Row:
    """The key's row, held to the transaction's end: a rival under the same key waits until this one is decided."""
    rows, _ = session.run(_TAKE, (key, command.epoch, command.name, command.saga_id, text_of(at)))
    return rows[0]


def _decide(session: Session, command: Command, worked: Worked, *, state: State | None = None) -> None:
    session.run(
        _DECIDE,
        (
            state or worked.state,
            command.name,
            sha256_hex(command.body),
            _ANSWERS[worked.state],
            worked.result,
            worked.reason,
            worked.external_id,
            command.correlation,
            command.reply_topic,
            command.traceparent,
            command.key,
        ),
    )


def _reply_again(session: Session, command: Command) -> None:
    session.run(_AGAIN, (command.name, command.correlation, command.reply_topic, command.traceparent, command.key))


_ANSWERS: Final[dict[str, Answer]] = {"done": "succeeded", "refused": "refused", "unavailable": "unavailable"}


def _due(row: Row) -> DueReply:
    answer: Answer = row["answer"]
    reply = Reply(
        key=row["key"],
        correlation=row["correlation"],
        command=row["command"],
        answer=answer,
        reason=row["reason"],
        external_id=row["external_id"],
        body=row["result"].encode(),
    )
    return DueReply(reply=reply, topic=row["reply_topic"], traceparent=row["traceparent"])
