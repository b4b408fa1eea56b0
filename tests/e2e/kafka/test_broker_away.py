"""A run never depends on the bus: with it away open runs end or park, and the topics are complete later."""

from contextlib import ExitStack

import pytest

from amends.schemas.outcome import OUTCOMES
from tests.e2e.kafka.installation import LEDGER, Installation, done, publish, statuses, wait_for
from tests.e2e.kafka.topics import chains, records
from tests.servers.kafka import KafkaServer

RUNS = 30
FATES = ["", "third", "third undo_first"]
"""What the participant refuses of every third order: it completes, is undone, or parks."""
EFFECTS = RUNS // len(FATES) * (3 + 4 + 3)


def order(number: int, *, slow_ms: int) -> dict[str, object]:
    return {"id": f"A-{number}", "slow_ms": slow_ms, "refuse": FATES[number % len(FATES)]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("ledger", "fate"),
    [("SQLite", "stopped"), ("PostgreSQL", "killed"), ("PostgreSQL", "frozen")],
    indirect=["ledger"],
)
def test_with_the_broker_away_open_runs_end_or_park_and_the_topics_are_complete_after_it_is_back(
    ledger: Installation, own_kafka: KafkaServer, fate: str
) -> None:
    with ExitStack() as stack:
        stack.enter_context(ledger.started("worker", "worker", LEDGER))
        if ledger.store.startswith("postgresql"):
            stack.enter_context(ledger.started("relay", "relay"))
        publish(ledger, [order(number, slow_ms=1_000) for number in range(RUNS)])
        wait_for(lambda: sum(done(ledger).values()) >= RUNS, "every run is at its first step or further")
        {"stopped": own_kafka.stop, "killed": own_kafka.kill, "frozen": own_kafka.freeze}[fate]()
        assert sum(done(ledger).values()) < EFFECTS, "the broker goes in mid-run, else this proves nothing"
        expected = dict.fromkeys(("completed", "compensated", "parked"), RUNS // len(FATES))
        wait_for(lambda: statuses(ledger) == expected, "all runs end or park without the bus")
        own_kafka.thaw() if fate == "frozen" else own_kafka.start()
        wait_for(lambda: is_complete(ledger), "the topics are complete")
        publish(ledger, [order(RUNS, slow_ms=0)])
        wait_for(lambda: statuses(ledger)["completed"] == expected["completed"] + 1, "triggers are read again")
        wait_for(lambda: is_complete(ledger), "the topics are complete again")
    assert set(done(ledger).values()) == {1}
    assert len(done(ledger)) == EFFECTS + 3, "those of the runs, and of the one that came last"
    assert ledger.json("audit", "verify", "--all", "--from-topic")["runs"] == RUNS + 1


def is_complete(ledger: Installation) -> bool:
    """Whether the audit topic has all that the store has, gapless, and the outcomes topic every ending."""
    in_store = ledger.json("audit", "verify", "--all")
    assert in_store["ok"]
    if sum(map(len, chains(ledger).values())) < in_store["entries"]:
        return False
    found = [OUTCOMES.of_avro(each.value) for each in records(ledger, ledger.own.outcomes)]
    return bool(len({each.saga_id for each in found}) == in_store["runs"])
