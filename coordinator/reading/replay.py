"""Replay: fold a recorded history with today's code, cut off from the world (rule 21)."""

import os
import sys
from collections.abc import Sequence
from typing import Final

from amends.coordinator.errors import FoundFault, NotFound
from amends.coordinator.reading.history import Moment
from amends.coordinator.reading.verify import Chain, Report
from amends.schemas.entry import MalformedEntry, decode
from amends.schemas.ids import SagaId

_WORLD: Final = (
    "socket.",
    "sqlite3.connect",
    "subprocess.",
    "os.chflags",
    "os.chmod",
    "os.chown",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.link",
    "os.mkdir",
    "os.posix_spawn",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.setxattr",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.system",
    "os.truncate",
    "os.utime",
    "ctypes.",
    "pty.",
    "shutil.",
    "smtplib.",
    "urllib.",
)
"""Audit events (PEP 578) of the interpreter that reach the world; files are opened for reading only."""
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ReachedOut(RuntimeError):
    """The replay tried to reach the world: a bug, stopped before it did."""


def cut_off() -> None:
    """From here to its end this process opens no socket, database or process, and writes no file.

    The interpreter itself enforces it: an audit hook cannot be removed again.
    """
    sys.addaudithook(_refuse)


def replayed(entries: Sequence[bytes], *, until: int | None = None) -> list[Moment]:
    """Every entry and the state after it. Raises `FoundFault` (AM5041) for a history that is broken."""
    report = Report()
    moments: list[Moment] = []
    chain: Chain | None = None
    for data in _once_each(entries):
        chain = chain or Chain(_saga_id(data), report)
        entry = chain.take(data)
        if report.faults:
            fault = report.faults[0]
            raise FoundFault(
                "AM5041",
                f"version {fault.version} of run {fault.saga_id} is broken ({fault.fault}): {fault.detail}",
                do="`amends audit verify` names every fault",
            )
        assert entry is not None, "a sound entry was folded"
        assert chain.state is not None, "a sound entry was folded"
        if until is not None and entry.version > until:
            break
        moments.append(Moment(entry=entry, data=data, state=chain.state))
    if not moments or (until is not None and moments[-1].entry.version != until):
        what = "the run has no entries there" if not moments else f"the run has no version {until}"
        raise NotFound("AM5012", what, do="`amends audit tail RUN` shows what there is")
    return moments


def _once_each(entries: Sequence[bytes]) -> list[bytes]:
    """Without exact repetitions, which a relay may publish."""
    return list(dict.fromkeys(entries))


def _saga_id(data: bytes) -> SagaId:
    try:
        return decode(data).saga_id
    except MalformedEntry:
        return SagaId("?")


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        _, mode, flags = arguments
        by_mode = isinstance(mode, str) and bool(set(mode) & set("wax+"))
        if by_mode or (isinstance(flags, int) and flags & _WRITING):
            raise ReachedOut(f"a replay may not write files: {arguments[0]}")
    elif event.startswith(_WORLD) and event != "socket.close":
        raise ReachedOut(f"a replay may not reach the world: {event}")
