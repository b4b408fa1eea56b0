"""The figures as a table for people: min, median and max of the rounds, ratios round by round."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, log10
from statistics import median

from benchmarks.phases import IN_FLIGHT, Phase

PHASES = {
    "drained": f"{IN_FLIGHT} in flight, from a full topic",
    "together": f"{IN_FLIGHT} in flight, a trigger for each outcome",
    "alone": "one after the other",
}
CELL = "{:>27}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """One phase on one pair of store and bus: a figure of each contestant for each round."""

    name: str
    phase: str
    amends: list[Phase]
    ceiling: list[Phase]
    dbos: list[Phase]


def lines(contests: Sequence[Contest], *, machine: str) -> list[str]:
    rounds = len(contests[0].amends)
    found = [f"Sagas of 3 no-op steps, min - median - max of {rounds} rounds in turn ({machine})"]
    for contest in contests:
        found += ["", f"{contest.name}, {PHASES[contest.phase]}"]
        found.append(f"  {'':14}" + "".join(map(CELL.format, ("sagas/s", "p50 ms", "p99 ms", "CPU ms a saga"))))
        for name, phases in (("Amends", contest.amends), ("DBOS", contest.dbos), ("insert ceiling", contest.ceiling)):
            queued = contest.phase == "drained" and name == "Amends"
            figures: tuple[Callable[[Phase], float], ...] = (_per_s, _p50, _p99, _cpu)
            cells = [
                "in line" if queued and of in {_p50, _p99} else _spread([of(phase) for phase in phases])
                for of in figures
            ]
            found.append(f"  {name:14}" + "".join(map(CELL.format, cells)))
        found.append(f"  Amends / DBOS     {_ratio(contest.amends, contest.dbos)} times the sagas/s")
        found.append(f"  Amends / ceiling  {_ratio(contest.amends, contest.ceiling)} of the sagas/s")
    return found


def _ratio(ours: Sequence[Phase], theirs: Sequence[Phase]) -> str:
    return _spread([our.per_s / their.per_s for our, their in zip(ours, theirs, strict=True)])


def _spread(values: Sequence[float]) -> str:
    return " - ".join(map(_short, (min(values), median(values), max(values))))


def _short(value: float) -> str:
    """With three digits that mean something."""
    return f"{value:,.{max(0, 2 - floor(log10(value)))}f}" if value else "0"


def _per_s(phase: Phase) -> float:
    return phase.per_s


def _p50(phase: Phase) -> float:
    return phase.p50_ms


def _p99(phase: Phase) -> float:
    return phase.p99_ms


def _cpu(phase: Phase) -> float:
    return phase.cpu_ms
