"""What a rehearsed run says about its saga: pure, from how it ended to findings about steps and their undos.

A run that completes must leave the world that a run without faults leaves; one that is compensated, the world as it
was before, but for what steps and their follow-ups do that nothing can undo; one that parks needs a reason.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from amends.compensations.faults import DOUBTFUL, Fault, all_said
from amends.compensations.scenarios import Call, StepFacts, base_path
from amends.compensations.worlds import Difference, overlap, touched
from amends.schemas.ids import Direction

FindingKind = Literal[
    "not_restored",  # compensated, and the world is another
    "not_the_same",  # completed, and the world is another than without faults
    "parks",  # it parks, or never ends, for no reason that it was given
    "flagged",  # it ends, and what is expected of it does not hold, or is read back otherwise
    "verify_blind",  # a read-back or a lookup says yes to what never happened
    "no_amends",  # a step behind the pivot may refuse, and nothing makes amends for what stands
    "follow_up_idle",  # a follow-up changes nothing
    "unsettled",  # nothing can settle a lost reply: a person decides
    "unseen",  # no snapshot shows what a step does
    "unsteady",  # two runs without faults leave different worlds
    "limit",  # there was more to rehearse than the limits allow
]
Severity = Literal["error", "warning"]

_WARNINGS: Final = frozenset({"unsettled", "unsteady"})
_ITS_OWN: Final = frozenset(
    {
        "refused",
        "unavailable",
        "lost_before_always",
        "lost_after_always",
        "lands_late",
        "raises_before",
        "raises_between",
        "raises_after",
        "denied",
        "unread",
        "unanswered",
        "command_late",
        "reply_late",
        "answered_refused",
        "answered_unavailable",
    }
)
"""Faults that park a run for a good reason: its participant fails for as long as the fault lasts."""

_REFUSING: Final = frozenset({"refused", "answered_refused"})


class Park(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run parked, and what it is parked for."""

    path: str
    direction: Direction
    kind: str
    why: str


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """What did not hold of a run that has ended: what is expected of it, or what was read back later."""

    path: str
    direction: Direction = "forward"
    message: str | None = None
    """Why nobody could say."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a rehearsed run ended."""

    status: str
    """`parked` where no person's retry could help; `stuck` where it came to rest and nothing is waited for."""
    parked: tuple[Park, ...]
    """Every time it parked. The last one is the end where `status` is `parked`."""
    calls: tuple[Call, ...]
    from_before: tuple[Difference, ...]
    from_faultless: tuple[Difference, ...] | None
    """None: without faults it does not complete."""
    why: str = ""
    """Of a run that is stuck."""
    flags: tuple[Flag, ...] = ()
    left_out: frozenset[str] = frozenset()
    """Of a run that has completed: the steps that failed, of items that it could be completed without."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person should mend, at the handler concerned."""

    kind: FindingKind
    step: str
    handler: str
    message: str
    when: str
    """The scenario in which it was seen first."""
    differences: tuple[Difference, ...] = ()
    scenarios: int = 1
    """In how many it was seen."""
    weak: bool = False
    """A warning, though its kind is an error."""
    carried: tuple[str, ...] = ()
    """What carries out the commands of the handler, in words."""

    @property
    def severity(self) -> Severity:
        return "warning" if self.weak or self.kind in _WARNINGS else "error"

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for the same finding of different scenarios."""
        return self.kind, self.step, self.handler, self.weak


def is_expected(faults: Iterable[Fault], park: Park) -> bool:
    """Whether a run parks because of its fault, for as long as that lasts: then a person's retry must help."""
    return any(
        fault.path == park.path and fault.direction == park.direction and fault.kind in _ITS_OWN for fault in faults
    )


def judge(faults: tuple[Fault, ...], ending: Ending, steps: Mapping[str, StepFacts]) -> Iterator[Finding]:
    """Everything that this run says about its saga. What is flagged because of something else is not told twice."""
    found = [_with_participant(each, ending) for each in _judged(faults, ending, steps)]
    yield from found
    if all(each.severity == "warning" for each in found) and not any(_is_told(fault, ending) for fault in faults):
        yield from _flagged(faults, ending, steps)


def _with_participant(finding: Finding, ending: Ending) -> Finding:
    """A handler that commands is only half of it: the other half is written where the command is carried out."""
    if finding.severity == "warning":
        return finding
    carried = dict.fromkeys(each for call in ending.calls if call.handler == finding.handler for each in call.carried)
    return msgspec.structs.replace(finding, carried=tuple(carried)) if carried else finding


