"""Participants that are commanded, stood in for by the kit itself: in worlds for tests, whatever happens on the bus."""

import gc
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from pydantic import BaseModel

from amends import Context, Participant, Pending, Saga, Sql, StepRefused, Topic
from amends.compensations.faults import BUS_FAULTS, BusFault, Fault, FaultKind
from amends.connectors.participant.wire import command_record
from amends.coordinator.bootstrap import memory_store
from amends.coordinator.errors import UsageError
from amends.coordinator.ports.bus import Outgoing
from amends.coordinator.testing.theater import theater
from amends.participant import Command, Service, StepUnavailable, Transaction
from amends.schemas.record import Record
from amends.testing import (
    ParticipantStandIn,
    Sandbox,
    StandIn,
    fails,
    on_the_bus,
    outcome,
    rehearse,
    world,
)

SCRIPT = "CREATE TABLE berths (container TEXT PRIMARY KEY, visits INTEGER);INSERT INTO berths VALUES ('old', 1);"
FREE = {"old": {"visits": 1}}
TAKEN = {"old": {"visits": 1}, "C-1": {"visits": 1}}


class Container(BaseModel):
    id: str = "R-1"
    container: str = "C-1"
    load: bool = True


class Berth(BaseModel):
    crane: int


def harbor(**promises: Any) -> Participant:
    return Participant("harbor", commands="harbor.commands", replies="harbor.replies", **promises)


def freight(connector: Participant, *, command: str = "book", body: object = None) -> Saga[Container]:
    saga = Saga("freight", trigger=Topic("containers", Container, idempotency_key="id"))

    @saga.action(dependency=connector, pending_within="1m")
    async def book(ctx: Context, trigger: Container) -> Berth | Pending:
        return await connector.send(ctx, command, body or {"container": trigger.container})

    @book.undo(verify="reply", pending_within="1m")
    async def cancel(ctx: Context, trigger: Container) -> Pending:
        return await connector.send(ctx, "cancel", {"container": trigger.container})

    @saga.action(idempotent=True, irreversible=True)
    def load(trigger: Container, berth: Berth = book.result) -> int:
        if not trigger.load:
            raise StepRefused("too heavy")
        return berth.crane

    return saga


class Asked(BaseModel):
    container: str


def service(**given: Any) -> Service:
    """The harbor, as it would run in a process of its own."""
    made = Service(
        "port", **{"commands": "harbor.commands", "replies": "harbor.replies", "database": "sqlite:///x", **given}
    )

    @made.on("book", external_id="crane")
    def book(tx: Transaction, asked: Asked) -> Berth:
        if asked.container == "full":
            raise StepRefused("no berth")
        if asked.container == "storm":
            raise StepUnavailable("a storm")
        if asked.container == "broken":
            raise KeyError("crane")
        tx.execute(
            "INSERT INTO berths VALUES (?, 1) ON CONFLICT (container) DO UPDATE SET visits = visits + 1",
            (asked.container,),
        )
        return Berth(crane=7)

    @made.on("cancel")
    def cancel(tx: Transaction, asked: Asked) -> None:
        assert tx.step_result(Berth) == Berth(crane=7)
        tx.execute("DELETE FROM berths WHERE container = ?", (asked.container,))

    return made


def run(trigger: Container, *bus: BusFault, undo: tuple[BusFault, ...] = (), **promises: Any) -> tuple[str, Any]:
    """How the run ends, and what is in the harbor's database then, with all that was late arrived."""
    connector = harbor(**promises)
    with world(freight(connector), stand_ins=[ParticipantStandIn(connector, service(), script=SCRIPT)]) as installation:
        for handler, what in (("book", bus), ("book.undo", undo)):
            if what:
                installation.fail(handler, *(on_the_bus(each) for each in what))
        installation.publish(trigger)
        installation.run(within="3h")
        (row,) = installation.store.runs(limit=2)
        return row.status, installation.snapshot()["harbor"]


GO, TURN = Container(), Container(load=False)


