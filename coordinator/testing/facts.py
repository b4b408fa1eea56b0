"""What a rehearsal must know of a definition: facts of its steps, and where in a file each handler stands."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache

from amends.compensations.scenarios import TOMBSTONED_MS, StepFacts
from amends.coordinator.core.plan import plan_of
from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.form import StepForm
from amends.coordinator.definition.places import place_of_function, shown
from amends.coordinator.testing.sandbox import Sandbox


def facts_of(saga: ClosedSaga, sandbox: Sandbox) -> dict[str, StepFacts]:
    """By path."""
    plan = plan_of(saga.form)
    pivot = plan.pivot.path if plan.pivot is not None else None
    behind = {path for path, before in plan.ancestors.items() if pivot in before}
    return {
        step.path: _facts(step, saga, past_pivot=_outermost(step.path, behind), unseen=step.path in sandbox.unseen)
        for step in saga.form.every_step()
    }


def places_of(saga: ClosedSaga) -> dict[str, tuple[str, int]]:
    """File and line of each handler."""
    found = {}
    for name, handler in saga.handlers.items():
        place = place_of_function(handler.function)
        found[name] = (shown(place.file), place.line)
    return found


def _facts(step: StepForm, saga: ClosedSaga, *, past_pivot: bool, unseen: bool) -> StepFacts:
    undo = step.undo
    handler = saga.handlers.get(step.handler.name)
    return StepFacts(
        path=step.path,
        kind=step.kind,
        handler=step.handler.name,
        verify=step.verify.name if step.verify else None,
        lookup=step.lookup.name if step.lookup else None,
        undo=undo.handler.name if undo else None,
        undo_verify=undo.verify.name if undo and undo.verify else None,
        follow_up=undo.follow_up if undo else False,
        pivot=step.pivot,
        past_pivot=past_pivot,
        class_c=step.class_c,
        deduplicates=step.certainty.deduplicates,
        undo_deduplicates=undo is not None and undo.certainty.deduplicates,
        late_ms=_late_ms(step),
        waits=(step.wait is not None and step.wait.awaits == "message") or step.may_pend,
        refuses=handler is not None and may_refuse(handler.function),
        unseen=unseen,
    )


def _late_ms(step: StepForm) -> int:
    """An undo that buries the key shuts a request out for ever; where a lookup is believed, `settle_s` counts."""
    if step.certainty.tombstones and step.lookup is None:
        return TOMBSTONED_MS
    return max(0, step.certainty.settle_ms - 1)


def _outermost(path: str, behind: set[str]) -> bool:
    """Whether it, or the step that repeats it, is behind the pivot."""
    return any(path == each or path.startswith(f"{each}/") for each in behind)


def may_refuse(function: Callable[..., object]) -> bool:
    """Whether the function's own code raises `StepRefused`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError, SyntaxError):
        return False
    raised = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None)
    return any("StepRefused" in ast.unparse(error) for error in raised)


@cache
def carrying(participant: str, command: str, function: Callable[..., object]) -> tuple[str, bool]:
    """What carries out a participant's command, in words, and whether it may refuse."""
    place = place_of_function(function)
    where = f"{shown(place.file)}:{place.line}"
    return f"{participant}, on {command!r}: {where}", may_refuse(function)
