"""Strict JSON: one value for one text, or a refusal that says where."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.schemas import plain_json, strict_json
from amends.schemas.undecodable import Undecodable
from tests.unit.schemas.effort import cpu_s

NESTED_64 = b"[" * 64 + b"]" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b'{"a": 1, "b": [true, null, "x:y"]}', {"a": 1, "b": [True, None, "x:y"]}, id="plain values"),
        pytest.param(b"[1.0, 10e-1, 1E0, 100e-2]", [1, 1, 1, 1], id="whole numbers are integers however written"),
        pytest.param(b"[0.10, 1e-7]", [Decimal("0.1"), Decimal("1E-7")], id="other numbers are exact decimals"),
        pytest.param(b"[-0, -0.0, 0e5]", [0, 0, 0], id="there is one zero"),
        pytest.param(b"[10000000000000000000000001]", [10**25 + 1], id="big integers keep every digit"),
        pytest.param(b'["\\ud83d\\ude00\\u003a"]', ["\U0001f600:"], id="escaped pairs are one character"),
        pytest.param(b'{"a:b": ":", ":": {}}', {"a:b": ":", ":": {}}, id="colons in keys and texts deceive nobody"),
        pytest.param(NESTED_64, json.loads(NESTED_64), id="64 levels are fine"),
        pytest.param(b' "x" ', "x", id="any JSON text, not only objects"),
    ],
)
def test_decodes(text: bytes, expected: object) -> None:
    value = strict_json.decode(text)
    assert value == expected
    assert repr(value) == repr(expected)  # True is not 1, and 1 is not Decimal("1")


@pytest.mark.parametrize(
    ("text", "path", "detail"),
    [
        pytest.param(b'{"a": [{"k": 1, "k": 1}]}', "a.0.k", "twice", id="a duplicate key, with its path"),
        pytest.param(b'{"a": "1", "a": "\\u003a"}', "a", "twice", id="a duplicate key behind an escaped colon"),
        pytest.param(b'{"a": 1, "\\u0061": 2}', "a", "twice", id="a duplicate key written differently"),
        pytest.param(b'{"a": "x:y", "a": 2}', "a", "twice", id="a duplicate key that drops a colon"),
        pytest.param(b"[NaN]", "", "NaN", id="NaN"),
        pytest.param(b"[-Infinity]", "", "-Infinity", id="Infinity"),
        pytest.param(b'{"a": 1e400}', "", "range of a double", id="a number beyond a double"),
        pytest.param(b'{"a": 1e-400}', "", "range of a double", id="a number that a double would make zero"),
        pytest.param(b"[1e-99999999999999999999]", "", "range", id="an exponent beyond every decimal"),
        pytest.param(b"[" + b"9" * 5000 + b"]", "", "more than 4,300 digits", id="5,000 digits"),
        pytest.param(b'{"a": ["\\ud800"]}', "a.0", "surrogate", id="a lone high surrogate"),
        pytest.param(b'{"\\udc00": 1}', "", "surrogate", id="a lone surrogate as key"),
        pytest.param(b'{"a": "\xed\xa0\x80"}', "", "not UTF-8 at byte 7", id="a surrogate in UTF-8"),
        pytest.param(b'{"a": "\xff"}', "", "not UTF-8 at byte 7", id="invalid UTF-8"),
        pytest.param(b'["\xc3\xa9", x]', "", "at byte 7", id="offsets count bytes"),
        pytest.param(b"\xef\xbb\xbf{}", "", "at byte 0", id="a byte order mark"),
        pytest.param(b"", "", "at byte 0", id="nothing"),
        pytest.param(b"{} {}", "", "Extra data", id="two texts"),
        pytest.param(b'["\x01"]', "", "control character", id="a bare control character"),
        pytest.param(b"[01]", "", "at byte 2", id="a leading zero"),
        pytest.param(b"{'a': 1}", "", "at byte 1", id="single quotes"),
        pytest.param(b"[" * 65 + b"]" * 65, ".".join("0" * 64), "deeper than 64", id="65 levels"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, ".".join("a" * 64), "deeper than 64", id="65 levels of objects"),
        pytest.param(b"[" * 100_000, "", "deeper than 64 levels, at byte 64", id="100,000 open brackets"),
        pytest.param(b'["[",' * 100_000, "", "at byte 320", id="brackets inside strings do not count"),
        pytest.param(b'{"a":' * 100_000, "", "deeper than 64 levels", id="100,000 open objects"),
    ],
)
def test_refuses(text: bytes, path: str, detail: str) -> None:
    with pytest.raises(Undecodable) as refused:
        strict_json.decode(text)
    assert refused.value.path == path
    assert detail in refused.value.detail


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b"[" * 1_000_000, id="a megabyte of brackets"),
        pytest.param(b"[0." + b"1" * 999_000 + b",", id="a megabyte of fraction"),
        pytest.param(b"[" + b"1" * 999_000 + b".5]", id="a megabyte of integer part"),
        pytest.param(b"[1e" + b"9" * 999_000 + b"]", id="a megabyte of exponent"),
        pytest.param(b'"' + b"\\" * 999_999, id="a megabyte of backslashes"),
    ],
)
def test_a_hostile_megabyte_is_refused_and_costs_no_more_than_an_honest_one(bomb: bytes) -> None:
    honest = json.dumps([f"item {number}" for number in range(70_000)]).encode()

    def explode() -> None:
        with pytest.raises(Undecodable):
            strict_json.decode(bomb)

    assert cpu_s(explode) < 3 * cpu_s(lambda: strict_json.decode(honest))


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(":a\u00e9\\", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(values, st.booleans())
def test_what_json_writes_is_read_with_its_value(value: object, escaped: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    decoded = strict_json.decode(json.dumps(value, ensure_ascii=escaped).encode())
    written = json.loads(plain_json.encode(decoded), parse_float=Decimal)
    assert written == json.loads(json.dumps(value), parse_float=Decimal)


@given(values)
def test_encoding_what_was_decoded_is_a_fixed_point(value: object) -> None:
    once = plain_json.encode(strict_json.decode(json.dumps(value).encode()))
    assert plain_json.encode(strict_json.decode(once)) == once


@given(st.binary(max_size=64) | st.text('{}[]":,\\ud80e1.-+ntf \n', max_size=32).map(str.encode))
def test_any_bytes_are_a_value_or_undecodable(data: bytes) -> None:
    try:
        value = strict_json.decode(data)
    except Undecodable:
        return
    assert strict_json.decode(plain_json.encode(value)) == value


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "a:"]), st.sampled_from(["1", '":"', '"\\u003a"', '{"a":":"}']))))
def test_an_object_is_refused_exactly_when_a_key_comes_twice(members: list[tuple[str, str]]) -> None:
    text = "{" + ",".join(f'"{key}":{value}' for key, value in members) + "}"
    if len({key for key, _ in members}) == len(members):
        assert strict_json.decode(text.encode()) == json.loads(text)
    else:
        with pytest.raises(Undecodable, match="twice"):
            strict_json.decode(text.encode())


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b'["a', "not JSON at byte 1: Unterminated string"),
        (b'["\x01"]', "not JSON at byte 2: Invalid control character"),
        (b"[01]", "not JSON at byte 2: Expecting ',' delimiter"),
    ],
)
def test_the_place_is_named_once(text: bytes, detail: str) -> None:
    with pytest.raises(Undecodable) as refused:
        strict_json.decode(text)
    assert refused.value.detail == detail
