"""The rules about a saga's subject: whose data its runs hold, and under whose key they are sealed."""

from collections.abc import Iterator

from amends.coordinator.definition.calling import DeclaredCall, DeclaredEach
from amends.coordinator.definition.declared import Draft
from amends.coordinator.definition.fields import NoSuchField, follow, name_of_type, plain, without_none
from amends.coordinator.definition.findings import Finding, finding
from amends.coordinator.definition.form import DefinitionForm
from amends.coordinator.definition.json_schema import Schema
from amends.coordinator.definition.key_paths import KeyPath, key_path_findings


def subject_findings(draft: Draft, schema: Schema) -> Iterator[Finding]:
    """What is wrong with `subject=` and `seal_result=`. `schema` is the trigger's."""
    at, saga = draft.spot.place(), draft.name
    if draft.subject is None:
        if draft.seal_result:
            yield finding(
                "AM1084",
                f"saga {saga!r} seals its result and names no subject: there is no key to seal it under",
                do='name whose data it is: subject="customer_id"',
                at=at,
                saga=saga,
            )
        return
    model = name_of_type(draft.topic.model)
    key = KeyPath(draft.subject, f"Saga(subject={draft.subject!r})", "a subject is named by", "AM1081", "AM1082")
    yield from (wrong := list(key_path_findings(key, schema, model=model, at=at, saga=saga)))
    if any(each.code == key.no_field for each in wrong):
        return
    keys = (("idempotency_key", draft.topic.idempotency_key), ("business_key", draft.topic.business_key))
    for option, path in keys:
        if path == draft.subject:
            yield finding(
                "AM1083",
                f"saga {saga!r} has {path!r} both for its subject and for its {option}, and keys stand in clear in the "
                "store and on topics, also after the subject is erased",
                do="use a key that names nobody, for instance an order's number",
                at=at,
                saga=saga,
            )


def called_findings(draft: Draft, called: Iterator[DefinitionForm]) -> Iterator[Finding]:
    """A called saga runs within its caller, under the caller's subject or none."""
    if draft.subject is not None:
        return
    for form in called:
        if form.subject is not None:
            yield finding(
                "AM1084",
                f"saga {draft.name!r} calls {form.name!r}, whose runs are sealed, and names no subject of its own: "
                "within it nothing would be sealed",
                do='name whose data it is: subject="customer_id"',
                at=draft.spot.place(),
                saga=draft.name,
            )


def item_findings(draft: Draft) -> Iterator[Finding]:
    """Items of a list are known by their keys, in clear; text may say who they are about. Also in what is called."""
    if draft.subject is None:
        return
    for call in draft.calls:
        for key, of in dict.fromkeys(_text_keys(call, call.name, frozenset({draft}))):
            yield finding(
                "AM1088",
                f"saga {draft.name!r} has a subject, and for_each {of!r} tells items apart by {key}: keys of items "
                "stand in clear in the log and on topics, also after the subject is erased",
                do="tell them apart by a key that names nobody: a number, or a UUID",
                at=call.spot.place(),
                saga=draft.name,
            )


def _text_keys(call: DeclaredCall, path: str, within: frozenset[Draft]) -> Iterator[tuple[str, str]]:
    """What items are told apart by where that is text, and the path of the for_each. A circle ends where it closes."""
    called = call.called._draft  # noqa: SLF001  one front end
    if isinstance(call.repeat, DeclaredEach) and _is_text(call, call.repeat):
        yield repr(call.repeat.key) if call.repeat.key else "the item itself", path
    if called not in within:
        for inner in called.calls:
            yield from _text_keys(inner, f"{path}/{inner.name}", within | {called})


def _is_text(call: DeclaredCall, each: DeclaredEach) -> bool:
    try:
        _, kind = follow(call.called.model, tuple(each.key.split(".")) if each.key else ())
    except NoSuchField:
        return False  # told where it is declared
    return plain(without_none(kind)[0]) is str