def test_the_kit_carries_commands_out_and_its_replies_come_back() -> None:
    connector = harbor()
    with world(freight(connector), stand_ins=[ParticipantStandIn(connector, service(), script=SCRIPT)]) as installation:
        installation.publish(GO)
        installation.run()
        (row,) = installation.store.runs(limit=2)
        ended = outcome(installation, row.saga_id)
        assert (ended.status, ended.result) == ("completed", msgspec.Raw(b"7"))
        assert installation.snapshot() == {"harbor": {"berths": TAKEN}}


def test_an_undo_that_is_commanded_brings_the_participant_back() -> None:
    assert run(TURN) == ("compensated", {"berths": FREE})


@pytest.mark.parametrize("fault", sorted({*BUS_FAULTS} - {"answered_refused"}))
def test_whatever_happens_on_the_bus_once_the_run_completes_and_the_command_acted_once(fault: BusFault) -> None:
    assert run(GO, fault) == ("completed", {"berths": TAKEN})


@pytest.mark.parametrize("fault", sorted({*BUS_FAULTS} - {"answered_refused"}))
def test_whatever_happens_on_the_bus_to_an_undo_the_run_is_compensated(fault: BusFault) -> None:
    assert run(TURN, undo=(fault,)) == ("compensated", {"berths": FREE})


def test_a_command_that_comes_after_its_undo_is_refused() -> None:
    assert run(GO, "command_late", "command_lost", "command_lost") == ("compensated", {"berths": FREE})


@pytest.mark.parametrize(("promised", "left"), [(True, FREE), (False, TAKEN)])
def test_an_undo_that_comes_first_shuts_the_command_out_as_far_as_that_is_promised(
    *, promised: bool, left: dict[str, Any]
) -> None:
    stand_in = ParticipantStandIn(harbor(tombstones=promised), service(), script=SCRIPT)
    stand_in.begin()
    undone, late = (
        stand_in.take(sent(name, key, undoes=undoes), at=0, failing=None)
        for name, key, undoes in (("cancel", "k2", "k1"), ("book", "k1", None))
    )
    assert (answer(undone), answer(late)) == ("succeeded", "refused" if promised else "succeeded")
    assert stand_in.snapshot() == {"berths": left}
    stand_in.end()


def sent(name: str, key: str, *, undoes: str | None) -> Record:
    """A command as it comes from its topic."""
    command = Command(
        name=name,
        body=b'{"container": "C-1"}',
        key=key,
        undoes=undoes,
        epoch=1,
        correlation=key,
        reply_topic="harbor.replies",
        saga_id="s",
        namespace="test",
        saga="freight",
        attempt=1,
    )
    record = command_record(command, topic="harbor.commands", participant="harbor", at=0)
    return Record(topic=record.topic, partition=0, offset=0, key=record.key, value=record.value, headers=record.headers)


def answer(replies: Sequence[Outgoing]) -> str:
    (reply,) = replies
    return str(json.loads(reply.value or b"")["answer"])


def test_a_participant_that_promises_nothing_about_keys_acts_again() -> None:
    status, harbor_there = run(GO, "command_repeated", idempotent=False)
    assert status == "completed"
    assert harbor_there["berths"]["C-1"] == {"visits": 3}


@pytest.mark.parametrize(
    ("container", "status"), [("full", "compensated"), ("storm", "compensated"), ("C-2", "completed")]
)
def test_the_participant_decides_for_itself(container: str, status: str) -> None:
    assert run(Container(container=container))[0] == status


def test_a_refusal_by_a_scripted_reply_and_by_the_participant_lead_to_the_same() -> None:
    assert run(GO, "answered_refused") == ("compensated", {"berths": FREE})
    connector = harbor()
    with world(freight(connector), stand_ins=[ParticipantStandIn(connector, service(), script=SCRIPT)]) as installation:
        installation.fail("book", fails("no"))
        installation.publish(GO)
        installation.run()
        (row,) = installation.store.runs(limit=2)
        assert row.status == "compensated"


def at_book(kind: FaultKind) -> Fault:
    return Fault(kind=kind, handler="book", path="book")


THRICE = {**FREE, "C-1": {"visits": 3}}
OVERTAKEN = (at_book("turned_back"), at_book("command_late"))
"""The run is cancelled while its command is on its way, so that the undo arrives first."""
AGAIN = (at_book("command_repeated"),)


