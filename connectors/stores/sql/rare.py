"""The rare parts of an append: dead letters, counted duplicates. Inside the append's transaction, row by row."""

from collections import defaultdict
from collections.abc import Sequence

from amends.connectors.stores.sql.rows import DEAD_LETTER_STORED, dead_letter_columns, origins_of, origins_text
from amends.connectors.stores.sql.work import Work
from amends.coordinator.ports.rows import ORIGINS_KEPT, DeadLetterRow, Duplicate
from amends.schemas.events import Origin
from amends.schemas.ids import SagaId

_INSERT_DEAD_LETTER = f"""INSERT INTO dead_letters ({", ".join(DEAD_LETTER_STORED).replace("offset", '"offset"')})
    VALUES ({", ".join("?" for _ in DEAD_LETTER_STORED)}) ON CONFLICT DO NOTHING"""


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
    fresh = [origin for origin in new if _is_new(work, saga_id, origin)]
    if not fresh:
        return
    first, counted, more = found[0]
    kept = (*origins_of(more), *fresh)[: ORIGINS_KEPT - len(origins_of(first))]
    work.change(
        "UPDATE duplicates SET count = ?, origins = ? WHERE saga_id = ?",
        (counted + len(fresh), origins_text(kept), saga_id),
    )


def _is_new(work: Work, saga_id: SagaId, origin: Origin) -> bool:
    """Whether the record is not known as one of the run's; from now on it is. A redelivery counts for nothing."""
    place = (origin.topic, origin.partition, origin.offset, saga_id)
    return work.change("INSERT INTO origins VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", place) > 0
