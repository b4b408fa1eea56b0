"""One worker's way to the store that all share: it may be away at any question, and keep its answer to a commit.

What it does about a lost answer is what the PostgreSQL store does: a batch whose shards are where it takes them is
there; if that cannot be found out, fenced is the safe answer.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from random import Random
from typing import Any, Protocol

from amends.connectors.stores.memory import MemoryStore
from amends.coordinator.errors import Fenced, RunExists, StoreUnavailable
from amends.coordinator.ports.rows import Batch, Lease, StoredEntry
from amends.coordinator.ports.store import Role
from amends.schemas.instants import MILLISECOND, Instant
from tests.simulation.workers.troubles import READS, Fired, Troubles


class Watching(Protocol):
    """Who is told of what the store really did."""

    def before(self, batch: Batch) -> None:
        """This batch is about to be tried."""
        ...

    def committed(self, batch: Batch) -> None: ...

    def fenced(self, batch: Batch, shards: tuple[int, ...]) -> None: ...


@dataclass(slots=True, kw_only=True)
class Weather:
    """What all connections share."""

    random: Random
    troubles: Troubles
    fired: Fired
    away_until: Instant = 0
    embedded: bool = False
    """One coordinator at a time, and no other can own anything: whoever begins has the lock, and every shard."""
    poison: int = 0
    """How many more workers the handler dies with that kills them."""
    calm: bool = False
    """From here nothing goes wrong any more, so that everything must come to its end."""

    def percent(self, chance: int) -> bool:
        """Whether something of this likelihood happens now."""
        return not self.calm and self.random.randrange(100) < chance


class Connection(MemoryStore):
    """A store whose questions may stay without an answer. Several share the tables of one."""

    def __init__(self, shared: MemoryStore, *, weather: Weather, judge: Watching) -> None:
        super().__init__()
        self.kind = "sqlite" if weather.embedded else "postgresql"
        self._tables = shared._tables
        self._weather = weather
        self._judge = judge
        self.away_until: Instant = 0
        """Until when this worker alone cannot reach it."""
        self._unanswered: Batch | None = None
        """Committed, and sent again because nobody said so."""

    def append(self, batch: Batch) -> None:
        self.ask("append")
        if self._weather.percent(self._weather.troubles.refused):
            self._weather.fired["a batch was not committed, and nobody could find out"] += 1
            raise Fenced(part.shard for part in batch.appends)
        self.land(batch)
        if self._weather.percent(self._weather.troubles.reply_lost):
            self._lose_the_reply(batch)

    def land(self, batch: Batch) -> None:
        """Commit. Raises `Fenced` or `RunExists`."""
        self._judge.before(batch)
        try:
            super().append(batch)
        except Fenced as error:
            if self._is_there(batch):
                return
            if batch is not self._unanswered:  # One of its shards may have gone since it was committed.
                self._judge.fenced(batch, error.shards)
            self._weather.fired["an owner was fenced by the next one"] += 1
            raise
        except RunExists:
            self._weather.fired["a run existed already"] += 1
            raise
        self._judge.committed(batch)
        waiting = any(change.waiting_for is not None for part in batch.appends for change in part.changed)
        self._weather.fired["a run waited for a handler"] += waiting

    def land_unheard(self, batch: Batch) -> None:
        """What a dead worker had sent gets here: it is committed, or refused to nobody."""
        with suppress(Fenced, RunExists):
            self.land(batch)

    def ask(self, what: str) -> None:
        """Raise `StoreUnavailable` if the store is away for this."""
        weather, now = self._weather, self._tables.clock()
        away = not weather.calm and now < max(self.away_until, weather.away_until)
        if away or weather.percent(weather.troubles.shy):
            weather.fired["the store was away at an append" if what == "append" else f"the store was away: {what}"] += 1
            raise StoreUnavailable("AM4001", "the store is away", do="wait")

    def claim(self, role: Role, owner: str, *, lease_ms: int, limit: int) -> list[Lease]:
        self.ask("claim")
        if self._weather.embedded:
            for row in self._tables.leases[role].values():
                row.owner = owner if row.owner == owner else None
        return super().claim(role, owner, lease_ms=lease_ms, limit=limit)

    def open_entries(self, shard: int) -> Iterator[StoredEntry]:
        self.ask("open_entries")
        entries = list(super().open_entries(shard))
        breaks_off = len(entries) > 1 and self._weather.percent(3 * self._weather.troubles.shy)
        yield from entries[: len(entries) // 2 if breaks_off else None]
        if breaks_off:
            self._weather.fired["a shard could be read only in part"] += 1
            raise StoreUnavailable("AM4001", "the store went away", do="wait")

    def _lose_the_reply(self, batch: Batch) -> None:
        fired = self._weather.fired
        match self._weather.random.randrange(3):
            case 0:
                fired["a commit's reply was lost, and the store found out"] += 1
            case 1:
                fired["a commit's reply was lost, and the batch was sent again"] += 1
                self._unanswered = batch
                self.away_until = self._tables.clock() + self._weather.random.randrange(3_000) * MILLISECOND
                raise StoreUnavailable("AM4001", "the reply to the commit was lost", do="wait")
            case _:
                fired["a commit's reply was lost, and nobody could find out"] += 1
                raise Fenced(part.shard for part in batch.appends)

    def _is_there(self, batch: Batch) -> bool:
        moving = [part for part in batch.appends if part.entries]
        rows = self._tables.leases["worker"]
        return bool(moving) and all(
            (rows[part.shard].epoch, rows[part.shard].position, rows[part.shard].head)
            == (part.epoch, part.position + len(part.entries), part.head)
            for part in moving
        )


def _asking(name: str) -> Callable[..., Any]:
    answer = getattr(MemoryStore, name)

    @wraps(answer)
    def asked(self: Connection, *arguments: Any, **named: Any) -> Any:
        self.ask(name)
        return answer(self, *arguments, **named)

    return asked


for _name in READS:
    if _name not in vars(Connection):
        setattr(Connection, _name, _asking(_name))