@pytest.mark.parametrize(
    ("kept", "faults", "status", "left", "finding"),
    [
        pytest.param({}, OVERTAKEN, "compensated", FREE, None, id="it refuses what comes after its undo"),
        pytest.param(
            {"tombstones": False}, OVERTAKEN, "compensated", TAKEN, "not_restored", id="it obeys what comes afterwards"
        ),
        pytest.param({}, AGAIN, "completed", TAKEN, None, id="it acts once under a key"),
        pytest.param({"idempotent": False}, AGAIN, "completed", THRICE, "not_the_same", id="it acts again each time"),
    ],
)
def test_a_participant_that_does_not_keep_what_is_promised_of_it_is_found(
    kept: dict[str, bool], faults: tuple[Fault, ...], status: str, left: dict[str, Any], finding: str | None
) -> None:
    """The saga's connector promises everything, the participant that stands in does less."""
    stand_in = ParticipantStandIn(harbor(**kept), service(), script=SCRIPT)
    sandbox = Sandbox(freight(harbor()), triggers=[GO], stand_ins=[stand_in], unseen=["load"])
    with theater(sandbox, memory_store) as place:
        played = place.play(GO, faults)
        assert (played.ending.status, played.after["harbor"]) == (status, {"berths": left})
    if finding is not None:
        assert (finding, "book") in {(each.kind, each.step) for each in rehearse(sandbox).errors}


def test_what_befalls_the_bus_has_a_name_for_each_kind() -> None:
    assert frozenset(get_args(BusFault)) == BUS_FAULTS


def test_a_participant_in_another_language_is_stood_in_for_by_handlers_of_its_stand_in(tmp_path: Path) -> None:
    connector = harbor()
    (tmp_path / "harbor.sql").write_text(SCRIPT)
    stand_in = ParticipantStandIn(connector, script=tmp_path / "harbor.sql")

    @stand_in.on("book")
    def book(tx: Transaction, asked: Asked) -> Berth:
        tx.execute("INSERT INTO berths VALUES (?, 1)", (asked.container,))
        return Berth(crane=1)

    @stand_in.on("cancel")
    def cancel(tx: Transaction, asked: Asked) -> None:
        tx.execute("DELETE FROM berths WHERE container = ?", (asked.container,))

    found = rehearse(Sandbox(freight(connector), triggers=[GO], stand_ins=[stand_in], unseen=["load"]))
    assert found.findings == (), found
    assert found.undone["book"] > 20


@pytest.mark.parametrize("forgets", [False, True])
def test_a_participant_s_own_test_mode_is_passed_the_commands(*, forgets: bool) -> None:
    connector, berths = harbor(), {"old": 1}
    stand_in = ParticipantStandIn(connector, script="")

    @stand_in.on("book")
    def book(tx: Transaction, asked: Asked) -> Berth:
        berths[asked.container] = 1
        return Berth(crane=1)

    @stand_in.on("cancel")
    def cancel(tx: Transaction, asked: Asked) -> None:
        berths[asked.container] = 0
        if not forgets:
            del berths[asked.container]

    def emptied() -> None:
        berths.clear()
        berths["old"] = 1

    sandbox = Sandbox(
        freight(connector),
        triggers=[GO],
        stand_ins=[stand_in],
        begin=emptied,
        snapshot=lambda: {"berths": berths},
        unseen=["load"],
    )
    assert [each.kind for each in rehearse(sandbox).findings] == (["not_restored"] if forgets else [])


def refused(**given: Any) -> UsageError:
    connector = harbor()
    stand_in = ParticipantStandIn(connector, service(), script=SCRIPT)
    sandbox = Sandbox(
        freight(connector, command=given.get("command", "book"), body=given.get("body")),
        triggers=[given.get("trigger", GO)],
        stand_ins=[given.get("stand_in", stand_in)],
        unseen=["load"],
    )
    with pytest.raises(UsageError) as found:
        rehearse(sandbox)
    return found.value


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        pytest.param({"command": "bok"}, "AM5103", "was sent 'bok'; of commands it has book, cancel", id="no command"),
        pytest.param({"body": {"box": 1}}, "AM5103", "what it does not take: container", id="another body"),
        pytest.param(
            {"trigger": Container(container="broken")}, "AM5103", "handler of 'book' raised KeyError", id="it is broken"
        ),
        pytest.param(
            {"stand_in": StandIn("harbor", begin=lambda: None, snapshot=dict)},
            "AM5102",
            "its stand-in takes no commands",
            id="a stand-in of another kind",
        ),
    ],
)
def test_what_no_undo_could_mend_is_told_at_once(given: dict[str, Any], code: str, said: str) -> None:
    error = refused(**given)
    assert error.code == code
    assert said in error.line()


