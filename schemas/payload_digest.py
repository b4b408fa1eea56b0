"""What decides whether two triggers of one key are the same request (rule 5)."""

from collections.abc import Sequence

from amends.schemas.canonical import digest
from amends.schemas.plain_json import encode


def digest_of(data: object, *, volatile: Sequence[str] = ()) -> str:
    """Digest the writer's decoded data by value, without the `volatile` fields.

    A volatile field is a dotted name (`meta.sent_at`); on its way through a list it names the field in every item.
    """
    for path in volatile:
        data = _without(data, path.split("."))
    return digest(encode(data))


def _without(data: object, names: Sequence[str]) -> object:
    if isinstance(data, list):
        return [_without(item, names) for item in data]
    if not isinstance(data, dict) or names[0] not in data:
        return data
    if len(names) == 1:
        return {key: item for key, item in data.items() if key != names[0]}
    return {**data, names[0]: _without(data[names[0]], names[1:])}
