"""A step in another place of a graph: the same step, with every name in it changed. Pure.

Where a called graph is included and where a copy is made of what is repeated, names change in the same places; those
are here, once.
"""

from abc import ABC, abstractmethod

from msgspec.structs import replace

from amends.coordinator.definition.expression import Expression, Reference, with_references
from amends.coordinator.definition.form import HandlerForm, StepForm, UndoForm


class Renaming(ABC):
    """What becomes of paths, handlers and references; and with them, of steps."""

    @abstractmethod
    def path(self, path: str) -> str:
        """Of a step."""

    @abstractmethod
    def handler(self, handler: HandlerForm) -> HandlerForm:
        """With the places that its arguments come from."""

    @abstractmethod
    def reference(self, reference: Reference) -> Reference:
        """In a condition."""

    def step(self, step: StepForm) -> StepForm:
        """The step under its other names, and all that it repeats."""
        each, loop = step.each, step.loop
        return replace(
            step,
            path=self.path(step.path),
            handler=self.handler(step.handler),
            after=tuple(map(self.path, step.after)),
            when=None if step.when is None else self._condition(step.when),
            verify=self._maybe(step.verify),
            lookup=self._maybe(step.lookup),
            undo=None if step.undo is None else self._undo(step.undo),
            each=each and replace(each, steps=self._all(each.steps), returns=self._maybe_path(each.returns)),
            loop=loop
            and replace(
                loop,
                steps=self._all(loop.steps),
                returns=self._maybe_path(loop.returns),
                until=self._condition(loop.until),
            ),
        )

    def _undo(self, undo: UndoForm) -> UndoForm:
        return replace(undo, handler=self.handler(undo.handler), verify=self._maybe(undo.verify))

    def _all(self, steps: tuple[StepForm, ...]) -> tuple[StepForm, ...]:
        return tuple(map(self.step, steps))

    def _condition(self, condition: Expression) -> Expression:
        return with_references(condition, self.reference)

    def _maybe(self, handler: HandlerForm | None) -> HandlerForm | None:
        return None if handler is None else self.handler(handler)

    def _maybe_path(self, path: str | None) -> str | None:
        return None if path is None else self.path(path)