@pytest.mark.parametrize("topics", [{"commands": "elsewhere"}, {"replies": "elsewhere"}])
def test_a_service_behind_other_topics_is_refused(topics: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="its service reads") as found:
        ParticipantStandIn(harbor(), service(**topics), script=SCRIPT)
    assert found.value.code == "AM5105"


def test_a_service_brings_its_own_handlers() -> None:
    stand_in = ParticipantStandIn(harbor(), service(), script=SCRIPT)
    with pytest.raises(UsageError, match="it has the handlers of its service"):
        stand_in.on("book")


def test_a_service_on_postgresql_says_where_it_is_rehearsed() -> None:
    on_postgresql = service(database="postgresql://harbor@db.example.com/harbor")
    with pytest.raises(UsageError) as found:
        ParticipantStandIn(harbor(), on_postgresql, script=SCRIPT).begin()
    assert found.value.code == "AM5109"


def test_a_world_reaches_nothing_but_its_stand_ins_and_gives_back_what_they_hold() -> None:
    connector, other = harbor(), Participant("yard", commands="yard.commands", replies="yard.replies")
    with world(freight(other), stand_ins=[ParticipantStandIn(connector, service(), script=SCRIPT)]) as installation:
        installation.publish(GO)
        installation.run()
        (row,) = installation.store.runs(limit=2)
        assert row.status == "compensated"
        assert installation.script.post is not None
        assert not installation.script.post.sent
        (stand_in,) = installation.stand_ins
        assert isinstance(stand_in, ParticipantStandIn)
        file = Path(stand_in.url.removeprefix("sqlite:///"))
        with sqlite3.connect(file) as database:
            assert database.execute("SELECT count(*) FROM berths").fetchone() == (1,)
        database.close()
    assert not file.exists()


def test_a_world_that_nobody_closes_leaves_nothing_either() -> None:
    connector = harbor()
    stand_in = ParticipantStandIn(connector, service(), script=SCRIPT)
    installation = world(freight(connector), stand_ins=[stand_in])
    file = Path(stand_in.url.removeprefix("sqlite:///"))
    assert file.exists()
    del installation
    gc.collect()
    assert not file.exists()


@pytest.mark.parametrize(("forgets", "scenarios", "kinds"), [(False, 500, []), (True, 14, ["limit", "parks"])])
def test_a_read_back_may_look_into_the_participant_s_own_database(
    *, forgets: bool, scenarios: int, kinds: list[str]
) -> None:
    connector, books = harbor(), Sql("books", url="sqlite:///harbor.db")
    saga = Saga("freight", trigger=Topic("containers", Container, idempotency_key="id"))

    @saga.action(dependency=connector, pending_within="1m")
    async def book(ctx: Context, trigger: Container) -> Berth | Pending:
        return await connector.send(ctx, "book", {"container": trigger.container})

    @book.undo(pending_within="1m")
    async def cancel(ctx: Context, trigger: Container) -> Pending:
        return await connector.send(ctx, "cancel", {"container": "another" if forgets else trigger.container})

    @cancel.verify
    async def is_cancelled(trigger: Container) -> bool:
        there = "SELECT 1 FROM berths WHERE container = ?"
        return await books.read(lambda tx: tx.fetch_one(there, (trigger.container,))) is None

    stand_in = ParticipantStandIn(connector, service(), script=SCRIPT)
    reader = StandIn(books, begin=lambda: stand_in.url, snapshot=dict)
    found = rehearse(Sandbox(saga, triggers=[GO], stand_ins=[stand_in, reader]), scenarios_max=scenarios)
    assert sorted({each.kind for each in found.errors}) == kinds, found
