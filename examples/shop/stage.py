"""Where the demo plays: a data folder of its own, the participants, and the settings everything is started with."""

import fcntl
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from amends.coordinator.errors import Conflict, UsageError
from amends.examples.shop import inventory, servers
from amends.examples.shop.commands import Amends, short
from amends.examples.shop.launch import Running, participants

SHOP = Path(__file__).parent
ORDERS = SHOP / "orders.jsonl"
SAGAS = SHOP / "sagas.py"
MARK = "demo.lock"
SETTINGS = "amends.toml"
TOPIC = "shop.orders"
LEASE = "2s"
"""How long the shards of the killed worker stay its own; with SQLite there is no lease."""
HANDED_ON = frozenset(
    {"kafka_security_protocol", "kafka_sasl_mechanism", "kafka_user", "kafka_password", "kafka_ca_file"}
    | {"kafka_client_id", "schema_registry", "topic_format"}
)
"""Settings that a person decides; the others are the demo's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that a scene needs."""

    folder: Path
    amends: Amends
    payments: Running
    mail: Running
    topic: str
    topics: tuple[str, ...]
    """What must be made on the bus first; none on the embedded default, where topics come into being by themselves."""
    real_servers: servers.Servers | None

    @property
    def shop(self) -> Path:
        """Where the participants keep their records."""
        return self.folder / "shop"

    @property
    def app(self) -> Path:
        """The saga as this demo runs it: a copy, because the demo gives it a second version."""
        return self.folder / "sagas.py"

    @property
    def bus(self) -> str:
        return "topics in its store" if self.real_servers is None else self.real_servers.shown_bus

    @property
    def store(self) -> str:
        """Where the log is, for people: without a password."""
        own = None if self.real_servers is None else self.real_servers.shown_store
        return own or str(self.folder / "amends.db")


@contextmanager
def stage(folder: Path, given: Mapping[str, str]) -> Iterator[Stage]:
    """Set the stage, for as long as the block runs; the folder stays. `given` are settings by name."""
    with cleared(folder):
        shop = folder / "shop"
        shop.mkdir()
        shutil.copyfile(SAGAS, folder / "sagas.py")
        inventory.setup(inventory_url(shop))
        run = f"shop-demo-{uuid.uuid4().hex[:6]}"
        real = servers.prepared(run, folder, given)
        kafka = real is not None and real.kafka
        topic = f"{run}.orders" if kafka else TOPIC
        with participants(shop, "payments", "mail") as running:
            payments, mail = running["payments"], running["mail"]
            environment = {
                "SHOP_ORDERS_TOPIC": topic,
                "SHOP_INVENTORY_URL": inventory_url(shop),
                "SHOP_PAYMENTS_URL": payments.url,
                "SHOP_MAIL_HOST": str(mail.addresses["smtp_host"]),
                "SHOP_MAIL_PORT": str(mail.addresses["smtp_port"]),
                "SHOP_MAILBOX_URL": mail.url,
            }
            options = ("--config", short(_settings(folder, run, real, given)))
            amends = Amends(
                options=options, place=_place(folder, options), environment=environment, log=folder / "worker.log"
            )
            yield Stage(
                folder=folder,
                amends=amends,
                payments=payments,
                mail=mail,
                topic=topic,
                topics=(topic,) if kafka else (),
                real_servers=real,
            )


@contextmanager
def cleared(folder: Path) -> Iterator[None]:
    """Empty the folder of an earlier demo, and keep a second one out until the block ends.

    Raises `UsageError` for a folder that holds something else, `Conflict` while another demo runs in it.
    """
    mark = folder / MARK
    if folder.exists() and not mark.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "AM6001", f"the folder {folder} holds something else than a demo", do="name another with --data"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with mark.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                "AM6002", f"another demo runs in {folder}", do="wait for it, or name another folder with --data"
            ) from None
        servers.forget(folder)
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != mark:
                path.unlink()
        yield


def inventory_url(shop: Path) -> str:
    return f"sqlite:///{shop / 'inventory.db'}"


def _settings(folder: Path, run: str, real: servers.Servers | None, given: Mapping[str, str]) -> Path:
    """Write the settings into a file beside the data: one option then says it all, in whatever folder one looks."""
    settings = {name: value for name, value in given.items() if name in HANDED_ON}
    settings["data"] = str(folder.resolve())
    if real is not None:
        settings |= {"store": real.store or "", "bus": real.bus, "topic_prefix": run, "lease": LEASE}
    file = folder / SETTINGS
    file.touch(mode=0o600)  # It may hold the database's password.
    file.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in settings.items() if value))
    return file


def _place(folder: Path, options: tuple[str, ...]) -> tuple[str, ...]:
    """Say it by the folder, where that says it all: the other settings have their defaults."""
    only_data = (folder / SETTINGS).read_text().count("\n") == 1
    return ("--data", short(folder)) if only_data and not Path(SETTINGS).exists() else options


def _toml(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
