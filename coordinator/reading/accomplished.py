"""What a run has done, what it is still to do, and what it was let have: from its entries and their fold."""

from collections.abc import Iterable, Iterator, Sequence

from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import OVER, Effect, State
from amends.coordinator.definition.form import StepForm
from amends.coordinator.reading.explanation import Approved, ApprovedKind, Completed, Unfinished
from amends.coordinator.reading.history import Moment
from amends.coordinator.reading.parking import told_of
from amends.schemas import events as e
from amends.schemas.entry import Entry

_OPEN = frozenset({"requested", "pending", "in_doubt", "verifying", "retrying"})

_ENDS = e.StepSucceeded | e.StepVerified | e.StepSettled | e.FanOutEnded | e.LoopEnded


def completed(plan: Plan, state: State, moments: Sequence[Moment]) -> tuple[Completed, ...]:
    """Steps that are over, in the definition's order."""
    at, because = _ends(moments)
    return tuple(
        Completed(
            path=step.path,
            kind=step.kind,
            status="done" if effect.phase == "done" else "skipped",
            at=at.get(step.path),
            verified_by=effect.verified_by,
            external_id=effect.external_id,
            because=because.get(step.path) if effect.phase == "skipped" else None,
        )
        for step, effect in _forward(plan, state)
        if effect.phase in OVER
    )


def pending(plan: Plan, state: State) -> tuple[Unfinished, ...]:
    """What is still to be done, on the way that the run is on: steps, and once it has turned back its undos."""
    if state.closed:
        return ()
    if state.undo_list is not None:
        undos = ((path, state.effect(path, "undo")) for path in state.undo_list)
        left = [(path, effect) for path, effect in undos if effect.phase not in OVER]
        return tuple(
            Unfinished(
                path=path,
                direction="undo",
                status=effect.phase,
                attempts=effect.attempt,
                after=(left[place - 1][0],) if place else (),
            )
            for place, (path, effect) in enumerate(left)
        )
    return tuple(
        Unfinished(
            path=step.path,
            direction="forward",
            status=effect.phase,
            attempts=effect.attempt,
            after=tuple(before for before in step.after if state.effect(before, "forward").phase not in OVER),
        )
        for step, effect in _forward(plan, state)
        if (effect.phase in _OPEN if state.draining else effect.phase not in OVER)
    )


def items_of(moments: Iterable[Moment]) -> dict[str, tuple[str, ...]]:
    """What the items of each list are called, as they were frozen the last time."""
    events = (event for moment in moments for event in moment.entry.events)
    return {event.path: event.keys for event in events if isinstance(event, e.FanOutPlanned)}


def approved(moments: Iterable[Moment]) -> tuple[Approved, ...]:
    """In the order in which it was given."""
    return tuple(found for moment in moments for event in moment.entry.events for found in _approved(moment, event))


def _forward(plan: Plan, state: State) -> Iterator[tuple[StepForm, Effect]]:
    for step in plan.form.steps:
        yield step, state.effect(step.path, "forward")


def _ends(moments: Iterable[Moment]) -> tuple[dict[str, str], dict[str, str]]:
    """When each step came to its end, the last time; and why it was skipped."""
    at: dict[str, str] = {}
    because: dict[str, str] = {}
    for moment in moments:
        for event in moment.entry.events:
            if isinstance(event, _ENDS):
                at[event.path] = moment.entry.at
            elif isinstance(event, e.StepSkipped):
                at[event.path], because[event.path] = moment.entry.at, event.because
    return at, because


def _approved(moment: Moment, event: e.Event) -> Iterator[Approved]:
    entry = moment.entry
    match event:
        case e.LocksTaken(keys=keys):
            yield _given(entry, "locks", ", ".join(keys))
        case e.MessageReceived(path=path):
            yield _given(entry, "message", f"{event.message_type} of {event.correlation}", step=path)
        case e.AnswerReceived(path=path, answer=answer):
            yield _given(entry, "message", f"{answer}, for {event.correlation}", step=path)
        case e.RerunStarted(reason=reason, former=former):
            yield _given(entry, "decision", f"carry the request of run {former} out anew", reason=reason)
        case e.LockReleased(key=key, reason=reason):
            yield _given(entry, "decision", f"take lock {key} away", reason=reason)
        case e.DrainStarted(cause="cancelled" | "rejected", reason=reason):
            yield _given(entry, "decision", "turn back", reason=reason)
        case e.SagaKilled(reason=reason):
            yield _given(entry, "decision", "kill the run", reason=reason)
        case e.SavepointChosen(step=step, reason=reason):
            yield _given(entry, "decision", f"undo to {step}, and go forward from there", reason=reason)
        case e.ParkingResolved(step=step, resolution=resolution):
            reason, evidence = event.reason, event.evidence
            yield _given(entry, "decision", told_of(resolution), step=step, reason=reason, evidence=evidence)


def _given(
    entry: Entry,
    kind: ApprovedKind,
    what: str,
    *,
    step: str | None = None,
    reason: str | None = None,
    evidence: str | None = None,
) -> Approved:
    return Approved(
        kind=kind,
        at=entry.at,
        version=entry.version,
        actor=entry.actor,
        what=what,
        step=step,
        reason=reason,
        evidence=evidence,
    )
