"""Parameters written one way for every database: `:name` or `?`, turned into what psycopg reads."""

import re
from collections.abc import Mapping
from functools import lru_cache

from amends.connectors.sql.sessions import Params

_TOKEN = re.compile(
    r"""
      [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"   # literals and quoted names
    | --[^\n]* | /\*.*?\*/ | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$       # comments, dollar quotes
    | :: | :(?P<name>[A-Za-z_]\w*) | (?P<mark>\?) | %
    """,
    re.VERBOSE | re.DOTALL,
)
_NATIVE = re.compile(r"%s|%\(\w+\)s")


def for_psycopg(statement: str, params: Params) -> str:
    """The statement with `%(name)s` or `%s`; one that is written that way already, or takes nothing, stays as it is."""
    if not params:
        return statement
    names = frozenset(params) if isinstance(params, Mapping) else None
    return _translated(statement, names)


@lru_cache(maxsize=1024)
def _translated(statement: str, names: frozenset[str] | None) -> str:
    def token(found: re.Match[str]) -> str:
        name, text = found["name"], found[0]
        if name is not None and names is not None and name in names:
            return f"%({name})s"
        if found["mark"] is not None and names is None:
            return "%s"
        return text.replace("%", "%%")

    return statement if _NATIVE.search(statement) else _TOKEN.sub(token, statement)
