"""The errors of signed heads and bundles, worded in one place."""

from typing import Final

from amends.coordinator.errors import FoundFault, UsageError

_KEYGEN: Final = "`amends audit keygen` makes one"


def no_signing_key(reference: str, why: str) -> UsageError:
    return UsageError("AM3010", f"{reference} holds no key to sign with: {why}", do=_KEYGEN)


def no_public_key(name: str, why: str) -> UsageError:
    return UsageError(
        "AM3011", f"{name} is no public key: {why}", do="give the line that `amends audit keygen` printed, or a file"
    )


def no_heads(name: str, why: str) -> UsageError:
    return UsageError(
        "AM3012",
        f"{name} cannot be read as signed heads: {why}",
        do="keep them with `amends topics tail amends.checkpoints -o jsonl`",
    )


def exists(name: str) -> UsageError:
    return UsageError("AM3013", f"{name} exists", do="choose another name: nothing is overwritten")


def not_written(name: str, why: str) -> UsageError:
    return UsageError("AM3014", f"{name} cannot be written: {why}", do="choose a folder that this user may write to")


def no_bundle(name: str, why: str) -> FoundFault:
    return FoundFault("AM3020", f"{name} is no whole bundle: {why}", do="get it again from whoever exported it")


def altered(name: str, part: str, why: str) -> FoundFault:
    return FoundFault(
        "AM3021", f"{name} was altered: part {part!r} {why}", do="believe nothing in it; get it again from its source"
    )


def newer(name: str, *, found: int, known: int) -> UsageError:
    return UsageError(
        "AM3022", f"{name} is a bundle of format {found}, this version reads {known}", do="open it with a newer amends"
    )


def too_large(what: str, most: str) -> UsageError:
    return UsageError(
        "AM3023", f"the bundle would be too large: {what}, {most} at most", do="export fewer runs at once"
    )


def unreadable(name: str, why: str) -> UsageError:
    return UsageError("AM3024", f"{name} cannot be read: {why}", do="name a file that `amends forensics export` wrote")
