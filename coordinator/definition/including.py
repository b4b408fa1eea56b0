"""Inclusion: the graph of one form under a path of another. Pure: forms go in, steps come out.

One run, one log, one budget, one undo order: a step `reserve` called under `ship` is the step `ship/reserve` of the
caller, and what it reads of its trigger it reads of the caller's value instead. A called pivot is the caller's.
"""

import msgspec

from amends.coordinator.definition.expression import AllOf, Expression, Reference, with_references
from amends.coordinator.definition.form import CONTEXT, TRIGGER, Argument, DefinitionForm, HandlerForm, StepForm


def path_under(name: str, path: str) -> str:
    """The path of a called step, or the name of its handler."""
    return f"{name}/{path}"


def include(
    called: DefinitionForm, name: str, *, trigger: Argument, after: tuple[str, ...], when: Expression | None
) -> tuple[StepForm, ...]:
    """The steps of `called`, ready to stand in the caller's form.

    `trigger` is the caller's value that stands for the trigger. The first steps wait for `after`; all have `when`.
    """
    return tuple(_Inclusion(name, trigger, after, when).step(step) for step in called.steps)


def last_of(called: DefinitionForm, name: str) -> tuple[str, ...]:
    """The paths after which the whole of a called graph is over."""
    waited_for = {before for step in called.steps for before in step.after}
    return tuple(path_under(name, step.path) for step in called.steps if step.path not in waited_for)


class _Inclusion:
    def __init__(self, name: str, trigger: Argument, after: tuple[str, ...], when: Expression | None) -> None:
        self.name = name
        self.trigger = trigger
        self.after = after
        self.when = when

    def step(self, step: StepForm) -> StepForm:
        undo = step.undo
        return msgspec.structs.replace(
            step,
            path=self._path(step.path),
            kind="read" if step.kind == "result" else step.kind,
            handler=self._handler(step.handler),
            after=tuple(sorted(map(self._path, step.after))) or self.after,
            when=self._when(step.when),
            verify=self._handler(step.verify) if step.verify else None,
            lookup=self._handler(step.lookup) if step.lookup else None,
            undo=undo
            and msgspec.structs.replace(
                undo,
                handler=self._handler(undo.handler),
                verify=self._handler(undo.verify) if undo.verify else None,
            ),
        )

    def _handler(self, handler: HandlerForm) -> HandlerForm:
        arguments = {parameter: self._argument(argument) for parameter, argument in handler.arguments.items()}
        return msgspec.structs.replace(handler, name=self._path(handler.name), arguments=arguments)

    def _argument(self, argument: Argument) -> Argument:
        if argument.source == CONTEXT:
            return argument
        if argument.source == TRIGGER:
            return msgspec.structs.replace(self.trigger, field=_joined(self.trigger.field, argument.field))
        return msgspec.structs.replace(argument, step=self._path(argument.step or ""))

    def _when(self, own: Expression | None) -> Expression | None:
        inner = None if own is None else with_references(own, self._reference)
        both = tuple(each for each in (self.when, inner) if each is not None)
        return AllOf(parts=both) if len(both) > 1 else next(iter(both), None)

    def _reference(self, reference: Reference) -> Reference:
        if reference.step is None:
            return Reference(step=self.trigger.step, field=_joined(self.trigger.field, reference.field))
        return Reference(step=self._path(reference.step), field=reference.field)

    def _path(self, path: str) -> str:
        return path_under(self.name, path)


def _joined(outer: str, inner: str) -> str:
    return ".".join(each for each in (outer, inner) if each)