def _judged(faults: tuple[Fault, ...], ending: Ending, steps: Mapping[str, StepFacts]) -> Iterator[Finding]:
    when = all_said(faults)
    told = {base_path(fault.path) for fault in faults if _is_told(fault, ending)}
    without_amends = list(_without_amends(faults, ending, steps, when))
    yield from without_amends
    if ending.status in {"parked", "stuck"}:
        if not without_amends:  # It says why the run parks, and what to do.
            yield _parked(faults, ending, steps, when)
    elif ending.status == "completed" and ending.from_faultless:
        found = _not_the_same(faults, ending, ending.from_faultless, steps, when)
        yield from (each for each in found if each.step not in told)
    elif ending.status == "compensated":
        yield from (each for each in _not_restored(faults, ending, steps, when) if each.step not in told)
        yield from _idle(ending, steps, when)


def _flagged(faults: tuple[Fault, ...], ending: Ending, steps: Mapping[str, StepFacts]) -> Iterator[Finding]:
    """What does not hold, though the world is what it should be; not where that is just what was failed."""
    how = "a run without faults is flagged"
    if faults:
        how = "the run comes through, and is flagged all the same"
    for flag in ending.flags:
        step = steps[base_path(flag.path)]
        if any((fault.path, fault.direction) == (flag.path, flag.direction) for fault in faults):
            continue
        handler = step.handler
        what = f"what {handler!r} expects does not hold"
        if step.kind != "expect":
            handler = (step.undo_verify if flag.direction == "undo" else step.verify) or step.handler
            what = f"{handler!r}, asked after the end, says no"
        why = f": {flag.message}" if flag.message else ""
        yield Finding(
            kind="flagged", step=step.path, handler=handler, message=f"{how}: {what}{why}", when=all_said(faults)
        )


def _is_told(fault: Fault, ending: Ending) -> bool:
    """Whether a read-back after the end says of a step that it did nothing: the run is flagged, as it should be."""
    return fault.kind == "claimed" and any(
        (flag.path, flag.direction) == (fault.path, fault.direction) for flag in ending.flags
    )


_LAST = frozenset({"result", "expect"})
"""Kinds of steps that nothing can come after: where they do not refuse by themselves there is nothing to mend."""


def _without_amends(
    faults: tuple[Fault, ...], ending: Ending, steps: Mapping[str, StepFacts], when: str
) -> Iterator[Finding]:
    """A step behind the pivot refused: whatever stands stays, and nobody hears of it but the person who looks."""
    pivot = next((step for step in steps.values() if step.pivot), None)
    for park in ending.parked:
        step = steps[base_path(park.path)]
        injected = any(fault.kind in _REFUSING and fault.path == park.path for fault in faults)
        refused = injected or not faults
        if pivot is None or not step.past_pivot or park.direction != "forward" or not refused:
            continue
        refuses = step.refuses or any(call.may_refuse for call in ending.calls if call.path == park.path)
        if step.kind in _LAST and not refuses:
            continue
        yield Finding(
            kind="no_amends",
            step=pivot.path,
            handler=pivot.handler,
            message=f"nothing makes amends for {pivot.path!r} when {step.path!r} behind it refuses: the run parks with "
            f"all of it in the world; give {pivot.path!r} a follow_up, or let it come after {step.path!r}",
            when=when,
            weak=injected and not refuses,
        )


def _parked(faults: tuple[Fault, ...], ending: Ending, steps: Mapping[str, StepFacts], when: str) -> Finding:
    if not ending.parked or ending.status == "stuck":
        return Finding(kind="parks", step="", handler="", message=f"the run never ends: {ending.why}", when=when)
    park = ending.parked[-1]
    step = steps[base_path(park.path)]
    undo = park.direction == "undo"
    name = (step.undo if undo else step.handler) or step.handler
    doubtful = any(fault.kind in DOUBTFUL or fault.version for fault in faults)
    doubtful = doubtful or park.direction == "forward"
    if faults and park.kind in {"in_doubt", "verify_false"} and doubtful and not _ran_into_its_undo(park, ending, step):
        message = f"a person has to find out whether {name!r} took: nothing can settle it"
        return Finding(kind="unsettled", step=step.path, handler=name, message=message, when=when)
    what = "the undo fails" if undo else "the run parks"
    if undo and not _stood(ending, park.path):
        what = f"the undo fails where {step.path!r} never took effect"
    return Finding(kind="parks", step=step.path, handler=name, message=f"{what}: {park.why}", when=when)


def _ran_into_its_undo(park: Park, ending: Ending, step: StepFacts) -> bool:
    """Whether the undo itself was reached: then it is no doubt that nobody settles, but an undo that cannot go on."""
    return park.direction == "undo" and (
        "needs the result" in park.why or any(call.handler == step.undo for call in ending.calls)
    )


def _stood(ending: Ending, path: str) -> bool:
    return any(call.path == path and call.role == "step" and call.made for call in ending.calls)


