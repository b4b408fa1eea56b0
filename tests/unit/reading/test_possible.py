"""What a run says that a person may wish is what the commands take, and they take nothing else: at every version."""

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from pydantic import BaseModel

from amends import Context, Pending, Saga, Topic
from amends.connectors.stores import open_store
from amends.coordinator.cli.logs import logging_kept
from amends.coordinator.cli.main import run as command
from amends.coordinator.core.decide import decide
from amends.coordinator.core.messages import (
    CancelWished,
    KillWished,
    Message,
    ReleaseWished,
    ResolutionWished,
    SavepointWished,
)
from amends.coordinator.core.plan import Plan
from amends.coordinator.core.state import State
from amends.coordinator.reading.possible import RESOLUTIONS, Possible, possible
from amends.coordinator.reading.standing import Standing, standing_of
from amends.schemas.entry import Inline, decode
from amends.schemas.events import Digest
from amends.testing import world
from tests.replay.recording import read, recorded
from tests.unit.reading.stored_histories import StoredHistory

NAMES: Final = recorded()
OF_LONG: Final = 13
"""Every so manyth version of the long history is like those before it."""
_WITH: Final = {
    "retry": "",
    "done_by_hand": "--evidence ok",
    "skip": "--reason ok",
    "go_forward": "--reason ok",
}
_LIKE_OTHERS: Final = frozenset(f"step{n}" for n in range(2, 58))
"""Steps of the long history."""
TAKEN, REFUSED, NOT_FOUND = 0, 7, 6


class Order(BaseModel):
    """A trigger."""

    id: str


@pytest.fixture
def _logs() -> Iterator[None]:
    """Each command of this process sets up logging as its own process would."""
    with logging_kept():
        yield


def standing(history: StoredHistory) -> Standing:
    with history.open() as store:
        (row,) = store.runs()
        return standing_of(store, row)


def lines(offered: tuple[Possible, ...]) -> set[str]:
    return {each.command.replace('"…"', "ok").replace("'…'", "'{}'") for each in offered}


def candidates(plan: Plan, state: State) -> set[str]:
    """Everything that a person might wish of the run, fitting or not."""
    saga_id = state.saga_id
    step = state.parked.step if state.parked is not None else "reserve"
    found = {
        f"amends parked resolve {saga_id} --step {shlex.quote(step)} --{each.replace('_', '-')} {_WITH[each]}".rstrip()
        for each in RESOLUTIONS
    }
    undo_to = f"amends parked resolve {saga_id} --undo-to"
    paths = {path for path in plan.of(state).paths if path not in _LIKE_OTHERS} | {"nothing"}
    found |= {f"{undo_to} {shlex.quote(path)} --reason ok" for path in paths}
    found |= {f"amends runs {each} {saga_id} --reason ok" for each in ("cancel", "kill", "rerun")}
    found |= {f"amends locks release {each} --reason ok" for each in ("order:A-12", "order:A-13")}
    return found


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_logs")
@pytest.mark.parametrize("name", NAMES)
def test_each_command_that_is_offered_is_taken_and_every_other_one_is_refused(
    name: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    history = StoredHistory(name, tmp_path)
    former: set[str] = set()
    for state in history.versions():
        offered = lines(possible(standing(history)))
        sent = {each for each in offered if " messages send " in each}
        assert offered - sent <= candidates(history.plan, state)
        if offered == former and state.version % OF_LONG:
            continue  # Nothing is new, and each command takes its time.
        former = offered
        for line in sorted(candidates(history.plan, state)):
            code = command([*shlex.split(line)[1:], "--as", "kim", "--data", str(tmp_path)])
            said = capfdbinary.readouterr().err.decode()
            assert (code == TAKEN) == (line in offered), f"version {state.version}: {line}: {code} {said}"
            assert code in {TAKEN, REFUSED, NOT_FOUND}, said


@pytest.mark.parametrize("name", NAMES)
def test_the_owner_carries_out_what_is_offered_and_nothing_else(name: str, tmp_path: Path) -> None:
    history = StoredHistory(name, tmp_path)
    for state in history.versions():
        if name == "long" and state.version % OF_LONG:
            continue
        here = standing(history)
        offered = {
            (each.request, each.step if each.request == "undo_to" else each.resolution, each.key)
            for each in possible(here)
        }
        for wish, message in wishes(state):
            events, _ = decide(history.plan, state, message, state.at, payloads_of(name))
            assert bool(events) == (wish in offered), f"version {state.version}: {wish}"


@pytest.mark.usefixtures("_logs")
@pytest.mark.parametrize("name", ["waited", "pending", "pending-undone"])
@pytest.mark.parametrize("which", [0, -1])
def test_the_message_that_is_offered_is_brought_to_the_run(
    name: str, which: int, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    history = StoredHistory(name, tmp_path)
    for _ in history.versions():
        if offered := sorted(line for line in lines(possible(standing(history))) if " messages send " in line):
            break
    else:
        pytest.fail("no message is ever offered")
    assert command([*shlex.split(offered[which])[1:], "--as", "kim", "--data", str(tmp_path), "-o", "json"]) == TAKEN
    said = json.loads(capfdbinary.readouterr().out)
    assert history.state is not None
    assert (said["state"], said["saga_id"]) == ("taken", history.state.saga_id)


def payloads_of(name: str) -> Callable[[Digest], bytes]:
    """What stands in the entries; conditions of these stories read nothing else."""
    entries = [decode(data) for data in read(name).entries]
    found = {digest: payload for entry in entries for digest, payload in entry.payloads.items()}

    def value(digest: Digest) -> bytes:
        payload = found[digest]
        assert isinstance(payload, Inline)
        return payload.inline.encode()

    return value


def wishes(state: State) -> list[tuple[tuple[str, str | None, str | None], Message]]:
    step = state.parked.step if state.parked is not None else "reserve"
    return [
        (("cancel", None, None), CancelWished(reason="ok")),
        (("kill", None, None), KillWished(reason="ok")),
        (("release", None, "order:A-12"), ReleaseWished(key="order:A-12", reason="ok")),
        *((("undo_to", path, None), SavepointWished(step=path, reason="ok")) for path in state.forward),
        *(
            (("resolve", each, None), ResolutionWished(step=step, resolution=each, reason="ok", evidence="ok"))
            for each in RESOLUTIONS
        ),
    ]


@pytest.mark.usefixtures("_logs")
@pytest.mark.parametrize("key", ["-5", "--help", "A 12", "it's", "$(id)"])
def test_a_key_that_a_shell_or_the_command_could_misread_is_offered_as_it_is_taken(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga = Saga("order", trigger=Topic("orders", Order, idempotency_key="id"))

    @saga.action(idempotent=True, pending_within="10m")
    async def charge(ctx: Context) -> int | Pending:
        return Pending(correlation=key)

    @charge.undo(verify="reply")
    async def refund(ctx: Context) -> None: ...

    installation = world(saga)
    installation.publish(Order(id="R-1"))
    installation.run(until=installation.clock.now)
    (row,) = installation.store.runs(limit=2)
    offered = possible(standing_of(installation.store, row))
    sent = [each for each in lines(offered) if " messages send " in each]
    assert len(sent) == 2
    monkeypatch.setenv("AMENDS_DATA", str(tmp_path / "data"))
    for each in sent:
        assert command(shlex.split(each)[1:]) == TAKEN
    with closing(open_store(f"sqlite:///{tmp_path}/data/amends.db", data_dir=tmp_path, read_only=True)) as store:
        assert {message.correlation_key for message in store.messages()} == {key}
