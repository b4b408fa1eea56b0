"""The plan of a deployment for people: symbols and words, what changes first, what it means below."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from amends.coordinator.cli.output import toned
from amends.coordinator.definition.card import argument_text, card_of
from amends.coordinator.definition.comparing import Change
from amends.coordinator.definition.condition_text import condition_text
from amends.coordinator.definition.deploying import DeploymentPlan, OpenRuns, SagaPlan
from amends.coordinator.definition.durations import text_of_ms
from amends.coordinator.definition.expression import Expression
from amends.coordinator.definition.form import Argument, StepForm
from amends.coordinator.definition.trigger_changes import Consequence
from amends.coordinator.reading.folding import fitting
from amends.coordinator.reading.words import counted

_SYMBOLS: Final = {"new": "+", "unchanged": "=", "changed": "~", "removed": "-", "added": "+"}
_ENDS: Final = {
    "none": ("good", "✔ no change"),
    "safe": ("good", "✔ safe for open runs"),
}
_LETTERS_MAX: Final = 60
_NAMES_MAX: Final = 4


def plan_text(plan: DeploymentPlan, *, width: int | None = None) -> str:
    """The whole of it. With a `width`, a terminal's, what is longer goes on below."""
    lines = [f"{plan.app} against {plan.against}"]
    for saga in plan.sagas:
        for text, indent, more in _saga(saga):
            lines += fitting(text, first=indent, rest=indent + more, width=width)
    asked = sum(each.verdict == "person" for saga in plan.sagas for each in saga.consequences)
    tone, end = _ENDS.get(plan.verdict, ("bad", f"✖ {counted(asked, 'thing')} for a person to look at first"))
    return "\n".join([*lines, toned(tone, end)])


def _saga(saga: SagaPlan) -> Iterator[tuple[str, str, str]]:
    """Each line with its indent, and how much further in it goes on: below its text, not below its symbol."""
    yield f"{_SYMBOLS[saga.change]} {saga.change} {saga.saga} {_versions(saga)}", "  ", "  "
    for changes in _alike(saga.changes):
        yield _change(changes[0], [each.path for each in changes if each.path]), "      ", "  "
    for runs in saga.open_runs or ():
        yield _open_runs(runs), "      ", "  "
    for consequence in saga.consequences:
        yield _consequence(consequence), "      ", "  "
        if consequence.do:
            yield f"→ {consequence.do}", "        ", "  "


def _versions(saga: SagaPlan) -> str:
    versions = [f"v{each.version}" for each in (saga.before, saga.after) if each is not None]
    return " → ".join(dict.fromkeys(versions))


def _alike(changes: Iterable[Change]) -> list[list[Change]]:
    """Handlers that take or return another type in the same place are told in one line."""
    found: dict[object, list[Change]] = {}
    for number, change in enumerate(changes):
        key = (change.field, change.change) if change.what == "schema" else number
        found.setdefault(key, []).append(change)
    return list(found.values())


def _change(change: Change, paths: Sequence[str]) -> str:
    symbol = _SYMBOLS[change.change]
    if change.what == "step" and not change.field:
        if change.change == "removed":
            return f"{symbol} step {change.path}"
        card = card_of(msgspec.convert(change.after, StepForm))
        return f"{symbol} step {'; '.join(each for each in (card.says, card.undo_says) if each)}"
    if change.what == "schema":
        what = "what is returned" if change.field == "return" else f"parameter {change.field!r}"
        return f"{symbol} {'handlers' if len(paths) > 1 else 'handler'} {_few(paths)}: {what} is {_another(change)}"
    place = f"step {change.path}: " if change.path else "trigger " if change.what == "trigger" else ""
    words, before, after = _worded(change)
    if change.field == "schema":
        return f"{symbol} {place}{words} is another one"
    return f"{symbol} {place}{words} {before} → {after}"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_MAX} more" if len(names) > _NAMES_MAX else ""
    return ", ".join(names[:_NAMES_MAX]) + more


def _another(change: Change) -> str:
    return {"added": "new", "removed": "gone", "changed": "of another type"}[change.change]


def _worded(change: Change) -> tuple[str, str, str]:
    words = change.field.removesuffix("_ms").replace(".", " ").replace("_", " ")
    ms = change.field.endswith("_ms")
    before, after = _shown(change.before, ms=ms), _shown(change.after, ms=ms)
    if change.field.endswith("verify.verify_after_ms"):
        words = words.replace("verify verify", "verify")
        before, after = ("at once" if each == "0ms" else each for each in (before, after))
    return words, before, after


def _shown(value: Any, *, ms: bool) -> str:  # noqa: ANN401  any JSON
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int() if ms:
            return text_of_ms(value)
        case list() | tuple():
            return ", ".join(_shown(each, ms=False) for each in value) or "nothing"
        case {"op": str()}:
            return condition_text(msgspec.convert(value, Expression))
        case {"source": str()}:
            return argument_text(msgspec.convert(value, Argument))
        case {"within_ms": int(within_ms), **rest} if not rest:
            return f"within {text_of_ms(within_ms)}"
        case dict():
            name = value.get("name") or value.get("handler", {}).get("name")
            return str(name) if name else _short(msgspec.json.encode(value).decode())
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS_MAX else f"{text[: _LETTERS_MAX - 1]}…"


def _open_runs(runs: OpenRuns) -> str:
    statuses = ", ".join(f"{count} {status}" for status, count in runs.statuses.items())
    who = f"{counted(runs.runs, 'open run')} of v{runs.version} ({statuses})"
    if not runs.lacks:
        one = runs.runs == 1
        return f"✔ {who} {'goes' if one else 'go'} on with the graph {'it' if one else 'they'} started with"
    reasons: dict[str, list[str]] = {}
    for name, why in runs.lacks.items():
        reasons.setdefault(why, []).append(name)
    return f"‖ {who} would wait: {'; '.join(f'{_few(names)}: {why}' for why, names in reasons.items())}"


def _consequence(consequence: Consequence) -> str:
    """`!` and the words "look at" are for a person; a dot tells what else follows."""
    if consequence.verdict != "person":
        return f"· {consequence.says}"
    code = f" {consequence.code}" if consequence.code else ""
    return toned("warn", f"! look at this{code}: {consequence.says}")
