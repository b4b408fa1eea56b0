"""Closing a saga: hints resolve, every rule runs, and what comes out is data to store and handlers to run."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError

from amends.coordinator.definition.building import Built, BuiltHandler, build
from amends.coordinator.definition.call_building import CalledSaga
from amends.coordinator.definition.commanded import topics_of_handlers
from amends.coordinator.definition.declared import Draft
from amends.coordinator.definition.dependency import name_of
from amends.coordinator.definition.fields import name_of_type
from amends.coordinator.definition.findings import DefinitionError, Finding, finding
from amends.coordinator.definition.form import DefinitionForm, HandlerSchemas, StoredDefinition, graph_hash
from amends.coordinator.definition.handler import Handler
from amends.coordinator.definition.hints import awaits
from amends.coordinator.definition.including import path_under
from amends.coordinator.definition.locks import called_lock_findings, lock_findings
from amends.coordinator.definition.parameters import UNKNOWN
from amends.coordinator.definition.places import Place, place_of_parameter
from amends.coordinator.definition.rules.graph import faults
from amends.coordinator.definition.rules.shape import Fault
from amends.coordinator.definition.subjects import called_findings, item_findings, subject_findings
from amends.coordinator.definition.topic import Topic
from amends.coordinator.definition.trigger import TriggerReader, trigger_findings
from amends.coordinator.definition.writer_schemas import listed_schemas

_CLASS = re.compile(r"<class '(?:[\w.<>]*\.)?(\w+)'>")
_NULL = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSaga:
    """A definition that is complete and keeps every rule: its form, what is stored, and the handlers that run it."""

    form: DefinitionForm
    hash: str
    stored: StoredDefinition
    handlers: dict[str, Handler]
    trigger: TriggerReader
    topic: Topic[Any]
    writer_schemas: Mapping[str, str]
    """The Avro schemas that `Topic(schemas=…)` lists, by file."""
    findings: tuple[Finding, ...]
    """Warnings only."""

    @property
    def name(self) -> str:
        """The definition's."""
        return self.form.name

    @property
    def version(self) -> int:
        """The definition's."""
        return self.form.version


def close(draft: Draft) -> ClosedSaga:
    """Close a draft. Raises `DefinitionError` with everything that is wrong."""
    closed = closed_of(draft)
    for call in draft.calls:
        call.called.close()
    draft.closed = True
    for _, handler in draft.handlers():
        handler.hints()
        handler.frame = None  # its locals need live no longer
    return closed


def closed_of(draft: Draft) -> ClosedSaga:
    """What closing the draft as it is would give; it stays open. Raises `DefinitionError`."""
    closing = _closing(draft)
    findings = closing.findings()
    errors = [each for each in findings if each.severity == "error"]
    if errors:
        raise DefinitionError(errors)
    return closing.closed(tuple(findings))


def examine(draft: Draft) -> list[Finding]:
    """Every broken rule, in the order of the file."""
    return _closing(draft).findings()


def _closing(draft: Draft) -> "_Closing":
    if draft.closing:
        raise DefinitionError.of(
            "AM1010",
            f"saga {draft.name!r} calls itself",
            do="let it start a run of its own for what comes again",
            at=draft.spot.place(),
            saga=draft.name,
        )
    draft.closing = True
    try:
        return _Closing(draft)
    finally:
        draft.closing = False


