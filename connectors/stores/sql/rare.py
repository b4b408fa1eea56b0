"""The rare parts of an append: dead letters, counted duplicates. Inside the append's transaction, row by row."""

from collections import defaultdict
from collections.abc import Sequence

from amends.connectors.stores.duplicates import count
from amends.connectors.stores.sql.rows import DEAD_LETTER_COLUMNS, dead_letter_columns, origins_of, origins_text
from amends.connectors.stores.sql.work import Work
from amends.coordinator.ports.rows import DeadLetterRow, Duplicate
from amends.schemas.events import Origin
from amends.schemas.ids import SagaId

_INSERT_DEAD_LETTER = f"""INSERT INTO dead_letters ({", ".join(DEAD_LETTER_COLUMNS).replace("offset", '"offset"')})
    VALUES ({", ".join("?" for _ in DEAD_LETTER_COLUMNS)}) ON CONFLICT DO NOTHING"""


def put_dead_letters(work: Work, letters: Sequence[DeadLetterRow]) -> None:
    """Number them densely: the counter's row is locked until the commit, so no number is lost and none given twice."""
    if not letters:
        return
    work.change("UPDATE counters SET value = value WHERE name = 'dead_letters'")
    last: int = work.rows("SELECT value FROM counters WHERE name = 'dead_letters'")[0][0]
    for letter in letters:
        last += work.change(_INSERT_DEAD_LETTER, (last + 1, *dead_letter_columns(letter)))
    work.change("UPDATE counters SET value = ? WHERE name = 'dead_letters'", (last,))


def count_duplicates(work: Work, duplicates: Sequence[Duplicate], *, for_update: str) -> None:
    """Count them, run by run in the order of their ids: in one order everywhere nobody waits in a circle."""
    new: defaultdict[SagaId, list[Origin]] = defaultdict(list)
    for duplicate in duplicates:
        new[duplicate.saga_id].append(duplicate.origin)
    for saga_id in sorted(new):
        _count(work, saga_id, new[saga_id], for_update=for_update)


def _count(work: Work, saga_id: SagaId, new: Sequence[Origin], *, for_update: str) -> None:
    work.change(
        """INSERT INTO duplicates SELECT saga_id, 0, '[]' FROM runs WHERE saga_id = ?
        ON CONFLICT (saga_id) DO NOTHING""",
        (saga_id,),
    )
    found = work.rows(
        f"""SELECT r.origins, d.count, d.origins FROM duplicates d JOIN runs r ON r.saga_id = d.saga_id
        WHERE d.saga_id = ?{for_update}""",
        (saga_id,),
    )
    if not found:
        return  # No such run: there is nothing to count on.
    first, counted_before, more = found[0][0], found[0][1], origins_of(found[0][2])
    counted, kept = count((*origins_of(first), *more), new)
    if not counted:
        return
    work.change(
        "UPDATE duplicates SET count = ?, origins = ? WHERE saga_id = ?",
        (counted_before + counted, origins_text((*more, *kept)), saga_id),
    )
    for origin in kept:
        work.change(
            "INSERT INTO origins VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (origin.topic, origin.partition, origin.offset, saga_id),
        )
