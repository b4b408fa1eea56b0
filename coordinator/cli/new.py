"""`amends new`: a project that runs at once, written whole or not at all."""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, WRITE
from amends.coordinator.errors import AmendsError, Conflict, UsageError

TEMPLATES: Final = Path(__file__).with_name("new_project")
SUFFIX: Final = ".in"
_NAME: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_DOTTED: Final = {"gitignore": ".gitignore"}
"""A template that had its real name would be followed here, in this project."""


@command(APP, "new", panel=WRITE, example="amends new shop")
def new(call: Call, name: Annotated[str, typer.Argument(metavar="NAME", help="What the folder is called.")]) -> None:
    """Write a project folder that runs at once: a saga, its tests, a Makefile, settings."""
    import amends
    from amends.coordinator.cli.output import room, show
    from amends.coordinator.reading.folding import fitting

    _refuse_bad_name(name)
    folder = Path(name)
    chosen = {name: value for name, value in call.flags.items() if value is not None}
    texts = {**_filled(name, amends.__version__), "amends.toml": _settings(chosen)}
    _write(folder, texts, secret="store" in chosen)  # its URL may hold a password
    facts = {"folder": str(folder), "files": sorted(texts)}
    written = fitting(f"✔ {folder}/ with {', '.join(sorted(texts))}", first="", rest="  ", width=room(sys.stdout))
    show(call, facts, lambda: "\n".join([*written, f"next: cd {name} && {_make()}"]))


def _refuse_bad_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            "AM5052",
            f"{name!r} is no name of a project",
            do="use letters, digits, _ and -, from a letter to a letter or digit, 63 at most",
        )
    if name.lower() == "amends":
        raise UsageError("AM5052", f"{name!r} is Amends' own name", do="call the project something else, such as shop")


def _filled(name: str, version: str) -> dict[str, str]:
    found = {}
    for file in sorted(TEMPLATES.glob(f"*{SUFFIX}")):
        path = file.name.removesuffix(SUFFIX)
        text = file.read_text(encoding="utf-8").replace("@NAME@", name).replace("@VERSION@", version)
        found[_DOTTED.get(path, path)] = text
    return found


def _settings(flags: dict[str, str]) -> str:
    """As `amends init` writes them: those given as flags, the others as comments."""
    from amends.coordinator.cli.storing import settings_text
    from amends.coordinator.config import Settings, load

    load(flags)  # It says which value is wrong.
    chosen = {"sagas": ("sagas.py",), **flags}
    return settings_text(Settings(**chosen), chosen)  # type: ignore[arg-type]  # pydantic reads them


def _write(folder: Path, texts: dict[str, str], *, secret: bool) -> None:
    """Beside its place first, then all at once. An empty folder is taken, anything else is refused."""
    if os.path.lexists(folder) and not (folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())):
        raise _taken(folder)
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _not_written(folder, error) from None
    try:
        unfinished.chmod(0o777 & ~_umask())
        for path, text in texts.items():
            (unfinished / path).write_text(text, encoding="utf-8")
        if secret:
            (unfinished / "amends.toml").chmod(0o600)
        unfinished.rename(folder)
    except FileExistsError:
        raise _taken(folder) from None
    except OSError as error:
        raise (_taken(folder) if folder.exists() and any(folder.iterdir()) else _not_written(folder, error)) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _taken(folder: Path) -> AmendsError:
    return Conflict("AM5053", f"{folder} is there already, and not empty", do="choose another name, or move it")


def _not_written(folder: Path, error: OSError) -> AmendsError:
    return UsageError("AM5054", f"{folder} cannot be written: {error.strerror}", do="run it in a folder you may write")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _make() -> str:
    """`make test`, and with which Python where the shell's own has no Amends."""
    found = shutil.which("python3")
    ours = found is not None and Path(found).parent == Path(sys.executable).parent
    return "make test" if ours else f"make test PYTHON={sys.executable}"
