"""The participants as real processes, one set of them for each module, or for one test that kills them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from amends.examples.shop.launch import Running, participants


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    """Run payments and mail for the tests of one module: each test uses order ids and addresses of its own."""
    with participants(tmp_path_factory.mktemp("participants"), "payments", "mail") as started:
        yield started


@pytest.fixture
def payments(running: dict[str, Running]) -> Running:
    return running["payments"]


@pytest.fixture
def mail(running: dict[str, Running]) -> Running:
    return running["mail"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Give a data folder of the test's own."""
    return tmp_path / "data"
