"""`amends topics create|check|tail`."""

from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.coordinator.cli.call import Call, Output, command
from amends.coordinator.cli.groups import TOPICS
from amends.coordinator.cli.numbers import Limit
from amends.coordinator.cli.outcomes import Follow
from amends.coordinator.errors import NotFound, UsageError

if TYPE_CHECKING:
    from amends.coordinator.cli.topic_reading import Decoding
    from amends.coordinator.ports.store import Store
    from amends.schemas.record import Record


@command(TOPICS, "create", example="amends topics create shop/sagas.py --bus kafka://127.0.0.1:9092")
async def create(
    call: Call,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="APP|TOPIC…", help="An APP's topics, or topics by name.")
    ] = None,
    partitions: Annotated[int, typer.Option(metavar="N", min=1, help="Of each topic.")] = 6,
    replication: Annotated[int, typer.Option(metavar="N", min=1, help="Copies of each topic.")] = 1,
) -> None:
    """Make topics on Kafka: Amends' own and those named; what exists stays as it is."""
    from amends.coordinator.bootstrap import create_topics, own_topics
    from amends.coordinator.cli.output import columns, note, show_list

    wanted = _wanted(call, names or [])
    if call.settings.kafka is None:
        note("on the local bus topics come into being by themselves")
        made = dict.fromkeys(wanted, False)
    else:
        own = own_topics(call.settings)
        ours = [own.outcomes, own.audit, own.reviews, own.decisions, own.messages, own.dead_letters, own.checkpoints]
        every = list(dict.fromkeys([*ours, *wanted]))
        made = await create_topics(call.settings, every, partitions=partitions, replication=replication)

    def text(_: list[Any]) -> str:
        return columns([["✔ made" if is_new else "  was there", topic] for topic, is_new in made.items()])

    facts = [{"topic": topic, "created": is_new} for topic, is_new in made.items()]
    show_list(call, facts, text)


@command(TOPICS, "check", example="amends topics check")
async def check(call: Call) -> int:
    """Hold the broker's topics against what they must be; exit 1 where something is refused."""
    from amends.coordinator.bootstrap import topic_names
    from amends.coordinator.cli.output import columns, show_list
    from amends.coordinator.reading.listening import participants_topics, trigger_topics

    with call.store() as store:
        definitions = store.definitions()
        triggers = sorted(trigger_topics(definitions) | participants_topics(definitions))
        local = await topic_names(call.settings, store) if call.settings.kafka is None else {}
    if call.settings.kafka is None:
        found = [_fact(topic, "ok", "a table in the store", None) for topic in sorted({*local, *triggers})]
    else:
        found = await _held(call, triggers)

    def text(shown: list[dict[str, Any]]) -> str:
        marks = {"ok": "✔", "warning": "!", "error": "✖"}
        rows = [[marks[each["level"]], each["topic"], each["detail"], each["hint"] or ""] for each in shown]
        return columns(rows, fold=True) or "no topics yet"

    show_list(call, found, text)
    return 1 if any(each["level"] == "error" for each in found) else 0


async def _held(call: Call, triggers: list[str]) -> list[dict[str, Any]]:
    """What the broker says of our topics and of the trigger topics."""
    from amends.coordinator.bootstrap import describe_topics, own_topics

    own = own_topics(call.settings)
    wanted = [own.outcomes, own.audit, own.reviews, own.decisions, own.messages, own.dead_letters, own.checkpoints]
    facts, findings, missing = await describe_topics(call.settings, list(dict.fromkeys([*wanted, *triggers])))
    found = [_fact(each.topic, each.level, each.detail, each.hint) for each in findings]
    bad = {each.topic for each in findings}
    found += [
        _fact(each.name, "ok", f"{each.partitions} partitions, {each.replication} copies", None)
        for each in facts
        if each.name not in bad
    ]
    return found + [_fact(topic, "error", "it does not exist", f"amends topics create {topic}") for topic in missing]


