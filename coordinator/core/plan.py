"""A definition made ready for deciding: looked up by path, with ancestors, dependants and the pivot worked out once."""

from dataclasses import dataclass, field
from functools import cached_property

from amends.coordinator.definition.form import DefinitionForm, HandlerForm, StepForm, graph_hash
from amends.schemas.ids import Direction


@dataclass(frozen=True, slots=False, kw_only=True)
class Plan:
    """What `decide` reads of a definition. `missing` names handlers that this worker lacks (rule 14)."""

    form: DefinitionForm
    hash: str
    missing: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def steps(self) -> dict[str, StepForm]:
        """By path, each after those it waits for."""
        return {step.path: step for step in self.form.steps}

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Every step that must be done before, directly or not."""
        found: dict[str, frozenset[str]] = {}
        for step in self.form.steps:
            found[step.path] = frozenset(step.after).union(*(found[before] for before in step.after))
        return found

    @cached_property
    def needs(self) -> dict[str, frozenset[str]]:
        """The steps whose result a step takes for certain: it is skipped when one of them was."""
        return {
            step.path: frozenset(
                argument.step
                for argument in step.handler.arguments.values()
                if argument.source == "result" and argument.step is not None
            )
            for step in self.form.steps
        }

    @cached_property
    def pivot(self) -> StepForm | None:
        """The step after which the run only goes forward (rule 11)."""
        return next((step for step in self.form.steps if step.pivot), None)

    @cached_property
    def waits(self) -> bool:
        """Whether any step waits for a message or an instant."""
        return any(step.wait is not None for step in self.form.steps)

    @cached_property
    def result(self) -> str | None:
        """The step whose result is the run's: `@saga.result`, else the only step that nothing waits for."""
        declared = next((step.path for step in self.form.steps if step.kind == "result"), None)
        if declared is not None:
            return declared
        waited_for = {before for step in self.form.steps for before in step.after}
        last = [step.path for step in self.form.steps if step.path not in waited_for]
        return last[0] if len(last) == 1 else None

    @cached_property
    def entries_max(self) -> int:
        """Entries a run may have in all; forward work may use a part (`limits.py`)."""
        return self.form.budget.entries or self.form.entries_max

    def reader(self, path: str, direction: Direction) -> HandlerForm | None:
        """Who can say whether an effect in doubt took: a step's lookup, an undo's read-back."""
        step = self.steps[path]
        if direction == "forward":
            return step.lookup
        return step.undo.verify if step.undo else None

    def readback(self, path: str, direction: Direction) -> HandlerForm | None:
        """Who confirms an effect that the participant's reply claims."""
        step = self.steps[path]
        if direction == "forward":
            return step.verify
        return step.undo.verify if step.undo else None


def plan_of(form: DefinitionForm, *, missing: frozenset[str] = frozenset()) -> Plan:
    """Make a definition ready."""
    return Plan(form=form, hash=graph_hash(form), missing=missing)
