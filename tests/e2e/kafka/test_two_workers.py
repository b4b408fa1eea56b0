"""Two workers and two relays on Kafka and PostgreSQL, one of each killed in the middle: all ends, nothing twice."""

import json
import subprocess
from pathlib import Path

import pytest

from amends.schemas.outcome import OUTCOMES
from tests.e2e.kafka.installation import (
    LEDGER,
    done,
    ledger_installation,
    publish,
    statuses,
    wait_for,
)
from tests.e2e.kafka.topics import chains, records
from tests.servers.kafka import KafkaServer

RUNS = 200
REFUSED_EVERY = 5


@pytest.mark.timeout(240)
def test_a_worker_and_a_relay_killed_in_the_middle_of_200_runs_lose_nothing_and_do_nothing_twice(
    own_kafka: KafkaServer, postgres: str, tmp_path: Path
) -> None:
    made = ledger_installation(tmp_path, postgres, own_kafka.address)
    with (
        made.started("heir", "worker", LEDGER),
        made.started("doomed", "worker", LEDGER) as doomed,
        made.started("relay", "relay"),
        made.started("doomed-relay", "relay") as doomed_relay,
    ):
        for name in ("heir", "doomed"):
            wait_for(lambda name=name: "partitions_assigned" in made.log_of(name), f"{name} reads")  # type: ignore[misc]
        publish(made, [order(number) for number in range(RUNS)])
        wait_for(lambda: sum(done(made).values()) > RUNS, "the runs are half way")
        kill(doomed, doomed_relay)
        assert sum(statuses(made)[status] for status in ("completed", "compensated")) < RUNS, "too late to prove much"
        ended = {"completed": RUNS - RUNS // REFUSED_EVERY, "compensated": RUNS // REFUSED_EVERY}
        wait_for(lambda: statuses(made) == ended, "every run has ended")
        entries = made.json("audit", "verify", "--all")["entries"]
        wait_for(lambda: sum(map(len, chains(made).values())) == entries, "all is published, and gapless")
        wait_for(lambda: len(records(made, made.own.outcomes)) >= RUNS, "every run has its outcome")
    assert set(done(made).values()) == {1}, "no effect happened twice"
    assert sum(effect.startswith("undo_") for _, effect in done(made)) == 2 * (RUNS // REFUSED_EVERY)
    outcomes = [OUTCOMES.of_avro(each.value) for each in records(made, made.own.outcomes)]
    assert len({each.outcome_id for each in outcomes}) == len({each.saga_id for each in outcomes}) == RUNS
    assert made.json("audit", "verify", "--all", "--from-topic")["runs"] == RUNS
    assert owners(chains(made)) >= 2, "both workers have written, else nothing was taken over"


def order(number: int) -> dict[str, object]:
    return {"id": f"A-{number}", "slow_ms": 150, "refuse": "" if number % REFUSED_EVERY else "third"}


def kill(*processes: "subprocess.Popen[bytes]") -> None:
    for process in processes:
        process.kill()
        process.wait(10)


def owners(kept: dict[str, list[bytes]]) -> int:
    """How many epochs a run lived through at most: one more for every owner."""
    return max(len({json.loads(entry)["epoch"] for entry in entries}) for entries in kept.values())
