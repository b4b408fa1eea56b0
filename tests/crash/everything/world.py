"""All that somebody outside could see of a festival in the end, and what must hold of its log."""

import json
from typing import Any, Final

from amends.coordinator.core.evolve import fold_entry
from amends.coordinator.core.plan import Plan, plan_of
from amends.coordinator.core.state import State
from amends.coordinator.definition.form import read_stored
from amends.schemas.entry import Entry, decode
from tests.crash.everything.village import TROUBLES, Village
from tests.simulation.checker import Checker

STORE: Final = ".amends/amends.db"


def world(village: Village) -> dict[str, Any]:
    """The books of the hall and of the band, the trouble that is left, and what was reported, each time it was.

    Raises where its log is not whole or breaks a rule, or something is left over.
    """
    outcomes = json.loads(village.text("amends", "outcomes", "-o", "json"))
    _hold_to_the_rules(village)
    _hold_together(outcomes)
    return {
        "hall": sorted(village.rows("hall.db", "SELECT what FROM books")),
        "gigs": village.rows("band.db", "SELECT festival FROM gigs"),
        "band": village.rows("band.db", "SELECT line FROM diary ORDER BY page"),
        "trouble": [name for name in TROUBLES if (village.folder / name).exists()],
        "outcomes": [_told(outcome) for outcome in outcomes],
    }


def _told(outcome: dict[str, Any]) -> dict[str, Any]:
    names = ("saga_id", "status", "cause", "result", "generation", "proof")
    return {
        **{name: outcome[name] for name in names},
        "undone": sorted((each["step"], each["verified_by"]) for each in outcome["undone"]),
        "exposure": sorted(each["step"] for each in outcome["exposure"]),
        "failure": outcome["failure"] and (outcome["failure"]["step"], outcome["failure"]["kind"]),
    }


def entries_of(village: Village) -> list[Entry]:
    """Its log."""
    return [decode(bytes(data)) for (data,) in village.rows(STORE, "SELECT state FROM events ORDER BY rowid")]


def _hold_together(outcomes: list[dict[str, Any]]) -> None:
    """Each one replaces the one before."""
    supersedes = None
    for outcome in outcomes:
        assert outcome["supersedes"] == supersedes
        supersedes = outcome["outcome_id"]


def _hold_to_the_rules(village: Village) -> None:
    """Its log is whole and keeps the invariants, and nothing is left over."""
    assert json.loads(village.text("amends", "audit", "verify", "--all", "-o", "json"))["ok"]
    assert village.rows(STORE, "SELECT reason FROM dead_letters") == []
    assert village.rows(STORE, "SELECT key FROM locks") == []
    assert village.rows(STORE, "SELECT message_id FROM inbox") == []
    assert village.rows("band.db", "SELECT key FROM amends_commands WHERE reply_due = 1 OR answer IS NULL") == []
    entries = entries_of(village)
    checker = Checker(plan=_plan(village, entries))
    for entry in entries:
        checker.entry(entry)


def _plan(village: Village, entries: list[Entry]) -> Plan:
    """With every item and round that there was."""
    ((body,),) = village.rows(STORE, "SELECT body FROM definitions")
    plan = plan_of(read_stored(bytes(body)).form)
    state: State | None = None
    for entry in entries:
        state = fold_entry(state, entry)
    assert state is not None, "the run has begun"
    return plan.of(state)
