"""What the graph rules look at: a form with its ancestors worked out, and the faults they find in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from amends.coordinator.definition.flattening import flattened, repeated
from amends.coordinator.definition.form import DefinitionForm, HandlerForm, StepForm


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A broken rule of the graph, before anybody knows where in a file it was written."""

    code: str
    message: str
    do: str
    step: str | None = None
    role: str = "step"
    parameter: str | None = None


class Shape:
    """A definition's graph. Works on any form, also on one with unknown names and circles."""

    def __init__(self, form: DefinitionForm) -> None:
        self.form = flattened(form)
        self.repeated = repeated(form)
        self.steps: dict[str, StepForm] = {step.path: step for step in self.form.steps}

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Every step that must be done before, directly or not; in a circle a step is its own ancestor."""
        return {path: frozenset(self._before(path)) for path in self.steps}

    @cached_property
    def pivots(self) -> tuple[StepForm, ...]:
        """Steps that are declared to be the pivot."""
        return tuple(step for step in self.form.steps if step.pivot)

    @cached_property
    def may_be_skipped(self) -> frozenset[str]:
        """Steps with a condition, and those that take the result of one."""
        return may_be_skipped(self.steps)

    def skipped_together(self, path: str, cause: str) -> bool:
        """Whether `path` is certainly skipped when `cause` is."""
        return path == cause or cause in _takes(self.steps, path)

    def handlers(self, step: StepForm) -> Iterator[tuple[str, HandlerForm]]:
        """The step's handlers by role."""
        undo = step.undo
        for role, handler in (
            ("step", step.handler),
            ("verify", step.verify),
            ("lookup", step.lookup),
            ("undo", undo.handler if undo else None),
            ("undo.verify", undo.verify if undo else None),
        ):
            if handler is not None:
                yield role, handler

    def _before(self, path: str) -> set[str]:
        found: set[str] = set()
        waiting = list(self.steps[path].after)
        while waiting:
            name = waiting.pop()
            if name not in found and name in self.steps:
                found.add(name)
                waiting.extend(self.steps[name].after)
        return found


def may_be_skipped(steps: Mapping[str, StepForm]) -> frozenset[str]:
    """Steps with a condition or a wait that may be given up, and those that take the result of one."""
    return frozenset(
        path for path in steps if any(_skips(steps[each]) for each in {path, *_takes(steps, path)} if each in steps)
    )


def _skips(step: StepForm) -> bool:
    return step.when is not None or (step.wait is not None and step.wait.on_timeout == "skip")


def _takes(steps: Mapping[str, StepForm], path: str) -> set[str]:
    """Steps whose result this one takes for certain, directly or through another that is skipped along."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        step = steps.get(waiting.pop())
        for argument in step.handler.arguments.values() if step else ():
            if argument.source == "result" and argument.step and argument.step not in found:
                found.add(argument.step)
                waiting.append(argument.step)
    return found
