"""Unfolding: the graph of one run, in which what a definition repeats stands once for each item or round. Pure.

A definition says `ship/book` once; a run that was planned for three items has `ship[0]/book`, `ship[1]/book` and
`ship[2]/book`, each a step like any other: with its own effect, key, doubt, undo and place in the undo order.
"""

from collections.abc import Iterator, Mapping

from amends.coordinator.core.state import Fan
from amends.coordinator.definition.copies import copies
from amends.coordinator.definition.form import StepForm


def unfolded(steps: tuple[StepForm, ...], fans: Mapping[str, Fan]) -> Iterator[StepForm]:
    """The steps, and behind each that repeats others the copies that were planned."""
    for step in steps:
        yield step
        fan = fans.get(step.path)
        if fan is not None:
            for index in range(fan.count):
                yield from unfolded(copies(step, index), fans)
