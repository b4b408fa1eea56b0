"""Golden histories of users: runs recorded as files, and decided again by the code of today.

`DIR/NAME.jsonl` holds a run's entries, exactly as the store does, one a line; `DIR/NAME.values.json` the values that
are not within the entries, by digest; `DIR/definitions/HASH.json` the definition that the run is pinned to. Of a run
that is sealed the entries are written anew, with placeholders for whatever is somebody's.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from amends.coordinator.definition.form import DefinitionForm, StoredDefinition, graph_hash, read_stored
from amends.coordinator.errors import NotFound, UsageError
from amends.coordinator.ports.rows import RunRow
from amends.coordinator.ports.store import LogReading
from amends.coordinator.reading.history import stored
from amends.coordinator.reading.opening import ERASED, SEALED, Opening, is_sealed, said_of
from amends.coordinator.sealing.keys import MARK
from amends.coordinator.testing.anonymous import anonymous
from amends.coordinator.testing.golden_run import Golden
from amends.schemas.canonical import encode
from amends.schemas.entry import Entry, External, Inline, MalformedEntry, decode

HISTORIES_MAX: Final = 10_000
DEFINITIONS: Final = "definitions"
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")
NAME_LENGTH_MAX: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was written down: its name in the folder, and whether placeholders stand for what was sealed."""

    name: str
    placeholders: bool


def record(store: LogReading, row: RunRow, folder: Path) -> Recorded:
    """Write a run down. Of one that is sealed, placeholders stand for what is somebody's.

    Raises `UsageError`: AM5111 for a sealed run that nobody can open, AM0331 without the master key.
    """
    entries = [decode(each.data) for each in stored(store, row.saga_id)]
    definition = store.definition(entries[0].definition_hash)
    if definition is None:
        raise NotFound(
            "AM5112",
            f"the definition of run {row.saga_id} is not in the store",
            do="`amends doctor` and `amends audit verify` say what else is missing",
        )
    name, found = _name_of(row, entries[0]), read_stored(definition.body)
    sealed = is_sealed(entries[0])
    if sealed:
        files = _without_anybody(store, row, entries, found)
    else:
        external = {key for entry in entries for key, each in entry.payloads.items() if isinstance(each, External)}
        values = {key: data.decode() for key in sorted(external) if (data := store.blob(key)) is not None}
        files = {".jsonl": _lines(each.data for each in stored(store, row.saga_id))}
        if values:
            text = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False)
            files[".values.json"] = text.encode() + b"\n"
    written = {f"{name}{suffix}": data for suffix, data in files.items()}
    _write(folder, {**written, f"{DEFINITIONS}/{definition.hash}.json": encode(found.form) + b"\n"})
    return Recorded(name=name, placeholders=sealed)


def _without_anybody(
    store: LogReading, row: RunRow, entries: list[Entry], definition: StoredDefinition
) -> dict[str, bytes]:
    """A sealed run with placeholders. It is opened to see their shape, and which of them decide alike."""
    opening = Opening(store)
    values = {}
    for entry in entries:
        for key, payload in entry.payloads.items():
            found = opening.value(key, payload)
            if found == said_of(ERASED, key):
                raise _closed(row, "its subject was erased", do="record another run")
            if found is None or found == said_of(SEALED, key):
                store.master()  # Says what is wrong where there is none.
                raise _closed(row, "this is not the master key of its time", do="set the one that it was sealed under")
            values[key] = found
    silent = Opening()
    golden = anonymous([silent.entry(each) for each in entries], values, definition)
    data = _lines(encode(each) for each in golden.entries)
    assert MARK.encode() not in data, "no text of the run is sealed any more"
    return {".jsonl": data}


def _closed(row: RunRow, why: str, *, do: str) -> UsageError:
    return UsageError("AM5111", f"run {row.saga_id} is sealed, and cannot be opened: {why}", do=do)


def _lines(entries: Iterable[bytes]) -> bytes:
    return b"".join(entry + b"\n" for entry in entries)


def read_all(folder: Path) -> Iterator[Golden]:
    """The recorded runs of a folder, by name. Raises `UsageError` (AM5110) for what cannot be read."""
    if not folder.is_dir():
        raise UsageError("AM5110", f"{str(folder)!r} is no folder", do="name the folder that was recorded into")
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise UsageError(
            "AM5110",
            f"there is no recorded run in {str(folder)!r}",
            do="record one: amends testing record RUN --to DIR",
        )
    if len(files) > HISTORIES_MAX:
        raise UsageError(
            "AM5110", f"{str(folder)!r} holds {len(files)} runs, and {HISTORIES_MAX} are the limit", do="keep fewer"
        )
    for file in files:
        yield _read(folder, file)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        (folder / DEFINITIONS).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise UsageError(
            "AM5113", f"{str(folder)!r} cannot be written: {error.strerror}", do="name a folder that can be"
        ) from error


def _read(folder: Path, file: Path) -> Golden:
    try:
        entries = tuple(decode(line) for line in file.read_bytes().splitlines() if line)
        digest = entries[0].definition_hash
        definition = (folder / DEFINITIONS / f"{digest}.json").read_bytes()
        form = _form(definition, digest)
        beside = file.with_suffix(".values.json")
        values = {name: text.encode() for name, text in _external(beside).items()}
    except (OSError, ValueError, IndexError, MalformedEntry, msgspec.MsgspecError) as error:
        raise UsageError(
            "AM5110",
            f"the history {file.name!r} cannot be read: {type(error).__name__}: {error}",
            do="take it as it was recorded, or record it anew",
        ) from error
    inline = {
        key: payload.inline.encode()
        for entry in entries
        for key, payload in entry.payloads.items()
        if isinstance(payload, Inline)
    }
    return Golden(name=file.stem, entries=entries, form=form, values={**values, **inline})


def _form(definition: bytes, digest: str) -> DefinitionForm:
    form = msgspec.json.decode(definition, type=DefinitionForm)
    if graph_hash(form) != digest:
        raise ValueError(f"definitions/{digest}.json is another definition")
    return form


def _external(file: Path) -> dict[str, str]:
    return msgspec.json.decode(file.read_bytes(), type=dict[str, str]) if file.exists() else {}


def _name_of(row: RunRow, first: Entry) -> str:
    """`refund-R-77`, `refund-R-77-2` for what a person had carried out anew."""
    again = f"-{row.generation + 1}" if row.generation else ""
    name = _UNFIT.sub("_", f"{first.saga}-{row.idempotency_key}")[:NAME_LENGTH_MAX]
    return f"{name}{again}"
