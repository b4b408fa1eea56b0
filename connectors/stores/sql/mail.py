"""What waits or is kept beside the log: inbox, dead letters, definitions, blobs, heartbeats, the relay's places."""

from collections.abc import Sequence
from typing import Final

from amends.connectors.stores.sql.rows import SELECT_DEAD_LETTER, SELECT_DEAD_LETTER_FACTS, dead_letter_of
from amends.connectors.stores.sql.tables import OPEN
from amends.connectors.stores.sql.work import SqlStore
from amends.coordinator.errors import Fenced
from amends.coordinator.ports.rows import DeadLetterRow, DefinitionRow, InboxRow, RelayWait, ShardRow
from amends.coordinator.ports.store import Role
from amends.schemas.events import Digest
from amends.schemas.instants import MILLISECOND, SECOND, Instant

_DEFINITION: Final = DefinitionRow.__struct_fields__
_SELECT_DEFINITION: Final = f"SELECT {', '.join(_DEFINITION)} FROM definitions"
_SHARD: Final = ShardRow.__struct_fields__
_DEAD_LETTERS: Final = -1
"""In `relay_waits`, the place of what is in no shard."""
_FORGOTTEN: Final = 3600 * SECOND
"""A worker that died an hour ago is not listed any more."""


class SqlMail(SqlStore):
    """Small tables, each by its key."""

    def inbox(self, shard: int, *, limit: int = 1_000) -> list[InboxRow]:
        found = self._rows(
            "SELECT shard, message_id, body FROM inbox WHERE shard = ? ORDER BY id LIMIT ?", (shard, limit)
        )
        return [InboxRow(shard=shard, message_id=message_id, body=body) for shard, message_id, body in found]

    def put_inbox(self, rows: Sequence[InboxRow]) -> None:
        with self._writing() as work:
            for row in sorted(rows, key=lambda row: row.message_id):  # one order everywhere: no two writers in a circle
                work.change(
                    "INSERT INTO inbox (shard, message_id, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (row.shard, row.message_id, row.body),
                )

    def dead_letters(self, *, after: int = 0, limit: int = 100, whole: bool = True) -> list[DeadLetterRow]:
        select = SELECT_DEAD_LETTER if whole else SELECT_DEAD_LETTER_FACTS
        found = self._rows(f"{select} WHERE n > ? ORDER BY n LIMIT ?", (after, limit))
        return [dead_letter_of(row) for row in found]

    def dead_letters_count(self) -> int:
        count: int = self._rows("SELECT value FROM counters WHERE name = 'dead_letters'")[0][0]
        return count

    def dead_letter(self, n: int) -> DeadLetterRow | None:
        found = self._rows(f"{SELECT_DEAD_LETTER} WHERE n = ?", (n,))
        return dead_letter_of(found[0]) if found else None

    def dead_letters_at(self, topic: str, partition: int, offset: int) -> list[DeadLetterRow]:
        found = self._rows(
            f"""{SELECT_DEAD_LETTER} WHERE topic = ? AND partition = ? AND "offset" = ? ORDER BY n""",
            (topic, partition, offset),
        )
        return [dead_letter_of(row) for row in found]

    def mark_redriven(self, n: int, at: Instant) -> None:
        with self._writing() as work:
            work.change("UPDATE dead_letters SET redriven_at = ? WHERE n = ?", (at, n))

    def dead_letters_relayed(self) -> int:
        relayed: int = self._rows("SELECT value FROM counters WHERE name = 'dead_letters_relayed'")[0][0]
        return relayed

    def dead_letters_move(self, n: int) -> None:
        with self._writing() as work:
            work.change("UPDATE counters SET value = ? WHERE name = 'dead_letters_relayed' AND value < ?", (n, n))

    def put_definition(self, row: DefinitionRow) -> None:
        with self._writing() as work:
            work.change("UPDATE store SET made_at = made_at")  # One at a time: each sees what was stored before it.
            (latest,) = work.rows(
                "SELECT coalesce(max(stored_at), 0) FROM definitions WHERE name = ? AND version = ?",
                (row.name, row.version),
            )[0]
            work.change(
                f"""INSERT INTO definitions VALUES (?, ?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET body = excluded.body
                WHERE definitions.body <> excluded.body
                AND NOT EXISTS (SELECT 1 FROM runs WHERE {OPEN} AND definition_hash = excluded.hash)""",
                (row.hash, row.name, row.version, row.body, max(row.stored_at, latest + 1)),
            )

    def definition(self, digest: str) -> DefinitionRow | None:
        found = self._rows(f"{_SELECT_DEFINITION} WHERE hash = ?", (digest,))
        return DefinitionRow(**dict(zip(_DEFINITION, found[0], strict=True))) if found else None

    def definitions(self) -> list[DefinitionRow]:
        found = self._rows(f"{_SELECT_DEFINITION} ORDER BY name, version, hash")
        return [DefinitionRow(**dict(zip(_DEFINITION, row, strict=True))) for row in found]

    def blob(self, digest: Digest) -> bytes | None:
        found = self._rows("SELECT data FROM blobs WHERE digest = ?", (digest,))
        return found[0][0] if found else None

    def beat(self, worker: str, *, lease_ms: int, role: Role = "worker") -> int:
        now = self.now()
        with self._writing() as work:
            work.change(
                """INSERT INTO workers VALUES (?, ?, ?)
                ON CONFLICT (role, worker) DO UPDATE SET expires_at = excluded.expires_at""",
                (role, worker, now + lease_ms * MILLISECOND),
            )
            work.change("DELETE FROM workers WHERE expires_at < ?", (now - _FORGOTTEN,))
            alive: int = work.rows("SELECT count(*) FROM workers WHERE role = ? AND expires_at > ?", (role, now))[0][0]
            return alive

    def retire(self, worker: str, *, role: Role = "worker") -> None:
        with self._writing() as work:
            work.change("DELETE FROM workers WHERE role = ? AND worker = ?", (role, worker))

    def shards(self) -> list[ShardRow]:
        found = self._rows(f"SELECT {', '.join(_SHARD)} FROM shards ORDER BY shard")
        return [ShardRow(**{**dict(zip(_SHARD, row, strict=True)), "clean": bool(row[-1])}) for row in found]

    def relay_position(self, shard: int) -> int:
        found = self._rows("SELECT position FROM leases WHERE role = 'relay' AND shard = ?", (shard,))
        return found[0][0] if found else 0

    def relayed(self, shard: int, *, epoch: int, position: int) -> None:
        with self._writing() as work:
            moved = work.change(
                """UPDATE leases SET position = CASE WHEN position < ? THEN ? ELSE position END
                WHERE role = 'relay' AND shard = ? AND epoch = ?""",
                (position, position, shard, epoch),
            )
            if not moved:
                raise Fenced([shard])

    def relay_waits(self) -> list[RelayWait]:
        found = self._rows(
            """SELECT w.shard, w.position, w.why, w.since FROM relay_waits w
            LEFT JOIN leases l ON l.role = 'relay' AND l.shard = w.shard
            WHERE w.position > coalesce(l.position, (SELECT value FROM counters WHERE name = 'dead_letters_relayed'))
            ORDER BY w.shard"""
        )
        return [
            RelayWait(shard=None if shard == _DEAD_LETTERS else shard, position=position, why=why, since=since)
            for shard, position, why, since in found
        ]

    def relay_waits_at(self, wait: RelayWait) -> None:
        with self._writing() as work:
            work.change(
                """INSERT INTO relay_waits VALUES (?, ?, ?, ?) ON CONFLICT (shard) DO UPDATE
                SET position = excluded.position, why = excluded.why, since = excluded.since""",
                (_DEAD_LETTERS if wait.shard is None else wait.shard, wait.position, wait.why, wait.since),
            )

    def incarnation(self) -> str:
        incarnation: str = self._rows("SELECT incarnation FROM store")[0][0]
        return incarnation
