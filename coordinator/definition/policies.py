"""Retry and budget, as a definition declares them."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from amends.coordinator.definition.durations import Duration, milliseconds
from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.form import BudgetForm, RetryForm
from amends.coordinator.definition.places import Place, calling_frame, spot_of

_MONEY: Final = re.compile(r"\d+(\.\d+)?")
_ATTEMPTS_MAX: Final = 1_000
_PERCENT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how patiently something is tried. `attempts` counts the first try; waits grow by `factor`.

    These retries are events and survive a crash; what a connector repeats within one attempt is its own.
    """

    attempts: int = 3
    wait: Duration = "200ms"
    factor: int = 2
    jitter_percent: int = 20
    wait_max: Duration = "30s"

    def __post_init__(self) -> None:
        self.form()

    def form(self) -> RetryForm:
        """As the intermediate form has it. Raises `DefinitionError` (AM1006)."""
        whole_number("Retry", "attempts", self.attempts, least=1, most=_ATTEMPTS_MAX)
        whole_number("Retry", "factor", self.factor, least=1, most=100)
        whole_number("Retry", "jitter_percent", self.jitter_percent, least=0, most=_PERCENT)
        return RetryForm(
            attempts=self.attempts,
            wait_ms=duration_ms("Retry", "wait", self.wait),
            factor=self.factor,
            jitter_percent=self.jitter_percent,
            wait_max_ms=duration_ms("Retry", "wait_max", self.wait_max),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Caps of one run. `usd` is money as text, `wall_time` a duration, `attempts` and `entries` are counts.

    Forward work may use 70 % of each; the rest is kept for settling and undo.
    """

    usd: str | None = None
    wall_time: Duration | None = None
    attempts: int | None = None
    entries: int | None = None

    def __post_init__(self) -> None:
        self.form()

    def form(self) -> BudgetForm:
        """As the intermediate form has it. Raises `DefinitionError` (AM1006)."""
        for name, count in (("attempts", self.attempts), ("entries", self.entries)):
            if count is not None:
                whole_number("Budget", name, count, least=1, most=10_000_000)
        return BudgetForm(
            usd=None if self.usd is None else _money(self.usd),
            wall_ms=None if self.wall_time is None else positive_ms("Budget", "wall_time", self.wall_time),
            attempts=self.attempts,
            entries=self.entries,
        )


def duration_ms(owner: str, option: str, duration: Duration) -> int:
    """Milliseconds of an option's duration. Raises `DefinitionError` (AM1006) at the caller's line."""
    try:
        return milliseconds(duration)
    except ValueError as error:
        raise bad_option(owner, option, str(error).partition(": ")[0], do=str(error).partition(": ")[2]) from None


def positive_ms(owner: str, option: str, duration: Duration) -> int:
    """Like `duration_ms`, but nothing that is over before it began."""
    found = duration_ms(owner, option, duration)
    if found == 0:
        raise bad_option(owner, option, "0 leaves no time at all", do="give it a longer one")
    return found


def bad_option(owner: str, option: str, what: str, *, do: str) -> DefinitionError:
    """The error of an option that has a value it can't have."""
    return DefinitionError.of("AM1006", f"{owner}({option}=…): {what}", do=do, at=here())


def here() -> Place:
    """Where the user's code stands now."""
    return spot_of(calling_frame()).place()


def whole_number(owner: str, option: str, value: object, *, least: int = 1, most: int = 2**53) -> None:
    """Raise `DefinitionError` (AM1006) unless the option is a whole number in this range."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise bad_option(owner, option, f"{value!r} will not do", do=f"give a whole number from {least} to {most}")


def _money(usd: object) -> str:
    text = str(usd) if isinstance(usd, str | int | Decimal) and not isinstance(usd, bool) else ""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not _MONEY.fullmatch(text) or amount <= 0:
        raise bad_option("Budget", "usd", f"{usd!r} is no amount of money", do='write it as text, for instance "2.00"')
    return text
