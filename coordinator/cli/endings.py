"""Outcomes as lines, one a run that ended or parked: `outcomes`, `publish --wait`, `dev`."""

import asyncio
import sys

from amends.coordinator.cli.call import Call, Output
from amends.coordinator.cli.output import columns, hung, room, shortened, status_text, write, write_line
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.exposure import NOT_UNDONE
from amends.coordinator.reading.histories import Histories
from amends.coordinator.reading.logs import Positions, outcomes
from amends.coordinator.reading.times import clock, took
from amends.schemas.instants import instant_of
from amends.schemas.outcome import OUTCOMES, Exposure, Outcome

LOOK_S = 0.1


def outcome_row(outcome: Outcome) -> list[str]:
    """The cells of one line."""
    started, ended = instant_of(outcome.started_at), instant_of(outcome.ended_at)
    return [
        clock(ended),
        status_text(outcome.status),
        f"{outcome.saga} v{outcome.definition_version}",
        outcome.business_key,
        took(ended - started),
        shortened(outcome.saga_id),
        _why(outcome),
    ]


def outcome_lines(found: list[Outcome]) -> str:
    """Aligned lines."""
    return columns([outcome_row(each) for each in found], cut=(3,), fold=True)


def _why(outcome: Outcome) -> str:
    failure = outcome.failure
    parts = []
    if failure is not None:
        parts.append(f"{failure.step} {failure.kind}: {failure.message}")
    elif outcome.cause is not None:
        parts.append(outcome.cause)
    if outcome.undone:
        parts.append("undone: " + ", ".join(each.step for each in outcome.undone))
    if outcome.exposure:
        parts.append("left: " + ", ".join(_left(each) for each in outcome.exposure))
    return " · ".join(parts)


def _left(exposure: Exposure) -> str:
    """A failed undo says why it failed: that, not the step's failure, is what a run parks for."""
    return exposure.step if exposure.why == NOT_UNDONE else f"{exposure.step} ({exposure.why})"


async def show_endings(call: Call, store: Store) -> None:
    """Show each outcome that comes from now on, for ever."""
    positions: Positions = {row.shard: row.position for row in store.shards()}
    histories, mark = Histories(store), None
    while True:
        await asyncio.sleep(LOOK_S)
        latest = await asyncio.to_thread(store.change_mark)
        if latest == mark:
            continue
        mark = latest
        for outcome in await asyncio.to_thread(lambda: list(outcomes(store, positions, histories))):
            if call.output is Output.text:
                *before, why = outcome_row(outcome)
                start = "".join(f"{cell}  " for cell in before)
                write("\n".join(line.rstrip() for line in hung(why, start, room(sys.stdout))))
            else:
                write_line(OUTCOMES.to_json(outcome))
