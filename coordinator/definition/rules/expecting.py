"""Rules about what is expected of a run."""

from collections.abc import Iterator
from typing import Final

from amends.coordinator.definition.rules.shape import Fault, Shape

EXPECTATIONS_MAX: Final = 20


def expects_not_too_much(shape: Shape) -> Iterator[Fault]:
    """AM1110. Each is a question to the world before the run may end."""
    expected = [step for step in shape.form.steps if step.kind == "expect"]
    if len(expected) > EXPECTATIONS_MAX:
        yield Fault(
            code="AM1110",
            message=f"saga {shape.form.name!r} expects {len(expected)} things, {EXPECTATIONS_MAX} are allowed",
            do="ask for several of them in one function",
            step=expected[EXPECTATIONS_MAX].path,
        )
