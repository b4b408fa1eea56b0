"""What a run waits for, and until when. Every phase that rests has its line here."""

from collections.abc import Iterator

import msgspec

from amends.coordinator.core.asking import question
from amends.coordinator.core.drain import running_until
from amends.coordinator.core.expectations import everything_done
from amends.coordinator.core.pending import key_of, pending_until
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.repeating import round_due
from amends.coordinator.core.settle import policy_of
from amends.coordinator.core.state import Effect, State
from amends.coordinator.core.waiting import waited_for
from amends.coordinator.ports.rows import LockRow
from amends.coordinator.reading.explanation import Waited, WaitKind
from amends.coordinator.reading.facts import QUARANTINED
from amends.coordinator.reading.standing import Standing
from amends.schemas.ids import Direction
from amends.schemas.instants import MILLISECOND, Instant, text_of

_ON_TIMEOUT = {"fail": "the step fails", "skip": "the step is skipped", "park": "a person decides"}


def waits_of(standing: Standing, plan: Plan, state: State, now: Instant) -> tuple[Waited, ...]:
    """What would move the run on, and until when it is waited for."""
    if state.closed:
        return (*_verifications(plan, state), *_handler(standing, plan, state))
    row = standing.row
    if row.quarantined:
        see = f"amends audit verify {row.saga_id}"
        return (_wait("quarantine", "its entries could not be read, or decided on; it is set aside", see=see),)
    found = [*_of_the_whole(standing, plan, state), *_of_effects(plan, state, now)]
    if standing.unowned:
        found.append(_wait("worker", "a worker: nobody owns its shard now"))
    return tuple(found)


def _verifications(plan: Plan, state: State) -> Iterator[Waited]:
    """What is read back after the end."""
    for each in state.verifications or ():
        handler = plan.delayed(each.path, each.direction)
        if each.held is None and handler is not None:
            what = f"{handler.name} to say that it is {'undone' if each.direction == 'undo' else 'done'}, asked"
            then = "the outcome is amended"
            yield _wait("verification", what, path=each.path, direction=each.direction, until=each.due_at, then=then)


def _of_the_whole(standing: Standing, plan: Plan, state: State) -> Iterator[Waited]:
    parked = state.parked
    if parked is not None:
        yield _wait("person", "a person's decision", path=parked.step or None, since=parked.since)
    if state.status == "queued":
        for key in dict.fromkeys(lock.key for lock in standing.locks):
            place = _place(standing, [lock for lock in standing.locks if lock.key == key])
            if place is not None:
                yield place
    yield from _handler(standing, plan, state)


def _handler(standing: Standing, plan: Plan, state: State) -> Iterator[Waited]:
    """One that the owner of the run lacks."""
    row = standing.row
    lacking = row.waiting_for if row.waiting_for != waited_for(plan, state) else None
    if lacking is not None and row.version == state.version and lacking != QUARANTINED:
        yield _wait("handler", f"a worker that has handler {lacking}", see="amends check APP --store")


def _place(standing: Standing, locks: list[LockRow]) -> Waited | None:
    """The run's place in the row of one lock; None where it is the first."""
    before = next(place for place, lock in enumerate(locks) if lock.saga_id == standing.row.saga_id)
    if before == 0:
        return None
    first, own = locks[0], locks[before]
    other = standing.others.get(first.saga_id)
    status = "" if other is None else f", which is {QUARANTINED if other.quarantined else other.status}"
    return msgspec.structs.replace(
        _wait(
            "lock",
            f"lock {own.key}, {'held by' if first.held_since is not None else 'behind'} another run{status}",
            since=own.since,
            see=f"amends runs show {first.saga_id}",
        ),
        key=own.key,
        saga_id=first.saga_id,
        before=before,
    )


def _of_effects(plan: Plan, state: State, now: Instant) -> Iterator[Waited]:
    for path in state.forward:
        yield from _of_effect(plan, state, path, "forward", now)
    for path in state.undo:
        yield from _of_effect(plan, state, path, "undo", now)


def _of_effect(plan: Plan, state: State, path: str, direction: Direction, now: Instant) -> Iterator[Waited]:
    effect = state.effect(path, direction)
    if effect.attempt_open:
        yield _reply(plan, state, path, direction, effect)
    elif effect.phase == "pending":
        yield _answer(plan, state, path, direction, effect)
    elif state.parked is not None:
        return
    elif effect.phase == "waiting":
        yield _outside(plan, path, effect)
    elif effect.phase == "repeating":
        due_at = None if state.draining or state.undo_list is not None else round_due(state, path, effect)
        if due_at is not None:
            what = f"round {state.fans[path].count}" if state.fans else "its next round"
            yield _wait("round", what, path=path, direction=direction, until=due_at, then="the round begins")
    elif effect.phase == "retrying" and (direction == "undo" or not state.draining or effect.doubt is not None):
        what = f"attempt {effect.attempt + 1}"
        yield _wait("retry", what, path=path, direction=direction, until=effect.due_at, then="it is requested again")
    else:
        yield from _asked(plan, state, path, direction, now)


