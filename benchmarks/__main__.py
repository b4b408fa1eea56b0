"""`make bench`: rounds of every contestant in turn, then the table. `ARGS='--rounds 5 --embedded'` change that."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.ledger import faults
from benchmarks.phases import Phase, all_keys_of, told
from benchmarks.table import Contest, lines
from tests.servers import tools
from tests.servers.folders import scratch_folder
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer, new_database

CHECKOUT = Path(__file__).resolve().parents[1]
RESULTS = CHECKOUT / ".cache" / "bench.json"
PEER = os.environ.get("AMENDS_BENCH_PEER", str(CHECKOUT / ".cache" / "bench-venv" / "bin" / "python"))
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "128MB"}
PROGRAM_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One contestant: a command, given a folder of its own for each round, and how many runs it is asked for."""

    contest: str
    name: str
    counts: tuple[int, int]
    command: Callable[[Path, ExitStack], list[str]]
    rounds: list[dict[str, Phase]] = field(default_factory=list)

    def play(self) -> None:
        with tempfile.TemporaryDirectory(prefix="amends-bench-") as scratch, ExitStack() as stack:
            folder = Path(scratch)
            ledger = folder / "ledger"
            command = [part.replace("LEDGER", str(ledger)) for part in self.command(folder, stack)]
            environment = {**os.environ, "AMENDS_BENCH_LEDGER": str(ledger), "PYTHONPATH": str(CHECKOUT)}
            ended = subprocess.run(
                [*command, *map(str, self.counts)],
                cwd=CHECKOUT, env=environment, timeout=PROGRAM_S, stdout=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
            if ended.returncode:
                sys.exit(f"{self.name} on {self.contest} failed with exit {ended.returncode}; there is no figure")
            told_of = told(ended.stdout)
            keys = all_keys_of(*self.counts, *(["drained"] if "drained" in told_of else []))
            if found := faults(ledger, keys):
                sys.exit(f"void: the ledger of {self.name} on {self.contest} says {found[:3]}; there is no figure")
            self.rounds.append(told_of)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of every contestant, in turn (3)")
    parser.add_argument("--embedded", action="store_true", help="SQLite and local topics only")
    wanted = parser.parse_args()
    with contestants(embedded_only=wanted.embedded) as programs:
        for number in range(wanted.rounds):
            for program in programs:
                print(f"round {number + 1} of {wanted.rounds}: {program.name} on {program.contest}", file=sys.stderr)
                program.play()
    contests = contests_of(programs)
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"machine": machine, "contests": [asdict(contest) for contest in contests]}, indent=1)
    )
    print("\n".join(lines(contests, machine=machine)))
    print(f"every round of it: {RESULTS.relative_to(CHECKOUT)}", file=sys.stderr)
    return 0


@contextmanager
def contestants(*, embedded_only: bool) -> Iterator[list[Program]]:
    programs = [
        Program(contest="SQLite + local topics", name="Amends", counts=(150, 4_000), command=amends_embedded),
        Program(contest="SQLite + local topics", name="DBOS", counts=(60, 300), command=dbos_embedded),
    ]
    with ExitStack() as stack:
        if not embedded_only:
            try:
                programs += served(stack)
            except tools.Missing as missing:
                print(f"PostgreSQL + Kafka is not measured: {missing}", file=sys.stderr)
        yield programs


def amends_embedded(folder: Path, _: ExitStack) -> list[str]:
    return [sys.executable, "-m", "benchmarks.embedded", str(folder)]


def dbos_embedded(folder: Path, _: ExitStack) -> list[str]:
    return [PEER, "-m", "benchmarks.peer", f"sqlite:///{folder}/dbos.db", "LEDGER"]


def served(stack: ExitStack) -> list[Program]:
    """Start the servers, with every commit synced to disk, and give those that use them."""
    postgres = stack.enter_context(PostgresServer(stack.enter_context(scratch_folder("postgres")), settings=DURABLE))

    def amends(folder: Path, stack: ExitStack) -> list[str]:
        database = stack.enter_context(new_database(postgres.url))
        kafka = stack.enter_context(KafkaServer(stack.enter_context(scratch_folder("kafka"))))
        return [sys.executable, "-m", "benchmarks.served", database, kafka.address, str(folder)]

    def dbos(_: Path, stack: ExitStack) -> list[str]:
        return [PEER, "-m", "benchmarks.peer", stack.enter_context(new_database(postgres.url)), "LEDGER"]

    return [
        Program(contest="PostgreSQL + Kafka", name="Amends", counts=(100, 3_000), command=amends),
        Program(contest="PostgreSQL + Kafka", name="DBOS", counts=(60, 500), command=dbos),
    ]


def contests_of(programs: list[Program]) -> list[Contest]:
    """Amends, its ceiling and DBOS beside each other, phase by phase."""
    found = []
    for name in dict.fromkeys(program.contest for program in programs):
        ours, theirs = (program for program in programs if program.contest == name)
        found += [
            Contest(
                name=name,
                phase=phase,
                amends=[told[phase] for told in ours.rounds],
                ceiling=[told[f"{phase}-ceiling"] for told in ours.rounds],
                dbos=[told[theirs_of] for told in theirs.rounds],
            )
            for phase, theirs_of in (("drained", "together"), ("together", "together"), ("alone", "alone"))
        ]
    return found


if __name__ == "__main__":
    sys.exit(main())
