"""Sandboxes that cannot be used say why; what runs in one reaches nothing else and is held to its limits."""

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from amends import Http, Saga, Topic
from amends.coordinator.errors import UsageError
from amends.coordinator.testing.caller import Caller
from amends.coordinator.testing.sandbox import SNAPSHOT_BYTES_MAX, TRIGGERS_MAX
from amends.testing import Sandbox, StandIn, fails, ok, rehearse, unavailable, world

payments = Http("payments", base_url="https://payments.example.com", idempotency_header="Idempotency-Key")


class Order(BaseModel):
    id: str


def saga(act: Callable[[], object] = lambda: None, dependency: object = None) -> Saga[Order]:
    made = Saga("order", trigger=Topic("orders", Order, idempotency_key="id"))

    @made.action(idempotent=True, dependency=dependency)
    def charge(trigger: Order) -> None:
        act()

    @charge.undo(verify="reply")
    def refund(trigger: Order) -> None: ...

    return made


def sandbox(act: Callable[[], object] = lambda: None, **options: Any) -> Sandbox:
    given: dict[str, Any] = {"triggers": [Order(id="1")], "snapshot": dict, "unseen": ["charge"], **options}
    return Sandbox(saga(act, given.pop("dependency", None)), **given)


def nothing() -> None:
    """A participant that begins as it is."""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"snapshot": None}, "nobody can look at its world", id="nothing to look at"),
        pytest.param({"triggers": [Order(id="1")] * (TRIGGERS_MAX + 1)}, "it has 21 triggers", id="too many triggers"),
        pytest.param(
            {"stand_ins": [StandIn("a", begin=nothing, snapshot=dict)] * 2}, "two of its stand-ins", id="one twice"
        ),
    ],
)
def test_a_sandbox_that_contradicts_itself_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        sandbox(**options)
    assert refused.value.code == "AM5105"


def broken() -> None:
    raise RuntimeError("no such world")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        pytest.param({"begin": broken}, "AM5103", "cannot be begun: RuntimeError: no such world", id="begin raises"),
        pytest.param({"snapshot": broken}, "AM5103", "gives no snapshot", id="snapshot raises"),
        pytest.param({"snapshot": lambda: {"a": object()}}, "AM5103", "JSON cannot hold", id="no data"),
        pytest.param({"snapshot": lambda: {"a": "x" * SNAPSHOT_BYTES_MAX}}, "AM5104", "are the limit", id="too large"),
        pytest.param({"triggers": []}, "AM5107", "there is no trigger", id="no trigger"),
        pytest.param({"triggers": [{}]}, "AM5108", "becomes no run: no_key", id="a trigger without its key"),
        pytest.param({"dependency": payments}, "AM5102", "charge acts on 'payments'", id="no stand-in"),
    ],
)
def test_what_cannot_be_rehearsed_says_why(options: dict[str, Any], code: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        rehearse(sandbox(**options))
    assert refused.value.code == code


def test_a_connector_that_no_step_names_is_not_reached_either() -> None:
    made = Saga("order", trigger=Topic("orders", Order, idempotency_key="id"))

    @made.action(idempotent=True)
    async def charge(trigger: Order) -> None:
        await payments.post("/charges", json={})

    @charge.undo(verify="reply")
    async def refund(trigger: Order) -> None: ...

    with pytest.raises(UsageError, match="'payments', which has no stand-in") as refused:
        rehearse(Sandbox(made, triggers=[Order(id="1")], snapshot=dict))
    assert refused.value.code == "AM5102"


def test_the_environment_is_set_while_it_runs_and_is_then_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLD", "before")
    monkeypatch.delenv("NEW", raising=False)
    seen: set[tuple[str | None, str | None]] = set()
    found = rehearse(
        sandbox(lambda: seen.add((os.environ.get("OLD"), os.environ.get("NEW"))), environment={"OLD": "1", "NEW": "2"})
    )
    assert found.ok, found
    assert seen == {("1", "2")}
    assert (os.environ["OLD"], os.environ.get("NEW")) == ("before", None)


def test_an_effect_that_no_snapshot_shows_is_a_finding_unless_the_user_says_so() -> None:
    assert [finding.kind for finding in rehearse(sandbox(unseen=())).findings] == ["unseen"]
    assert rehearse(sandbox()).findings == ()


def test_a_world_that_differs_by_itself_is_told_and_not_compared() -> None:
    ticks = iter(range(1_000_000))
    found = rehearse(sandbox(snapshot=lambda: {"tick": next(ticks)}))
    assert "unsteady" in {finding.kind for finding in found.warnings}
    ignoring = rehearse(sandbox(snapshot=lambda: {"tick": next(ticks)}, ignore=["tick"]))
    assert ignoring.findings == ()


def test_what_does_not_return_ends_the_rehearsal_and_names_itself() -> None:
    caller = Caller(call_s_max=0.05)
    with pytest.raises(UsageError, match="the handler 'charge' did not return") as refused:
        caller.call("the handler 'charge'", lambda: time.sleep(0.5))
    assert refused.value.code == "AM5106"
    caller.end_scenario()  # It is not what the user is told, and does not wait as long once more.
    caller.close()


def test_a_handler_fails_as_it_is_told_and_is_then_what_it_was() -> None:
    called: list[str] = []
    installation = world(saga(lambda: called.append("charge")))
    installation.fail("charge", unavailable("closed"))
    installation.publish(Order(id="1"))
    installation.run()
    installation.fail("charge")
    installation.publish(Order(id="2"))
    installation.run()
    assert [row.status for row in installation.store.runs(limit=5)] == ["compensated", "completed"]
    assert called == ["charge"]


def test_what_was_scripted_comes_after_what_fails() -> None:
    installation = world(saga(), replies={"charge": [fails("scripted"), ok()]})
    installation.fail("charge", unavailable("first"))
    installation.publish(Order(id="1"))
    installation.run()
    (row,) = installation.store.runs(limit=5)
    assert row.status == "compensated"


@pytest.mark.parametrize("handler", ["chrage", "refund"])
def test_only_a_handler_that_is_there_can_fail(handler: str) -> None:
    with pytest.raises(ValueError, match=f"no handler is called {handler}; there is charge, charge.undo"):
        world(saga()).fail(handler)
