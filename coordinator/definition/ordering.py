"""One order for one graph, wherever in a file its functions stand: moving a function must not change the hash."""

from collections.abc import Iterable

import msgspec

from amends.coordinator.definition.form import StepForm


def ordered(steps: Iterable[StepForm]) -> tuple[StepForm, ...]:
    """Each step after those it waits for, by name among equals, the result last. A circle's steps come at the end."""
    waiting = {step.path: step for step in _result_last(tuple(steps))}
    done: dict[str, StepForm] = {}
    while waiting:
        ready = sorted(path for path, step in waiting.items() if not any(each in waiting for each in step.after))
        for path in ready or sorted(waiting):
            done[path] = waiting.pop(path)
    return tuple(done.values())


def _result_last(steps: tuple[StepForm, ...]) -> tuple[StepForm, ...]:
    """Let the result wait for every step that no other waits for."""
    result = next((step for step in steps if step.kind == "result"), None)
    if result is None:
        return steps
    others = [step for step in steps if step is not result]
    waited_for = {before for step in others for before in step.after}
    last = {step.path for step in others} - waited_for
    after = tuple(sorted({*result.after, *last}))
    return tuple(msgspec.structs.replace(step, after=after) if step is result else step for step in steps)
