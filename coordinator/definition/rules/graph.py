"""All rules of the graph, for whatever front end made the form. Pure: a form goes in, faults come out."""

from collections.abc import Callable, Iterator
from typing import Final

from amends.coordinator.definition.form import DefinitionForm
from amends.coordinator.definition.rules.dependencies import (
    has_a_step,
    has_no_circle,
    has_not_too_many_steps,
    waits_only_for_known_steps,
)
from amends.coordinator.definition.rules.doubt import can_settle_doubt
from amends.coordinator.definition.rules.expecting import expects_not_too_much
from amends.coordinator.definition.rules.pending import answers_come_in_time, only_actions_pend
from amends.coordinator.definition.rules.pivot import has_one_pivot, keeps_the_order, pivot_has_no_undo
from amends.coordinator.definition.rules.repeating import collects_only_single_effects, repeats_no_pivot
from amends.coordinator.definition.rules.shape import Fault, Shape
from amends.coordinator.definition.rules.undo import (
    has_an_undo,
    takes_maybe_of_skipped_steps,
    undo_survives_a_lost_result,
    undoes_only_what_can_be,
    uses_only_what_it_may,
)
from amends.coordinator.definition.rules.verifying import reads_back_within_bounds
from amends.coordinator.definition.rules.waits import waits_end_in_time, waits_only_wait

Check = Callable[[Shape], Iterator[Fault]]

_FIRST: Final[tuple[Check, ...]] = (has_a_step, has_not_too_many_steps, waits_only_for_known_steps, has_no_circle)
_THEN: Final[tuple[Check, ...]] = (
    has_an_undo,
    undoes_only_what_can_be,
    uses_only_what_it_may,
    undo_survives_a_lost_result,
    takes_maybe_of_skipped_steps,
    repeats_no_pivot,
    collects_only_single_effects,
    has_one_pivot,
    keeps_the_order,
    pivot_has_no_undo,
    can_settle_doubt,
    waits_only_wait,
    waits_end_in_time,
    only_actions_pend,
    answers_come_in_time,
    expects_not_too_much,
    reads_back_within_bounds,
)


def faults(form: DefinitionForm) -> list[Fault]:
    """Every rule of the graph that the form breaks. A graph that does not hold together is judged no further."""
    shape = Shape(form)
    found = [fault for check in _FIRST for fault in check(shape)]
    return found or [fault for check in _THEN for fault in check(shape)]
