"""One way to write parameters: what psycopg is handed, as a table."""

import pytest

from amends.connectors.sql.placeholders import for_psycopg
from amends.connectors.sql.sessions import Params

NAMED = {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("statement", "params", "expected"),
    [
        pytest.param("x = ? AND y = ?", (1, 2), "x = %s AND y = %s", id="marks"),
        pytest.param("x = :a AND y = :b", NAMED, "x = %(a)s AND y = %(b)s", id="names"),
        pytest.param("x = :a::text", NAMED, "x = %(a)s::text", id="a cast is no name"),
        pytest.param("x[1:c] = :a", NAMED, "x[1:c] = %(a)s", id="a slice is no name"),
        pytest.param("x = 'it''s :a ?' AND y = :a", NAMED, "x = 'it''s :a ?' AND y = %(a)s", id="a literal stays"),
        pytest.param(r"x = E'\':a' AND y = :a", NAMED, r"x = E'\':a' AND y = %(a)s", id="an escaped literal stays"),
        pytest.param('":a" = :a', NAMED, '":a" = %(a)s', id="a quoted name stays"),
        pytest.param("$f$ :a $f$ = :a -- :a", NAMED, "$f$ :a $f$ = %(a)s -- :a", id="quotes and comments stay"),
        pytest.param("/* ? */ x = ?", (1,), "/* ? */ x = %s", id="a block comment stays"),
        pytest.param("x LIKE 'a%' AND y % 2 = ?", (1,), "x LIKE 'a%%' AND y %% 2 = %s", id="a percent sign stays one"),
        pytest.param("x ? 'k' AND y = :a", NAMED, "x ? 'k' AND y = %(a)s", id="an operator stays beside names"),
        pytest.param("x ? 'k' AND y = %s", (1,), "x ? 'k' AND y = %s", id="psycopg's own marks"),
        pytest.param("y = %(a)s", NAMED, "y = %(a)s", id="psycopg's own names"),
        pytest.param("x LIKE 'a%' AND y ? 'k'", (), "x LIKE 'a%' AND y ? 'k'", id="nothing to fill in"),
    ],
)
def test_what_psycopg_reads(statement: str, params: Params, expected: str) -> None:
    assert for_psycopg(statement, params) == expected
