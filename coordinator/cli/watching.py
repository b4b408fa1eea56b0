"""A run live: on a terminal its story, redrawn; elsewhere its events as they come."""

import sys
import time
from typing import Final

from amends.coordinator.cli.call import Call
from amends.coordinator.cli.output import encoded, room, write, write_line
from amends.coordinator.cli.run_texts import events_text
from amends.coordinator.ports.store import Store
from amends.coordinator.reading.events import events_of
from amends.coordinator.reading.facts import plan_in
from amends.coordinator.reading.history import Moment, run_history
from amends.coordinator.reading.story import story
from amends.schemas.ids import SagaId

LOOK_S: Final = 0.1


def watch_run(call: Call, store: Store, saga_id: SagaId) -> None:
    """Until the run has ended."""
    if call.text and sys.stdout.isatty():
        _redraw(store, saga_id)
        return
    seen = 0
    while True:
        moments = run_history(store, saga_id)
        fresh = [event for moment in moments if moment.entry.version > seen for event in events_of(moment.entry)]
        if call.text:
            write(events_text(fresh))
        else:
            for event in fresh:
                write_line(encoded(event))
        seen = moments[-1].entry.version
        if moments[-1].state.closed:
            return
        _changed(store)


def _redraw(store: Store, saga_id: SagaId) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False) as live:
        while True:
            moments: list[Moment] = run_history(store, saga_id)
            plan = plan_in(store, moments[-1].state.definition_hash)
            row = store.run(saga_id)
            told = story(moments, plan, row.waiting_for if row is not None else None, width=room(sys.stdout))
            live.update(Text(told.rstrip("\n")), refresh=True)
            if moments[-1].state.closed:
                return
            _changed(store)


def _changed(store: Store) -> None:
    """Wait until somebody has changed the store."""
    mark = store.change_mark()
    while store.change_mark() == mark:
        time.sleep(LOOK_S)
