"""A definition drawn at random, as an app's: closed, with handlers by name that nobody ever calls (see calls.py)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any, Final

from msgspec import Raw
from pydantic import BaseModel, TypeAdapter

from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.declared import Role
from amends.coordinator.definition.form import DefinitionForm, HandlerForm, HandlerSchemas, StoredDefinition, graph_hash
from amends.coordinator.definition.handler import Handler
from amends.coordinator.definition.topic import Topic
from amends.coordinator.definition.trigger import TriggerReader

TOPIC: Final = "orders"


class Order(BaseModel):
    """What the conditions of a random definition are about, under the names that its trigger declares."""

    id: str
    order: str
    dice: int
    pile: int


_TEXT: Final[TypeAdapter[Any]] = TypeAdapter(str)
_YES_OR_NO: Final[TypeAdapter[Any]] = TypeAdapter(bool)
_TRIGGER: Final[TypeAdapter[Any]] = TypeAdapter(Order)
_TRIGGER_SCHEMA: Final = json.dumps(_TRIGGER.json_schema()).encode()
_NULL: Final = Raw(b"null")


def closed(form: DefinitionForm) -> ClosedSaga:
    """The saga that this form would come from."""
    handlers = {name: _handler(name, role) for name, role in _handlers(form)}
    for step in form.steps:
        if step.kind == "expect":
            handlers[step.path] = replace(handlers[step.path], result=_YES_OR_NO)
    return ClosedSaga(
        form=form,
        hash=graph_hash(form),
        stored=StoredDefinition(
            form=form,
            schemas={name: HandlerSchemas(parameters={}, result=_NULL) for name in handlers},
            trigger_schema=Raw(_TRIGGER_SCHEMA),
        ),
        handlers=handlers,
        trigger=TriggerReader(adapter=_TRIGGER, schema_json=_TRIGGER_SCHEMA),
        topic=Topic(TOPIC, Order, idempotency_key="id", business_key="order"),
        writer_schemas={},
        findings=(),
    )


def lacking(saga: ClosedSaga, random: Random) -> ClosedSaga:
    """The same in an app that lacks some of its handlers."""
    return replace(saga, handlers={name: each for name, each in saga.handlers.items() if random.random() < 0.7})


def _handlers(form: DefinitionForm) -> Iterator[tuple[str, Role]]:
    for step in form.steps:
        undo = step.undo
        found: list[tuple[HandlerForm | None, Role]] = [
            (step.handler, "step"),
            (step.verify, "verify"),
            (step.lookup, "lookup"),
            (undo.handler if undo is not None else None, "undo"),
            (undo.verify if undo is not None else None, "undo.verify"),
        ]
        yield from ((handler.name, role) for handler, role in found if handler is not None)


def _handler(name: str, role: Role) -> Handler:
    return Handler(
        name=name,
        role=role,
        function=_never_called,
        is_async=True,
        dependency=None,
        dependency_name=None,
        takes_context=True,
        parameters=(),
        result=_TEXT if role in {"step", "lookup"} else None,
    )


def _never_called(**_arguments: object) -> None:
    raise AssertionError("what handlers do is simulated")
