"""What differs between two worlds, place by place."""

from typing import Any

import pytest

from amends.compensations.worlds import DIFFERENCES_MAX, Difference, differences, overlap


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="equal worlds do not differ"),
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, [], id="the order of names is no difference"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b was 1, is 2"], id="a place is named from the outermost"),
        pytest.param({}, {"a": {"b": 1}}, ['a was not there, is {"b": 1}'], id="what has come is shown whole"),
        pytest.param({"a": {"b": 1}}, {}, ['a was {"b": 1}, is not there'], id="what is gone is shown whole"),
        pytest.param({"a": None}, {}, ["a was null, is not there"], id="nothing is not the same as not there"),
        pytest.param({"a": 1}, {"a": "1"}, ['a was 1, is "1"'], id="a number is no text"),
        pytest.param({"a": 1}, {"a": True}, ["a was 1, is true"], id="one is not true"),
        pytest.param({"a": [1, 2]}, {"a": [1, 3]}, ["a.1 was 2, is 3"], id="lists of a length differ by item"),
        pytest.param({"a": [1]}, {"a": [1, 2]}, ["a was [1], is [1, 2]"], id="lists of other lengths differ whole"),
        pytest.param({"a": {"b": 1}}, {"a": [1]}, ['a was {"b": 1}, is [1]'], id="a mapping is no list"),
        pytest.param({"ä": "ö"}, {"ä": "ü"}, ['ä was "ö", is "ü"'], id="letters stay letters"),
    ],
)
def test_worlds_differ_by_place(before: dict[str, Any], after: dict[str, Any], told: list[str]) -> None:
    assert [str(each) for each in differences(before, after)] == told


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        pytest.param("stock.*.at", ["stock.tea.free"], id="a star stands for any name"),
        pytest.param("stock.*", [], id="and for all below"),
        pytest.param("other.*", ["stock.tea.free", "stock.tea.at"], id="what is elsewhere is not ignored"),
    ],
)
def test_places_may_be_ignored(pattern: str, left: list[str]) -> None:
    before = {"stock": {"tea": {"free": 1, "at": "10:00"}}}
    after = {"stock": {"tea": {"free": 2, "at": "11:00"}}}
    assert [each.path for each in differences(before, after, ignore=(pattern,))] == left


def test_no_more_differences_are_looked_for_than_anybody_reads() -> None:
    many = {str(number): number for number in range(2 * DIFFERENCES_MAX)}
    assert len(differences({}, many)) == DIFFERENCES_MAX


def test_a_long_value_is_shown_in_part() -> None:
    assert str(Difference(path="a", before=None, after="x" * 500)).endswith("…")


@pytest.mark.parametrize(
    ("one", "other", "whether"),
    [("a.b", "a.b", True), ("a", "a.b", True), ("a.b", "a", True), ("a.b", "a.bc", False), ("a", "b", False)],
)
def test_places_overlap_where_one_lies_in_the_other(one: str, other: str, *, whether: bool) -> None:
    assert overlap(one, other) is whether
