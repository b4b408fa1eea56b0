"""`amends doctor`: is everything as it must be, and if not, what to do."""

import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, OPERATE
from amends.coordinator.errors import AmendsError

if TYPE_CHECKING:
    from amends.coordinator.config import Settings

FREE_BYTES_MIN: Final = 200 * 1024 * 1024
CLOCK_OFF_MAX_S: Final = 1.0
_PACKAGES: Final = ("amends", "eventsourcing", "msgspec", "pydantic", "aiokafka", "fastavro", "aiohttp", "psycopg")


class Check(NamedTuple):
    """One line: ok, or what is wrong and what to do."""

    check: str
    ok: bool
    detail: str
    hint: str | None = None


@command(APP, "doctor", panel=OPERATE, example="amends doctor")
async def doctor(call: Call) -> int:
    """Store, bus, topics, schemas, clock, signed heads, sealed data, disk, versions: ok, or what to do."""
    from amends.coordinator.cli.output import columns, show_list, toned

    found = [check async for check in _checks(call)]

    def text(_: list[dict[str, Any]]) -> str:
        rows = [
            [
                toned("good", "✔") if each.ok else toned("bad", "✖"),
                each.check,
                each.detail + (f"; {each.hint}" if each.hint else ""),
            ]
            for each in found
        ]
        return columns(rows, fold=True)

    show_list(call, (each._asdict() for each in found), text)
    return 0 if all(each.ok for each in found) else 1


async def _checks(call: Call) -> Any:  # noqa: ANN401  an async generator of `Check`
    settings = call.settings
    yield Check("settings", ok=True, detail=f"from {call.loaded.file or 'no amends.toml'}, environment and flags")
    for name, check in _CHECKS.items():
        try:
            yield await check(settings)
        except AmendsError as error:
            yield Check(name, ok=False, detail=f"{error.code}: {error.what}", hint=error.do)
    yield _disk(settings)
    yield _versions()


async def _store(settings: "Settings") -> Check:
    from amends.coordinator.bootstrap import opened_store
    from amends.coordinator.config import shown
    from amends.coordinator.reading.words import counted

    with opened_store(settings, read_only=True) as store:
        shards = store.shards()
        detail = f"{shown('store', settings.store_url)}, {counted(len(shards), 'shard')}, "
        detail += counted(len(store.runs_open()), "open run")
    return Check("store", ok=True, detail=detail)


async def _clock(settings: "Settings") -> Check:
    from amends.coordinator.bootstrap import opened_store
    from amends.schemas.instants import SECOND

    with opened_store(settings, read_only=True) as store:
        off_s = abs(store.now() / SECOND - time.time())
    detail = f"{off_s:.3f} s off the store's"
    if off_s <= CLOCK_OFF_MAX_S:
        return Check("clock", ok=True, detail=detail)
    return Check(
        "clock", ok=False, detail=detail, hint="set it by NTP: a worker that is more than 1 s off stops leasing"
    )


async def _bus(settings: "Settings") -> Check:
    from amends.coordinator.bootstrap import opened_store, topic_names
    from amends.coordinator.reading.words import counted

    with opened_store(settings, read_only=True) as store:
        topics = await topic_names(settings, store)
    return Check("bus", ok=True, detail=f"{settings.bus}, {counted(len(topics), 'topic')}")


async def _topics(settings: "Settings") -> Check:
    from amends.coordinator.bootstrap import describe_topics, own_topics

    if settings.kafka is None:
        return Check("topics", ok=True, detail="tables in the store, and views over the log")
    own = own_topics(settings)
    wanted = [own.outcomes, own.audit, own.dead_letters]
    if settings.checkpoint_key is not None:
        wanted.append(own.checkpoints)
    _, findings, missing = await describe_topics(settings, wanted)
    if missing:
        return Check("topics", ok=False, detail=f"missing: {', '.join(missing)}", hint="run: amends topics create APP")
    errors = [each for each in findings if each.level == "error"]
    if errors:
        return Check("topics", ok=False, detail=f"{errors[0].topic}: {errors[0].detail}", hint=errors[0].hint)
    return Check("topics", ok=True, detail=", ".join(wanted))


async def _schemas(settings: "Settings") -> Check:
    from amends.coordinator.bootstrap import open_registry
    from amends.schemas.outcome import OUTCOMES

    registry = open_registry(settings)
    if registry is None:
        return Check("schemas", ok=True, detail="Avro single-object encoding, no registry")
    async with registry:
        await registry.fetch(1)
    return Check("schemas", ok=True, detail=f"registry answers; {OUTCOMES.name} and others are registered at use")


async def _signed_heads(settings: "Settings") -> Check:
    from amends.coordinator.bootstrap import signing_key

    key = signing_key(settings)
    if key is None:
        hint = "to show later that nothing was cut off, make a key with `amends audit keygen` and set it"
        return Check("signed heads", ok=True, detail="none: AMENDS_CHECKPOINT_KEY is not set", hint=hint)
    detail = f"every {settings.checkpoint_every}, public key {key.public.text}"
    return Check("signed heads", ok=True, detail=detail)


async def _sealed_data(settings: "Settings") -> Check:
    from amends.coordinator.bootstrap import opened_store
    from amends.coordinator.runtime.keyring import require_master

    with opened_store(settings, read_only=True) as store:
        if store.some_subject() is not None:
            if settings.master_key is None:
                hint = (
                    "let it lead to the key under which they were sealed: a worker of such sagas does not start without"
                )
                return Check(
                    "sealed data",
                    ok=False,
                    detail="AMENDS_MASTER_KEY is not set, and subjects have data here",
                    hint=hint,
                )
            require_master(store)
            return Check("sealed data", ok=True, detail="AMENDS_MASTER_KEY opens it")
        if settings.master_key is None:
            return Check("sealed data", ok=True, detail="none; sagas with a subject need AMENDS_MASTER_KEY")
        store.master()
    return Check("sealed data", ok=True, detail="none yet; AMENDS_MASTER_KEY is a key")


_CHECKS: "Final[dict[str, Callable[[Settings], Awaitable[Check]]]]" = {
    "store": _store,
    "bus": _bus,
    "topics": _topics,
    "schemas": _schemas,
    "clock": _clock,
    "signed heads": _signed_heads,
    "sealed data": _sealed_data,
}


def _disk(settings: "Settings") -> Check:
    folder = settings.data if settings.data.exists() else Path()
    if not os.access(folder, os.W_OK):
        return Check(
            "disk", ok=False, detail=f"{folder} cannot be written", hint="give this user the right to write it"
        )
    free = shutil.disk_usage(folder).free
    detail = f"{free // 1024 // 1024} MB free for {settings.data}"
    if free >= FREE_BYTES_MIN:
        return Check("disk", ok=True, detail=detail)
    return Check("disk", ok=False, detail=detail, hint="free some space, or choose another place with AMENDS_DATA")


def _versions() -> Check:
    from importlib.metadata import PackageNotFoundError, version

    found = [f"Python {sys.version.partition(' ')[0]}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return Check("versions", ok=True, detail=", ".join(found))
