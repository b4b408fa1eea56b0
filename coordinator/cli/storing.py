"""`amends init` and `amends store migrate|status|backup|restore`."""

from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, STORE, WRITE
from amends.coordinator.errors import UsageError

if TYPE_CHECKING:
    from amends.coordinator.config import Settings
    from amends.coordinator.ports.store import Store


@command(APP, "init", panel=WRITE, example="amends init --store postgresql://amends@db/amends")
def init(call: Call) -> None:
    """Make or migrate the store, and write amends.toml where there is none."""
    from amends.coordinator.bootstrap import migrate_store
    from amends.coordinator.cli.output import show
    from amends.coordinator.config import DEFAULT_FILE, shown

    settings = call.settings
    migrate_store(settings)
    file = call.loaded.file or Path(DEFAULT_FILE)
    is_new = not file.exists()
    if is_new:
        _write(file, settings, call.loaded.origins)
    store = shown("store", settings.store_url)
    facts = {"store": store, "config": str(file), "config_written": is_new}
    show(call, facts, lambda: f"✔ store {store}\n✔ {file} {'written' if is_new else 'was there, left as it is'}")


@command(STORE, "migrate", example="amends store migrate")
def migrate(call: Call) -> None:
    """Make the store, or bring it up to this version."""
    from amends.coordinator.bootstrap import migrate_store
    from amends.coordinator.cli.output import show
    from amends.coordinator.cli.progress import progress
    from amends.coordinator.config import shown

    with progress("migrating the store"):
        migrate_store(call.settings)
    store = shown("store", call.settings.store_url)
    show(call, {"store": store, "migrated": True}, lambda: f"✔ {store} is of this version")


@command(STORE, "status", example="amends store status -o json")
def status(call: Call) -> None:
    """What the store holds: shards with their owners, runs by status, what waits."""
    from amends.coordinator.cli.output import columns, show
    from amends.coordinator.config import shown

    with call.store() as store:
        is_local = call.settings.kafka is None
        facts = {"store": shown("store", call.settings.store_url), **_status(store, is_local=is_local)}

    def text() -> str:
        named = [[name.replace("_", " "), str(facts[name])] for name in _NAMED]
        if is_local:
            named.append(["relay", "not needed: local topics are read from the log itself"])
        named += [["runs open", ", ".join(f"{count} {name}" for name, count in facts["runs_open"].items()) or "none"]]
        rows = [
            [
                str(each["shard"]),
                each["owner"] or "nobody",
                str(each["epoch"]),
                str(each["position"]),
                "-" if each["relayed"] is None else str(each["relayed"]),
            ]
            for each in facts["shards"]
        ]
        table = columns(rows, heads=["shard", "owner", "epoch", "position", "relayed"])
        return "\n\n".join([columns(named), table, *map(_waits, facts["relay_waits"])])

    show(call, facts, text)


@command(STORE, "backup", example="amends store backup backups/amends.db")
def backup(call: Call, to: Annotated[Path, typer.Argument(metavar="TO", help="A file that does not exist.")]) -> None:
    """Copy a SQLite store while it is used."""
    from amends.coordinator.bootstrap import backup_store
    from amends.coordinator.cli.output import show
    from amends.coordinator.cli.progress import progress

    with progress("copying the store"):
        backup_store(call.settings, to)
    show(call, {"backup": str(to), "size_bytes": to.stat().st_size}, lambda: f"✔ {to}, {to.stat().st_size} bytes")


@command(STORE, "restore", example="amends store restore backups/amends.db")
def restore(
    call: Call, source: Annotated[Path, typer.Argument(metavar="FROM", help="A file made by store backup.")]
) -> None:
    """Become what a backup was, under a new incarnation; what was there is kept beside it."""
    from amends.coordinator.bootstrap import restore_store
    from amends.coordinator.cli.output import show
    from amends.coordinator.cli.progress import progress
    from amends.coordinator.config import shown

    with progress("restoring the store"):
        restore_store(call.settings, source)
    store = shown("store", call.settings.store_url)
    show(call, {"store": store, "restored_from": str(source)}, lambda: f"✔ {store} is what {source} was")


_NAMED = ("store", "kind", "incarnation", "inbox", "dead_letters", "definitions")


def _status(store: "Store", *, is_local: bool) -> dict[str, Any]:
    from collections import Counter

    from amends.schemas.instants import text_of

    shards = store.shards()
    return {
        "kind": store.kind,
        "incarnation": store.incarnation(),
        "inbox": sum(len(store.inbox(row.shard)) for row in shards),
        "dead_letters": store.dead_letters_count(),
        "definitions": len(store.definitions()),
        "runs_open": dict(Counter("quarantined" if row.quarantined else row.status for row in store.runs_open())),
        "shards": [
            {
                "shard": row.shard,
                "owner": row.owner,
                "epoch": row.epoch,
                "expires_at": None if row.expires_at is None else text_of(row.expires_at),
                "position": row.position,
                "head": row.head,
                "clean": row.clean,
                "relayed": None if is_local else store.relay_position(row.shard),
            }
            for row in shards
        ],
        "relay_waits": [
            {"shard": wait.shard, "position": wait.position, "since": text_of(wait.since), "why": wait.why}
            for wait in ([] if is_local else store.relay_waits())
        ],
    }


def _waits(wait: dict[str, Any]) -> str:
    where = "dead letter" if wait["shard"] is None else f"shard {wait['shard']} at"
    return f"! the relay waits before {where} {wait['position']} since {wait['since']}: {wait['why']}"


def settings_text(settings: "Settings", chosen: Container[str]) -> str:
    """`amends.toml`: the settings that somebody chose as they are, the others as comments."""
    from amends.coordinator.config import NAMES, Settings

    lines = ["# Settings of Amends. A flag or an environment variable AMENDS_… outranks what stands here.", ""]
    for name in NAMES:
        value = getattr(settings, name)
        is_chosen = name in chosen and value is not None
        shown_value = value if is_chosen or value not in {None, ""} else _example(name)
        lines += [
            f"# {Settings.model_fields[name].description}",
            f"{'' if is_chosen else '# '}{name} = {_toml(shown_value)}",
        ]
    return "\n".join(lines) + "\n"


def _write(file: Path, settings: "Settings", chosen: Container[str]) -> None:
    from amends.coordinator.config import without_password

    secret = without_password(settings.store) != settings.store
    try:
        file.touch(mode=0o600 if secret else 0o666)
        file.write_text(settings_text(settings, chosen), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            "AM5002", f"{file} cannot be written: {error.strerror}", do="run it in a folder that you may write"
        ) from None


def _example(name: str) -> object:
    examples: dict[str, object] = {
        "store": "sqlite:///.amends/amends.db",
        "shards": 16,
        "kafka_password": "${env:KAFKA_PASSWORD}",
        "master_key": "${env:AMENDS_MASTER}",
        "checkpoint_key": "${file:checkpoint-key.pem}",
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "SCRAM-SHA-512",
        "kafka_ca_file": "ca.pem",
        "schema_registry": "http://127.0.0.1:8081",
    }
    return examples.get(name, "")


def _toml(value: object) -> str:
    import json

    if isinstance(value, tuple):
        return json.dumps(list(value) or ["shop.sagas"])
    return str(value) if isinstance(value, int) else json.dumps(str(value))
