"""RUN on the command line: a saga id, a prefix of one, or `SAGA/IDEMPOTENCY-KEY` (contract, section 2)."""

from typing import Final
from uuid import UUID

from amends.coordinator.errors import NotFound
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.ports.store import LogReading
from amends.schemas.ids import SagaId

PREFIX_MIN: Final = 8
_LIST: Final = "`amends runs list` shows what there is"


def find_run(store: LogReading, text: str) -> RunRow:
    """The run that the text names. Raises `NotFound`: AM5010 nothing has this name, AM5011 more than one has."""
    name = text.strip()
    if _is_id(name):
        row = store.run(SagaId(str(UUID(name))))
        if row is None:
            raise NotFound("AM5010", f"there is no run {name}", do=_LIST)
        return row
    found = _by_key(store, name) if "/" in name else _by_prefix(store, name)
    if not found:
        raise NotFound("AM5010", f"there is no run {name!r}", do=_LIST)
    if len(found) > 1:
        ids = ", ".join(row.saga_id for row in found[:5])
        raise NotFound("AM5011", f"{name!r} names more than one run: {ids}", do="write more of the id")
    return found[0]


def _by_key(store: LogReading, name: str) -> list[RunRow]:
    """The newest generation of the request."""
    saga, _, key = name.partition("/")
    return store.runs_by_key(saga, key)[:1]


def _by_prefix(store: LogReading, name: str) -> list[RunRow]:
    if len(name) < PREFIX_MIN:
        raise NotFound(
            "AM5010",
            f"{name!r} names no run",
            do=f"write a saga id, {PREFIX_MIN} or more characters of one, or SAGA/IDEMPOTENCY-KEY; "
            "`amends runs list --key KEY` looks for a request or an object",
        )
    return store.runs_by_prefix(name.lower(), limit=6)


def _is_id(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True


def refuse_archived(store: LogReading, saga_id: SagaId) -> None:
    """Say where a run's entries are, if they have moved. Raises `NotFound` (AM0340)."""
    if archived := store.archived_of(saga_id):
        file = archived[-1].archive
        raise NotFound(
            "AM0340",
            f"the entries of run {saga_id} have moved to the archive {file}",
            do=f"find the file, then: amends replay {saga_id} --bundle {file}",
        )
