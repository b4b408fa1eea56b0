"""What deploying an APP would change, saga by saga, and what that means for runs that are open (rule 14). Pure.

A run keeps the graph it started with, so a new version of a graph harms no open run by itself. What can harm: a handler
that stored graphs need and the APP lacks, one version with two graphs, and a trigger that reads other records or names
requests otherwise than before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from amends.coordinator.definition.comparing import Change, compared
from amends.coordinator.definition.form import StoredDefinition, graph_hash
from amends.coordinator.definition.trigger_changes import Consequence, Verdict, worst
from amends.coordinator.definition.trigger_changes import consequences as of_trigger

Kind = Literal["new", "unchanged", "changed", "removed"]

EXIT_CODES: Final[dict[Verdict, int]] = {"none": 0, "safe": 10, "person": 11}


class Which(msgspec.Struct, frozen=True, kw_only=True):
    """A version and its graph."""

    version: int
    hash: str


class OpenRuns(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of one definition. `lacks` names the handlers that APP does not have for them, and why."""

    version: int
    hash: str
    runs: int
    statuses: dict[str, int]
    lacks: dict[str, str]


class SagaPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one saga."""

    saga: str
    change: Kind
    verdict: Verdict
    before: Which | None
    after: Which | None
    changes: tuple[Change, ...]
    consequences: tuple[Consequence, ...]
    open_runs: tuple[OpenRuns, ...] | None
    """None where no store was asked."""


class DeploymentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it; the worst verdict of a saga is the plan's."""

    app: str
    against: str
    verdict: Verdict
    sagas: tuple[SagaPlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A definition that was there before, with its place in the order in which they came."""

    hash: str
    stored: StoredDefinition
    stored_at: int

    @property
    def name(self) -> str:
        return self.stored.form.name

    @property
    def version(self) -> int:
        return self.stored.form.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a plan is made from."""

    today: Sequence[StoredDefinition]
    """APP's definitions."""
    deployed: Sequence[Deployed]
    open_runs: Sequence[OpenRuns] | None
    """None: unknown, as no store was asked."""
    saga_of: Mapping[str, str]
    """The saga's name by hash, of everything in `open_runs`."""
    lacks: Callable[[str], Mapping[str, str]]
    """By the hash of a graph: what APP lacks for runs of it, and why."""


def planned(situation: Situation, *, app: str, against: str) -> DeploymentPlan:
    """Plan the deployment of APP."""
    known = {each.form.name for each in situation.today} | {each.name for each in situation.deployed}
    names = sorted(known | {situation.saga_of[each.hash] for each in situation.open_runs or ()})
    sagas = tuple(_saga(situation, name) for name in names)
    verdict = worst(saga.verdict for saga in sagas)
    return DeploymentPlan(app=app, against=against, verdict=verdict, sagas=sagas)


def _saga(situation: Situation, name: str) -> SagaPlan:
    before = max(
        (each for each in situation.deployed if each.name == name),
        key=lambda each: (each.version, each.stored_at),
        default=None,
    )
    after = max(
        (each for each in situation.today if each.form.name == name), key=lambda each: each.form.version, default=None
    )
    changes = compared(before.stored, after) if before and after else ()
    open_runs = _open_runs(situation, name)
    found = [
        *(_two_graphs(situation, name) if after else ()),
        *(_older(before, after) if before and after else ()),
        *(of_trigger(before.stored, after, changes, _topics(situation)) if before and after else ()),
        *(_started(after) if after and before is None else ()),
        *(_gone(before, _topics(situation)) if before and after is None else ()),
        *_served(situation, before, open_runs),
    ]
    kind = _kind(before, after, changes)
    return SagaPlan(
        saga=name,
        change=kind,
        verdict=worst(["none" if kind == "unchanged" else "safe", *(each.verdict for each in found)]),
        before=Which(version=before.version, hash=before.hash) if before else None,
        after=Which(version=after.form.version, hash=graph_hash(after.form)) if after else None,
        changes=changes,
        consequences=tuple(found),
        open_runs=open_runs,
    )


def _kind(before: Deployed | None, after: StoredDefinition | None, changes: Sequence[Change]) -> Kind:
    if before is None:
        return "new" if after is not None else "removed"
    if after is None:
        return "removed"
    return "changed" if changes or before.version != after.form.version else "unchanged"


def _open_runs(situation: Situation, name: str) -> tuple[OpenRuns, ...] | None:
    if situation.open_runs is None:
        return None
    own = (each for each in situation.open_runs if situation.saga_of[each.hash] == name)
    return tuple(sorted(own, key=lambda each: (-each.version, each.hash)))


def _topics(situation: Situation) -> dict[str, list[str]]:
    """The sagas that read each topic from now on: of each name the highest version."""
    current: dict[str, StoredDefinition] = {}
    for each in sorted(situation.today, key=lambda each: each.form.version):
        current[each.form.name] = each
    found: dict[str, list[str]] = {}
    for name, each in sorted(current.items()):
        found.setdefault(each.form.trigger.topic, []).append(name)
    return found


def _two_graphs(situation: Situation, name: str) -> list[Consequence]:
    """A version keeps the graph it was first stored with; a worker refuses to start with another one."""
    found = []
    for today in situation.today:
        version = today.form.version
        stored = [each for each in situation.deployed if (each.name, each.version) == (name, version)]
        first = min(stored, key=lambda each: (each.stored_at, each.hash), default=None)
        if today.form.name == name and first is not None and first.hash != graph_hash(today.form):
            others = [each.version for each in situation.deployed if each.name == name]
            others += [each.form.version for each in situation.today if each.form.name == name]
            found.append(
                Consequence(
                    verdict="person",
                    code="AM3001",
                    says=f"v{version} had another graph before: a worker refuses one version with two graphs",
                    do=f"give the changed graph a new version, for instance version={max(others) + 1}",
                )
            )
    return found


def _older(before: Deployed, after: StoredDefinition) -> list[Consequence]:
    if after.form.version >= before.version:
        return []
    return [
        Consequence(
            verdict="person",
            says=f"APP is older than what is deployed: new triggers take v{after.form.version} again",
            do=f"deploy an APP that has v{before.version}, or be sure that this is what you want",
        )
    ]


def _started(after: StoredDefinition) -> list[Consequence]:
    topic = after.form.trigger.topic
    return [Consequence(verdict="safe", says=f"starts on {topic}; a topic nobody has read is read from its start")]


def _gone(before: Deployed, topics: Mapping[str, Sequence[str]]) -> list[Consequence]:
    topic = before.stored.form.trigger.topic
    readers = topics.get(topic)
    who = f"only {', '.join(readers)} will read it" if readers else "nobody reads it any more"
    return [Consequence(verdict="safe", says=f"no new run will start from {topic}: {who}")]


def _served(situation: Situation, before: Deployed | None, open_runs: Sequence[OpenRuns] | None) -> list[Consequence]:
    """Whether APP can serve the runs that are open, and those that start until it is deployed."""
    found = [
        Consequence(
            verdict="person",
            code="AM3002",
            says=f"{_counted(each.runs)} of v{each.version} would wait, and no worker starts: {_first(each.lacks)}",
            do="keep the handlers until these runs have ended, or let them wait with --allow-missing",
        )
        for each in open_runs or ()
        if each.lacks
    ]
    if before is None or any(each.hash == before.hash for each in open_runs or ()):
        return found
    lacks = situation.lacks(before.hash)
    if lacks and open_runs is None:
        says = f"runs of v{before.version} that are open would wait: {_first(lacks)}"
        do = "ask the store: amends plan APP --against deployed"
        found.append(Consequence(verdict="person", code="AM3002", says=says, do=do))
    elif lacks:
        says = f"no run of v{before.version} is open now; one that starts before this is deployed would wait"
        found.append(Consequence(verdict="safe", says=f"{says}: {_first(lacks)}"))
    return found


def _counted(runs: int) -> str:
    return "1 open run" if runs == 1 else f"{runs} open runs"


def _first(lacks: Mapping[str, str]) -> str:
    name, why = next(iter(sorted(lacks.items())))
    more = f" (and {len(lacks) - 1} more)" if len(lacks) > 1 else ""
    return f"{name}: {why}{more}"
