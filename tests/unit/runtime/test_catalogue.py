"""Which handlers of today serve the runs of another day's definition (rule 14)."""

from typing import Any

import pytest
from pydantic import BaseModel

from amends import Context, Saga, Topic
from amends.coordinator.errors import UsageError
from amends.coordinator.runtime.catalogue import Catalogue, one_hash_per_version
from tests.unit.runtime.sagas import Order


class Judged(BaseModel):
    """What the first definition refers to a field of."""

    key: str
    verdict: str = ""


class Bare(BaseModel):
    """What is left of it."""

    key: str


def judging(version: int, kind: type[BaseModel], *, refers: bool) -> Saga[Order]:
    saga = Saga("judging", version=version, trigger=Topic("orders", Order, idempotency_key="id"))

    def judge(ctx: Context, trigger: Order) -> Any: ...

    judge.__annotations__["return"] = kind
    judged = saga.read(judge)
    when: Any = judged.result.verdict == "good" if refers else None

    @saga.action(when=when, unsafe="a test")
    async def act(ctx: Context, trigger: Order) -> None: ...

    @act.undo(verify="reply")
    async def undo_act(ctx: Context, trigger: Order) -> None: ...

    return saga


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        pytest.param(Judged, set(), id="one whose result has the field serves"),
        pytest.param(Bare, {"judge"}, id="one whose result has it no more does not: its run waits"),
    ],
)
def test_a_run_uses_a_later_handler_only_if_it_returns_what_the_run_refers_to(
    kind: type[BaseModel], missing: set[str]
) -> None:
    first = judging(1, Judged, refers=True).close()
    (row,) = Catalogue(sagas=(first,), stored=lambda _: None).rows(0)
    later = Catalogue(sagas=(judging(2, kind, refers=False).close(),), stored=lambda _: row)
    known = later.by_hash(first.hash)
    assert known is not None
    assert known.plan.missing == missing


def test_a_changed_graph_is_advised_to_take_a_version_that_neither_the_store_nor_the_app_has() -> None:
    stored = [judging(version, Judged, refers=True).close() for version in (1, 2)]
    rows = [row for saga in stored for row in Catalogue(sagas=(saga,), stored=lambda _: None).rows(0)]
    today = [judging(1, Judged, refers=False).close(), judging(3, Judged, refers=True).close()]
    with pytest.raises(UsageError) as refused:
        one_hash_per_version(today, rows)
    assert (refused.value.code, "for instance version=4" in str(refused.value.do)) == ("AM3001", True)
