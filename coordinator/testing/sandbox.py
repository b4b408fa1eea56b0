"""The world in which a saga is rehearsed, as its author declares it: triggers, stand-ins, and what to compare.

    from amends.testing import Sandbox, SqlStandIn

    sandbox = Sandbox(
        refund,
        triggers=[{"request_id": "R-1", "order_id": "A-1", "amount_cents": 4990}],
        stand_ins=[SqlStandIn(ledger, script="CREATE TABLE entries (…); INSERT INTO …")],
    )

It stands in the saga's module, or in one of its own that imports the saga.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from amends.compensations.worlds import World
from amends.coordinator.definition.saga import Saga
from amends.coordinator.errors import UsageError
from amends.coordinator.testing.stand_in import StandIn

SNAPSHOT_BYTES_MAX: Final = 1_000_000
TRIGGERS_MAX: Final = 20

Trigger = BaseModel | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message from outside, for a step that waits: its type, its correlation key, its content."""

    type: str
    key: str | int
    body: BaseModel | object = None


class Sandbox:
    """Where `saga` is rehearsed. Nothing outside is reached by a connector that has no stand-in here.

    `triggers` are tried one after the other, each in a world of its own. `begin` and `snapshot` are for what the
    handlers reach without a connector. `messages` come as soon as a run begins; for each other that a run waits for,
    `answer` is asked by type and correlation key, and gives its content, or None where none comes. `environment` is set
    for as long as the rehearsal runs. `ignore` holds patterns of places that may differ, `unseen` names steps whose
    effect no snapshot can show.
    """

    def __init__(
        self,
        saga: Saga[Any],
        *,
        triggers: Sequence[Trigger],
        stand_ins: Iterable[StandIn] = (),
        begin: Callable[[], object] | None = None,
        snapshot: Callable[[], Mapping[str, object]] | None = None,
        messages: Iterable[SentMessage] = (),
        answer: Callable[[str, str], object] | None = None,
        environment: Mapping[str, str] | None = None,
        ignore: Sequence[str] = (),
        unseen: Iterable[str] = (),
    ) -> None:
        self.saga = saga
        self.triggers = tuple(triggers)
        self.stand_ins = tuple(stand_ins)
        self.messages = tuple(messages)
        self.ignore = tuple(ignore)
        self.unseen = frozenset(unseen)
        self.answer = answer
        self._begin = begin
        self._snapshot = snapshot
        self._environment = dict(environment or {})
        self._refuse_bad()

    def __repr__(self) -> str:
        return f"Sandbox({self.saga.name!r})"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """For as long as the rehearsal runs: the environment is set, and what the stand-ins hold given back."""
        former = {name: os.environ.get(name) for name in self._environment}
        os.environ.update(self._environment)
        try:
            yield
        finally:
            for name, value in former.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            for each in self.stand_ins:
                each.end()

    def begin(self) -> dict[str, str | None]:
        """Make the world anew; the address of each participant. Raises `UsageError` (AM5103)."""
        try:
            if self._begin is not None:
                self._begin()
            return {each.name: each.begin() for each in self.stand_ins}
        except UsageError:
            raise
        except Exception as error:
            raise _broken("cannot be begun", error) from error

    def snapshot(self) -> World:
        """The whole world. Raises `UsageError`: AM5103 where there is none to be had, AM5104 where it is too large."""
        try:
            found: dict[str, object] = {each.name: each.snapshot() for each in self.stand_ins}
            if self._snapshot is not None:
                found |= self._snapshot()
            data = to_json(found, inf_nan_mode="strings")
        except UsageError:
            raise
        except (PydanticSerializationError, ValueError) as error:
            raise _broken("gives a snapshot that JSON cannot hold", error) from error
        except Exception as error:
            raise _broken("gives no snapshot", error) from error
        if len(data) > SNAPSHOT_BYTES_MAX:
            raise UsageError(
                "AM5104",
                f"the snapshot of the sandbox has {len(data)} bytes, and {SNAPSHOT_BYTES_MAX} are the limit",
                do="rehearse in a smaller world: the rows that the triggers concern, and a few beside them",
            )
        world: World = msgspec.json.decode(data)
        return world

    def _refuse_bad(self) -> None:
        names = [each.name for each in self.stand_ins]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise _malformed(f"two of its stand-ins are for {twice!r}", "keep one of them")
        if len(self.triggers) > TRIGGERS_MAX:
            raise _malformed(f"it has {len(self.triggers)} triggers", f"{TRIGGERS_MAX} are the limit")
        if self._snapshot is None and not self.stand_ins:
            raise _malformed("nobody can look at its world", "give it stand_ins=[…], or snapshot=")


def _malformed(what: str, do: str) -> UsageError:
    return UsageError("AM5105", f"the sandbox cannot be used: {what}", do=do)


def _broken(what: str, error: Exception) -> UsageError:
    return UsageError(
        "AM5103", f"the sandbox {what}: {type(error).__name__}: {error}", do="mend its begin, snapshot and stand-ins"
    )
