"""Inclusion: the graph of one form under a path of another. Pure: forms go in, steps come out.

One run, one log, one budget, one undo order: a step `reserve` called under `ship` is the step `ship/reserve` of the
caller, and what it reads of its trigger it reads of the caller's value instead. A called pivot is the caller's.
"""

from msgspec.structs import replace

from amends.coordinator.definition.expression import AllOf, Expression, Reference, joined
from amends.coordinator.definition.form import CONTEXT, TRIGGER, Argument, DefinitionForm, HandlerForm, StepForm
from amends.coordinator.definition.renaming import Renaming


def path_under(name: str, path: str) -> str:
    """The path of a called step, or the name of its handler."""
    return f"{name}/{path}"


def include(
    called: DefinitionForm, name: str, *, trigger: Argument, after: tuple[str, ...], when: Expression | None
) -> tuple[StepForm, ...]:
    """The steps of `called`, ready to stand in the caller's form.

    `trigger` is the caller's value that stands for the trigger. The first steps wait for `after`; all have `when`.
    """
    inclusion = _Inclusion(name, trigger)
    return tuple(
        replace(step, after=step.after or after, when=_both(when, step.when))
        for step in map(inclusion.step, called.steps)
    )


def last_of(called: DefinitionForm, name: str) -> tuple[str, ...]:
    """The paths after which the whole of a called graph is over."""
    steps = [step for step in called.steps if step.kind != "expect"]
    waited_for = {before for step in steps for before in step.after}
    return tuple(path_under(name, step.path) for step in steps if step.path not in waited_for)


class _Inclusion(Renaming):
    def __init__(self, name: str, trigger: Argument) -> None:
        self._name = name
        self._trigger = trigger

    def step(self, step: StepForm) -> StepForm:
        """The result of a called saga is a value like any other."""
        found = super().step(step)
        return replace(found, kind="read") if step.kind == "result" else found

    def path(self, path: str) -> str:
        return path_under(self._name, path)

    def handler(self, handler: HandlerForm) -> HandlerForm:
        arguments = {parameter: self._argument(argument) for parameter, argument in handler.arguments.items()}
        return replace(handler, name=self.path(handler.name), arguments=arguments)

    def reference(self, reference: Reference) -> Reference:
        if reference.step is None:
            return Reference(step=self._trigger.step, field=joined(self._trigger.field, reference.field))
        return Reference(step=self.path(reference.step), field=reference.field)

    def _argument(self, argument: Argument) -> Argument:
        if argument.source == CONTEXT:
            return argument
        if argument.source == TRIGGER:
            return replace(self._trigger, field=joined(self._trigger.field, argument.field))
        return replace(argument, step=self.path(argument.step or ""))


def _both(outer: Expression | None, inner: Expression | None) -> Expression | None:
    both = tuple(each for each in (outer, inner) if each is not None)
    return AllOf(parts=both) if len(both) > 1 else next(iter(both), None)
