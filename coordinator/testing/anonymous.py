"""A sealed run as a file may hold it: without anything that is somebody's, and decided as it was.

Each sealed value is replaced by a placeholder under the same digest, which only who has the key could guess from. Where
the run's course hangs on a value, one is looked for that leads to the same decisions: what the events say in clear
anyway, a constant of the definition, or its neighbor. What cannot be replaced so is left out, and not decided again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Final, cast

import msgspec

from amends.coordinator.definition.expression import (
    AllOf,
    AnyOf,
    Expression,
    Negate,
    Number,
    Reference,
    Scalar,
    Value,
    holds,
    references,
    with_references,
)
from amends.coordinator.definition.form import StoredDefinition
from amends.coordinator.testing.deciding_again import first_otherwise
from amends.coordinator.testing.golden_run import Golden
from amends.coordinator.testing.placeholders import (
    Relevance,
    Way,
    candidates,
    leads_to,
    leaves,
    placeholder,
    relevance_of,
)
from amends.schemas.entry import Draft, Entry, External, Inline, seal
from amends.schemas.events import Digest, FanOutPlanned, LocksRequested

DECISIONS_MAX: Final = 100_000
"""Of one run: how many entries are decided again in search of values that lead where it went."""
AT_ONCE_MAX: Final = 2
"""So many values are looked for together."""

Place = tuple[Digest, Way]


def anonymous(entries: Sequence[Entry], values: Mapping[Digest, bytes], stored: StoredDefinition) -> Golden:
    """The run with placeholders, in a chain of its own. `values` are opened; `entries` hold no text that is sealed."""
    opened = Golden(name="", entries=tuple(entries), form=stored.form, values=values)
    otherwise = first_otherwise(opened)
    search = _Search(
        entries=entries,
        stored=stored,
        relevance=relevance_of(stored),
        values={digest: msgspec.json.decode(value) for digest, value in values.items()},
        clear=tuple(dict.fromkeys(_in_clear(entries))),
        versions=len(entries) if otherwise is None else otherwise[0] - 1,
    )
    found = search.found()
    return Golden(name="", entries=tuple(_chained(entries, found)), form=stored.form, values=found)


def _chained(entries: Sequence[Entry], values: Mapping[Digest, bytes]) -> Iterator[Entry]:
    """The entries with these values, each linked to the one before. What is left out stands there as external."""
    previous = ""
    for entry in entries:
        payloads = {
            digest: Inline(inline=values[digest].decode()) if digest in values else External(external=0)
            for digest in entry.payloads
        }
        fields = {name: getattr(entry, name) for name in Draft.__struct_fields__}
        draft = Draft(**{**fields, "payloads": payloads, "previous_hash": previous})
        _, previous = seal(draft)
        yield Entry(**{name: getattr(draft, name) for name in Draft.__struct_fields__}, hash=previous)


@dataclass(slots=True, kw_only=True)
class _Search:
    entries: Sequence[Entry]
    stored: StoredDefinition
    relevance: Relevance
    values: Mapping[Digest, object]
    """As they are."""
    clear: tuple[str, ...]
    """What events say in clear."""
    versions: int
    """How many of the entries are decided alike today; of a later one no value is the cause."""
    chosen: dict[Place, object] = field(default_factory=dict)
    left_out: set[Digest] = field(default_factory=set)
    tries: int = 0

    def found(self) -> dict[Digest, bytes]:
        """Values that lead where the run went."""
        clear = frozenset(self.clear)
        for place, value in self._deciding(self.values):
            if str(value) in clear:
                self.chosen[place] = value
        while (otherwise := self._otherwise({})) is not None:
            better = self._better(*otherwise)
            if better is None:
                self.left_out |= otherwise[1]
            else:
                self.chosen |= better
        return self._written({})

    def _better(self, version: int, read: frozenset[Digest]) -> dict[Place, object] | None:
        """What leads beyond this entry: a condition turned, or one other value among those that were read, or two."""
        places = list(self._deciding({digest: value for digest, value in self.values.items() if digest in read}))
        others = {digest: value for digest, value in self.values.items() if digest not in read}
        everywhere = [*places, *self._deciding(others)]  # What comes first in a condition may keep the rest unread.
        for condition, held in product(self.relevance.conditions, (True, False)):
            attempt = turned(condition, held, everywhere, self._candidates)
            if attempt and self._leads_beyond(version, attempt):
                return attempt
        for at_once in range(1, AT_ONCE_MAX + 1):
            for some in combinations(places, at_once):
                for values in product(*(self._candidates(value) for _, value in some)):
                    if self.tries * len(self.entries) >= DECISIONS_MAX:
                        return None
                    attempt = dict(zip((place for place, _ in some), values, strict=True))
                    if self._leads_beyond(version, attempt):
                        return attempt
        return None

    def _leads_beyond(self, version: int, attempt: Mapping[Place, object]) -> bool:
        self.tries += 1
        otherwise = self._otherwise(attempt)
        return otherwise is None or otherwise[0] > version

    def _candidates(self, value: object) -> list[object]:
        found = candidates(value, self.relevance)
        return [*found, *self.clear] if isinstance(value, str) else found

    def _deciding(self, values: Mapping[Digest, object]) -> Iterator[tuple[Place, object]]:
        for digest, value in values.items():
            for way, leaf in leaves(value):
                if self.relevance.decides(way):
                    yield (digest, way), leaf

    def _otherwise(self, more: Mapping[Place, object]) -> tuple[int, frozenset[Digest]] | None:
        """The first entry that is decided otherwise, and what was read for it."""
        golden = Golden(name="", entries=tuple(self.entries), form=self.stored.form, values=self._written(more))
        found = first_otherwise(golden)
        if found is None or found[0] > self.versions:
            return None
        read = found[1] - self.left_out
        return (found[0], read) if read else None  # Not for a value's sake, then: a replay will say so.

    def _written(self, more: Mapping[Place, object]) -> dict[Digest, bytes]:
        chosen: dict[Digest, dict[Way, object]] = {}
        for (digest, way), value in {**self.chosen, **more}.items():
            chosen.setdefault(digest, {})[way] = value
        return {
            digest: msgspec.json.encode(placeholder(value, self.relevance, chosen.get(digest, {})))
            for digest, value in self.values.items()
            if digest not in self.left_out
        }


def turned(
    condition: Expression,
    held: bool,  # noqa: FBT001  what each part of it is to be
    places: Sequence[tuple[Place, object]],
    others: Callable[[object], list[object]],
) -> dict[Place, object]:
    """Values with which every comparison in a condition holds, or none does; what was there does not matter."""
    found: dict[Place, object] = {}
    for part in _parts(condition):
        read = [(ref, _place_of(ref, places)) for ref in references(part)]
        if not all(at is not None for _, at in read):
            continue
        known = [(ref, at) for ref, at in read if at is not None]
        choices = [[found[place]] if place in found else others(value) for _, (place, value) in known]
        for chosen in product(*choices):
            values = {ref: value for (ref, _), value in zip(known, chosen, strict=True)}
            if holds(_with_values(part, values), lambda _: None) is held:
                found |= {place: value for (_, (place, _)), value in zip(known, chosen, strict=True)}
                break
    return found


def _parts(condition: Expression) -> Iterator[Expression]:
    """The comparisons that it is made of."""
    match condition:
        case AllOf(parts=parts) | AnyOf(parts=parts):
            for each in parts:
                yield from _parts(each)
        case Negate(part=part):
            yield from _parts(part)
        case _:
            yield condition


def _place_of(reference: Reference, places: Sequence[tuple[Place, object]]) -> tuple[Place, object] | None:
    """Where it may lead among the values that were read."""
    return next((each for each in places if leads_to(each[0][1], reference.field)), None)


def _with_values(part: Expression, values: Mapping[Reference, object]) -> Expression:
    def literal(reference: Reference) -> Expression:
        value = values[reference]
        return Number(text=str(value)) if isinstance(value, float) else Value(value=cast("Scalar", value))

    return with_references(part, cast("Callable[[Reference], Reference]", literal))


def _in_clear(entries: Sequence[Entry]) -> Iterator[str]:
    """Whatever events say in clear: keys of messages, items and locks, instants."""
    for entry in entries:
        for event in entry.events:
            if isinstance(event, FanOutPlanned):
                yield from event.keys
            elif isinstance(event, LocksRequested):
                yield from (key.partition(":")[2] for key in event.keys)
            for name in ("correlation", "due_at", "timeout_at"):
                said = getattr(event, name, None)
                if isinstance(said, str):
                    yield said
