"""Unfolding: the graph of one run, in which what a definition repeats stands once for each item or round. Pure.

A definition says `ship/book` once; a run that was planned for three items has `ship[0]/book`, `ship[1]/book` and
`ship[2]/book`, each a step like any other: with its own effect, key, doubt, undo and place in the undo order.
"""

from collections.abc import Iterator, Mapping

from amends.coordinator.core.state import Fan
from amends.coordinator.definition.copies import copies
from amends.coordinator.definition.form import StepForm

Copied = dict[tuple[str, int], tuple[StepForm, ...]]
"""What was copied before, by the path of the step that repeats it and by item or round: all runs have it alike."""


def unfolded(steps: tuple[StepForm, ...], fans: Mapping[str, Fan], copied: Copied) -> Iterator[StepForm]:
    """The steps, and behind each that repeats others the copies that were planned; new ones are added to `copied`."""
    for step in steps:
        yield step
        fan = fans.get(step.path)
        if fan is not None:
            for index in range(fan.count):
                found = copied.get((step.path, index))
                if found is None:
                    found = copied[step.path, index] = copies(step, index)
                yield from unfolded(found, fans, copied)
