"""The error tree: one class per thing a caller can do about it.

    AmendsError ── UsageError            2   the call, the settings or the environment are wrong
                ├─ FoundFault            1   the command found what it looks for
                ├─ NotFound              6
                ├─ Conflict              7   the thing is in another state than asked for
                ├─ Refused               8   by policy or budget
                └─ StoreTrouble          2   the store or the bus cannot be used
                   (subclasses below say how the runtime reacts)

The number is the exit code. Every error carries a code `AM####` with a page of its own under `docs/errors/`.
"""

from collections.abc import Iterable
from typing import ClassVar

from amends.schemas.ids import SagaId


class AmendsError(Exception):
    """What happened, with which values, and what to do next; prints as `error AM####: what; next`."""

    exit_code: ClassVar[int] = 70

    def __init__(self, code: str, what: str, *, do: str) -> None:
        super().__init__(f"{what}; {do}")
        self.code = code
        self.what = what
        self.do = do

    @property
    def why(self) -> str:
        """For a log line: the code and what it says."""
        return f"{self.code}: {self}"

    def line(self) -> str:
        """The one line a person sees."""
        return f"error {self.why}"


class UsageError(AmendsError):
    """Usage, configuration or environment: the caller mends the call."""

    exit_code = 2


class FoundFault(AmendsError):
    """The command found what it looks for, a broken chain for instance."""

    exit_code = 1


class NotFound(AmendsError):
    """Nothing has this name or id."""

    exit_code = 6


class Conflict(AmendsError):
    """The thing is not in the state that was asked for, or somebody else holds it."""

    exit_code = 7


class Refused(AmendsError):
    """Policy or budget says no."""

    exit_code = 8


class StoreUnavailable(AmendsError):
    """The store cannot be reached or written just now: wait with backoff, then try again."""

    exit_code = 2


class BusUnavailable(AmendsError):
    """The bus cannot be reached or written just now: wait with backoff, then try again."""

    exit_code = 2


class RecordRefused(AmendsError):
    """A topic refuses a record, and will again until somebody changes something; other records may be published."""

    exit_code = 2

    def __init__(self, code: str, what: str, *, do: str, topic: str, index: int) -> None:
        super().__init__(code, what, do=do)
        self.topic = topic
        self.index = index
        """Which of the records that were to be published."""


class RecordTooLarge(RecordRefused):
    """It is refused for its size: somebody raises the topic's limit, or less is sent."""

    def __init__(self, *, topic: str, index: int, size_bytes: int) -> None:
        super().__init__(
            "AM4107",
            f"topic {topic!r} refuses a record of {size_bytes} bytes",
            do="raise its max.message.bytes (`amends topics check` says to what)",
            topic=topic,
            index=index,
        )
        self.size_bytes = size_bytes


class Fenced(Exception):
    """A newer owner has these shards: drop their memory, lease again or leave them. Never shown to a person."""

    def __init__(self, shards: Iterable[int]) -> None:
        self.shards = tuple(shards)
        super().__init__(f"fenced out of shards {self.shards}")


class RunExists(Exception):
    """The batch was rolled back because these runs exist already: decide it again without them (rule 4)."""

    def __init__(self, saga_ids: Iterable[SagaId]) -> None:
        self.saga_ids = tuple(saga_ids)
        super().__init__(f"runs exist already: {self.saga_ids}")


class KeyErased(Exception):
    """The batch was rolled back because these data keys were erased meanwhile: decide it again under new ones."""

    def __init__(self, key_ids: Iterable[str]) -> None:
        self.key_ids = tuple(key_ids)
        super().__init__(f"data keys were erased: {self.key_ids}")
