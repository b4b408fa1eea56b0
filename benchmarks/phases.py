"""What one program measures and how it tells: a line of JSON for each phase. Both environments import this."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

IN_FLIGHT = 64
WARM_UP = 1_000
"""Runs before the clock starts: imports, caches, connections, prepared statements, and until a write-ahead log has its
full length; to sync a file that still grows takes about twice as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase of one program; latencies from the commit of the trigger to the commit of the outcome."""

    name: str
    count: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Of the measured process, all its threads, for each run; servers not included."""
    commits: int = 0
    """Transactions that appended to the log."""

    @classmethod
    def of(cls, name: str, *, latencies_s: Sequence[float], elapsed_s: float, cpu_s: float, commits: int = 0) -> Self:
        ordered, count = sorted(latencies_s), len(latencies_s)
        return cls(
            name=name,
            count=count,
            per_s=count / elapsed_s,
            p50_ms=ordered[count // 2] * 1000,
            p99_ms=ordered[count * 99 // 100] * 1000,
            cpu_ms=cpu_s / count * 1000,
            commits=commits,
        )


def keys_of(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


def rounds_of(alone: int, together: int) -> dict[str, tuple[int, int]]:
    """Amends' phases: how many runs, and how many of them the publisher keeps in flight."""
    return {"alone": (alone, 1), "together": (together, IN_FLIGHT), "drained": (together, together)}


def all_keys_of(alone: int, together: int, *more: str) -> list[str]:
    """Keys of every run of a program; `more` phases are as large as `together`."""
    counts = {"warm": WARM_UP, "alone": alone, "together": together, **dict.fromkeys(more, together)}
    return [key for name, count in counts.items() for key in keys_of(name, count)]


def tell(phase: Phase) -> None:
    print(json.dumps(asdict(phase)), flush=True)


def told(output: str) -> dict[str, Phase]:
    """The phases that a program told, by name."""
    phases = [Phase(**json.loads(line)) for line in output.splitlines() if line.startswith("{")]
    return {phase.name: phase for phase in phases}
