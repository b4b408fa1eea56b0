"""Which steps may begin in a run that repeats some, found without asking every copy of every step."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import OVER, Effect, State


@dataclass(slots=True, kw_only=True)
class Items:
    """How far each item of a list is, or each round. Kept for one decision, which tells of every event's path."""

    at_work: set[int] = field(default_factory=set)
    """Something was begun, and not everything is over."""
    untouched: set[int] = field(default_factory=set)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do for any of them."""
        return not self.at_work and not self.untouched

    def look(self, effects: dict[str, Effect], index: int, paths: Iterable[str]) -> None:
        """Find out how far one of them is."""
        begun = left = False
        for path in paths:
            effect = effects.get(path)
            if effect is None or effect.phase == "idle":
                left = True
            else:
                begun = True
                left = left or effect.phase not in OVER
        self.at_work.discard(index)
        self.untouched.discard(index)
        if not begun:
            self.untouched.add(index)
        elif left:
            self.at_work.add(index)


class Progress:
    """The items of every list that a run has been planned for, looked at when first asked for."""

    def __init__(self) -> None:
        self._items: dict[str, Items] = {}

    def of(self, plan: Plan, state: State, owner: str) -> Items:
        """The items of the step that repeats."""
        items = self._items.get(owner)
        if items is None:
            items = self._items[owner] = Items()
            for index, paths in enumerate(plan.copies.get(owner, ())):
                items.look(state.forward, index, paths)
        return items

    def noticed(self, plan: Plan, state: State, path: str) -> None:
        """Something became of a step."""
        owner, index = plan.places.get(path, ("", 0))
        items = self._items.get(owner)
        if items is not None:
            items.look(state.forward, index, plan.copies[owner][index])

    def planned(self, owner: str) -> None:
        """The step repeats others for other items than before, or for one round more."""
        self._items.pop(owner, None)


def in_turn(items: Items, *, room: int) -> Iterator[int]:
    """The items whose steps may begin: those at work, then others as long as there is room beside them."""
    for index in sorted(items.at_work):
        if index in items.at_work:
            yield index
    for index in sorted(items.untouched):
        if len(items.at_work) >= room:
            return
        yield index
