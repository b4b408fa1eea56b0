"""`amends outcomes`: what became of the triggers."""

import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from amends.coordinator.cli.call import Call, Output, command
from amends.coordinator.cli.groups import APP, LOOK
from amends.coordinator.cli.numbers import Limit

if TYPE_CHECKING:
    from amends.coordinator.ports.store import Store
    from amends.schemas.outcome import Outcome

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")]
LOOK_S = 0.1


@command(APP, "outcomes", panel=LOOK, example="amends outcomes --limit 20")
def show_outcomes(call: Call, follow: Follow = False, limit: Limit = None) -> None:
    """One outcome for each run that ended or parked, from the start of the log to its present end."""
    from amends.coordinator.cli.endings import outcome_lines
    from amends.coordinator.cli.output import write, write_line
    from amends.schemas.outcome import OUTCOMES

    with call.store() as store:
        for number, part in enumerate(_parts(store, limit, follow=follow)):
            if call.text:
                write(outcome_lines(list(part)) or ("no outcomes yet" if not number and not follow else ""))
            elif call.output is Output.jsonl or follow:
                for outcome in part:
                    write_line(OUTCOMES.to_json(outcome))
            else:
                write_line(b"[" + b",".join(OUTCOMES.to_json(outcome) for outcome in part) + b"]")


def _parts(store: "Store", limit: int | None, *, follow: bool) -> "Iterator[Iterator[Outcome] | deque[Outcome]]":
    """What is there, then (with `follow`) what comes, part by part."""
    from amends.coordinator.reading.histories import Histories
    from amends.coordinator.reading.logs import outcomes

    positions: dict[int, int] = {}
    histories, mark = Histories(store), store.change_mark()
    found = outcomes(store, positions, histories)
    yield found if limit is None else deque(found, maxlen=limit)
    while follow:
        time.sleep(LOOK_S)
        if (latest := store.change_mark()) != mark:
            mark = latest
            yield outcomes(store, positions, histories)
