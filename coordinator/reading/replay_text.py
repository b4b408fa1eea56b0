"""A replay as text: each entry, its events, and what changed in the state."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from amends.coordinator.core.state import State
from amends.coordinator.reading.events import events_of, in_short
from amends.coordinator.reading.history import Moment
from amends.coordinator.reading.opening import without_seals
from amends.coordinator.reading.state_text import told_of
from amends.coordinator.reading.times import clock
from amends.schemas.instants import instant_of

_QUIET = frozenset(
    {
        *("version", "at", "hash", "requests", "attempts", "counted", "asks", "order", "since"),
        *("requested_at", "key_used_at", "verify_since", "timeout_at", "key", "arguments"),
    }
)
"""Fields that move with every request and say nothing that the event does not."""
_PLAIN = frozenset({"0", "false", '""', "[]", "{}"})
_WIDTH_MAX = 100


def replay_text(moments: Sequence[Moment]) -> str:
    """Every entry with its changes, and the last state's status."""
    lines: list[str] = []
    before: dict[str, str] = {}
    for moment in moments:
        entry = moment.entry
        lines.append(f"{entry.version:>4}  {clock(instant_of(entry.at))}  {entry.cause} by {entry.actor}")
        lines += [f"        {each['type']}  {in_short(each)}".rstrip() for each in events_of(entry)]
        after = dict(_flat(told_of(moment.state), ""))
        lines += [f"          {change}" for change in _changes(before, after)]
        before = after
    lines.append(_last(moments[-1].state))
    return "\n".join(lines)


def _changes(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    for name, value in after.items():
        former = before.get(name)
        if name.rpartition(".")[2] in _QUIET or former == value or (former is None and value in _PLAIN):
            continue
        line = f"{name}: {former or '·'} → {value}"
        yield line if len(line) <= _WIDTH_MAX else line[:_WIDTH_MAX] + "…"


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401  any JSON
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else name)
    elif value is not None:
        yield path, without_seals(msgspec.json.encode(value).decode())


def _last(state: State) -> str:
    return f"state after version {state.version}: {state.status}, folded without reaching the world"