def _reply(plan: Plan, state: State, path: str, direction: Direction, effect: Effect) -> Waited:
    """An open attempt: first its reply, then, when its time is up, its end."""
    step = plan.steps[path]
    overdue = effect.doubt is not None and effect.doubt.running and effect.phase == "in_doubt"
    then: str | None = "it is in doubt" if step.acts else "it has failed"
    until = effect.timeout_at
    if overdue and effect.doubt is not None:
        _, certainty = policy_of(step, direction)
        until, then = effect.doubt.since + certainty.settle_within_ms * MILLISECOND, "a person decides"
    if state.draining and direction == "forward":
        until, then = running_until(step, effect), "a person decides"
    what = (
        f"the end of attempt {effect.attempt}, which is overdue"
        if overdue
        else f"the reply to attempt {effect.attempt}"
    )
    since = effect.requested_at
    if state.parked is not None:
        until, then = None, None
    return _wait(
        "return" if overdue else "reply", what, path=path, direction=direction, since=since, until=until, then=then
    )


def _answer(plan: Plan, state: State, path: str, direction: Direction, effect: Effect) -> Waited:
    """Its participant has taken it on."""
    key, until = key_of(effect), pending_until(plan, state, path, direction)
    parked = state.parked is not None
    return msgspec.structs.replace(
        _wait(
            "answer",
            f"an answer of {key}",
            path=path,
            direction=direction,
            since=effect.requested_at,
            until=None if parked else until,
            then=None if parked else "it is in doubt",
        ),
        key=key,
    )


def _outside(plan: Plan, path: str, effect: Effect) -> Waited:
    awaited, form = effect.awaited, plan.steps[path].wait
    assert awaited is not msgspec.UNSET, "a wait says what it awaits"
    since, until = effect.requested_at, effect.due_at
    if awaited.awaits != "message" or form is None:
        return _wait(
            "pause" if awaited.awaits == "pause" else "instant",
            "the end of its pause" if awaited.awaits == "pause" else "its instant",
            path=path,
            since=since,
            until=until,
            then="the run goes on",
        )
    return msgspec.structs.replace(
        _wait(
            "message",
            f"message {awaited.message_type} of {awaited.correlation}",
            path=path,
            since=since,
            until=until,
            then=_ON_TIMEOUT[form.on_timeout],
        ),
        key=awaited.correlation,
        message_type=awaited.message_type,
    )


def _asked(plan: Plan, state: State, path: str, direction: Direction, now: Instant) -> Iterator[Waited]:
    """A question about what happened."""
    effect = state.effect(path, direction)
    role = question(plan, state, path, direction, now)
    handler = plan.reader(path, direction) if role == "lookup" else plan.readback(path, direction)
    if role is None or handler is None:
        return
    if effect.phase == "verifying" and effect.verify_since is not None:
        until, then = effect.verify_since + handler.within_ms * MILLISECOND, "it is in doubt"
        what = f"{handler.name} to say that it is {'undone' if direction == 'undo' else 'done'}"
        yield _wait("readback", what, path=path, direction=direction, since=effect.verify_since, until=until, then=then)
    elif effect.doubt is not None:
        _, certainty = policy_of(plan.steps[path], direction)
        until, then = effect.doubt.since + certainty.settle_within_ms * MILLISECOND, "a person decides"
        what = f"{handler.name} to say whether it happened"
        yield _wait("question", what, path=path, direction=direction, since=effect.doubt.since, until=until, then=then)


def _wait(
    kind: WaitKind,
    what: str,
    *,
    path: str | None = None,
    direction: Direction | None = None,
    since: Instant | None = None,
    until: Instant | None = None,
    then: str | None = None,
    see: str | None = None,
) -> Waited:
    return Waited(
        kind=kind,
        path=path,
        direction=direction,
        what=what,
        since=None if since is None else text_of(since),
        until=None if until is None else text_of(until),
        then=then,
        see=see,
    )


def turns_back_at(plan: Plan, state: State) -> str | None:
    """When the run turns back unless it is behind its pivot by then; of one on its way to a savepoint, altogether."""
    if state.closed or state.parked is not None:
        return None
    if state.status == "compensating":
        return None if state.savepoint is msgspec.UNSET else text_of(state.deadline_at)
    if pivot_passed(plan, state) or everything_done(plan, state):
        return None
    dues = [state.deadline_at]
    if plan.form.budget.wall_ms is not None:
        dues.append(state.running_since + plan.form.budget.wall_ms * MILLISECOND)
    return text_of(min(dues))
