"""`amends publish`: triggers onto the bus."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, RUN
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.bus import Outgoing, Place

if TYPE_CHECKING:
    from amends.coordinator.ports.store import Store

PAGE = 500
"""Records that are sent to Kafka at once."""


@command(
    APP,
    "publish",
    panel=RUN,
    example="""amends publish billing.refund-requested --json '{"request_id": "R-77"}' --wait""",
)
async def publish(  # noqa: PLR0917  options of a command
    call: Call,
    topic: Annotated[str, typer.Argument(help="The trigger topic.")],
    json_text: Annotated[
        str | None, typer.Option("--json", metavar="J", help="One value; - reads it from stdin.")
    ] = None,
    file: Annotated[str | None, typer.Option(metavar="F.jsonl", help="One value a line; - is stdin.")] = None,
    key: Annotated[str | None, typer.Option(metavar="K", help="Record key.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(metavar="I", help="Header that names the request.")] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="N=V", help="A header; may be repeated.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it and exit as its run ended.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long --wait waits.")] = "30s",
) -> int:
    """Publish triggers: one value, or a file with one a line, its bytes unread."""
    import asyncio

    from amends.coordinator.bootstrap import opened_store, own_topics
    from amends.coordinator.cli.following import follow_places, waiting_s
    from amends.coordinator.cli.topics import is_topic

    if not is_topic(topic):
        raise UsageError("AM5005", f"{topic!r} is no topic's name", do="use letters, digits, . _ and -, 249 at most")
    timeout_s = waiting_s(timeout)
    values = _values(json_text, file, idempotency_key)
    headers = _headers(header or [], idempotency_key)
    encoded_key = None if key is None else key.encode()
    records = [Outgoing(topic=topic, key=encoded_key, value=value, headers=headers) for value in values]
    if call.settings.kafka is not None and not wait:
        places = await _published(call, records, None)
        _show(call, topic, places, key)
        return 0
    with opened_store(call.settings) as store:
        places = await _published(call, records, store)
        if topic != own_topics(call.settings).messages:
            warn_unheard(store, topic)
        if not wait:
            _show(call, topic, places, key)
            return 0
        followed = await asyncio.to_thread(follow_places, call, store, places, timeout_s)
    return followed.show(call, _document(topic, places, key))


def warn_unheard(store: "Store", topic: str) -> None:
    """Say it when nobody listens: a saga that is to come may read the topic from its beginning, so it is no error."""
    from amends.coordinator.cli.output import note
    from amends.coordinator.reading.listening import unheard

    why = unheard(store, topic)
    if why is not None:
        note(f"warning: {why}")


async def _published(call: Call, records: list[Outgoing], store: "Store | None") -> list[Place]:
    from amends.coordinator.bootstrap import open_sink, topics_missing
    from amends.coordinator.cli.progress import progress

    await topics_missing(call.settings, [records[0].topic] if records else [])
    size = len(records) if call.settings.kafka is None else PAGE  # all lines of a local file are one transaction
    sink = open_sink(call.settings, store)
    await sink.start()
    places: list[Place] = []
    try:
        with progress("publishing", total=len(records)) as published:
            for start in range(0, len(records), size):
                places += await sink.publish(records[start : start + size])
                published(len(places) - start)
    finally:
        await sink.stop()
    return places


def _values(json_text: str | None, file: str | None, idempotency_key: str | None) -> list[bytes]:
    if (json_text is None) == (file is None):
        raise UsageError("AM5005", "publish takes either --json or --file", do="give one of them")
    if json_text is not None:
        text = sys.stdin.read() if json_text == "-" else json_text
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(
                "AM5005", f"--json is not JSON: {error}", do="mend it, or publish any bytes with --file"
            ) from None
        return [text.encode()]
    if idempotency_key is not None:
        raise UsageError(
            "AM5005", "--idempotency-key would name every line of --file alike", do="leave it out, or use --json"
        )
    return _lines(file or "")


def _lines(file: str) -> list[bytes]:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(
            "AM5005", f"--file {file!r} cannot be read: {error.strerror}", do="name a readable file"
        ) from None
    values = [line for line in data.split(b"\n") if line]
    if not values:
        raise UsageError("AM5005", f"--file {file!r} holds no line", do="write one value a line")
    return values


def _headers(given: list[str], idempotency_key: str | None) -> tuple[tuple[str, bytes], ...]:
    found: list[tuple[str, bytes]] = []
    for each in given:
        name, sign, value = each.partition("=")
        if not sign or not name:
            raise UsageError("AM5005", f"--header {each!r} is not NAME=VALUE", do="write it like --header region=eu")
        found.append((name, value.encode()))
    if idempotency_key is not None:
        found.append(("idempotency-key", idempotency_key.encode()))
    return tuple(found)


def _document(topic: str, places: list[Place], key: str | None) -> dict[str, object]:
    records = [{"partition": place.partition, "offset": place.offset, "key": key} for place in places]
    return {"topic": topic, "published": len(records), "records": records}


def _show(call: Call, topic: str, places: list[Place], key: str | None) -> None:
    from amends.coordinator.cli.output import show
    from amends.coordinator.reading.words import counted

    def text() -> str:
        where = f"{places[0].partition}@{places[0].offset}" if places else ""
        if len(places) > 1:
            where += f" … {places[-1].partition}@{places[-1].offset}"
        return f"✔ {counted(len(places), 'record')} on {topic} {where}"

    show(call, _document(topic, places, key), text)
