"""A run's history: its entries in order, and the state after each of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from amends.coordinator.core.evolve import fold_entry
from amends.coordinator.core.state import State
from amends.coordinator.errors import FoundFault
from amends.coordinator.ports.rows import StoredEntry
from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.opening import SEALED_TEXT, Opening
from amends.schemas.canonical import encode
from amends.schemas.entry import Entry, MalformedEntry, Payload, decode
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId

_PAGE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One entry, its bytes, and the state after it."""

    entry: Entry
    data: bytes
    state: State


@dataclass(slots=True)
class Payloads:
    """Values by digest: those inline in the entries seen, external ones from the store if there is one."""

    store: LogReading | None = None
    _within: dict[Digest, Payload] = field(default_factory=dict)
    _opening: Opening = field(init=False)

    def __post_init__(self) -> None:
        self._opening = Opening(self.store)

    def keep(self, entry: Entry) -> None:
        """Remember what this entry carries."""
        self._within.update(entry.payloads)

    def forget(self, entry: Entry) -> None:
        """Drop what this entry carried."""
        for digest in entry.payloads:
            self._within.pop(digest, None)

    def __call__(self, digest: Digest) -> bytes | None:
        """The value's JSON text, a stand-in where it is erased or sealed for us; None where it is elsewhere."""
        payload = self._within.get(digest)
        return self._opening.blob(digest) if payload is None else self._opening.value(digest, payload)


def history(
    entries: Iterable[bytes], *, of: SagaId, until: int | None = None, opening: Opening | None = None
) -> Iterator[Moment]:
    """Fold a run's entries, up to the version `until`. Raises `FoundFault` (AM5041) where that is impossible.

    With an `opening`, texts that are sealed are opened, in the entries and in the states.
    """
    state: State | None = None
    for version, data in enumerate(entries, start=1):
        try:
            entry = decode(data)
            if until is not None and entry.version > until:
                return
            if opening is not None and SEALED_TEXT in data:
                entry = opening.entry(entry)
            state = fold_entry(state, entry)
        except Exception as error:
            raise _broken(of, version, error) from error
        yield Moment(entry=entry, data=data, state=state)


def _broken(saga_id: SagaId, version: int, error: Exception) -> FoundFault:
    why = str(error) if isinstance(error, MalformedEntry) else f"{type(error).__name__}: {error}"
    return FoundFault(
        "AM5041",
        f"version {version} of run {saga_id} cannot be folded: {why}",
        do=f"`amends audit verify {saga_id}` names every fault",
    )


def stored(store: LogReading, saga_id: SagaId, *, after: int = 0) -> Iterator[StoredEntry]:
    """A run's entries, page by page."""
    while page := store.entries_of(saga_id, after=after, limit=_PAGE):
        yield from page
        after = page[-1].version


def run_history(store: LogReading, saga_id: SagaId, *, until: int | None = None, opened: bool = True) -> list[Moment]:
    """A stored run's whole history, or up to a version; unless `opened`, with sealed texts as the log has them."""
    opening = Opening(store) if opened else None
    return list(history((entry.data for entry in stored(store, saga_id)), of=saga_id, until=until, opening=opening))


def payloads_of(moments: Iterable[Moment], store: LogReading | None = None) -> Payloads:
    """The values that these entries refer to."""
    payloads = Payloads(store)
    for moment in moments:
        payloads.keep(moment.entry)
    return payloads


def dump(state: State) -> bytes:
    """The state as canonical JSON: equal states are equal bytes, on every machine (invariant S15)."""
    return encode(state)
