"""Copies of what a step repeats, one for each item or round: `ship/book` as `ship[2]/book`. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from amends.coordinator.definition.expression import Expression, Reference, joined, with_references
from amends.coordinator.definition.form import ITEM, Argument, EachForm, HandlerForm, LoopForm, StepForm
from amends.coordinator.definition.renaming import Renaming

_COPY: Final = re.compile(r"(.+)\[([0-9]+)\][^\[\]]*")


def copies(step: StepForm, index: int) -> tuple[StepForm, ...]:
    """What a step repeats, as it stands in the run for one item or round."""
    return tuple(map(_Copy(step, index).step, _inner(step).steps))


def copy_path(path: str, inner: str, index: int) -> str:
    """The path of a repeated step's copy."""
    return f"{path}[{index}]{inner.removeprefix(path)}"


def owner_of(path: str) -> str | None:
    """The path of the step whose copies this one is among, the innermost; None for one that is no copy."""
    found = _COPY.fullmatch(path)
    return None if found is None else found[1]


def with_owners(path: str) -> Iterator[str]:
    """The path, and every step whose copies it is among: what is to be planned anew with it."""
    owner: str | None = path
    while owner is not None:
        yield owner
        owner = owner_of(owner)


def is_or_copies(owner: str, path: str) -> bool:
    """Whether a path is this step's, or that of a copy of something that it repeats: quicker than `with_owners`."""
    return path == owner or path.startswith(f"{owner}[")


def is_within(step: str, path: str) -> bool:
    """Whether a path is this step's, or of anything that was called or repeated there."""
    return path == step or path.startswith((f"{step}/", f"{step}["))


def owner_and_index(path: str) -> tuple[str, int]:
    """That, and which item or round it stands for. Raises `KeyError` for a path that is no copy's."""
    found = _COPY.fullmatch(path)
    if found is None:
        raise KeyError(path)
    return found[1], int(found[2])


def returned(step: StepForm, index: int) -> str | None:
    """The path of the copy whose result is that of an item or round."""
    returns = _inner(step).returns
    return None if returns is None else copy_path(step.path, returns, index)


def until(step: StepForm, index: int) -> Expression:
    """What ends a loop, if it holds over this round."""
    assert step.loop is not None, "only a loop ends so"
    return with_references(step.loop.until, _Copy(step, index).reference)


def _inner(step: StepForm) -> EachForm | LoopForm:
    inner = step.each or step.loop
    assert inner is not None, "only a step that repeats others is unfolded"
    return inner


class _Copy(Renaming):
    """Renames what is within, and says which item or round is meant."""

    def __init__(self, step: StepForm, index: int) -> None:
        self._path = step.path
        self._index = index
        self._item = _item(step, index)

    def path(self, path: str) -> str:
        return copy_path(self._path, path, self._index) if is_within(self._path, path) else path

    def handler(self, handler: HandlerForm) -> HandlerForm:
        """Under its own name still: one function serves all copies."""
        return replace(handler, arguments={name: self._argument(each) for name, each in handler.arguments.items()})

    def reference(self, reference: Reference) -> Reference:
        if reference.step is None:
            return reference
        if reference.step == self._path + ITEM:
            return Reference(step=self._item.step, field=joined(self._item.field, reference.field))
        return Reference(step=self.path(reference.step), field=reference.field)

    def _argument(self, argument: Argument) -> Argument:
        if argument.step is None:
            return argument
        if argument.step == self._path + ITEM:
            return replace(self._item, field=joined(self._item.field, argument.field))
        return replace(argument, step=self.path(argument.step))


def _item(step: StepForm, index: int) -> Argument:
    """Where what a copy is about is found: the item; of a loop what its first round has, later what a round gave."""
    if step.loop is None:
        items = step.handler.arguments["items"]
        return replace(items, field=f"{items.field}[{index}]")
    if index and step.loop.carry and step.loop.returns is not None:
        return Argument(source="result", step=copy_path(step.path, step.loop.returns, index - 1))
    return step.handler.arguments.get("first", Argument(source="trigger"))
