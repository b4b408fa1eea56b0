"""`amends dev --reload`: a parent that watches the sources, and a child that runs them.

New code is loaded by a process of its own first. Only if that succeeds is the child stopped, as by SIGTERM, and the
next one started: runs in flight go on where they were. Code that cannot be loaded is told in one line, and the former
child goes on. What is said of it has the form of the child's log: text on a terminal, JSON lines elsewhere.
"""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

from amends.coordinator.cli.apps import app_names
from amends.coordinator.cli.call import Call
from amends.coordinator.cli.failing import INTERRUPTED
from amends.coordinator.cli.logs import set_level
from amends.coordinator.cli.output import note
from amends.coordinator.cli.reloaded import LOAD
from amends.coordinator.cli.source_files import Snapshot, SourceFiles, changed, sources_of
from amends.coordinator.config import DEFAULT_FILE, load
from amends.coordinator.errors import Conflict, UsageError
from amends.coordinator.redaction import redact

LOOK_S: Final = 0.25
STOP_WITHIN_S: Final = 6.0
"""A child ends by itself within less, whatever its handlers do."""
LISTED_MAX: Final = 3

log = logging.getLogger("amends.dev")


class Watched(NamedTuple):
    """What is loaded, and the files that it is made of."""

    apps: tuple[str, ...]
    sources: SourceFiles


async def serve_reloaded(call: Call, app: str | None, *, allow_missing: bool) -> int:
    """Run `amends dev` until it is stopped, again after each change; 0, or 130 after Ctrl-C."""
    set_level(call.settings.log)
    command = ["dev", *([app] if app is not None else []), *_options(call, allow_missing=allow_missing)]
    async with _Children() as children:
        return await _Reloading(lambda: _watched(call, app), children, command=command).run()


def _watched(call: Call, app: str | None) -> Watched:
    """As the settings say it now: without APP they name the sagas, and they are among what is watched."""
    loaded = load(call.flags, config=call.config)
    apps = app_names(app, loaded.settings)
    return Watched(apps, sources_of(apps, (loaded.file or Path(DEFAULT_FILE)).resolve()))


def _options(call: Call, *, allow_missing: bool) -> list[str]:
    given = [("config", str(call.config))] if call.config is not None else []
    given += [(name.replace("_", "-"), value) for name, value in call.flags.items() if value is not None]
    flags = ["--allow-missing"] if allow_missing else []
    return [f"--output={call.output.value}", *(f"--{name}={value}" for name, value in given), *flags]


class _Children:
    """Starts processes that end with this one: each has the end of a pipe that only this one holds open."""

    async def __aenter__(self) -> Self:
        self._lifeline, self._held = os.pipe()
        return self

    async def __aexit__(self, *_: object) -> None:
        os.close(self._held)
        os.close(self._lifeline)

    async def start(self, *command: str) -> Process:
        """In a session of its own: a signal from the terminal reaches it through us, once."""
        program = [sys.executable, "-m", "amends.coordinator.cli.reloaded", str(self._lifeline), *command]
        return await asyncio.create_subprocess_exec(*program, pass_fds=[self._lifeline], start_new_session=True)


class _Reloading:
    """One child at a time, and what is to be done when its sources change or a signal comes."""

    def __init__(self, watched: Callable[[], Watched], children: _Children, *, command: list[str]) -> None:
        self._watched = watched
        self._apps, self._sources = watched()
        self._children = children
        self._command = command
        self._child: Process | None = None
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._stop, signum)
        seen = self._sources.snapshot()
        self._child = await self._children.start(*self._command)
        while (now := await self._next(seen)) is not None:
            _tell_of_change([file.name for file in changed(seen, now)])
            seen = now
            before = self._sources
            if self._has_settings():
                seen = now if self._sources == before else await asyncio.to_thread(self._sources.snapshot)
                await self._replace(seen)
        await self._end_child()
        return self._code

    def _stop(self, signum: signal.Signals) -> None:
        """What was asked for first says how we end; a second Ctrl-C waits for no handler."""
        if self._stopping.is_set():
            if signum is signal.SIGINT and self._child is not None:
                _signalled(self._child, signal.SIGKILL)
            return
        self._code = INTERRUPTED if signum is signal.SIGINT else 0
        self._stopping.set()

    async def _next(self, seen: Snapshot) -> Snapshot | None:
        """The sources once they are others than those and stay so for a moment; None when it is time to stop."""
        told = False
        while not self._stopping.is_set():
            if not told and self._child is not None and self._child.returncode is not None:
                told = self._tell_of_end(self._child.returncode)
            now = await asyncio.to_thread(self._sources.snapshot)
            if now != seen and now == await self._later():
                return now
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), LOOK_S)
        return None

    async def _later(self) -> Snapshot:
        """An editor, or git, writes several files: not all of them at once."""
        await asyncio.sleep(LOOK_S / 2)
        return await asyncio.to_thread(self._sources.snapshot)

    def _tell_of_end(self, code: int) -> bool:
        """It said why it ended. Somebody else's lock does not go away by a change of the code."""
        if code == Conflict.exit_code:
            self._code = code
            self._stopping.set()
        else:
            _tell("waiting_for_change", "waiting for a change")
        return True

    def _has_settings(self) -> bool:
        """Whether they can be read; what they name is watched from now on."""
        try:
            self._apps, self._sources = self._watched()
        except UsageError as error:
            note(redact(error.line()))
            self._tell_of_former()
            return False
        return True

    def _tell_of_former(self) -> None:
        if self._child is not None and self._child.returncode is None:
            _tell("former_code_goes_on", "the former code goes on; waiting for a change")
        else:
            _tell("waiting_for_change", "waiting for a change")

    async def _replace(self, seen: Snapshot) -> None:
        """Start the next child, if it has something to run."""
        runs_on = self._child is not None and self._child.returncode is None
        if runs_on and not await self._can_be_loaded(seen):
            return
        await self._end_child()
        if not self._stopping.is_set():
            self._child = await self._children.start(*self._command)

    async def _can_be_loaded(self, seen: Snapshot) -> bool:
        """Not where we are stopped, or the sources change again, before that is known: an import may never end."""
        trial = await self._children.start(LOAD, *self._apps)
        while trial.returncode is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(trial.wait(), LOOK_S)
            if self._stopping.is_set() or await asyncio.to_thread(self._sources.snapshot) != seen:
                _signalled(trial, signal.SIGKILL)
                await trial.wait()
                return False
        if trial.returncode != 0:
            self._tell_of_former()
        return trial.returncode == 0

    async def _end_child(self) -> None:
        if self._child is None:
            return
        _signalled(self._child, signal.SIGTERM)
        try:
            await asyncio.wait_for(self._child.wait(), STOP_WITHIN_S)
        except TimeoutError:
            _signalled(self._child, signal.SIGKILL)
            await self._child.wait()


def _tell_of_change(names: list[str]) -> None:
    more = f" and {len(names) - LISTED_MAX} more" if len(names) > LISTED_MAX else ""
    _tell("sources_changed", f"↻ {', '.join(names[:LISTED_MAX])}{more} changed", files=names)


def _tell(event: str, text: str, **facts: object) -> None:
    """A sentence for who sits before the terminal, a line of the log for who reads it later."""
    if sys.stderr.isatty():
        note(text)
    else:
        log.info(event, extra=facts)


def _signalled(child: Process, signum: signal.Signals) -> None:
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.send_signal(signum)
