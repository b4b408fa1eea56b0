"""Finding and importing an APP: a file, a folder or a module that binds sagas (contract, section 1)."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.definition.findings import DefinitionError, Finding, finding, nearest
from amends.coordinator.definition.places import shown
from amends.coordinator.definition.saga import Saga
from amends.coordinator.errors import NotFound, UsageError
from amends.coordinator.failures import told_by

_BUILD_LENGTH = 16

Bound = TypeVar("Bound")


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An APP that was loaded: its sagas, closed, by name and version."""

    name: str
    sagas: tuple[ClosedSaga, ...]
    """Those that triggers start."""
    parts: tuple[ClosedSaga, ...]
    """Those that are only called."""
    build: str
    """Digest of the APP's own files."""

    def by(self, name: str, version: int | None = None) -> ClosedSaga:
        """The saga of this name, of the highest version unless one is named. Raises `NotFound` (AM1103)."""
        sagas = (*self.sagas, *self.parts)
        named = [saga for saga in sagas if saga.name == name]
        found = [saga for saga in named if version in {None, saga.version}]
        if found:
            return max(found, key=lambda saga: saga.version)
        if named:
            known = ", ".join(f"v{saga.version}" for saga in named)
            raise NotFound("AM1103", f"APP {self.name!r} has no saga {name!r} v{version}", do=f"there is {known}")
        hint = nearest(name, {saga.name for saga in sagas})
        raise NotFound("AM1103", f"APP {self.name!r} has no saga {name!r}", do=hint)

    @property
    def current(self) -> tuple[ClosedSaga, ...]:
        """Of each name the highest version: what new triggers take."""
        return tuple(self.by(name) for name in sorted({saga.name for saga in self.sagas}))


def load_app(app: str) -> App:
    """Import an APP and close its sagas. Raises `UsageError`: not found, not importable, or `DefinitionError`."""
    modules = _import(app)
    sagas = _sagas(app, modules)
    closed = tuple(saga.close() for saga in sagas)
    return App(
        name=app,
        sagas=tuple(saga for saga in closed if saga.topic.name),
        parts=tuple(saga for saga in closed if not saga.topic.name),
        build=_build(modules),
    )


def check_app(app: str) -> list[Finding]:
    """Every broken rule in an APP, errors and warnings, by place. Raises `UsageError` where it cannot be imported."""
    try:
        sagas = _sagas(app, _import(app))
    except DefinitionError as error:
        return list(error.findings)
    found = [each for saga in sagas for each in saga.check()]
    return sorted(set(found), key=lambda each: (each.file or "", each.line or 0, each.column or 0, each.code))


def bound_in(app: str, kind: type[Bound]) -> list[Bound]:
    """Everything of this kind that an APP's modules bind, each once. Raises `UsageError` as `load_app` does."""
    found = [value for module in _import(app) for value in vars(module).values() if isinstance(value, kind)]
    return list({id(value): value for value in found}.values())


def _import(app: str) -> list[ModuleType]:
    path = Path(app)
    if app.endswith(".py") or "/" in app or path.exists():
        if not path.exists():
            raise UsageError(
                "AM1100", f"APP {app!r}: no such file or folder", do="check the path, seen from the working folder"
            )
        return [_module_of_file(app, each) for each in _files(app, path.resolve())]
    _first_on_path(Path.cwd())
    return [_import_module(app, app)]


def _files(app: str, path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if (path / "__init__.py").exists():
        return [path / "__init__.py"]
    files = sorted(each for each in path.glob("*.py") if each.is_file())
    if not files:
        raise UsageError("AM1100", f"APP {app!r}: no .py file in this folder", do="name the file that binds the sagas")
    return files


def _module_of_file(app: str, file: Path) -> ModuleType:
    """Import a file under the name its own package gives it, else under its stem with its folder on the path."""
    parts = [file.stem] if file.stem != "__init__" else []
    folder = file.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    _first_on_path(folder)
    if len(parts) > 1 or file.stem == "__init__":
        return _import_module(app, ".".join(parts))
    return _run_file(app, file)


def _run_file(app: str, file: Path) -> ModuleType:
    loaded = sys.modules.get(file.stem)
    taken = loaded is not None and _file_of(loaded) != file
    name = f"amends_app_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}_{file.stem}" if taken else file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError("AM1100", f"APP {app!r} is not a Python file", do="name a .py file, a folder or a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise _failed(app, error) from error
    return module


def _import_module(app: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                "AM1100",
                f"APP {app!r}: there is no module {error.name!r} here",
                do="name a file (it ends in .py or has a /), a folder, or a module found from the working folder",
            ) from None
        raise _failed(app, error) from error
    except (Exception, SystemExit) as error:
        raise _failed(app, error) from error


def _failed(app: str, error: BaseException) -> UsageError:
    if isinstance(error, UsageError):
        return error
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{shown(error.filename)}:{error.lineno or 1}:{error.offset or 1}"
        what = f"{type(error).__name__}: {error.msg}"
    else:
        place, what = _place(error), f"{type(error).__name__}: {told_by(error)}"
    return UsageError(
        "AM1101", f"APP {app!r} cannot be imported: {place}: {what}", do="mend that line; AMENDS_LOG=debug shows all"
    )


def _place(error: BaseException) -> str:
    """The innermost line of the user's own: neither ours, nor the import machinery's, nor a library's."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    own = [each for each in frames if not _is_library(Path(each.filename))]
    found = (own or frames)[-1]
    column = f":{found.colno + 1}" if found.colno is not None else ""
    return f"{shown(found.filename)}:{found.lineno}{column}"


def _sagas(app: str, modules: list[ModuleType]) -> list[Saga[object]]:
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Saga)}
    sagas = sorted(found.values(), key=lambda saga: (saga.name, saga.version))
    if not sagas:
        where = ", ".join(shown(str(_file_of(module))) for module in modules)
        raise UsageError(
            "AM1102", f"APP {app!r} binds no saga ({where})", do='write refund = Saga("refund", …) in it, or import one'
        )
    _refuse_twins(sagas)
    return sagas


def _refuse_twins(sagas: Iterable[Saga[object]]) -> None:
    seen: dict[tuple[str, int], Saga[object]] = {}
    for saga in sagas:
        other = seen.setdefault((saga.name, saga.version), saga)
        if other is not saga:
            raise DefinitionError(
                [
                    finding(
                        "AM1008",
                        f"there are two sagas {saga.name!r} v{saga.version}; the other is at {other.place}",
                        do="raise the version of one, or give it another name",
                        at=saga.place,
                        saga=saga.name,
                    )
                ]
            )


def _build(modules: list[ModuleType]) -> str:
    """Digest over the APP's files: those it was loaded from, and what they import from beside them."""
    folders = {file.parent for module in modules if (file := _file_of(module))}
    digest = hashlib.sha256()
    for file in sorted(set(_loaded_below(folders))):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:_BUILD_LENGTH]


def _loaded_below(folders: set[Path]) -> Iterator[Path]:
    for module in list(sys.modules.values()):
        file = _file_of(module)
        if (
            file
            and file.suffix == ".py"
            and not _is_library(file)
            and any(file.is_relative_to(each) for each in folders)
        ):
            yield file


def _file_of(module: ModuleType) -> Path | None:
    file = inspect.getattr_static(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _is_library(file: Path) -> bool:
    return "site-packages" in file.parts or any(file.is_relative_to(each) for each in (_STDLIB, _OURS))


_STDLIB = Path(inspect.__file__).parent
_OURS = Path(__file__).parents[1]


def _first_on_path(folder: Path) -> None:
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
