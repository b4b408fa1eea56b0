"""The edges that a picture of a definition needs: which step waits for which, and which undo follows which.

An edge that others imply is left out: of `a`, `b after a`, `c after a, b` the edges are a → b and b → c.
"""

from collections.abc import Iterable, Sequence

from amends.coordinator.definition.form import DefinitionForm

Edge = tuple[str, str]


def forward_edges(form: DefinitionForm) -> tuple[Edge, ...]:
    """From each step to those that wait for it, in the order of the definition."""
    return _covering([step.path for step in form.steps], _ancestors(form))


def undo_edges(form: DefinitionForm) -> tuple[Edge, ...]:
    """From each undo to the undos that come after it, as pairs of their steps' paths: the later step's comes first.

    Undos of steps that do not wait for each other have no edge: the last requested of them is undone first (rule 9).
    """
    undone = [step.path for step in form.steps if step.undo is not None]
    return tuple((later, earlier) for earlier, later in _covering(undone, _ancestors(form)))


def with_joints(edges: Iterable[Edge], name: str) -> tuple[list[Edge], list[str]]:
    """Where several wait for the same several, one joint between them, and the joints' names: 30 lines for 225."""
    before: dict[str, list[str]] = {}
    for start, end in edges:
        before.setdefault(end, []).append(start)
    waiting: dict[tuple[str, ...], list[str]] = {}
    for end, near in before.items():
        waiting.setdefault(tuple(near), []).append(end)
    found: list[Edge] = []
    joints: list[str] = []
    for starts, ends in waiting.items():
        if len(starts) * len(ends) <= len(starts) + len(ends):
            found += [(start, end) for end in ends for start in starts]
            continue
        joint = f"{name}{len(joints)}"
        joints.append(joint)
        found += [(start, joint) for start in starts] + [(joint, end) for end in ends]
    return found, joints


def in_order(nodes: Sequence[str], edges: Iterable[Edge]) -> list[str] | None:
    """The nodes, each after those with an edge to it, otherwise as they were given; None if they go in a circle."""
    before: dict[str, set[str]] = {node: set() for node in nodes}
    for start, end in edges:
        before[end].add(start)
    found: dict[str, None] = {}
    while len(found) < len(nodes):
        ready = [node for node in nodes if node not in found and before[node] <= found.keys()]
        if not ready:
            return None
        found.update(dict.fromkeys(ready))
    return list(found)


def _ancestors(form: DefinitionForm) -> dict[str, int]:
    """Every step that must be done before, directly or not, as bits by place in the definition."""
    place = {step.path: 1 << at for at, step in enumerate(form.steps)}
    found: dict[str, int] = {}
    for step in form.steps:
        found[step.path] = 0
        for each in step.after:
            found[step.path] |= place[each] | found[each]
    return found


def _covering(paths: Sequence[str], ancestors: dict[str, int]) -> tuple[Edge, ...]:
    """From each path to the nearest of the others before it. `paths` are in the definition's order."""
    place = {path: 1 << at for at, path in enumerate(ancestors)}
    edges: list[Edge] = []
    for at, path in enumerate(paths):
        implied = 0
        near: list[str] = []
        for other in reversed(paths[:at]):
            if ancestors[path] & place[other] and not implied & place[other]:
                near.append(other)
                implied |= ancestors[other]
        edges += [(other, path) for other in reversed(near)]
    return tuple(edges)
