"""`Sql` says what to mend, and names no file of the machine."""

from pathlib import Path

import pytest

from amends import Sql, StepRefused, StepUnavailable
from amends.coordinator.attempt import attempting
from amends.coordinator.loop_resources import close_all
from amends.testing import connector_kit


async def test_a_file_that_is_not_there_is_said_to_be_the_one_of_the_url(tmp_path: Path) -> None:
    stock = Sql("stock", url=f"sqlite:///{tmp_path}/none.db")
    with (
        attempting(connector_kit.attempt_at(connector_kit.new_saga_id(), within_s=2)),
        pytest.raises(StepUnavailable, match="the file of its url is not there, or not to be opened") as caught,
    ):
        await stock.perform(lambda _: None)
    assert str(tmp_path) not in caught.value.reason
    await close_all()


async def test_a_result_that_nobody_declared_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "stock.db").touch()
    stock = Sql("stock", url=f"sqlite:///{tmp_path}/stock.db")
    with (
        attempting(connector_kit.attempt_at(connector_kit.new_saga_id())),
        pytest.raises(StepRefused, match="type int, but no returns= was given: give it, or return nothing"),
    ):
        await stock.perform(lambda _: 1)  # type: ignore[arg-type]  # who runs a type checker is told before
    await close_all()
