"""What is wrong, or doubtful, with a definition: a code, a message, the place, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal, Self

import msgspec

from amends.coordinator.definition.places import Place, shown
from amends.coordinator.definition.rules.table import RULES
from amends.coordinator.errors import UsageError

Severity = Literal["error", "warning"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One broken rule. `file` is as a person in the working folder calls it; line and column count from 1."""

    code: str
    severity: Severity
    message: str
    hint: str
    file: str | None
    line: int | None
    column: int | None
    saga: str | None = None

    def text(self) -> str:
        """The line `amends check` prints: `sagas.py:12:5: error AM1050: message; hint`."""
        place = f"{self.file}:{self.line}:{self.column}: " if self.file else ""
        return f"{place}{self.severity} {self.code}: {self.message}; {self.hint}"


def finding(code: str, message: str, *, do: str, at: Place | None, saga: str | None = None) -> Finding:
    """Make a finding of a rule in the table, which gives the severity."""
    return Finding(
        code=code,
        severity=RULES[code].severity,
        message=message,
        hint=do,
        file=shown(at.file) if at else None,
        line=at.line if at else None,
        column=at.column if at else None,
        saga=saga,
    )


class DefinitionError(UsageError):
    """A saga definition breaks rules: `findings` are all that were seen, the first of them is the error's text."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        first, rest = self.findings[0], len(self.findings) - 1
        place = f"{first.file}:{first.line}:{first.column}: " if first.file else ""
        more = f" (and {rest} more: `amends check` lists them)" if rest else ""
        super().__init__(first.code, f"{place}{first.message}", do=f"{first.hint}{more}")

    @classmethod
    def of(cls, code: str, message: str, *, do: str, at: Place | None, saga: str | None = None) -> Self:
        """Make the error of a single finding."""
        return cls([finding(code, message, do=do, at=at, saga=saga)])


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known one, else all there are."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    shown_names = ", ".join(repr(each) for each in names[:10]) + (" …" if len(names) > 10 else "")  # noqa: PLR2004
    return f"there is {shown_names}" if names else "there is none"
