"""`Pending`: what a handler returns when what it asked for will be done later, and a message will say so."""

from dataclasses import dataclass

from amends.coordinator.definition.durations import Duration, milliseconds
from amends.coordinator.errors import UsageError
from amends.schemas.incoming import text_fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The participant has taken the request and will answer by a message whose key is `correlation`.

    Make the key from `ctx.idempotency_key`, or take the participant's own id of the request: it names this one request,
    no other. `timeout` counts where it is shorter than the `pending_within` of the action or undo. Without an answer in
    time the effect is in doubt, and settled as such.

    Raises `UsageError` (AM2008) for what cannot be a key or a time.
    """

    correlation: str
    timeout: Duration | None = None
    external_id: str | None = None

    def __post_init__(self) -> None:
        for name, text in (("correlation", self.correlation), ("external_id", self.external_id)):
            fault = text_fault(text) if text is not None or name == "correlation" else None
            if fault is not None:
                do = "give it 1 to 255 characters and no control characters"
                raise UsageError("AM2008", f"the {name} of a Pending {fault}", do=do)
        if self.timeout is not None:
            self._refuse_bad_timeout(self.timeout)

    def within_ms(self, declared_ms: int) -> int:
        """How long the answer is awaited, where this long was declared."""
        return declared_ms if self.timeout is None else min(declared_ms, milliseconds(self.timeout))

    @staticmethod
    def _refuse_bad_timeout(timeout: Duration) -> None:
        try:
            positive = milliseconds(timeout) > 0
        except ValueError as error:
            raise UsageError("AM2008", f"the timeout of a Pending: {error}", do="say how long") from None
        if not positive:
            raise UsageError("AM2008", "the timeout of a Pending is 0", do="say how long, or leave it out")
