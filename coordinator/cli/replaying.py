"""`amends replay`: folds a run's history offline."""

from pathlib import Path
from typing import Annotated, Any

import typer

from amends.coordinator.cli.call import Call, Output, command
from amends.coordinator.cli.groups import APP, LOOK
from amends.coordinator.cli.numbers import At
from amends.coordinator.cli.runs import FromBundle, RunArgument
from amends.coordinator.errors import UsageError


@command(APP, "replay", panel=LOOK, example="amends replay refund/R-77 --at 4")
async def replay(
    call: Call,
    run: RunArgument,
    at: At = None,
    from_topic: Annotated[bool, typer.Option("--from-topic", help="From the audit topic, not the store.")] = False,
    bundle: FromBundle = None,
) -> None:
    """Fold a history and print each entry and the state after it; it can neither reach the network nor append."""
    import msgspec

    from amends.coordinator.cli.output import encoded, write, write_line
    from amends.coordinator.reading.history import dump
    from amends.coordinator.reading.replay import cut_off, replayed
    from amends.coordinator.reading.replay_text import replay_text

    data = await _entries(call, run, bundle, from_topic=from_topic)
    cut_off()
    moments = replayed(data, until=at)
    if call.text:
        write(replay_text(moments))
        return
    lines: list[dict[str, Any]] = [
        {"version": each.entry.version, "entry": msgspec.Raw(each.data), "state": msgspec.Raw(dump(each.state))}
        for each in moments
    ]
    if call.output is Output.jsonl:
        for line in lines:
            write_line(encoded(line))
    else:
        document = {"saga_id": moments[-1].state.saga_id, "entries": lines, "state": lines[-1]["state"]}
        write_line(encoded(document))


async def _entries(call: Call, run: str, bundle: Path | None, *, from_topic: bool) -> list[bytes]:
    from amends.coordinator.reading.history import stored
    from amends.coordinator.reading.naming import find_run, refuse_archived

    if from_topic and bundle is not None:
        raise UsageError("AM5005", "replay takes --from-topic or --bundle", do="give one of them")
    if from_topic:
        from amends.coordinator.cli.topic_reading import entries_from_topic

        return await entries_from_topic(call, run)
    with call.reading(bundle) as store:
        row = find_run(store, run)
        found = [entry.data for entry in stored(store, row.saga_id)]
        if not found:
            refuse_archived(store, row.saga_id)
        return found
