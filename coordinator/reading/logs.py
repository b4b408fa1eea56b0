"""The whole log in one order: shard by shard, merged by time; and the outcomes it holds."""

import heapq
import logging
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from amends.coordinator.core.evolve import fold
from amends.coordinator.ports.rows import StoredEntry
from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.histories import Histories
from amends.coordinator.reading.history import payloads_of, run_history
from amends.coordinator.reading.opening import Opening, is_sealed
from amends.coordinator.reading.outcomes import has_outcome, outcome_of
from amends.coordinator.reading.publishing import may_have_outcome
from amends.schemas.entry import Entry
from amends.schemas.ids import SagaId
from amends.schemas.outcome import Outcome

PAGE = 500

log = logging.getLogger("amends.reading")


class _At(msgspec.Struct, frozen=True):
    at: str


_at = msgspec.json.Decoder(_At)

Positions = dict[int, int]
"""How far each shard has been read."""


def entries(store: LogReading, positions: Positions) -> Iterator[StoredEntry]:
    """Everything above `positions`, which are moved along, up to the present end; merged by time."""
    shards = [_shard(store, row.shard, positions.get(row.shard, 0)) for row in store.shards()]
    for _, _, _, entry in heapq.merge(*shards, key=lambda each: each[:3]):
        positions[entry.shard] = entry.position
        yield entry


def outcomes(store: LogReading, positions: Positions, histories: Histories) -> Iterator[Outcome]:
    """The outcome of each entry that parked or ended a run; of a broken history there is none, and the log says so."""
    for entry in entries(store, positions):
        histories.saw(entry)
        if not may_have_outcome(entry):
            continue
        try:
            outcome = _outcome(store, histories.upto(entry))
        except Exception as error:  # noqa: BLE001  whatever it is, this history cannot be folded, and others can
            said = f"{type(error).__name__}: {error}"
            log.warning("history_broken", extra={"saga_id": entry.saga_id, "version": entry.version, "error": said})
            continue
        if outcome is not None:
            yield outcome


def _outcome(store: LogReading, upto: list[Entry]) -> Outcome | None:
    if not has_outcome(upto[-1].events):
        return None
    carried = {digest: payload for each in upto for digest, payload in each.payloads.items()}
    opening = Opening(store)
    if is_sealed(upto[0]):
        upto = [opening.entry(entry) for entry in upto]
    return outcome_of(fold(upto), lambda digest: opening.value(digest, carried[digest]))


def latest_outcome(store: LogReading, saga_id: SagaId) -> Outcome | None:
    """What last ended or parked the run; None while it goes on."""
    moments = run_history(store, saga_id)
    last = moments[-1].state if moments else None
    if last is None or last.outcome_version is None or not (last.closed or last.status == "parked"):
        return None
    upto = [moment for moment in moments if moment.entry.version <= last.outcome_version]
    return outcome_of(upto[-1].state, payloads_of(upto, store))


def _shard(store: LogReading, shard: int, after: int) -> Iterator[tuple[str, int, int, StoredEntry]]:
    at = ""
    while page := store.entries_from(shard, after=after, limit=PAGE):
        for entry in page:
            with suppress(msgspec.MsgspecError):  # bytes that are no entry stand where they are
                at = _at.decode(entry.data).at
            yield at, shard, entry.position, entry
        after = page[-1].position
