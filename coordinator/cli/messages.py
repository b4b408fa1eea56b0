"""`amends messages send|list|waits`."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import MESSAGES
from amends.coordinator.cli.numbers import AtMost
from amends.coordinator.cli.wishes import Actor
from amends.coordinator.errors import Conflict, UsageError

if TYPE_CHECKING:
    from amends.coordinator.ports.rows import AwaitedRow, MessageRow


_SAID: Final = ("type", "answer", "reason", "external_id", "body")


class AnswerOption(StrEnum):
    """What a participant says of what was pending."""

    succeeded = "succeeded"
    refused = "refused"
    unavailable = "unavailable"
    unknown = "unknown"


Key = Annotated[str | None, typer.Option(metavar="K", help="Only of this correlation key.")]


@command(
    MESSAGES,
    "send",
    example="""amends messages send A-12 --type Arrival --json '{"pallets": 3}' --id arrival-of-A-12""",
)
def send(  # noqa: PLR0917  options of a command
    call: Call,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The correlation key that a run waits for.")],
    type_: Annotated[
        str | None, typer.Option("--type", metavar="T", help="The message's type; one with --answer needs none.")
    ] = None,
    json_text: Annotated[str, typer.Option("--json", metavar="J", help="Its content; - reads it from stdin.")] = "null",
    message_id: Annotated[
        str | None, typer.Option("--id", metavar="I", help="Names the message: the same id twice is one message.")
    ] = None,
    answer: Annotated[
        AnswerOption | None,
        typer.Option("--answer", help="Answers for what is pending: what the participant says came of it."),
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="R", help="Why, where it has not succeeded.")] = None,
    external_id: Annotated[
        str | None, typer.Option("--external-id", metavar="X", help="What the participant calls the effect.")
    ] = None,
    actor: Actor = None,
) -> None:
    """Bring a message to the run that waits for it longest; without one it is kept for the next that does."""
    from uuid import uuid4

    from amends.coordinator.cli.output import room, show
    from amends.coordinator.reading.folding import fitting

    named, kind = message_id or str(uuid4()), type_ or ("answer" if answer is not None else "")
    told = [
        (option, text) for option, text in (("--reason", reason), ("--external-id", external_id)) if text is not None
    ]
    if not kind:
        wanted = "name the type that the step waits for; `amends messages waits` lists what runs wait for"
        raise UsageError("AM5005", "--type is missing", do=wanted)
    for option, text in [("KEY", key), ("--type", kind), ("--id", named), *told]:
        _refuse_bad(option, text)
    content = _Content(
        message_id=named,
        correlation_key=key,
        type=kind,
        answer=None if answer is None else answer.value,
        reason=reason,
        external_id=external_id,
        body=_json(json_text),
    )
    facts = _brought(call, content, actor)
    show(call, facts, lambda: "\n".join(fitting(_told(facts), first="", rest="  ", width=room(sys.stdout))))


@command(MESSAGES, "list", example="amends messages list --key A-12")
def list_messages(call: Call, key: Key = None, limit: AtMost = 100) -> None:
    """Messages that are kept, and those that were taken, the newest first."""
    from amends.coordinator.cli.laying_out import listed_at
    from amends.coordinator.cli.output import columns, show_list
    from amends.coordinator.reading.times import short

    with call.store() as store:
        found, now = store.messages(key=key, limit=limit), store.now()

    def text(_: list[Any]) -> str:
        rows = [
            [
                listed_at(row.received_at, now),
                row.message_id,
                row.type,
                row.correlation_key,
                _whose(row.taken_by) or f"kept until {short(row.expires_at, now)}",
            ]
            for row in found
        ]
        return columns(rows, heads=["received (UTC)", "id", "type", "key", ""], fold=True) if rows else "no messages"

    show_list(call, [_message_facts(row) for row in found], text)


@command(MESSAGES, "waits", example="amends messages waits -o json")
def waits(call: Call, key: Key = None, limit: AtMost = 100) -> None:
    """What runs wait for, the longest wait first."""
    from amends.coordinator.cli.output import columns, show_list
    from amends.coordinator.reading.listening import awaited_text

    with call.store() as store:
        found = store.awaited(key=key, limit=limit)

    def text(_: list[Any]) -> str:
        rows = [[awaited_text(row.type), row.correlation_key, row.path, row.saga_id] for row in found]
        heads = ["type", "key", "step", "run"]
        return columns(rows, heads=heads, fold=True) if rows else "no run waits for a message"

    show_list(call, [_wait_facts(row) for row in found], text)


class _Content(TypedDict):
    """What was written on the command line."""

    message_id: str
    correlation_key: str
    type: str
    answer: str | None
    reason: str | None
    external_id: str | None
    body: str


def _brought(call: Call, content: _Content, actor: str | None) -> dict[str, Any]:
    """What became of the message."""
    from amends.coordinator.bootstrap import own_topics
    from amends.coordinator.cli.output import note
    from amends.coordinator.cli.wishing import login
    from amends.coordinator.ports.rows import MessageRow
    from amends.coordinator.reading.listening import awaited_instead
    from amends.schemas.instants import MILLISECOND

    with call.store(read_only=False) as store:
        now = store.now()
        row = MessageRow(
            **content,
            topic=own_topics(call.settings).messages,
            received_at=now,
            expires_at=now + call.settings.messages_kept_ms * MILLISECOND,
            actor=actor or login(),
        )
        (is_new,) = store.put_messages([row])
        found = store.messages(key=row.correlation_key, limit=10_000)
        kept = next((each for each in found if each.message_id == row.message_id), None)
        if not is_new:
            _refuse_another(row, kept)
        instead = awaited_instead(store, row) if is_new and kept is not None and kept.taken_by is None else None
    if instead is not None:
        note(f"warning: {instead}")
    return {
        "message_id": row.message_id,
        "state": "known" if not is_new or kept is None else "kept" if kept.taken_by is None else "taken",
        "saga_id": kept.taken_by if is_new and kept is not None else None,
    }


def _refuse_another(sent: "MessageRow", known: "MessageRow | None") -> None:
    """Nothing for the same message once more. Raises `Conflict` (AM5017) for another one under its id.

    What a message said is no longer beside it once a run has taken it: then its key is all that is compared.
    """
    if known is None:
        other = "another key"
    elif known.taken_by is None and any(getattr(known, name) != getattr(sent, name) for name in _SAID):
        other = "another content"
    else:
        return
    raise Conflict(
        "AM5017",
        f"a message {sent.message_id!r} with {other} was sent before, and this one was not",
        do="if it is another message, give it another --id",
    )


def _refuse_bad(option: str, text: str) -> None:
    from amends.schemas.incoming import text_fault

    text.encode()  # What is no text in UTF-8 is refused as in any other argument.
    fault = text_fault(text)
    if fault is not None:
        raise UsageError("AM5005", f"{option} {fault}", do="use 1 to 255 characters, and no control characters")


def _json(text: str) -> str:
    """The content, read strictly: it must be what a topic could have carried."""
    from amends.schemas import plain_json, strict_json
    from amends.schemas.incoming import MESSAGE_BYTES_MAX
    from amends.schemas.undecodable import Undecodable

    data = (sys.stdin.read() if text == "-" else text).encode(errors="surrogateescape")
    if len(data) > MESSAGE_BYTES_MAX:
        raise UsageError("AM5005", f"--json has {len(data)} bytes", do=f"{MESSAGE_BYTES_MAX} are allowed")
    try:
        return plain_json.encode(strict_json.decode(data)).decode()
    except Undecodable as error:
        raise UsageError("AM5005", f"--json is not JSON: {error}", do="mend it") from None


def _told(facts: dict[str, Any]) -> str:
    match facts["state"]:
        case "taken":
            return f"✔ {facts['message_id']} is brought to run {facts['saga_id']}"
        case "kept":
            return f"✔ {facts['message_id']} is kept: no run waits for it yet"
    return f"· {facts['message_id']} was sent before: nothing new"


def _whose(taken_by: str | None) -> str:
    from amends.coordinator.ports.rows import ERASED

    return "" if taken_by is None else "erased" if taken_by == ERASED else f"taken by {taken_by}"


def _message_facts(row: "MessageRow") -> dict[str, Any]:
    from amends.schemas.instants import text_of

    return {
        "message_id": row.message_id,
        "correlation_key": row.correlation_key,
        "type": row.type,
        "answer": row.answer,
        "received_at": text_of(row.received_at),
        "expires_at": text_of(row.expires_at),
        "taken_by": row.taken_by,
        "actor": row.actor,
        "topic": row.topic,
        "partition": row.partition,
        "offset": row.offset,
    }


def _wait_facts(row: "AwaitedRow") -> dict[str, Any]:
    return {
        "saga_id": row.saga_id,
        "path": row.path,
        "correlation_key": row.correlation_key,
        "type": row.type,
    }
