"""Writer schemas of an app's trigger topics: `Topic(schemas=…)` files, exported models, the registry."""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path

from amends.coordinator.definition.closing import ClosedSaga
from amends.coordinator.errors import UsageError
from amends.schemas.avro.codec import BadSchema
from amends.schemas.decoding import Lookup, Writers
from amends.schemas.writers import writers_of


def writers_by_topic(sagas: Iterable[ClosedSaga], lookup: Lookup | None) -> Callable[[str], Writers]:
    """Read every file once, now. Raises `UsageError` (AM5022) for one that is missing or no Avro schema."""
    by_topic: dict[str, list[ClosedSaga]] = {}
    for saga in sagas:
        by_topic.setdefault(saga.form.trigger.topic, []).append(saga)
    found = {topic: _writers(topic, sagas, lookup) for topic, sagas in by_topic.items()}
    others = Writers() if lookup is None else Writers(lookup=lookup)
    return lambda topic: found.get(topic) or others


def _writers(topic: str, sagas: list[ClosedSaga], lookup: Lookup | None) -> Writers:
    files: dict[str, str] = {}
    for saga in sagas:
        files |= _files(saga)
    models = [saga.trigger.adapter for saga in sagas]
    try:
        if lookup is None:
            return writers_of(files=files, models=models)
        return writers_of(files=files, models=models, lookup=lookup)
    except BadSchema as error:
        raise UsageError("AM5022", f"topic {topic!r}: {error}", do="mend that .avsc file") from None


def _files(saga: ClosedSaga) -> dict[str, str]:
    """The `.avsc` files that the topic names, from beside the module of the saga's handlers."""
    pattern = saga.topic.schemas
    if pattern is None:
        return {}
    folder = Path(inspect.getfile(next(iter(saga.handlers.values())).function)).parent
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise UsageError(
            "AM5022",
            f"saga {saga.name!r}: no file matches schemas={pattern!r} beside {folder.name}/",
            do="correct the pattern, it is seen from the folder of the saga's module",
        )
    return {str(path): path.read_text(encoding="utf-8") for path in paths}
