"""The rules about a saga's locks: what its runs shut each other out by, and runs of other sagas with them (rule 16)."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from amends.coordinator.definition.declared import Draft
from amends.coordinator.definition.fields import name_of_type
from amends.coordinator.definition.findings import Finding, finding
from amends.coordinator.definition.form import DefinitionForm, LockForm
from amends.coordinator.definition.json_schema import Schema
from amends.coordinator.definition.key_paths import KeyPath, key_path_findings
from amends.coordinator.definition.policies import bad_option

LOCKS_MAX: Final = 16
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_EXAMPLE: Final = 'write locks={"order": "order_id"}'


def locks_of(locks: object) -> tuple[LockForm, ...]:
    """The option `locks` as the form has it, by name. Raises `DefinitionError` for what is none."""
    if locks is None:
        return ()
    if not isinstance(locks, Mapping) or not all(isinstance(each, str) and each for each in locks.values()):
        raise bad_option("Saga", "locks", f"{locks!r} does not lead from names to fields", do=_EXAMPLE)
    for name in locks:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            what = f"{name!r} cannot be the name of a lock"
            raise bad_option("Saga", "locks", what, do=f"letters, digits, _, . and -, from a letter on; {_EXAMPLE}")
    return tuple(LockForm(name=name, field=locks[name]) for name in sorted(locks))


def lock_findings(draft: Draft, schema: Schema) -> Iterator[Finding]:
    """What is wrong with `locks=`. `schema` is the trigger's."""
    at, saga, model = draft.spot.place(), draft.name, name_of_type(draft.topic.model)
    if len(draft.locks) > LOCKS_MAX:
        what = f"saga {saga!r} has {len(draft.locks)} locks, and {LOCKS_MAX} is the most"
        yield finding("AM1092", what, do="lock what several of them belong to", at=at, saga=saga)
    for lock in draft.locks:
        option = f"Saga(locks={{{lock.name!r}: {lock.field!r}}})"
        key = KeyPath(lock.field, option, "a lock is named by", "AM1090", "AM1091")
        yield from (wrong := list(key_path_findings(key, schema, model=model, at=at, saga=saga)))
        if any(each.code == key.no_field for each in wrong):
            continue
        if lock.field == draft.subject:
            yield finding(
                "AM1093",
                f"saga {saga!r} has {lock.field!r} both for its subject and for its lock {lock.name!r}, and keys of "
                "locks stand in clear in the log and on topics, also after the subject is erased",
                do="lock by a key that names nobody, for instance an order's number",
                at=at,
                saga=saga,
            )


def called_lock_findings(draft: Draft, called: Iterator[DefinitionForm]) -> Iterator[Finding]:
    """A called saga runs within its caller, so whoever calls it locks for it."""
    own = {lock.name for lock in draft.locks}
    for form in called:
        for lock in form.locks:
            if lock.name not in own:
                yield finding(
                    "AM1094",
                    f"saga {draft.name!r} calls {form.name!r}, which locks {lock.name!r}, and does not lock it itself: "
                    "within it nothing would be locked",
                    do=f"add it to its own: locks={{{lock.name!r}: …}}, with a field of its trigger",
                    at=draft.spot.place(),
                    saga=draft.name,
                )
