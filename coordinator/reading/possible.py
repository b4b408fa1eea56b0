"""What a person may wish of a run now: every candidate is held to the judge that the commands ask (`judging.py`)."""

import shlex
from collections.abc import Iterator
from typing import Final, Literal, get_args

import msgspec

from amends.coordinator.core.pending import effect_at
from amends.coordinator.core.savepoints import savepoints
from amends.coordinator.core.state import Awaited
from amends.coordinator.core.waiting import open_waits
from amends.coordinator.ports.rows import LockRow
from amends.coordinator.reading.exposure import exposure_of
from amends.coordinator.reading.judging import refusal
from amends.coordinator.reading.parking import meaning_of
from amends.coordinator.reading.standing import Standing
from amends.coordinator.reading.words import counted
from amends.schemas import wishes
from amends.schemas.events import Resolution
from amends.schemas.ids import SagaId
from amends.schemas.outcome import Exposure

Request = Literal["resolve", "undo_to", "send", "release", "cancel", "kill", "rerun"]

RESOLUTIONS: Final[tuple[Resolution, ...]] = get_args(Resolution)
_ANYBODY: Final = ""
"""The judge does not ask who wishes it."""
_SAYS: Final[dict[Resolution, str]] = {
    "done_by_hand": ' --evidence "…"',
    "skip": ' --reason "…"',
    "go_forward": ' --reason "…"',
}


class Possible(msgspec.Struct, frozen=True, kw_only=True):
    """One command that would be accepted, as it is written; what stands as … is for the person to say."""

    command: str
    meaning: str
    request: Request
    saga_id: SagaId
    """The run that it is about: of a lock's release, the one that holds it."""
    step: str | None = None
    resolution: Resolution | None = None
    key: str | None = None
    """A lock's, or a message's."""
    message_type: str | None = None


def possible(standing: Standing) -> tuple[Possible, ...]:
    """The commands that would be accepted now, what the run asks for first."""
    return (
        *_resolutions(standing),
        *_savepoints(standing),
        *_messages(standing),
        *_releases(standing),
        *_whole(standing),
    )


def _resolutions(standing: Standing) -> Iterator[Possible]:
    state, plan, saga_id = standing.state, standing.plan, standing.row.saga_id
    if state is None or plan is None or state.parked is None:
        return
    step = state.parked.step
    for resolution in RESOLUTIONS:
        wish = wishes.Resolve(
            actor=_ANYBODY, saga_id=saga_id, step=step, resolution=resolution, reason=None, evidence=None
        )
        if refusal(standing, wish) is None:
            flag = f"--{resolution.replace('_', '-')}{_SAYS.get(resolution, '')}"
            yield Possible(
                command=f"amends parked resolve {saga_id} --step {shlex.quote(step)} {flag}",
                meaning=meaning_of(resolution, plan, state),
                request="resolve",
                saga_id=saga_id,
                step=step,
                resolution=resolution,
            )


def _savepoints(standing: Standing) -> Iterator[Possible]:
    """The nearest first. The judge asks the same rules of each of them: of a thousand items that would take long."""
    state, plan, saga_id = standing.state, standing.plan, standing.row.saga_id
    if state is None or plan is None or state.parked is None or standing.row.quarantined:
        return
    for step in reversed(savepoints(plan, state)):
        yield Possible(
            command=f'amends parked resolve {saga_id} --undo-to {shlex.quote(step)} --reason "…"',
            meaning=f"undo what came after {step}, and go forward again from there",
            request="undo_to",
            saga_id=saga_id,
            step=step,
        )


def _messages(standing: Standing) -> Iterator[Possible]:
    """Whoever waits longest for a key and type is brought the message; it is for this run only if that is this run."""
    row, state = standing.row, standing.state
    if state is None or state.closed or row.quarantined:
        return
    for place, awaited in open_waits(state).items():
        if place in standing.next_for and awaited.correlation is not None:
            for said, meaning in _said(place, awaited):
                yield Possible(
                    command=_sending(awaited.correlation, said),
                    meaning=meaning,
                    request="send",
                    saga_id=row.saga_id,
                    step=effect_at(place)[0],
                    key=awaited.correlation,
                    message_type=awaited.message_type,
                )


def _sending(key: str, said: str) -> str:
    """A key that looks like an option comes last, where it is none."""
    quoted = shlex.quote(key)
    return (
        f"amends messages send {said} -- {quoted}" if key.startswith("-") else f"amends messages send {quoted} {said}"
    )


def _said(place: str, awaited: Awaited) -> tuple[tuple[str, str], ...]:
    """What may be sent, and what it means."""
    path, direction = effect_at(place)
    if awaited.message_type is not None:
        return (
            (f"--type {shlex.quote(awaited.message_type)} --json '…'", f"here is the message that {path} waits for"),
        )
    about, value = (path, " --json '…'") if direction == "forward" else (f"the undo of {path}", "")
    return (
        (f"--answer succeeded{value}", f"{about} has come to its end: here is the participant's answer"),
        ('--answer refused --reason "…"', f"{about} was refused: nothing of it was done"),
    )


def _releases(standing: Standing) -> Iterator[Possible]:
    for key in dict.fromkeys(lock.key for lock in standing.locks):
        holder = held(standing, key)
        if holder is None:
            continue
        wish = wishes.Release(actor=_ANYBODY, saga_id=holder.saga_id, key=key, reason="")
        if refusal(standing, wish) is None:
            own = holder.saga_id == standing.row.saga_id
            meaning = (
                "give this lock up, so that the next in its row begins"
                if own
                else "take this lock away from the parked run that holds it"
            )
            yield Possible(
                command=f'amends locks release {shlex.quote(key)} --reason "…"',
                meaning=meaning,
                request="release",
                saga_id=holder.saga_id,
                key=key,
            )


def held(standing: Standing, key: str) -> LockRow | None:
    """The place of the run that holds the lock."""
    return next((lock for lock in standing.locks if lock.key == key and lock.held_since is not None), None)


def _whole(standing: Standing) -> Iterator[Possible]:
    row = standing.row
    candidates: tuple[tuple[Request, wishes.Cancel | wishes.Kill | wishes.Rerun], ...] = (
        ("cancel", wishes.Cancel(actor=_ANYBODY, saga_id=row.saga_id, reason="")),
        ("kill", wishes.Kill(actor=_ANYBODY, saga_id=row.saga_id, reason="")),
        ("rerun", wishes.Rerun(actor=_ANYBODY, saga_id=row.saga_id, reason="")),
    )
    for request, wish in candidates:
        if refusal(standing, wish) is None:
            yield Possible(
                command=f'amends runs {request} {row.saga_id} --reason "…"',
                meaning=_meaning(standing, request),
                request=request,
                saga_id=row.saga_id,
            )


def _meaning(standing: Standing, request: Request) -> str:
    if request == "rerun":
        again = "; what is left in the world stays there" if _exposure(standing) else ""
        return f"carry the request out anew, as generation {standing.row.generation + 1}{again}"
    stands = len(_exposure(standing))
    if request == "cancel":
        return "turn back, and undo what was done" if stands else "turn back; nothing was done that is to be undone"
    left = f"; {counted(stands, 'effect')} {'stays' if stands == 1 else 'stay'} in the world" if stands else ""
    return f"stop here and undo nothing{left}"


def _exposure(standing: Standing) -> tuple[Exposure, ...]:
    return () if standing.state is None else exposure_of(standing.state)
