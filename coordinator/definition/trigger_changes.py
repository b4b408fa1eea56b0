"""What a change of a saga's trigger means: for records that were published before it, and for requests that come again.

A field that this table does not know is for a person to judge: whatever cannot be decided counts as no (rule 14).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from amends.coordinator.definition.comparing import Change
from amends.coordinator.definition.compatibility import can_read
from amends.coordinator.definition.form import StoredDefinition

Verdict = Literal["none", "safe", "person"]
"""No change; safe for open runs; for a person to look at first."""
_SEVERITY: Final[dict[Verdict, int]] = {"none": 0, "safe": 1, "person": 2}


class Consequence(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a change. `code` is the error that a worker would end with."""

    verdict: Verdict
    says: str
    do: str | None = None
    code: str | None = None


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The severest of them; none of none."""
    return max(verdicts, key=_SEVERITY.__getitem__, default="none")


def consequences(
    before: StoredDefinition, after: StoredDefinition, changes: Sequence[Change], topics: Mapping[str, Sequence[str]]
) -> list[Consequence]:
    """What the changes of a trigger mean. `topics` are those that APP reads, with the sagas that do."""
    found = []
    for change in changes:
        if change.what != "trigger":
            continue
        if change.field == "topic":
            found.append(_topic(before.form.trigger.topic, after.form.trigger.topic, topics))
        elif change.field == "schema":
            found.append(_schema(before, after))
        else:
            found.append(_KNOWN.get(change.field, _unknown)(change))
    return found


def _topic(before: str, after: str, topics: Mapping[str, Sequence[str]]) -> Consequence:
    readers = topics.get(before, ())
    who = f"only {', '.join(readers)} will read {before}" if readers else f"nobody reads {before} any more"
    return Consequence(
        verdict="person",
        says=f"the trigger topic is {after} and was {before}: {who}, and what waits there starts no run",
        do=f"publish to {after}, let the deployed version read {before} to its end, then deploy",
    )


def _schema(before: StoredDefinition, after: StoredDefinition) -> Consequence:
    old, new = (json.loads(bytes(each.trigger_schema)) for each in (before, after))
    if can_read(new, old):
        return Consequence(verdict="safe", says="the trigger's schema changed; it reads all that the old one describes")
    return Consequence(
        verdict="person",
        says="the trigger's new schema does not read all that the old one describes: some may be `invalid`",
        do="give new fields a default and only widen types, or have publishers change first",
    )


def _size(change: Change) -> Consequence:
    if change.after > change.before:
        return Consequence(verdict="safe", says=f"records of up to {change.after} bytes are accepted")
    return Consequence(
        verdict="person",
        says=f"records of more than {change.after} bytes will be `too_large`; {change.before} were accepted",
        do="be sure that no publisher sends such records",
    )


def _fixed(verdict: Verdict, says: str, do: str | None = None) -> Callable[[Change], Consequence]:
    return lambda change: Consequence(
        verdict=verdict, says=says.format(before=_shown(change.before), after=_shown(change.after)), do=do
    )


def _unknown(change: Change) -> Consequence:
    return Consequence(
        verdict="person",
        says=f"the trigger's {change.field} was {_shown(change.before)} and is {_shown(change.after)}",
        do="be sure that records published before are still read as they should be",
    )


def _shown(value: Any) -> str:  # noqa: ANN401  any JSON
    return (
        "not set"
        if value is None
        else ", ".join(map(str, value)) or "empty"
        if isinstance(value, list | tuple)
        else str(value)
    )


_KNOWN: Final[dict[str, Callable[[Change], Consequence]]] = {
    "model": _fixed("safe", "the trigger's model is called {after}, and was {before}"),
    "business_key": _fixed("safe", "outcomes of new runs are keyed by {after}, and were by {before}"),
    "dedup_for_ms": _fixed("safe", "requests are remembered for another time than before"),
    "size_bytes_max": _size,
    "idempotency_key": _fixed(
        "person",
        "requests are named by {after}, and were by {before}: one that comes again after the deployment runs twice",
        "let the deployed version read what is published, and be sure that no old request is sent again",
    ),
    "volatile": _fixed(
        "person",
        "a request that comes again is compared without {after}, and was without {before}: it may be a conflict",
        "be sure that no old request is sent again, or expect dead letters `conflict`",
    ),
    "cloudevents_type": _fixed(
        "person",
        "only events of type {after} are accepted, and {before} before",
        "have publishers change first, or expect dead letters `no_saga`",
    ),
}