def _not_the_same(
    faults: tuple[Fault, ...],
    ending: Ending,
    found: tuple[Difference, ...],
    steps: Mapping[str, StepFacts],
    when: str,
) -> Iterator[Finding]:
    left_out = {base_path(path) for path in ending.left_out}
    for path, differences in _by_owner(found, faults, ending, steps, undo=False).items():
        own = tuple(each for each in differences if base_path(path) not in left_out or each.before is None)
        if not own:
            continue  # What the item would have done is not there, as it should be.
        step = steps.get(base_path(path))
        blind = _believed_for_nothing(ending, path, step, "forward")
        if step is not None and blind is not None:
            message = f"{blind!r} says that {step.path!r} happened, and it never did"
            yield Finding(
                kind="verify_blind", step=step.path, handler=blind, message=message, when=when, differences=own
            )
            continue
        yield Finding(
            kind="not_the_same",
            step=path and base_path(path),
            handler=step.handler if step is not None else "",
            message="the run completes, and the world is not the one that a run without faults leaves",
            when=when,
            differences=own,
        )


def _not_restored(
    faults: tuple[Fault, ...], ending: Ending, steps: Mapping[str, StepFacts], when: str
) -> Iterator[Finding]:
    left = [each for each in ending.from_before if not _stays_by_right(each, ending, steps)]
    for path, own in _by_owner(left, faults, ending, steps, undo=True).items():
        step = steps.get(base_path(path))
        blind = _believed_for_nothing(ending, path, step, "undo")
        if step is not None and blind is not None:
            message = f"{blind!r} says that {step.path!r} is undone, and {step.undo!r} never ran"
            yield Finding(
                kind="verify_blind", step=step.path, handler=blind, message=message, when=when, differences=own
            )
            continue
        name = (step.undo or step.handler) if step is not None else ""
        yield Finding(
            kind="not_restored",
            step=path and base_path(path),
            handler=name,
            message=_left_behind(faults, path),
            when=when,
            differences=own,
        )


def _left_behind(faults: tuple[Fault, ...], path: str) -> str:
    """How an undo failed to bring the world back."""
    broken_off = faults[-1] if faults and faults[-1].request else None
    if broken_off is not None and broken_off.direction == "undo" and broken_off.path == path:
        return (
            "the undo, broken off between two of its requests and begun again, does not bring the world back: "
            "mind the order of its effects"
        )
    return "the run is compensated, and the world is not as it was before"


def _believed_for_nothing(ending: Ending, path: str, step: StepFacts | None, direction: Direction) -> str | None:
    """The handler that was asked whether it happened, said yes, and was wrong: the function was never called."""
    if step is None:
        return None
    role = "step" if direction == "forward" else "undo"
    own = [call for call in ending.calls if call.path == path and call.direction == direction]
    if any(call.role == role and call.made for call in own):
        return None
    asked = [call.handler for call in own if call.role in {"verify", "lookup"} and call.made]
    return asked[-1] if asked else None


def _stays_by_right(difference: Difference, ending: Ending, steps: Mapping[str, StepFacts]) -> bool:
    """Whether only steps that nothing can undo, and their follow-ups, have changed this place."""
    hands = {
        base_path(call.path) for call in ending.calls if any(overlap(difference.path, path) for path in call.changed)
    }
    return bool(hands) and all(steps[path].follow_up for path in hands)


def _by_owner(
    found: Iterable[Difference],
    faults: tuple[Fault, ...],
    ending: Ending,
    steps: Mapping[str, StepFacts],
    *,
    undo: bool,
) -> dict[str, tuple[Difference, ...]]:
    """Differences by the path of the step that answers for them; by an empty one where none does."""
    owned: dict[str, tuple[Difference, ...]] = {}
    for difference in found:
        owner = _owner(difference, faults, ending, steps, undo=undo)
        owned[owner] = (*owned.get(owner, ()), difference)
    return owned


def _owner(
    difference: Difference, faults: tuple[Fault, ...], ending: Ending, steps: Mapping[str, StepFacts], *, undo: bool
) -> str:
    aimed = faults[-1].path if faults else ""
    hands = [
        call.path
        for call in ending.calls
        if touched((difference.path,), call.changed) and (not undo or steps[base_path(call.path)].undo is not None)
    ]
    if not hands or aimed in hands:
        return aimed
    undone = {
        call.path for call in ending.calls if call.direction == "undo" and touched((difference.path,), call.changed)
    }
    forgotten = [path for path in hands if path not in undone]
    return (forgotten or hands)[-1]


def _idle(ending: Ending, steps: Mapping[str, StepFacts], when: str) -> Iterator[Finding]:
    """A follow-up that was called, after a step whose effect was seen, and left no trace."""
    changed = {call.path for call in ending.calls if call.direction == "forward" and call.changed}
    for path in dict.fromkeys(call.path for call in ending.calls if call.role == "undo" and call.made):
        step = steps[base_path(path)]
        seen = any(call.changed for call in ending.calls if call.path == path and call.role == "undo")
        if step.follow_up and step.undo is not None and path in changed and not seen:
            message = f"the follow-up of {step.path!r} changes nothing: nothing makes amends for what stands"
            yield Finding(kind="follow_up_idle", step=step.path, handler=step.undo, message=message, when=when)
