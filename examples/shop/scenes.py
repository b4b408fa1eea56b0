"""The demo's scenes, in the order they are played."""

import difflib
import json
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from amends.examples.shop import reconcile
from amends.examples.shop.commands import short
from amends.examples.shop.ledgers import charges, orders_with_card, requests_about
from amends.examples.shop.stage import ORDERS, Stage
from amends.examples.shop.telling import Facts, Teller, counted, letter_line, listed, run_lines

SLOW_CARD, LOST_CARD, DOWN_CARD = "0408", "0500", "0077"
"""Endings of the cards that `payments.py` is slow with, charges without saying so, and cannot refund."""
EURO_ONLY = 'currency: Literal["EUR"]'
PERSON = "shopkeeper"
IDLE_WITHIN_S = 60.0
CHARGED_WITHIN_S = 30.0
LOOK_EVERY_S = 0.005


class Demo:
    """Plays on a stage and tells of it."""

    def __init__(self, stage: Stage, teller: Teller) -> None:
        self._stage = stage
        self._amends = stage.amends
        self._teller = teller
        self._records = ORDERS.read_bytes().splitlines()
        self._places: list[str] = []

    def introduce(self) -> None:
        """Say who takes part."""
        stage, mail, teller = self._stage, self._stage.mail, self._teller
        teller.say("A shop: orders come in on a topic, and a saga carries each one out by three participants.")
        teller.scene("The participants are running, each with records of its own")
        rows = [
            ("payments", stage.payments.url, stage.shop / "payments.db"),
            ("mail", f"smtp://{mail.addresses['smtp_host']}:{mail.addresses['smtp_port']}", stage.shop / "mail.db"),
            ("inventory", "a database, reached by SQL", stage.shop / "inventory.db"),
            ("Amends", stage.bus, stage.store),
        ]
        teller.tell(*(f"{name:<11}{where:<28}{records}" for name, where, records in rows))
        teller.tell(
            "", f"Each `amends` below is run with {' '.join(self._amends.place)}, and all this stays for a look."
        )

    def publish(self) -> None:
        """Put all records on the topic, broken ones and duplicates included."""
        self._teller.scene(f"{counted(len(self._records), 'record')} are published, good and bad, as they would arrive")
        if self._stage.topics:
            # One partition, as on the embedded default: of two records with one request id the first must come first.
            self._show("topics", "create", *self._stage.topics, "--partitions", "1")
        arguments = ("publish", self._stage.topic, "--file", short(ORDERS.resolve()))
        self._teller.command(self._amends.shown(*arguments))
        published = self._amends.json(*arguments)["records"]
        self._places = [f"{self._stage.topic}:{place['partition']}:{place['offset']}" for place in published]
        self._teller.tell(f"{counted(len(published), 'record')} on {self._stage.topic}")

    def kill_a_worker(self) -> None:
        """Kill a worker with SIGKILL while a card has been charged and the answer is on its way."""
        stage, teller = self._stage, self._teller
        order = orders_with_card(ORDERS, SLOW_CARD)[0]
        teller.scene("A worker takes them, and is killed in the middle")
        with self._amends.worker(stage.app) as worker:
            teller.command(worker.command)
            deadline_s = time.monotonic() + CHARGED_WITHIN_S
            while not requests_about(stage.shop, order):
                if worker.ended or time.monotonic() > deadline_s:
                    raise worker.failed(f"never charged {order}")
                time.sleep(LOOK_EVERY_S)
            worker.kill()
        teller.tell(f"kill -9, while {order} had just been charged and the answer was on its way.")
        self._tell_what_it_left()

    def let_another_finish(self) -> None:
        """Start the worker again, and see by the ledger that nothing was paid twice."""
        teller = self._teller
        teller.scene("Another worker goes on where it was")
        before = charges(self._stage.shop)
        self._work()
        after = charges(self._stage.shop)
        runs = self._amends.json("runs", "list", "--limit", "1000")
        teller.tell(
            f"It is done: {_statuses(runs)}.",
            f"The card processor was asked to charge {counted(after.requests, 'time')},"
            f" {before.requests} of them before the kill.",
            f"It took {counted(sum(after.payments.values()), 'payment')} for {counted(len(after.payments), 'order')},"
            f" {_never(after.most_for_one_order)}.",
        )

    def show_what_became_of_the_records(self) -> None:
        """One line for each run, then for what became none."""
        teller = self._teller
        teller.scene("What became of the records, run by run")
        outcomes = self._outcomes()
        for outcome in sorted(outcomes, key=lambda each: str(each["business_key"])):
            teller.tell(*run_lines(outcome))
        fates = [self._amends.json("triggers", "explain", place) for place in self._places]
        letters = {letter["n"]: letter for letter in self._letters()}
        teller.tell("")
        for record, fate in zip(self._records, fates, strict=True):
            if fate["state"] == "duplicate":
                teller.tell(f"duplicate      {_order_in(record):<7} the same request again: counted, and nothing else")
            elif fate["n"] is not None:
                teller.tell(letter_line(letters[fate["n"]], _order_in(record)))
        states = Counter("dead letter" if fate["n"] is not None else str(fate["state"]) for fate in fates)
        teller.tell("", f"{len(self._places)} records: {listed([counted(n, what) for what, n in states.items()])}.")

    def tell_some_stories(self) -> None:
        """The whole story of one run of each kind."""
        teller = self._teller
        teller.scene("Some of them in full")
        compensated = [outcome for outcome in self._outcomes() if outcome["status"] == "compensated"]
        undone = max(compensated, key=lambda outcome: len(outcome["undone"]))["business_key"]
        slow, lost = (orders_with_card(ORDERS, ending)[0] for ending in (SLOW_CARD, LOST_CARD))
        stories = [
            (undone, "A step was refused. What had been done was undone in reverse, and each undo read back:"),
            (slow, "The card was charged, and the worker died before it knew. The next one asked first:"),
            (lost, "The card was charged, and the answer was 500. That is doubt, not failure; so it was asked, too:"),
            *((each["business_key"], "An undo fails. Now a person must decide:") for each in self._parked),
        ]
        for order, about in stories:
            teller.tell(about)
            self._show("runs", "story", self._run_of(order))

    def decide(self) -> None:
        """Repair the card processor's refunds, and decide about the runs that wait for it."""
        self._teller.scene("The refunds work again, and a person decides")
        with urlopen(Request(f"{self._stage.payments.url}/faults?ending={DOWN_CARD}", method="DELETE"), timeout=10):  # noqa: S310  on loopback
            pass
        self._show("parked", "list")
        for parked in self._parked:
            run = self._run_of(parked["business_key"])
            self._show("parked", "resolve", run, "--step", parked["step"], "--retry", "--as", PERSON)

    def teach(self) -> None:
        """Give the saga a second version that accepts what the first one refused, and redrive the dead letter."""
        teller, app = self._teller, self._stage.app
        letter = next(each for each in self._letters() if each["path"] == "currency")
        currency = json.loads(self._amends.json("dead-letters", "show", str(letter["n"]))["value"])["currency"]
        teller.scene(f"The shop learns {currency}: its saga gets a second version, and the dead letter is redriven")
        before = app.read_text(encoding="utf-8")
        after = before.replace(EURO_ONLY, f'currency: Literal["EUR", "{currency}"]').replace("version=1", "version=2")
        app.write_text(after, encoding="utf-8")
        changed = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
        teller.tell(f"In {app}:", *(line for line in changed if not line.startswith(("---", "+++", "@@"))), "")
        self._show("dead-letters", "redrive", str(letter["n"]))
        self._redriven = str(letter["idempotency_key"])

    def work_off_the_rest(self) -> None:
        """One more worker, with the new version, for the decision and the redriven record."""
        teller = self._teller
        waiting = [self._run_of(parked["business_key"]) for parked in self._parked]
        teller.scene("A worker with the new version takes both")
        self._work()
        for run in [*waiting, f"order/{self._redriven}"]:
            self._show("runs", "story", run)

    def reconcile(self) -> bool:
        """Let the participants' own databases say whether the books balance."""
        teller, stage = self._teller, self._stage
        teller.scene("Do the books balance? By the participants' own databases, not by ours")
        reported = stage.folder / "outcomes.jsonl"
        reported.write_text(self._amends.text("outcomes", "-o", "jsonl"), encoding="utf-8")
        program = [short(Path(reconcile.__file__).resolve()), "--data", str(stage.shop), "--outcomes", str(reported)]
        teller.command(shlex.join(["python", *program]))
        done = subprocess.run([sys.executable, *program], capture_output=True, text=True, check=False)
        teller.text(done.stdout + done.stderr)
        return done.returncode == 0

    def next_commands(self) -> list[tuple[str, str]]:
        """What a person may want to type next, and what it shows."""
        parked = self._run_of(orders_with_card(ORDERS, DOWN_CARD)[0])
        commands = [
            ("every run", "runs", "list"),
            ("the one that was parked", "runs", "show", parked),
            ("its history, offline", "replay", parked),
            ("the first record's fate", "triggers", "explain", self._places[0]),
            ("what became no run", "dead-letters", "list"),
            ("is the log untouched?", "audit", "verify", "--all"),
        ]
        return [(self._amends.typed(*command), about) for about, *command in commands]

    def _work(self) -> None:
        with self._amends.worker(self._stage.app) as worker:
            self._teller.command(worker.command)
            begun_s = time.monotonic()
            worker.wait(within_s=IDLE_WITHIN_S)
            self._teller.tell(f"Ended by itself after {time.monotonic() - begun_s:.1f} s: nothing was left to do.")

    def _tell_what_it_left(self) -> None:
        """What the log knows, beside what the card processor knows."""
        runs = self._amends.json("runs", "list", "--limit", "1000")
        still_open = [run for run in runs if run["ended_at"] is None and run["status"] != "parked"]
        shown = {run["business_key"]: self._amends.json("runs", "show", run["saga_id"]) for run in still_open}
        asking = [order for order, run in shown.items() if _is_asking(run)]
        taken = charges(self._stage.shop).payments
        unheard = [order for order in taken if order in shown and not _heard(shown[order], "charge")]
        self._teller.tell(
            f"{counted(len(runs), 'run')}: {_statuses(runs)}; {counted(len(asking), 'run')} had a request on its way.",
            f"The card processor has taken {counted(sum(taken.values()), 'payment')};"
            f" of {len(unheard)} the worker never heard{': ' + listed(unheard) if unheard else ''}.",
        )

    def _show(self, *arguments: str) -> None:
        self._teller.command(self._amends.shown(*arguments))
        self._teller.text(self._amends.text(*arguments))

    def _outcomes(self) -> list[Facts]:
        """The last outcome of each run."""
        last = {outcome["saga_id"]: outcome for outcome in self._amends.json("outcomes")}
        return list(last.values())

    def _letters(self) -> list[Facts]:
        return list(self._amends.json("dead-letters", "list"))

    @cached_property
    def _parked(self) -> list[Facts]:
        return list(self._amends.json("parked", "list"))

    def _run_of(self, order: str) -> str:
        """How to name the run of an order on the command line."""
        run = next(run for run in self._amends.json("runs", "list", "--key", order))
        return f"{run['saga']}/{run['idempotency_key']}"


def _statuses(runs: list[dict[str, Any]]) -> str:
    counts = Counter(str(run["status"]) for run in runs)
    return listed([f"{number} {status}" for status, number in counts.most_common()])


def _is_asking(run: Facts) -> bool:
    effects = [effect for step in run["steps"] for effect in (step, step["undo"]) if effect is not None]
    return any(effect["status"] == "requested" for effect in effects)


def _heard(run: Facts, path: str) -> bool:
    """Whether the log holds an answer to the step's request."""
    return any(step["path"] == path and step["status"] not in ("pending", "requested") for step in run["steps"])


def _never(most: int) -> str:
    return "never twice for the same" if most <= 1 else f"up to {most} times for the same"


def _order_in(record: bytes) -> str:
    """Also of a record that is no JSON."""
    found = re.search(rb'"order_id": *"([^"]+)"', record)
    return found[1].decode() if found else "?"
