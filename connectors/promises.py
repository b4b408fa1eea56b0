"""What a participant promises about doubt, read from the words of a connector's declaration."""

from amends.coordinator.definition.durations import milliseconds
from amends.coordinator.definition.form import Certainty
from amends.coordinator.errors import UsageError


def promise(*, name: str, idempotent: bool | str, tombstones: bool, settle_s: float) -> Certainty:
    """The certainty of a connector. `idempotent` is yes, no, or for how long: `"24h"`."""
    try:
        window_ms = milliseconds(idempotent) if isinstance(idempotent, str) else None
        settle_ms = milliseconds(settle_s)
    except ValueError as error:
        raise malformed(name, str(error), do="mend the declaration") from error
    return Certainty(deduplicates=bool(idempotent), window_ms=window_ms, tombstones=tombstones, settle_ms=settle_ms)


def malformed(name: str, what: str, *, do: str) -> UsageError:
    """A connector is declared in a way that cannot work (AM2005)."""
    return UsageError("AM2005", f"the connector {name!r}: {what}", do=do)
