"""What a handler raised is told with the line of the app that it came through, and with no path of the machine."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

from amends.coordinator.runtime.raised import place_in, raised_in

APP = """\
import asyncio
import json
from functools import wraps

from shop.pricing import price


def logged(function):
    @wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


def own():
    return {}["sku"]


def helper():
    return price("tea")


def library():
    json.loads("{")


@logged
def decorated():
    raise ValueError


async def group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(own))
"""
PRICING = """\
def price(sku):
    raise LookupError(f"no price for {sku}")
"""


@pytest.fixture
def handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Callable[[], object]]]:
    """Give a handler of an app that is a package."""
    (tmp_path / "shop").mkdir()
    for name, text in (("__init__", ""), ("sagas", APP), ("pricing", PRICING)):
        (tmp_path / "shop" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    invalidate_caches()
    yield lambda name: getattr(import_module("shop.sagas"), name)
    for name in ("shop", "shop.sagas", "shop.pricing"):
        sys.modules.pop(name, None)


def raised_by(function: Callable[[], object]) -> tuple[str, str]:
    try:
        result = function()
        if asyncio.iscoroutine(result):
            asyncio.run(result)
    except Exception as error:  # noqa: BLE001  it is what is tested
        return raised_in(error), place_in(error, function)
    raise AssertionError("it raised nothing")


@pytest.mark.parametrize(
    ("name", "what", "where"),
    [
        pytest.param("own", "KeyError: 'sku'", "shop/sagas.py:17", id="of its own"),
        pytest.param("helper", "LookupError: no price for tea", "shop/pricing.py:2", id="of a helper in the app"),
        pytest.param("decorated", "ValueError", "shop/sagas.py:30", id="behind a decorator, without a text"),
        pytest.param(
            "group",
            "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception), first KeyError: 'sku'",
            "shop/sagas.py:17",
            id="of a group its first",
        ),
    ],
)
def test_a_bare_exception_is_told_with_the_app_s_own_line(
    handler: Callable[[str], Callable[[], object]], name: str, what: str, where: str
) -> None:
    assert raised_by(handler(name)) == (what, where)


def test_of_a_library_s_error_the_line_that_called_it_is_told(handler: Callable[[str], Callable[[], object]]) -> None:
    what, where = raised_by(handler("library"))
    assert what.startswith("JSONDecodeError: ")
    assert where == "shop/sagas.py:25"


def test_an_error_that_came_through_no_line_of_the_app_has_no_place(
    handler: Callable[[str], Callable[[], object]],
) -> None:
    assert place_in(KeyError("x"), handler("own")) == ""
