"""What can be wrong with a store: every error of this folder is made here, with its code and its remedy."""

from collections.abc import Sequence
from pathlib import Path

from amends.coordinator.errors import Conflict, StoreUnavailable, UsageError


def unreachable(where: str, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        "AM0301",
        f"the store {where} cannot be reached ({why})",
        do="check that the server runs and that host and port are right",
    )


def credentials_refused(where: str, why: str) -> UsageError:
    return UsageError(
        "AM0302",
        f"the store {where} refused the credentials ({why})",
        do="check user and password in AMENDS_STORE and the server's access rules",
    )


def database_missing(where: str, why: str) -> UsageError:
    return UsageError(
        "AM0303", f"the server has no such database: {where} ({why})", do="create it, or correct AMENDS_STORE"
    )


def newer(where: str, *, found: int, known: int) -> UsageError:
    return UsageError(
        "AM0304",
        f"the store {where} was written by a newer version of Amends (store version {found}, this one knows {known})",
        do="use that version or a later one; nothing was changed",
    )


def not_a_store(where: str, why: str) -> UsageError:
    return UsageError(
        "AM0306",
        f"{where} is not a store of Amends ({why})",
        do="point AMENDS_STORE at another place, or restore a backup",
    )


def damaged(where: str, why: str) -> UsageError:
    return UsageError(
        "AM0307", f"the store {where} is damaged ({why})", do="stop everything that uses it and restore a backup"
    )


def read_only(where: str, why: str) -> UsageError:
    return UsageError(
        "AM0308",
        f"the store {where} cannot be written ({why})",
        do="give this user write access to the file and its folder, or choose another place with AMENDS_DATA",
    )


def disk_full(where: str, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        "AM0309",
        f"the disk of the store {where} is full ({why})",
        do="free some space; work resumes by itself, nothing is lost",
    )


def busy(where: str, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        "AM0310", f"the store {where} is busy ({why})", do="find what holds it for so long; work resumes by itself"
    )


def second_coordinator(lock: Path, holder: str, upgrade: str = "") -> Conflict:
    """`upgrade`: that the store must be brought up to date, where the lock is wanted for that."""
    what = f"another coordinator works on this store: {holder} holds {lock}"
    if upgrade:
        return Conflict("AM0311", f"{upgrade}, but {what}", do="stop it first, then run: amends store migrate")
    return Conflict("AM0311", what, do="stop it first, or use PostgreSQL, where any number of workers may run")


def extra_missing(why: str) -> UsageError:
    return UsageError(
        "AM0312",
        f"the PostgreSQL store needs a package that is not installed ({why})",
        do="run: pip install 'amends[postgres]'",
    )


def unknown_url(url: str, known: Sequence[str]) -> UsageError:
    return UsageError("AM0313", f"{url!r} is not the URL of a store", do=f"use one of: {', '.join(known)}")


def no_folder(folder: Path, why: str) -> UsageError:
    return UsageError(
        "AM0314", f"the data folder {folder} cannot be made or opened ({why})", do="choose another with AMENDS_DATA"
    )


def copy_elsewhere(kind: str, how: str) -> UsageError:
    return UsageError("AM0315", f"a {kind} store is not copied by Amends", do=how)


def copy_exists(target: Path) -> Conflict:
    return Conflict(
        "AM0316", f"{target} exists already", do="name a file that does not exist: a backup never overwrites anything"
    )


def no_copy(source: Path, why: str) -> UsageError:
    return UsageError(
        "AM0317", f"{source} is no backup that could be restored ({why})", do="name a file made by: amends store backup"
    )


def copy_failed(target: Path, why: str) -> UsageError:
    return UsageError(
        "AM0318", f"the backup {target} cannot be written ({why})", do="choose a place with space that you may write"
    )


def trouble(where: str, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        "AM0319", f"the store {where} failed ({why})", do="work resumes by itself once the cause is gone"
    )


def not_allowed(where: str, why: str) -> UsageError:
    return UsageError(
        "AM0320",
        f"the user of AMENDS_STORE may not do this in {where} ({why})",
        do="let the user own the schema amends, or grant CREATE on the database so that it can be made",
    )


def taken_away(where: str) -> UsageError:
    return UsageError(
        "AM0321",
        f"the store {where} was removed or replaced while it was in use",
        do="stop everything that uses it, then put the files back or restore a backup",
    )


def subject_busy(saga: str, saga_id: str, status: str, *, has_ended: bool, more: int) -> Conflict:
    """`has_ended`: the run is open only because it is still to be read back."""
    others = f", and {more} more of the subject are open" if more else ""
    state = "has ended, but is still to be read back" if has_ended else f"is {status}"
    how = "until that is over" if has_ended else "until it has ended, or end it"
    return Conflict(
        "AM0335",
        f"run {saga} {saga_id} {state}{others}: without its key it could be neither finished nor undone",
        do=f"wait {how}, then erase again; amends runs show {saga_id} says what it waits for and what it takes",
    )


def archived_otherwise(saga_id: str, version: int) -> Conflict:
    return Conflict(
        "AM0341",
        f"version {version} of run {saga_id} is not in the log as it was archived; nothing was deleted",
        do="archive again; if it stays so: amends audit verify",
    )
