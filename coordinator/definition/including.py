"""Inclusion: the graph of one form under a path of another. Pure: forms go in, steps come out.

One run, one log, one budget, one undo order: a step `reserve` called under `ship` is the step `ship/reserve` of the
caller, and what it reads of its trigger it reads of the caller's value instead. A called pivot is the caller's.
"""

import msgspec

from amends.coordinator.definition.expression import AllOf, Expression, Reference, joined, with_references
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
    inclusion = _Inclusion(name, trigger)
    return tuple(
        msgspec.structs.replace(step, after=step.after or after, when=_both(when, step.when))
        for step in map(inclusion.step, called.steps)
    )


def last_of(called: DefinitionForm, name: str) -> tuple[str, ...]:
    """The paths after which the whole of a called graph is over."""
    steps = [step for step in called.steps if step.kind != "expect"]
    waited_for = {before for step in steps for before in step.after}
    return tuple(path_under(name, step.path) for step in steps if step.path not in waited_for)


class _Inclusion:
    def __init__(self, name: str, trigger: Argument) -> None:
        self.name = name
        self.trigger = trigger

    def step(self, step: StepForm) -> StepForm:
        undo, each, loop = step.undo, step.each, step.loop
        return msgspec.structs.replace(
            step,
            path=self._path(step.path),
            kind="read" if step.kind == "result" else step.kind,
            handler=self._handler(step.handler),
            after=tuple(sorted(map(self._path, step.after))),
            when=None if step.when is None else with_references(step.when, self._reference),
            verify=self._handler(step.verify) if step.verify else None,
            lookup=self._handler(step.lookup) if step.lookup else None,
            undo=undo
            and msgspec.structs.replace(
                undo,
                handler=self._handler(undo.handler),
                verify=self._handler(undo.verify) if undo.verify else None,
            ),
            each=each
            and msgspec.structs.replace(each, steps=self._all(each.steps), returns=self._maybe_path(each.returns)),
            loop=loop
            and msgspec.structs.replace(
                loop,
                steps=self._all(loop.steps),
                returns=self._maybe_path(loop.returns),
                until=with_references(loop.until, self._reference),
            ),
        )

    def _all(self, steps: tuple[StepForm, ...]) -> tuple[StepForm, ...]:
        return tuple(map(self.step, steps))

    def _handler(self, handler: HandlerForm) -> HandlerForm:
        arguments = {parameter: self._argument(argument) for parameter, argument in handler.arguments.items()}
        return msgspec.structs.replace(handler, name=self._path(handler.name), arguments=arguments)

    def _argument(self, argument: Argument) -> Argument:
        if argument.source == CONTEXT:
            return argument
        if argument.source == TRIGGER:
            return msgspec.structs.replace(self.trigger, field=joined(self.trigger.field, argument.field))
        return msgspec.structs.replace(argument, step=self._path(argument.step or ""))

    def _reference(self, reference: Reference) -> Reference:
        if reference.step is None:
            return Reference(step=self.trigger.step, field=joined(self.trigger.field, reference.field))
        return Reference(step=self._path(reference.step), field=reference.field)

    def _maybe_path(self, path: str | None) -> str | None:
        return None if path is None else self._path(path)

    def _path(self, path: str) -> str:
        return path_under(self.name, path)


def _both(outer: Expression | None, inner: Expression | None) -> Expression | None:
    both = tuple(each for each in (outer, inner) if each is not None)
    return AllOf(parts=both) if len(both) > 1 else next(iter(both), None)
