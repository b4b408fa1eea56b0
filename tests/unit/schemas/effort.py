"""What a reading costs, counted or timed so that a busy machine makes no difference."""

import sys
import time
from collections.abc import Callable
from types import FrameType


def calls(read: Callable[[], object]) -> int:
    """Calls that one reading makes, of Python's functions and of C's: the same number on any machine."""
    counted = 0

    def count(_frame: FrameType, event: str, _of: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        read()
    finally:
        sys.setprofile(None)
    return counted


def cpu_s(read: Callable[[], object]) -> float:
    """CPU time of the best of five readings: what a single C call may hide, and other programs do not add to."""
    taken: list[float] = []
    for _ in range(5):
        started = time.process_time()
        read()
        taken.append(time.process_time() - started)
    return min(taken)
