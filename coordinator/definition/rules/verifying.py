"""Rules about read-backs that come long after."""

from collections.abc import Iterator
from typing import Final

from amends.coordinator.definition.durations import text_of_ms
from amends.coordinator.definition.rules.shape import Fault, Shape

AFTER_MS_MIN: Final = 1_000
AFTER_MS_MAX: Final = 30 * 24 * 3_600_000


def reads_back_within_bounds(shape: Shape) -> Iterator[Fault]:
    """AM1112. What is due sooner belongs before the dependants, what is due later into a saga of its own."""
    for step in shape.form.steps:
        for role, handler in shape.handlers(step):
            after_ms = handler.verify_after_ms
            if after_ms and not AFTER_MS_MIN <= after_ms <= AFTER_MS_MAX:
                yield Fault(
                    code="AM1112",
                    message=f"the {role} of {step.path!r} is asked after {text_of_ms(after_ms)}",
                    do="let verify_after be 1s at least and 30d at most, or leave it out: then it is asked at once",
                    step=step.path,
                    role=role,
                )
