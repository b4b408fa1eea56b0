"""Between the port's rows and the columns of the tables."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from amends.coordinator.ports.rows import DeadLetterRow, LocalRecord, RunRow
from amends.schemas.canonical import sha256_hex
from amends.schemas.events import Origin

RUN_COLUMNS: Final = RunRow.__struct_fields__
DEAD_LETTER_COLUMNS: Final = DeadLetterRow.__struct_fields__
DEAD_LETTER_STORED: Final = (*DEAD_LETTER_COLUMNS, "digest")

_headers: Final = msgspec.json.Decoder(tuple[tuple[str, bytes], ...])
_origins: Final = msgspec.json.Decoder(tuple[Origin, ...])
_encode: Final = msgspec.json.Encoder().encode

SELECT_RUN: Final = f"""SELECT {", ".join(f"r.{column}" for column in RUN_COLUMNS)}, d.count, d.origins
    FROM runs r LEFT JOIN duplicates d ON d.saga_id = r.saga_id"""


def _select_dead_letter(**instead: str) -> str:
    columns = (instead.get(column, f'"{column}"') for column in DEAD_LETTER_COLUMNS)
    return f"SELECT {', '.join(columns)} FROM dead_letters"


SELECT_DEAD_LETTER: Final = _select_dead_letter()
SELECT_DEAD_LETTER_FACTS: Final = _select_dead_letter(value="NULL", headers="'[]'")
"""Without what may be large."""


def run_columns(row: RunRow) -> tuple[Any, ...]:
    """A run's row as the table has it."""
    return (*msgspec.structs.astuple(row)[:-1], origins_text(row.origins))


def run_of(values: Sequence[Any]) -> RunRow:
    """Read a row of `SELECT_RUN`."""
    *columns, counted, more = values
    run = dict(zip(RUN_COLUMNS, columns, strict=True))
    run["quarantined"] = bool(run["quarantined"])
    run["origins"] = origins_of(run["origins"])
    if counted is not None:
        run["duplicates"] += counted
        run["origins"] += origins_of(more)
    return RunRow(**run)


def origins_text(origins: Iterable[Origin]) -> str:
    """Origins as JSON, for people who read the table."""
    return _encode(tuple(origins)).decode()


def origins_of(text: str) -> tuple[Origin, ...]:
    """The inverse of `origins_text`."""
    return _origins.decode(text)


def dead_letter_columns(row: DeadLetterRow) -> tuple[Any, ...]:
    """A dead letter as the table has it, without its number."""
    columns = msgspec.structs.asdict(row)
    columns["headers"] = _encode(row.headers).decode()
    columns["detail"] = row.detail.encode("utf-8", "backslashreplace").decode()
    columns["digest"] = dead_letter_digest(row.size_bytes, row.key, row.value)
    return tuple(columns[name] for name in DEAD_LETTER_STORED if name != "n")


def dead_letter_digest(size_bytes: int, key: bytes | None, value: bytes | None) -> str:
    """What tells the record of a dead letter from another one at the same place."""
    return sha256_hex(b"%d:%d:%b%b" % (size_bytes, len(key or b""), key or b"", value or b""))


def dead_letter_of(values: Sequence[Any]) -> DeadLetterRow:
    """Read a row of `SELECT_DEAD_LETTER`."""
    letter = dict(zip(DEAD_LETTER_COLUMNS, values, strict=True))
    letter["headers"] = _headers.decode(letter["headers"])
    return DeadLetterRow(**letter)


def record_columns(row: LocalRecord, offset: int) -> tuple[Any, ...]:
    """A local record as the table has it, at its offset."""
    return (row.topic, offset, row.key, row.value, _encode(row.headers).decode(), row.at)


def record_of(values: Sequence[Any]) -> LocalRecord:
    """Read a row of `records`."""
    topic, offset, key, value, headers, at = values
    return LocalRecord(topic=topic, offset=offset, key=key, value=value, headers=_headers.decode(headers), at=at)
