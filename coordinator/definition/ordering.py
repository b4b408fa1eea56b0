"""One order for one graph, wherever in a file its functions stand: moving a function must not change the hash."""

from collections.abc import Iterable, Sequence

import msgspec

from amends.coordinator.definition.form import StepForm


def ordered(steps: Iterable[StepForm]) -> tuple[StepForm, ...]:
    """Each step after those it waits for, by name among equals, the result last, and behind it what is expected.

    A circle's steps come at the end.
    """
    waiting = {step.path: step for step in _expectations_last(_result_last(tuple(steps)))}
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
    others = [step for step in steps if step is not result and step.kind != "expect"]
    after = tuple(sorted({*result.after, *_last_of(others)}))
    return tuple(msgspec.structs.replace(step, after=after) if step is result else step for step in steps)


def _expectations_last(steps: tuple[StepForm, ...]) -> tuple[StepForm, ...]:
    """Let what is expected wait for everything else."""
    last = tuple(sorted(_last_of([step for step in steps if step.kind != "expect"])))
    return tuple(msgspec.structs.replace(step, after=last) if step.kind == "expect" else step for step in steps)


def _last_of(steps: Sequence[StepForm]) -> set[str]:
    return {step.path for step in steps} - {before for step in steps for before in step.after}
