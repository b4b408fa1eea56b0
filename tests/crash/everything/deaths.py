"""Where a process dies, as by `kill -9`: directly before or after a commit, counted from 1.

A worker dies at an entry of the log: its entries are there and nothing that follows from them is done ("after"), or
what they tell of has happened and they are not there ("before"). The second process dies at a commit of its own
database: of a command with its reply, which is published next, or of the note that the reply was published.
"""

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any, Literal, TypedDict

from amends.connectors.participant.inbox import CommandInbox
from amends.connectors.stores.sqlite import SqliteStore
from amends.coordinator.ports.rows import Batch


class Death(TypedDict):
    """Who dies, when, and at which entry or commit."""

    who: Literal["worker", "band"]
    when: Literal["before", "after"]
    at: int


def die_as_told(death: Death | None) -> None:
    """Prepare this process for it."""
    if death is None:
        return
    if death["who"] == "worker":
        _die_at_entry(death)
    else:
        _die_at_commit(death)


def _die_at_entry(death: Death) -> None:
    append, written = SqliteStore.append, _entries()

    def deadly(self: SqliteStore, batch: Batch) -> None:
        nonlocal written
        written += sum(len(part.entries) for part in batch.appends)
        if death["when"] == "after":
            append(self, batch)
        if written >= death["at"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if death["when"] == "before":
            append(self, batch)

    SqliteStore.append = deadly  # type: ignore[method-assign]


def _entries() -> int:
    with closing(sqlite3.connect("file:.amends/amends.db?mode=ro", uri=True)) as store:
        return int(store.execute("SELECT count(*) FROM events").fetchone()[0])


def _die_at_commit(death: Death) -> None:
    commits = 0

    def deadly(commit: Callable[..., Any]) -> Callable[..., Any]:
        def deadly(self: CommandInbox, what: object) -> object:
            nonlocal commits
            commits += 1
            if commits < death["at"]:
                return commit(self, what)
            if death["when"] == "after":
                commit(self, what)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("nothing comes after that")

        return deadly

    for name in ("take", "sent"):
        setattr(CommandInbox, name, deadly(getattr(CommandInbox, name)))