@command(TOPICS, "tail", example="amends topics tail amends.outcomes --follow")
async def tail(
    call: Call,
    topic: Annotated[str, typer.Argument(help="Any topic of the bus.")],
    follow: Follow = False,
    limit: Limit = None,
) -> None:
    """Records of a topic, decoded: Avro, JSON, CloudEvents."""
    from amends.coordinator.cli.output import encoded, show_list, write, write_line
    from amends.coordinator.cli.topic_reading import Decoding, records

    kept: deque[dict[str, Any]] = deque(maxlen=limit)
    with call.store() as store:
        await _exists(call, topic, store)
        async with Decoding(call.settings) as decoding:
            async for record in records(call.settings, topic, store=store, follow=follow):
                facts = await _decoded(decoding, record)
                if limit is None and (follow or call.output is not Output.json):
                    write(_line(facts)) if call.text else write_line(encoded(facts))
                else:
                    kept.append(facts)
    if limit is not None or call.output is Output.json:
        show_list(call, kept, lambda found: "\n".join(_line(each) for each in found))


async def _exists(call: Call, topic: str, store: "Store") -> None:
    """Raise `NotFound` (AM5040) for a topic that Kafka does not have; local ones are looked for while reading."""
    from amends.coordinator.bootstrap import topic_names

    if call.settings.kafka is not None and topic not in await topic_names(call.settings, store):
        raise NotFound("AM5040", f"there is no topic {topic!r}", do="`amends topics check` lists those there are")


async def _decoded(decoding: "Decoding", record: "Record") -> dict[str, Any]:
    from amends.coordinator.cli.output import readable
    from amends.schemas.decoding import UnknownSchema
    from amends.schemas.instants import MILLISECOND, text_of
    from amends.schemas.undecodable import Undecodable

    encoding, data, error = None, None, None
    try:
        encoding, data = await decoding.data(record)
    except (Undecodable, UnknownSchema) as problem:
        error = str(problem)
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "at": None if record.timestamp_ms is None else text_of(record.timestamp_ms * MILLISECOND),
        "key": None if record.key is None else readable(record.key),
        "headers": [[name, readable(value)] for name, value in record.headers],
        "encoding": encoding,
        "data": data,
        "error": error,
    }


def _line(facts: dict[str, Any]) -> str:
    from amends.coordinator.cli.output import encoded

    said = f"✖ {facts['error']}" if facts["error"] else encoded(facts["data"]).decode()
    return f"{facts['partition']}@{facts['offset']}  {facts['key'] or '-'}  {said}"


def _fact(topic: str, level: str, detail: str, hint: str | None) -> dict[str, Any]:
    return {"topic": topic, "level": level, "detail": detail, "hint": hint}


def _wanted(call: Call, names: list[str]) -> list[str]:
    """Topics by name, and all topics of what is an APP; with no name those of amends.toml's sagas."""
    topics: list[str] = []
    for name in names or call.settings.sagas:
        if not names or _is_app(name):
            from amends.coordinator.definition.commanded import topics_of
            from amends.coordinator.definition.loading import load_app

            sagas = load_app(name).sagas
            topics += [*(saga.form.trigger.topic for saga in sagas), *topics_of(sagas)]
        elif is_topic(name):
            topics.append(name)
        else:
            raise UsageError(
                "AM5005", f"{name!r} is neither an APP nor a topic's name", do="use letters, digits, . _ -"
            )
    return list(dict.fromkeys(topics))


def _is_app(name: str) -> bool:
    """As the contract says: a path, else a module that can be found from the working folder."""
    import importlib.util
    import sys
    from pathlib import Path

    if name.endswith(".py") or "/" in name or Path(name).exists():
        return True
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
    finally:
        sys.path.pop(0)


def is_topic(name: str) -> bool:
    """Whether Kafka would take this name."""
    return 0 < len(name) < 250 and all(each.isascii() and (each.isalnum() or each in "._-") for each in name)  # noqa: PLR2004