class _Closing:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.built: Built = build(draft)
        self._found = list(self.built.findings)
        self._adapters: dict[int, tuple[object, TypeAdapter[Any] | None]] = {}
        self._handlers: dict[str, Handler] = {}
        self._schemas: dict[str, HandlerSchemas] = {}
        for each in self.built.handlers.values():
            self._add(each)
        for called in self.built.called:
            self._add_called(called)
        self.trigger = self._trigger()
        self.writer_schemas = listed_schemas(
            draft.topic.schemas, at=draft.spot.place(), saga=draft.name, findings=self._found
        )

    def findings(self) -> list[Finding]:
        """All of them, by place."""
        graph = [self._placed(each) for each in faults(self.built.form)] if self.built.whole else []
        unique = list(dict.fromkeys([*self._found, *graph]))
        return sorted(unique, key=lambda each: (each.file or "", each.line or 0, each.column or 0, each.code))

    def closed(self, findings: tuple[Finding, ...]) -> ClosedSaga:
        """The whole of it, once there are no errors."""
        form = self.built.form
        assert self.trigger is not None
        return ClosedSaga(
            form=form,
            hash=graph_hash(form),
            stored=StoredDefinition(
                form=form,
                schemas=self._schemas,
                trigger_schema=msgspec.Raw(self.trigger.schema_json),
                topics=topics_of_handlers(self._handlers.values()),
            ),
            handlers=self._handlers,
            trigger=self.trigger,
            topic=self.draft.topic,
            writer_schemas=self.writer_schemas,
            findings=findings,
        )

    def _add(self, built: BuiltHandler) -> None:
        function, label = built.declared.function, built.declared.label
        adapters: list[tuple[str, TypeAdapter[Any]]] = []
        schemas: dict[str, msgspec.Raw] = {}
        for each in built.parameters:
            if each.argument.source == "context" or each.hint is UNKNOWN:
                continue
            at = place_of_parameter(function, each.name)
            made = self._adapter(each.hint, f"parameter {each.name!r} of {label}", at)
            if made is not None:
                adapters.append((each.name, made[0]))
                schemas[each.name] = made[1]
        at = place_of_parameter(function, "return") if built.declared.spot is None else built.declared.place
        result = None if built.result is None and built.declared.role == "undo" else built.result
        made = self._adapter(result, f"the result of {label}", at) if built.declared.role != "undo" else None
        self._schemas[built.name] = HandlerSchemas(parameters=schemas, result=made[1] if made else _NULL)
        self._handlers[built.name] = Handler(
            name=built.name,
            role=built.declared.role,
            function=function,
            is_async=awaits(function),
            dependency=built.step.dependency,
            dependency_name=name_of(built.step.dependency),
            takes_context="ctx" in built.form.arguments,
            parameters=tuple(adapters),
            result=made[0] if made else None,
        )

    def _add_called(self, called: CalledSaga) -> None:
        """The handlers of a called saga, under their names in the caller."""
        for name, handler in called.saga.handlers.items():
            own_name = path_under(called.call.name, name)
            self._handlers[own_name] = replace(handler, name=own_name)
            self._schemas[own_name] = called.saga.stored.schemas[name]

    def _adapter(self, hint: object, what: str, at: Place) -> tuple[TypeAdapter[Any], msgspec.Raw] | None:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(hint)  # type: ignore[arg-type]  # any hint of the user's
            schema = adapter.json_schema(mode="validation")
        except (PydanticUserError, SchemaError, NameError, TypeError) as error:
            why = _CLASS.sub(r"\1", str(error).partition("\n")[0].partition(". ")[0].rstrip("."))
            self._found.append(
                finding(
                    "AM1036",
                    f"{what} is {name_of_type(hint)}, which cannot be written as JSON and read back: {why}",
                    do="use models, dataclasses, lists, dicts, text, numbers, Decimal, times or None",
                    at=at,
                    saga=self.draft.name,
                )
            )
            return None
        return adapter, msgspec.Raw(json.dumps(schema, sort_keys=True, separators=(",", ":")).encode())

    def _trigger(self) -> TriggerReader | None:
        topic, form = self.draft.topic, self.built.form.trigger
        at = self.draft.spot.place()
        made = self._adapter(topic.model, f"the trigger of saga {self.draft.name!r}", at)
        if made is None:
            return None
        schema = json.loads(bytes(made[1]))
        if topic.name:  # what a saga is called with need have no fields, nor keys
            self._found.extend(trigger_findings(topic.model, schema, form, at=at, saga=self.draft.name))
        self._found.extend(subject_findings(self.draft, schema))
        self._found.extend(called_findings(self.draft, (each.saga.form for each in self.built.called)))
        self._found.extend(item_findings(self.draft))
        self._found.extend(lock_findings(self.draft, schema))
        self._found.extend(called_lock_findings(self.draft, (each.saga.form for each in self.built.called)))
        return TriggerReader(adapter=made[0], schema_json=bytes(made[1]))

    def _placed(self, fault: Fault) -> Finding:
        step = self.draft.step(fault.step) if fault.step else None
        call = self.draft.call(fault.step.partition("/")[0]) if fault.step else None
        at = (call or self.draft).spot.place()
        if step is not None:
            roles = {"verify": step.verify, "lookup": step.lookup}
            if step.undo is not None:
                roles |= {"undo": step.undo.handler, "undo.verify": step.undo.verify}
            handler = roles.get(fault.role) or step.handler
            at = handler.place
            if fault.parameter is not None:
                at = place_of_parameter(handler.function, fault.parameter)
        return finding(fault.code, fault.message, do=fault.do, at=at, saga=self.draft.name)
