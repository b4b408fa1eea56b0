"""A definition made ready for deciding: looked up by path, with ancestors, dependants and the pivot worked out once."""

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from msgspec.structs import replace

from amends.coordinator.core.state import State
from amends.coordinator.core.unfolding import Copied, unfolded
from amends.coordinator.definition.copies import copies, owner_and_index, owner_of
from amends.coordinator.definition.form import DefinitionForm, HandlerForm, StepForm, graph_hash
from amends.schemas.ids import Direction

UNFOLDED_MAX: Final = 64
"""Shapes of runs whose plans are kept: many runs of a definition have the same."""
COPIED_MAX: Final = 20_000
"""Items and rounds whose copies are kept: each plan has most of them from the one before."""


@dataclass(frozen=True, slots=False, kw_only=True)
class Plan:
    """What `decide` reads of a definition. `missing` names handlers that this worker lacks (rule 14)."""

    form: DefinitionForm
    hash: str
    missing: frozenset[str] = field(default_factory=frozenset)

    origin: "Plan | None" = None
    """What this one was unfolded from."""
    _unfolded: "OrderedDict[tuple[tuple[str, int], ...], Plan]" = field(default_factory=OrderedDict, repr=False)
    _copied: Copied = field(default_factory=dict, repr=False)

    def of(self, state: State) -> "Plan":
        """The plan of one run, with what is repeated in it unfolded as far as it was planned.

        Asked of a run's own plan it is that of the run as it is by now.
        """
        if self.origin is not None:
            return self.origin.of(state)
        fans = state.fans
        if not fans:
            return self
        shape = tuple((path, fan.count) for path, fan in fans.items())
        found = self._unfolded.pop(shape, None)
        if found is None:
            if len(self._copied) > COPIED_MAX:
                self._copied.clear()
            steps = tuple(unfolded(self.form.steps, fans, self._copied))
            found = Plan(form=replace(self.form, steps=steps), hash=self.hash, missing=self.missing, origin=self)
            while len(self._unfolded) >= UNFOLDED_MAX:
                self._unfolded.popitem(last=False)
        self._unfolded[shape] = found
        return found

    @cached_property
    def steps(self) -> dict[str, StepForm]:
        """By path, each after those it waits for; also copies that are no longer planned."""
        return _Steps({step.path: step for step in self.form.steps})

    @cached_property
    def paths(self) -> frozenset[str]:
        """Of the steps that the run has."""
        return frozenset(step.path for step in self.form.steps)

    @cached_property
    def places(self) -> dict[str, tuple[str, int]]:
        """Of each copy: the step whose copy it is, and which item or round it stands for."""
        return {path: owner_and_index(path) for path in self.paths if owner_of(path) is not None}

    @cached_property
    def unrepeated(self) -> tuple[StepForm, ...]:
        """The steps that are no copies: those that the definition has."""
        return tuple(step for step in self.form.steps if step.path not in self.places)

    @cached_property
    def copies(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        """Of each step that was planned to repeat others: the paths of its copies, item by item or round by round."""
        found: dict[str, list[list[str]]] = {}
        for step in self.form.steps:
            if step.path in self.places:
                owner, index = self.places[step.path]
                members = found.setdefault(owner, [])
                while len(members) <= index:
                    members.append([])
                members[index].append(step.path)
        return {owner: tuple(tuple(paths) for paths in members) for owner, members in found.items()}

    @cached_property
    def ancestors(self) -> dict[str, frozenset[str]]:
        """Every step that must be done before, directly or not."""
        found: dict[str, frozenset[str]] = {}
        copied: dict[str, set[str]] = {}
        for step in self.form.steps:
            before = frozenset(step.after).union(*(found[each] | copied.get(each, set()) for each in step.after))
            owner = owner_of(step.path)
            found[step.path] = before if owner is None else before | found[owner] | {owner}
            while owner is not None:
                copied.setdefault(owner, set()).add(step.path)
                owner = owner_of(owner)
        return found

    @cached_property
    def repeats(self) -> bool:
        """Whether any step is repeated, by items or in rounds."""
        return any(step.repeats for step in self.form.steps)

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
        """Whether any step waits for a message or an instant, may be pending, or is read back after the end."""
        return any(step.wait is not None or step.may_pend or step.delays for step in self.form.every_step())

    @cached_property
    def expects(self) -> bool:
        """Whether anything is expected of the whole, or of what it repeats."""
        return any(step.kind == "expect" for step in self.form.every_step())

    @cached_property
    def expectations(self) -> tuple[StepForm, ...]:
        """What is asked once everything is done."""
        return tuple(step for step in self.form.steps if step.kind == "expect")

    @cached_property
    def result(self) -> str | None:
        """The step whose result is the run's: `@saga.result`, else the only step that nothing waits for."""
        declared = next((step.path for step in self.form.steps if step.kind == "result"), None)
        if declared is not None:
            return declared
        steps = [step for step in self.form.steps if step.kind != "expect"]
        waited_for = {before for step in steps for before in step.after}
        last = [step.path for step in steps if step.path not in waited_for]
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
        return _at_once(step.undo.verify) if step.undo else None

    def readback(self, path: str, direction: Direction) -> HandlerForm | None:
        """Who confirms at once an effect that the participant's reply claims."""
        step = self.steps[path]
        if direction == "forward":
            return _at_once(step.verify)
        return _at_once(step.undo.verify) if step.undo else None

    def delayed(self, path: str, direction: Direction) -> HandlerForm | None:
        """Who confirms it after the run has ended."""
        step = self.steps[path]
        verify = step.verify
        if direction == "undo":
            verify = step.undo.verify if step.undo is not None else None
        return verify if verify is not None and verify.verify_after_ms else None


def _at_once(verify: HandlerForm | None) -> HandlerForm | None:
    return None if verify is None or verify.verify_after_ms else verify


class _Steps(dict[str, StepForm]):
    """Knows a copy that is no longer planned, because a list has become shorter, by the step that it is one of."""

    def __missing__(self, path: str) -> StepForm:
        owner, index = owner_and_index(path)
        return next(copy for copy in copies(self[owner], index) if copy.path == path)


def plan_of(form: DefinitionForm, *, missing: frozenset[str] = frozenset()) -> Plan:
    """Make a definition ready."""
    return Plan(form=form, hash=graph_hash(form), missing=missing)
