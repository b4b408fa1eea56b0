"""What a handler raises says what is known about its effect (design, section 5)."""


class StepRefused(Exception):
    """Definite: no effect, and trying again will not help. In an undo it parks the run at once."""

    def __init__(self, reason: str, *, kind: str = "refused") -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


class StepUnavailable(Exception):
    """Definite: no effect; the same may succeed later. `retry_after` (seconds) is the participant's own wish."""

    def __init__(self, reason: str, *, retry_after: float | None = None, kind: str = "unavailable") -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.kind = kind


class StepUnknown(Exception):
    """The effect may have happened or may still land: it is settled by evidence before anything else (rule 8)."""

    def __init__(self, reason: str, *, kind: str = "in_doubt") -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind


def told_by(error: BaseException) -> str:
    """The error's text, in one line. To make it is the business of whoever wrote the class, and may fail."""
    try:
        text = str(error)
    except BaseException as again:  # noqa: BLE001  __str__ is the user's
        return f"it raised {type(again).__name__} when asked for its text"
    return " ".join(text.split())
