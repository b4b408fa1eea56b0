"""An installation of Amends as its user has it: settings in the environment, and the command `amends`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amends.coordinator.reading.publishing import OwnTopics
from tests.integration.runtime.ledger_app import effects

HERE = Path(__file__).parent
ORDERS = HERE / "orders_app.py"
LEDGER = HERE.parents[1] / "integration" / "runtime" / "ledger_app.py"
AMENDS = Path(sys.executable).with_name("amends")
PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`prefix` is before every topic's name; `more` are further variables of the environment."""

    folder: Path
    store: str
    bus: str
    prefix: str
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.bus.removeprefix("kafka://")

    @property
    def own(self) -> OwnTopics:
        return OwnTopics(f"{self.prefix}amends")

    @property
    def orders(self) -> str:
        return f"{self.prefix}orders"

    @property
    def notices(self) -> str:
        return f"{self.prefix}notices"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AMENDS_")}
        return {
            **kept,
            "AMENDS_DATA": str(self.folder),
            "AMENDS_STORE": self.store,
            "AMENDS_BUS": self.bus,
            "AMENDS_TOPIC_PREFIX": self.own.prefix,
            "AMENDS_LEASE": "1s",
            "ORDERS_TOPIC": self.orders,
            "NOTICES_TOPIC": self.notices,
            **self.more,
        }

    def run(self, *arguments: object, code: int | None = 0, within_s: float = PATIENCE_S, stderr: bool = False) -> str:
        """Run a command to its end, which must be this code if there is one; give what it says on stdout or stderr."""
        ended = subprocess.run(
            [AMENDS, *map(str, arguments)],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        said = f"{arguments} ended with {ended.returncode}: {ended.stdout}{ended.stderr}"
        assert code is None or ended.returncode == code, said
        return ended.stderr if stderr else ended.stdout

    def json(self, *arguments: object, code: int | None = 0) -> Any:
        return json.loads(self.run(*arguments, "-o", "json", code=code))

    @contextmanager
    def started(self, name: str, *arguments: object) -> "Iterator[subprocess.Popen[bytes]]":
        """Run a command that stays, its log in NAME.log; at the end it must stop in order, unless it was killed."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [AMENDS, *map(str, arguments)],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(15)
            assert process.returncode in {0, -signal.SIGKILL}, self.log_of(name)
        finally:
            process.kill()
            process.wait(10)

    def everything(self) -> str:
        """Say how it stands, for the message of a test that failed."""
        said = [self.run("runs", "list", "-o", "jsonl"), self.run("dead-letters", "list", "-o", "jsonl")]
        return "\n".join([*said, *(f"{log.stem}:\n{self.log_of(log.stem)}" for log in self.folder.glob("*.log"))])

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")


def wait_for(what: Callable[[], bool], why: str, *, within_s: float = PATIENCE_S) -> None:
    """Look until it is so. Fails after a bounded time."""
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, f"not within {within_s} s: {why}"
        time.sleep(0.05)


def ledger_installation(folder: Path, store: str, address: str) -> Installation:
    """Make one for the saga whose participant writes down what it did, with the topics of a broker of its own."""
    books = folder / "books"
    books.mkdir()
    made = Installation(folder=folder, store=store, bus=f"kafka://{address}", prefix="", more={"LEDGER": str(books)})
    made.run("topics", "create", LEDGER, "--partitions", 4)
    return made


def done(ledger: Installation) -> Counter[tuple[str, str]]:
    """What the participant did: how often for each order and effect."""
    return effects(Path(ledger.more["LEDGER"]))


def publish(ledger: Installation, orders: Iterable[Mapping[str, object]]) -> None:
    """Publish triggers as `amends publish` does: a line of a file each."""
    file = ledger.folder / "orders.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in orders), encoding="utf-8")
    ledger.run("publish", "ledger.orders", "--file", file)


def statuses(ledger: Installation) -> Counter[str]:
    """How many runs there are in each status."""
    return Counter(row["status"] for row in ledger.json("runs", "list", "--limit", 10_000))


def outcomes(
    installation: Installation, *business_keys: str, schemas: Path | None = None, registry: str | None = None
) -> list[dict[str, Any]]:
    """Read the outcomes topic until these have come, by a program that has nothing of Amends."""
    way = ["--registry", registry] if registry else ["--schemas", str(schemas)]
    program = [sys.executable, "-I", str(HERE / "outcome_reader.py")]
    ended = subprocess.run(
        [*program, installation.address, installation.own.outcomes, *business_keys, *way],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    missing = set(business_keys) - {each["outcome"]["business_key"] for each in found}
    assert not missing, f"no outcome of {sorted(missing)} in time, but:\n{installation.everything()}"
    return found
