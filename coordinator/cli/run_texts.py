"""Runs as text for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from amends.coordinator.cli.explaining_text import (
    approved_text,
    commands_text,
    retries_text,
    undo_text,
    waits_text,
)
from amends.coordinator.cli.laying_out import listed, listed_at, wrapped
from amends.coordinator.cli.output import columns, shortened, status_text, toned
from amends.coordinator.cli.steps_text import steps_text
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.reading.events import in_short
from amends.coordinator.reading.facts import QUARANTINED, ended_status
from amends.coordinator.reading.times import clock, day_and_clock, took
from amends.coordinator.reading.words import counted
from amends.schemas.events import Proof
from amends.schemas.ids import SagaId
from amends.schemas.instants import Instant, instant_of

_RESULT_MAX = 200
_NAME_WIDTH = 9


def runs_text(rows: Iterable[RunRow], proofs: Mapping[SagaId, Proof], now: Instant) -> str:
    """One line a run."""
    shown = [
        [
            listed_at(row.started_at, now),
            _status(row, proofs.get(row.saga_id)),
            f"{row.saga} v{row.definition_version}",
            row.business_key,
            row.idempotency_key + (f" · generation {row.generation}" if row.generation else ""),
            "" if row.ended_at is None else took(row.ended_at - row.started_at),
            shortened(row.saga_id),
        ]
        for row in rows
    ]
    if not shown:
        return "no runs"
    at = "started (UTC)" if len(shown[0][0]) > len("started (UTC)") else "at (UTC)"
    heads = [at, "status", "saga", "business key", "request", "took", "run"]
    return columns(shown, heads=heads, cut=(2, 3, 4), spare=5)


def _status(row: RunRow, proof: Proof | None) -> str:
    if row.quarantined:
        return status_text(QUARANTINED)
    more = row.cause or proof_text(proof)
    return status_text(ended_status(row) or row.status) + (f", {more}" if more else "")


def proof_text(proof: Proof | None) -> str:
    """The word for it; a run that waits for a read-back is not proven yet."""
    return "" if proof is None else "proof pending" if proof == "pending" else proof


def facts_text(facts: dict[str, Any]) -> str:
    """`runs show` for people."""
    more = facts["cause"] or proof_text(facts["proof"])
    cause = f", {more}" if more else ""
    told = facts["explanation"]
    lines = [
        toned("bold", f"{facts['saga']} v{facts['definition_version']} · {facts['business_key']}"),
        *(line for name, said in _particulars(facts, cause) for line in _particular(name, said)),
        "",
        *steps_text(
            facts["steps"],
            ended=facts["ended_at"] is not None or facts["cause"] is not None,
            items=told.items if told is not None else {},
        ),
    ]
    if facts["checkpoints"]:
        shown = [_checkpoint(each) for each in facts["checkpoints"]]
        lines += [
            "",
            *columns(shown, heads=["checkpoint", "step", "at (UTC)", "tells"], indent="  ", fold=True).splitlines(),
        ]
    if told is None:
        rows = [("", each.step, each.why) for each in facts["exposure"]]
        return "\n".join([*lines, *(["", "  left in the world", *listed(rows)] if rows else [])])
    for section in (waits_text, undo_text, retries_text, approved_text, commands_text):
        lines += section(told)
    return "\n".join(lines)


def _particular(name: str, said: str) -> list[str]:
    start = f"  {name.ljust(_NAME_WIDTH)}  "
    return wrapped(said, first=start, rest=" " * len(start))


def _particulars(facts: dict[str, Any], cause: str) -> list[list[str]]:
    trigger, result, failure, parked = facts["trigger"], facts["result"], facts["failure"], facts["parked"]
    rerun = facts["rerun"]
    where = "none" if trigger["topic"] is None else f"{trigger['topic']} {trigger['partition']}@{trigger['offset']}"
    again = f", {counted(trigger['duplicates'], 'duplicate')}" if trigger["duplicates"] else ""
    found = [
        ["run", facts["saga_id"]],
        ["status", status_text(facts["status"]) + cause],
        ["request", facts["idempotency_key"] + (f", generation {facts['generation']}" if facts["generation"] else "")],
        *([["rerun", f"of {rerun['former']}, by {rerun['actor']}: {rerun['reason']}"]] if rerun else []),
        ["trigger", where + again],
        ["started", _time(facts["started_at"])],
        ["ended", _time(facts["ended_at"])] if facts["ended_at"] else ["updated", _time(facts["updated_at"])],
        ["entries", str(facts["version"])],
    ]
    found += [["lock", text] for text in _locks(facts)]
    if facts["waiting_for"] and facts["explanation"] is None:
        found.append(["waits for", facts["waiting_for"]])
    for each in facts["expectations"]:
        why = f": {each['message']}" if each["message"] else ""
        found.append(["expected", f"{each['name']} {'✔ holds' if each['held'] else '✖ does not hold'}{why}"])
    for each in facts["verifications"]:
        what = each["path"] if each["direction"] == "forward" else f"the undo of {each['path']}"
        why = f": {each['message']}" if each["message"] else ""
        said = {None: f"from {_time(each['due_at'])}", True: "✔ stands", False: f"✖ does not stand{why}"}[each["held"]]
        found.append(["read back", f"{what} {said}"])
    if failure is not None:
        found.append(["failure", f"{failure.step}, attempt {failure.attempt}, {failure.kind}: {failure.message}"])
    if parked is not None:
        found.append(["parked", f"at {parked.step or 'no step'} since {day_and_clock(parked.since)}: {parked.why}"])
    if result is not None:
        found.append(["result", _cut(bytes(result).decode())])
    return found


def _locks(facts: dict[str, Any]) -> list[str]:
    """Each of the run's locks: since when it has it, or who holds it and how many stand before it."""
    said = []
    own = facts["saga_id"]
    for key in dict.fromkeys(each["key"] for each in facts["locks"]):
        row = [each for each in facts["locks"] if each["key"] == key]
        place = next(number for number, each in enumerate(row) if each["saga_id"] == own)
        if row[place]["held_since"]:
            said.append(f"{key}, held since {_time(row[place]['held_since'])}")
        else:
            first = f"held by {row[0]['saga_id']}" if row[0]["held_since"] else f"first is {row[0]['saga_id']}"
            said.append(f"{key}, {first}, {place} before it, waits since {_time(row[place]['since'])}")
    return said


def _checkpoint(checkpoint: dict[str, Any]) -> list[str]:
    told, where = bytes(checkpoint["values"]).decode(), checkpoint["step"]
    if checkpoint["role"] != "step":
        where += f", {checkpoint['role']}"
    return [checkpoint["name"], where, clock(instant_of(checkpoint["at"])), _cut("" if told == "{}" else told)]


def _cut(text: str) -> str:
    return text if len(text) <= _RESULT_MAX else text[:_RESULT_MAX] + " …"


def _time(text: str) -> str:
    return day_and_clock(instant_of(text)) + " UTC"


def events_text(events: list[dict[str, Any]]) -> str:
    """One line an event."""
    rows = [
        [clock(instant_of(each["at"])), f"{each['version']}.{each['index']}", each["type"], in_short(each)]
        for each in events
    ]
    return columns(rows, fold=True)
