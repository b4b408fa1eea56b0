"""The files that an APP is made of, and which of them have changed.

They are looked at several times a second rather than watched by the kernel: that takes a millisecond for a hundred
files, needs no library, and works on every file system, those of containers and networks included.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from amends.coordinator.errors import UsageError

FILES_MAX: Final = 5_000
SUFFIXES: Final = (".py", ".avsc")
_NOT_SOURCES: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})

Stamp = tuple[int, int, int]
"""When it was changed, how large it is, and which file it is: an editor may put another in its place."""
Snapshot = Mapping[Path, Stamp]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFiles:
    """All sources below `folders`, and these `files`."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...] = ()

    def snapshot(self) -> Snapshot:
        """How they are now. Raises `UsageError` (AM5055) where there are too many."""
        found = {file: stamp for file in self.files if (stamp := _stamp(file)) is not None}
        for folder in self.folders:
            for file in _sources(folder):
                if (stamp := _stamp(file)) is not None:
                    found[file] = stamp
                if len(found) > FILES_MAX:
                    raise UsageError(
                        "AM5055",
                        f"there are more than {FILES_MAX} source files below {folder}",
                        do="move the APP into a folder of its own, or leave --reload out",
                    )
        return found


def sources_of(apps: tuple[str, ...], *files: Path) -> SourceFiles:
    """What is below the folders of these APPs, and these files."""
    return SourceFiles(folders=tuple(sorted({_folder(app) for app in apps})), files=files)


def changed(before: Snapshot, now: Snapshot) -> list[Path]:
    """Which were written, made or removed."""
    return sorted(file for file in before.keys() | now.keys() if before.get(file) != now.get(file))


def _folder(app: str) -> Path:
    """Where its sources are: found as the APP itself is, without importing it."""
    path = Path(app)
    if app.endswith(".py") or "/" in app or path.exists():
        return (path if path.is_dir() else path.parent).resolve()
    package = app.partition(".")[0]
    for candidate in (Path.cwd() / package, Path.cwd() / f"{package}.py"):
        if candidate.exists():
            return candidate if candidate.is_dir() else candidate.parent
    spec = find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else Path.cwd()


def _sources(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [
            each
            for each in folders
            if not each.startswith(".")
            and each not in _NOT_SOURCES
            and not os.path.lexists(f"{parent}/{each}/pyvenv.cfg")
        ]
        yield from (Path(parent, file) for file in files if file.endswith(SUFFIXES) and not file.startswith("."))


def _stamp(file: Path) -> Stamp | None:
    try:
        found = file.stat()
    except OSError:  # It is gone again, or may not be read: the APP itself will say so.
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
