"""Whether what is not over may be tried again, by whom, and why or why not (rules 8, 11 and 13)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from amends.compensations.settling import Move
from amends.coordinator.core.people import resolutions
from amends.coordinator.core.pivot import pivot_passed
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.retrying import attempts_left
from amends.coordinator.core.settle import move_of, policy_of
from amends.coordinator.core.state import Effect, State
from amends.coordinator.definition.form import Certainty, HandlerForm, RetryForm
from amends.coordinator.reading.explanation import May, RetryVerdict
from amends.coordinator.reading.parking import parked_way
from amends.coordinator.reading.words import counted
from amends.schemas.ids import Direction
from amends.schemas.instants import Instant, text_of

_TRIED = frozenset(
    {"requested", "pending", "retrying", "in_doubt", "verifying", "ended", "failed", "absent", "tombstone"}
)
_WAYS: tuple[Direction, Direction] = ("forward", "undo")

_Verdict = tuple[May, str]


def retries_of(plan: Plan, state: State, now: Instant) -> tuple[RetryVerdict, ...]:
    """Every step and undo that was begun and is not over; of a run that has ended there is nothing to say."""
    if state.closed:
        return ()
    return tuple(_told(tried) for tried in _all(plan, state, now))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    plan: Plan
    state: State
    path: str
    direction: Direction
    now: Instant

    @property
    def effect(self) -> Effect:
        return self.state.effect(self.path, self.direction)

    @property
    def policy(self) -> tuple[RetryForm, Certainty]:
        return policy_of(self.plan.steps[self.path], self.direction)

    @property
    def reader(self) -> HandlerForm | None:
        return self.plan.reader(self.path, self.direction)

    @property
    def move(self) -> Move:
        return move_of(self.plan, self.state, self.path, self.direction, self.now)


def _all(plan: Plan, state: State, now: Instant) -> Iterator[_Tried]:
    parked = None if state.parked is None else (state.parked.step, parked_way(state))
    found = [(path, way) for way in _WAYS for path, effect in state.effects(way).items() if effect.phase in _TRIED]
    if parked is not None and parked not in found and parked[0] in plan.steps:
        found.append(parked)
    for path, way in found:
        effect = state.effect(path, way)
        undone_now = way == "forward" and state.undo_list is not None and effect.failure is None
        waits = plan.steps[path].wait is not None and (path, way) != parked
        if not undone_now and not waits:
            yield _Tried(plan=plan, state=state, path=path, direction=way, now=now)


def _told(tried: _Tried) -> RetryVerdict:
    effect, (retry, _) = tried.effect, tried.policy
    may, why = _verdict(tried)
    put_off = effect.phase == "retrying" and effect.due_at is not None and may == "yes"
    return RetryVerdict(
        path=tried.path,
        direction=tried.direction,
        may=may,
        attempts=effect.counted,
        attempts_max=retry.attempts,
        due_at=text_of(effect.due_at) if put_off and effect.due_at is not None else None,
        why=why,
        failure=effect.failure,
    )


def _verdict(tried: _Tried) -> _Verdict:
    state, parked = tried.state, tried.state.parked
    if parked is not None and (parked.step, parked_way(state)) == (tried.path, tried.direction):
        return "person", _why_parked(tried, parked.kind, parked.why)
    if tried.direction == "forward" and state.undo_list is not None:
        return _turned_back(tried)
    if parked is not None:
        return "person", f"not before a person has decided about {parked.step}"
    if tried.direction == "forward" and state.draining and tried.effect.doubt is None:
        return "no", "the run has turned back"
    return _by_policy(tried)


def _why_parked(tried: _Tried, kind: str, why: str) -> str:
    effect, (retry, _) = tried.effect, tried.policy
    if kind == "limit":
        return "a limit is reached; trying again allows as much once more"
    if kind == "poison":
        return "its worker died each time it ran"
    if tried.plan.steps[tried.path].wait is not None:
        return "no message came in time; trying again waits as long once more"
    if effect.attempt_open:
        return "its attempt has not returned"
    if effect.doubt is not None:
        if _class_c(tried):
            return "in doubt, and its participant promises nothing that could settle it (class C)"
        return "in doubt, and nothing has settled it in time"
    if effect.phase == "idle":
        return why
    behind = "; behind the pivot it must succeed" if _behind_the_pivot(tried) else ""
    if not effect.retriable:
        return f"its failure is final: the participant will say the same again{behind}"
    return f"all {counted(retry.attempts, 'attempt')} are used{behind}"


def _turned_back(tried: _Tried) -> _Verdict:
    if "go_forward" in resolutions(tried.plan, tried.state):
        return "person", "the run has turned back; a person may send it forward again"
    return "no", "the run has turned back"


def _by_policy(tried: _Tried) -> _Verdict:
    effect, (retry, _) = tried.effect, tried.policy
    match effect.phase:
        case "retrying":
            return "yes", "the same request under the same key" if effect.doubt is not None else "as a new request"
        case "absent":
            return "yes", "it had no effect, for certain"
        case "requested":
            return _while_under_way(tried)
        case "pending":
            return "no", f"its participant has taken it on; {_if_lost(tried, 'without its answer')}"
        case "verifying":
            return "no", "its reply says done; the world is read back"
        case "failed":
            left = effect.retriable and attempts_left(retry, effect.counted)
            return (
                ("yes", f"attempt {effect.counted + 1} of {retry.attempts}") if left else ("no", "it failed for good")
            )
        case _:
            return _in_doubt(tried)


def _while_under_way(tried: _Tried) -> _Verdict:
    effect, (retry, _) = tried.effect, tried.policy
    left = retry.attempts - effect.counted
    lost = _if_lost(tried)
    if left > 0:
        return "yes", f"up to {left} more if it fails, unless for good; {lost}"
    return "no", f"this attempt is the last; if it fails, {_after_the_last(tried)}; {lost}"


def _after_the_last(tried: _Tried) -> str:
    if tried.plan.steps[tried.path].kind == "expect":
        return "the run is flagged"
    return "a person decides" if _behind_the_pivot(tried) or tried.direction == "undo" else "the run turns back"


def _if_lost(tried: _Tried, lost: str = "if its reply is lost") -> str:
    """What follows if nobody hears what became of the attempt."""
    step, (_, certainty) = tried.plan.steps[tried.path], tried.policy
    if not step.acts:
        return "it changes nothing, so it is simply repeated"
    if tried.reader is not None:
        return f"{lost}, {tried.reader.name} is asked first"
    if certainty.deduplicates:
        return f"{lost}, the same request under the same key"
    if certainty.tombstones and tried.direction == "forward":
        return f"{lost}, its undo settles it"
    return f"{lost}, a person decides (class C)"


def _in_doubt(tried: _Tried) -> _Verdict:
    reader = tried.reader.name if tried.reader is not None else "nobody"
    move = tried.move
    match move:
        case "wait":
            return "no", "its attempt has not returned"
        case "ask" | "ask_again" | "accept":
            return "no", f"in doubt; {reader} is asked whether it happened"
        case "resend":
            return "yes", "in doubt; the same request under the same key settles it"
        case "undo":
            return "no", "in doubt; its undo settles it"
        case "absent" | "ended":
            return "no", "the run has turned back"
        case "fail":
            return "no", "what it did is not known, and no attempt is left"
        case "park":
            return "person", "in doubt, and nothing can settle it"
        case _:
            assert_never(move)


def _class_c(tried: _Tried) -> bool:
    certainty = tried.policy[1]
    return not (certainty.deduplicates or certainty.tombstones or tried.reader)


def _behind_the_pivot(tried: _Tried) -> bool:
    return tried.direction == "forward" and pivot_passed(tried.plan, tried.state)
