"""What every connector does around a request: ask for permission, name the effect, call no failure definite that isn't.

A handler may make several calls. Once one of them has taken effect, or may have, a later failure no longer says that
the step had no effect, however definite it is by itself: it is raised as `EffectInPart`, and what stands is settled.
"""

from uuid import UUID, uuid5

from amends.coordinator.attempt import Attempt
from amends.coordinator.errors import UsageError
from amends.coordinator.failures import StepRefused, StepUnavailable


class EffectInPart(Exception):
    """An earlier call of this attempt took effect, or may have; this one failed. Nothing lands late."""


def effect_key(attempt: Attempt, part: str | None) -> str:
    """The key of the attempt's effect, or of a named part of it."""
    return key_of_part(attempt.idempotency_key, part)


def key_of_part(key: str, part: str | None) -> str:
    """The key of a named part of an effect, derived so that every attempt meets it again."""
    return key if part is None else str(uuid5(UUID(key), part))


def verdict(attempt: Attempt, failure: StepRefused | StepUnavailable) -> Exception:
    """The failure itself while nothing else was done in this attempt, else what may still be said."""
    if not attempt.acted:
        return failure
    names = sorted({name for name, _ in attempt.acted})
    return EffectInPart(
        f"{failure.reason}; an earlier call of this attempt, to {', '.join(names)}, took effect or may have"
    )


def claim(attempt: Attempt, name: str, key: str, fingerprint: int) -> bool:
    """Note that an effect is about to be requested. True where it is new in this attempt.

    Raises `UsageError` (AM2004) for another request under a key that this attempt has used: the participant would take
    it for a repetition, and answer without acting.
    """
    claimed = attempt.acted.get((name, key))
    if claimed is None:
        attempt.acted[name, key] = fingerprint
    elif claimed != fingerprint:
        raise UsageError(
            "AM2004",
            f"{attempt.path} asked {name} for a second effect under one key",
            do="make it a step of its own, or name it with part=",
        )
    return claimed is None


def release(attempt: Attempt, name: str, key: str) -> None:
    """Take the note back: the request had no effect, for certain."""
    attempt.acted.pop((name, key), None)
