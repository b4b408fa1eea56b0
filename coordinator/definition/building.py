"""From a draft to its intermediate form: as much of it as can be made, with everything found wrong on the way."""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from amends.coordinator.definition.call_building import CallBuilder, CalledSaga
from amends.coordinator.definition.conditions import ConditionReader
from amends.coordinator.definition.declared import (
    VERIFY_WITHIN_MS,
    DeclaredHandler,
    DeclaredStep,
    DeclaredUndo,
    DeclaredWait,
    DoubtOptions,
    Draft,
    Role,
    handler_name,
)
from amends.coordinator.definition.dependency import certainty_of, name_of
from amends.coordinator.definition.expression import references
from amends.coordinator.definition.findings import Finding, finding
from amends.coordinator.definition.form import (
    Certainty,
    DefinitionForm,
    HandlerForm,
    RetryForm,
    StepForm,
    TriggerForm,
    UndoForm,
)
from amends.coordinator.definition.ordering import ordered
from amends.coordinator.definition.parameters import Parameter, ParameterReader
from amends.coordinator.definition.pending_forms import pending_form
from amends.coordinator.definition.waiting import read_wait

UNDO_RETRY: Final = RetryForm(attempts=5)
CLASS_C_RETRY: Final = RetryForm(attempts=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltHandler:
    """One handler with what was read of its signature."""

    name: str
    step: DeclaredStep
    declared: DeclaredHandler
    parameters: tuple[Parameter, ...]
    result: object
    form: HandlerForm


@dataclass(slots=True, kw_only=True)
class Built:
    """What became of a draft."""

    draft: Draft
    form: DefinitionForm
    handlers: dict[tuple[str, Role], BuiltHandler]
    """Of the saga's own steps; those of called sagas are made where these close."""
    findings: list[Finding] = field(default_factory=list)
    called: tuple[CalledSaga, ...] = ()
    whole: bool = True
    """Whether every call could be included: else nothing can be said of the graph."""


def build(draft: Draft) -> Built:
    """Make the form of a draft."""
    return _Builder(draft).build()


class _Builder:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.findings: list[Finding] = []
        self.calls = CallBuilder(draft, self.findings)
        self.handlers: dict[tuple[str, Role], BuiltHandler] = {}

    def build(self) -> Built:
        draft, topic = self.draft, self.draft.topic
        steps = self.calls.steps([self._step(step) for step in draft.steps])
        form = DefinitionForm(
            name=draft.name,
            version=draft.version,
            trigger=TriggerForm(
                topic=topic.name,
                model=getattr(topic.model, "__name__", str(topic.model)),
                idempotency_key=topic.idempotency_key,
                business_key=topic.business_key,
                volatile=topic.volatile,
                cloudevents_type=topic.cloudevents_type,
                size_bytes_max=topic.size_bytes_max,
                dedup_for_ms=topic.dedup_for_ms,
            ),
            steps=ordered(steps),
            deadline_ms=draft.deadline_ms,
            budget=draft.budget,
            entries_max=draft.entries_max,
            payload_bytes_max=draft.payload_bytes_max,
            subject=draft.subject,
            seal_result=draft.seal_result,
            locks=draft.locks,
        )
        return Built(
            draft=draft,
            form=form,
            handlers=self.handlers,
            findings=self.findings,
            called=tuple(self.calls.called.values()),
            whole=self.calls.whole,
        )

    def _step(self, step: DeclaredStep) -> StepForm:
        handler = self._handler(step, step.handler) if step.wait is None else self._wait(step, step.wait)
        lookup = self._handler(step, step.lookup) if step.lookup else None
        certainty = _certainty(certainty_of(step.dependency), step.doubt) if step.kind == "action" else Certainty()
        when = ConditionReader(step, self.findings).read(step.when) if step.when is not None else None
        waited = {path for each in step.after for path in self.calls.paths_of(each, step)}
        waited.update(argument.step for argument in handler.arguments.values() if argument.step)
        waited.update(each.step for each in (references(when) if when else ()) if each.step)
        form = StepForm(
            path=step.name,
            kind=step.kind,
            handler=handler,
            after=tuple(sorted(waited)),
            when=when,
            verify=self._handler(step, step.verify, step.verify_within_ms) if step.verify else None,
            lookup=lookup,
            undo=self._undo(step, step.undo, certainty) if step.undo else None,
            pivot=step.pivot or (step.irreversible and not (step.undo and step.undo.follow_up)),
            irreversible=step.irreversible,
            dependency=name_of(step.dependency),
            certainty=certainty,
            drain_within_ms=step.drain_within_ms,
            unsafe=step.unsafe,
            wait=step.wait.form if step.wait is not None else None,
            pending=pending_form(step, step.handler, step.pending_within_ms, self.findings),
        )
        retry = step.retry or (CLASS_C_RETRY if form.class_c else RetryForm())
        return msgspec.structs.replace(form, retry=retry)

    def _wait(self, step: DeclaredStep, wait: DeclaredWait) -> HandlerForm:
        form = read_wait(step, wait, self.findings)
        self.handlers[step.name, "step"] = BuiltHandler(
            name=form.name, step=step, declared=step.handler, parameters=(), result=wait.model, form=form
        )
        return form

    def _undo(self, step: DeclaredStep, undo: DeclaredUndo, certainty: Certainty) -> UndoForm:
        handler = self._handler(step, undo.handler)
        verify = self._handler(step, undo.verify, undo.verify_within_ms) if undo.verify else None
        if verify is None and not undo.reply:
            what = "follow-up" if undo.follow_up else "undo"
            self.findings.append(
                finding(
                    "AM1051",
                    f"the {what} of step {step.name!r}, {undo.handler.label}, has no read-back",
                    do=f'declare @{undo.handler.function.__name__}.verify, or say verify="reply": '
                    "then the participant's reply is the only evidence",
                    at=undo.handler.place,
                    saga=self.draft.name,
                )
            )
        taken = [*handler.arguments.values(), *(verify.arguments.values() if verify else ())]
        return UndoForm(
            handler=handler,
            verify=verify,
            retry=undo.retry or UNDO_RETRY,
            certainty=_certainty(certainty, undo.doubt),
            follow_up=undo.follow_up,
            takes_unknown=not any(each.source == "result" and each.step == step.name for each in taken),
            pending=pending_form(step, undo.handler, undo.pending_within_ms, self.findings),
        )

    def _handler(
        self, step: DeclaredStep, declared: DeclaredHandler, owner_within_ms: int | None = None
    ) -> HandlerForm:
        reader = ParameterReader(step, declared, self.findings)
        parameters = reader.read()
        within_ms = 0
        if declared.role in {"verify", "undo.verify"}:
            said = (declared.within_ms, owner_within_ms, VERIFY_WITHIN_MS)
            within_ms = next(each for each in said if each is not None)
        form = HandlerForm(
            name=handler_name(step.name, declared.role),
            arguments={each.name: each.argument for each in parameters},
            timeout_ms=declared.timeout_ms,
            within_ms=within_ms,
            verify_after_ms=declared.verify_after_ms,
        )
        self.handlers[step.name, declared.role] = BuiltHandler(
            name=form.name,
            step=step,
            declared=declared,
            parameters=parameters,
            result=reader.result_hint(),
            form=form,
        )
        return form


def _certainty(promised: Certainty, said: DoubtOptions) -> Certainty:
    return Certainty(
        deduplicates=promised.deduplicates if said.idempotent is None else said.idempotent,
        window_ms=promised.window_ms if said.idempotent is None else said.window_ms,
        tombstones=promised.tombstones if said.tombstones is None else said.tombstones,
        settle_ms=promised.settle_ms if said.settle_ms is None else said.settle_ms,
        settle=promised.settle if said.settle is None else said.settle,
        settle_within_ms=promised.settle_within_ms if said.settle_within_ms is None else said.settle_within_ms,
    )
