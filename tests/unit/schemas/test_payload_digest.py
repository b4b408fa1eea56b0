"""Rule 5: two triggers are the same request when their data is equal by value."""

import pytest

from amends.schemas import strict_json
from amends.schemas.payload_digest import digest_of

ORDER = b'{"id": "A-12", "amount": 20, "meta": {"sent_at": "x", "by": "y"}, "lines": [{"n": 1, "at": 5}, {"n": 2}]}'


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(
            b'{"lines":[{"at":5,"n":1.0},{"n":2}],"meta":{"by":"y","sent_at":"x"},"amount":2e1,"id":"A-12"}',
            True,
            id="neither order nor spelling counts",
        ),
        pytest.param(ORDER.replace(b"20", b'"20"'), False, id="a number is not a text"),
        pytest.param(ORDER.replace(b"20", b"20.01"), False, id="a cent is a difference"),
        pytest.param(ORDER.replace(b'"n": 2', b'"n": true'), False, id="true is not a number"),
        pytest.param(ORDER.replace(b'"by": "y"', b'"by": null'), False, id="null is a value"),
        pytest.param(ORDER.replace(b', "by": "y"', b""), False, id="absent is not null"),
    ],
)
def test_equal_by_value(other: bytes, same: bool) -> None:  # noqa: FBT001 - a column of the table
    assert (digest_of(strict_json.decode(ORDER)) == digest_of(strict_json.decode(other))) is same


@pytest.mark.parametrize(
    ("volatile", "change"),
    [
        pytest.param("amount", (b"20", b"21"), id="a field"),
        pytest.param("meta.sent_at", (b'"x"', b'"z"'), id="a field of a field"),
        pytest.param("meta", (b'"y"', b'"z"'), id="a whole object"),
        pytest.param("lines.at", (b"5", b"6"), id="a field in every item of a list"),
        pytest.param("nothing.like.it", (b"A-12", b"A-12"), id="a field that is not there"),
    ],
)
def test_volatile_fields_do_not_count(volatile: str, change: tuple[bytes, bytes]) -> None:
    before, after = strict_json.decode(ORDER), strict_json.decode(ORDER.replace(*change))
    assert digest_of(before, volatile=[volatile]) == digest_of(after, volatile=[volatile])


def test_the_data_itself_is_left_alone() -> None:
    data = strict_json.decode(ORDER)
    digest_of(data, volatile=["meta.sent_at", "lines.at"])
    assert data == strict_json.decode(ORDER)
