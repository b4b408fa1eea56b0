"""Rules about what waits for what, and how much there may be of it."""

from collections.abc import Iterator
from typing import Final

from amends.coordinator.definition.findings import nearest
from amends.coordinator.definition.rules.shape import Fault, Shape

STEPS_MAX: Final = 300


def has_a_step(shape: Shape) -> Iterator[Fault]:
    """AM1004."""
    if not any(step.kind not in {"result", "expect"} for step in shape.form.steps):
        yield Fault(
            code="AM1004",
            message=f"saga {shape.form.name!r} has no steps",
            do="declare one with @saga.action or @saga.read, in the module that is loaded",
        )


def has_not_too_many_steps(shape: Shape) -> Iterator[Fault]:
    """AM1003."""
    if len(shape.steps) > STEPS_MAX:
        yield Fault(
            code="AM1003",
            message=f"saga {shape.form.name!r} has {len(shape.steps)} steps, {STEPS_MAX} are allowed",
            do="split it into sagas that start one another",
        )


def waits_only_for_known_steps(shape: Shape) -> Iterator[Fault]:
    """AM1020 and AM1021."""
    for step in shape.form.steps:
        for name in step.after:
            if name == step.path:
                yield Fault(
                    code="AM1021",
                    message=f"step {step.path!r} waits for itself",
                    do="take its own name out of `after`, and its own result out of its parameters and its condition",
                    step=step.path,
                )
            elif name not in shape.steps:
                yield Fault(
                    code="AM1020",
                    message=f"step {step.path!r} waits for {name!r}, which saga {shape.form.name!r} does not have",
                    do=nearest(name, (each for each in shape.steps if each != step.path)),
                    step=step.path,
                )


def has_no_circle(shape: Shape) -> Iterator[Fault]:
    """AM1022, once for all steps that wait for each other."""
    told: set[str] = set()
    for path, before in shape.ancestors.items():
        if path not in before or path in told or path in shape.steps[path].after:
            continue
        circle = _way_back(shape, path)
        told.update(each for each in before if path in shape.ancestors[each])
        yield Fault(
            code="AM1022",
            message=f"steps wait for each other in a circle: {' → '.join((*circle, path))} (each waits for the next)",
            do="take one `after` or one reference away",
            step=path,
        )


def _way_back(shape: Shape, start: str) -> tuple[str, ...]:
    """The shortest way from a step over what it waits for back to itself."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    for way in ways:
        for name in shape.steps[way[-1]].after:
            if name == start:
                return way
            if name in shape.steps and name not in seen:
                seen.add(name)
                ways.append((*way, name))
    return (start,)
