"""Progress on stderr of what takes longer than a second, where stderr is a terminal (contract, section 2)."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

AFTER_S: Final = 1.0


@contextmanager
def progress(what: str, *, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Give a function that says how much more is done. Without a total the bar only shows that something goes on."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = _Bar(what, total)
    timer = threading.Timer(AFTER_S, bar.appear)
    timer.daemon = True
    timer.start()
    try:
        yield bar.advance
    finally:
        timer.cancel()
        bar.vanish()


class _Bar:
    """Counts from the start, but shows itself only when it is told to."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._total = what, total
        self._done = 0
        self._shown: tuple[Progress, TaskID] | None = None
        self._over = False
        self._lock = threading.Lock()

    def advance(self, more: int) -> None:
        with self._lock:
            self._done += more
            if self._shown is not None:
                bar, task = self._shown
                bar.update(task, completed=self._done)

    def appear(self) -> None:
        """Show what was counted so far; refreshed by a thread of its own."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = [TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()]
        if self._total is not None:
            columns.insert(2, MofNCompleteColumn())
        with self._lock:
            if self._over:
                return
            bar = Progress(
                *columns,
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._shown = bar, bar.add_task(self._what, total=self._total, completed=self._done)
            bar.start()

    def vanish(self) -> None:
        """Leave nothing behind."""
        with self._lock:
            self._over = True
            if self._shown is not None:
                self._shown[0].stop()
