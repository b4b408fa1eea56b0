"""A form without nesting, for what looks at the whole graph: what is repeated stands beside all else, once.

Whatever holds of that one holds of each copy. It waits for the step that repeats it, and what waits for that one waits
for all of it too.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from amends.coordinator.definition.form import DefinitionForm, StepForm


def flattened(form: DefinitionForm) -> DefinitionForm:
    """The form with all steps side by side; the same one where nothing is repeated."""
    if not any(step.repeats for step in form.steps):
        return form
    return replace(form, steps=tuple(_flat(form.steps)))


def repeated(form: DefinitionForm) -> frozenset[str]:
    """The paths of all that other steps repeat."""
    return frozenset(step.path for step in form.every_step()) - {step.path for step in form.steps}


def said_after(step: StepForm, within: frozenset[str]) -> tuple[str, ...]:
    """What a flattened step waits for, without what is `repeated` by a step that it waits for, too."""
    return tuple(path for path in step.after if path not in within or step.path.startswith(_owner(path)))


def _owner(path: str) -> str:
    return path.rpartition("/")[0] + "/"


def _flat(steps: Iterable[StepForm]) -> Iterator[StepForm]:
    within: dict[str, tuple[str, ...]] = {}
    for step in steps:
        after = (path for each in step.after for path in within.get(each, (each,)))
        yield replace(step, after=tuple(sorted(after)))
        inner = step.each or step.loop
        if inner is not None:
            repeated = tuple(_flat(each if each.after else replace(each, after=(step.path,)) for each in inner.steps))
            yield from repeated
            within[step.path] = (step.path, *(each.path for each in repeated))
